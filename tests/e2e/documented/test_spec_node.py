"""The documented examples from Node's `ws`, and the JavaScript that the README begins with."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import spec_examples
from tests.e2e.clients import mint
from tests.e2e.node import node_modules
from tests.e2e.processes import ADMIN_TOKEN, CHECKOUT, GatewayProcess, Process, environment

HERE = Path(__file__).parents[1]
ADDRESS = "ws://localhost:18801"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="node is not on this machine"
)


@pytest.fixture(scope="module")
def modules() -> Path:
    """A folder of Node's modules with `ws` in it."""
    return node_modules("ws")


@pytest.fixture
def node(modules: Path, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts Node with `ws`: C{node(*arguments)}."""
    started: list[Process] = []

    def start(*arguments: str | Path) -> Process:
        started.append(Process(["node", *arguments], environment(NODE_PATH=str(modules)), tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def test_every_example(gateway: GatewayProcess, node: Callable[..., Process]) -> None:
    """The printed examples, letter by letter, get what is documented in a Node program; its goodbye is answered."""
    token = mint(gateway, "agent_001")
    client = node(HERE / "node_client.cjs", gateway.url)
    for example in spec_examples.CONVERSATION:
        client.type(json.dumps(spec_examples.with_token(example, token)))

    def received() -> list[dict[str, Any]]:
        return [json.loads(line) for line in client.lines]

    client.wait_until(lambda: spec_examples.complete(received()), "all that the conversation brings")
    messages = received()
    client.end_input()
    client.wait_for("^closed with 1000$")
    assert client.wait() == 0
    spec_examples.check_conversation(messages)


def script(language: str, **replaced: str) -> str:
    """The README's block of code in a language, with what a reader replaces in it.

    @param replaced: by what, for each placeholder.
    """
    blocks = re.findall(rf"^```{language}\n(.*?)^```", (CHECKOUT / "README.md").read_text("utf-8"), re.S | re.M)
    assert len(blocks) == 1, f"{len(blocks)} blocks of {language}"
    code: str = blocks[0]
    for placeholder, value in replaced.items():
        assert placeholder in code
        code = code.replace(placeholder, value)
    assert ADDRESS in code
    return code


def test_the_readme_has_the_documented_snippet() -> None:
    """The JavaScript with which an agent connects stands in the README as documented."""
    assert script("javascript") == spec_examples.QUICK_START


def test_the_readmes_scripts(gateway: GatewayProcess, node: Callable[..., Process], tmp_path: Path) -> None:
    """The README's first script prints a token for an agent, and with that token its second opens a session."""

    def run(code: str) -> Process:
        path = tmp_path / "script.js"
        path.write_text(code.replace(ADDRESS, gateway.url))
        return node("--require", HERE / "node_global.cjs", path)

    admin = run(script("js", the_admin_token=ADMIN_TOKEN))
    token = admin.wait_for(r"(cell0_\w{43}_\d+)")[1]
    agent = run(script("javascript", your_token_here=token))
    agent.wait_for(r"^Received: \{")
    agent.wait_for(r"session_id: 'sess_\w+'")
