"""The documented examples from Node's `ws`, and the JavaScript that the README begins with."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import spec_examples
from tests.e2e.clients import mint
from tests.e2e.processes import CHECKOUT, GatewayProcess, Process, environment

HERE = Path(__file__).parent
PACKAGES = CHECKOUT / ".cache" / "node"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="node is not on this machine"
)


@pytest.fixture(scope="module")
def modules() -> Path:
    """A folder of Node's modules with `ws` in it."""
    found = PACKAGES / "node_modules"
    if not (found / "ws" / "package.json").exists():
        PACKAGES.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", PACKAGES, "ws@8"]
        subprocess.run(command, check=True, timeout=180, stdin=subprocess.DEVNULL)
    return found


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


def test_quick_start(gateway: GatewayProcess, node: Callable[..., Process], tmp_path: Path) -> None:
    """The README's first JavaScript, with the reader's own address and token, opens a session and prints its id."""
    blocks = re.findall(r"^```javascript\n(.*?)^```", (CHECKOUT / "README.md").read_text("utf-8"), re.S | re.M)
    assert spec_examples.QUICK_START in blocks, "the README has the documented snippet as it is"
    token = mint(gateway, "agent_001")
    snippet = tmp_path / "snippet.js"
    own = spec_examples.QUICK_START.replace("ws://localhost:18801", gateway.url).replace("your_token_here", token)
    snippet.write_text(own)
    program = node("--require", HERE / "node_global.cjs", snippet)
    program.wait_for(r"^Received: .*connection\.welcome|method: 'connection\.welcome'")
    session_id = program.wait_for(r"session_id: '(sess_\w+)'")[1]
    assert session_id
