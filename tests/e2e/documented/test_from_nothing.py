"""README.md and docs/tutorial.md, followed to the letter by somebody who has a fresh clone, an empty home, and nothing
else: each command in a shell, the JavaScript in Node 22. Only the port is another one, a free one.
"""

from __future__ import annotations

import ast
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import Part, blocks
from tests.e2e.documented.fresh import clone
from tests.e2e.documented.test_tutorial import Folder, commands, restarts_lose_nothing
from tests.e2e.processes import Process, environment

pytestmark = pytest.mark.long
INSTALLING = 300
"""Seconds that pip may take on a machine that does something else, too."""


class Newcomer:
    """Somebody with a clone and an empty home.

    @ivar readme: the README of the clone.
    """

    def __init__(self, files: set[str], folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = str(probe.getsockname()[1])
        self.clone = clone(files, folder / "cell0gw")
        for name in ("README.md", "Makefile"):
            text = (self.clone / name).read_text()
            assert "18801" in text
            (self.clone / name).write_text(text.replace("18801", port))
        self.port = port
        self.home = folder / "home"
        self.home.mkdir()
        self.readme = Part("README.md", (self.clone / "README.md").read_text())
        self._started: list[Process] = []

    def shell(self, script: str, *before: Path) -> Process:
        """Paste lines into a terminal whose folder is the clone; the last one stays in front.

        @param before: folders that are in front of all others on the PATH.
        """
        *lines, last = script.splitlines()
        variables = {"HOME": str(self.home), "PYTHONPATH": None, "XDG_STATE_HOME": None, "no_proxy": "localhost"}
        env = environment(**variables, PATH=":".join(map(str, (*before, os.environ["PATH"]))))
        command = "\n".join(("set -e", *lines, f"exec {last}"))
        self._started.append(Process(["sh", "-c", command], env, self.clone))
        return self._started[-1]

    def prints(self, script: str, *before: Path) -> str:
        """Paste lines that end by themselves, well.

        @return: what they print.
        """
        process = self.shell(script, *before)
        assert process.wait(INSTALLING) == 0, process.output
        return process.output

    def write(self, name: str, text: str) -> None:
        """Save something that is copied from the README."""
        (self.clone / name).write_text(text)

    def serves(self, gateway: Process, host: str) -> None:
        """Wait until a gateway serves, and has written the admin token where the README says."""
        gateway.wait_for(f"listening on {re.escape(host)} port {self.port}$", INSTALLING)
        gateway.wait_for(r"the admin token is in ")
        assert self.token_file.stat().st_mode & 0o777 == 0o600

    @property
    def token_file(self) -> Path:
        """Where the admin token is."""
        return self.home / ".local" / "state" / "cell0gw" / "admin.token"

    def leave(self) -> None:
        """Close all terminals, gently first: a make that is killed leaves behind what it has started."""
        for process in self._started:
            if process.running:
                process.signal()
                process.wait()
            process.kill()


@pytest.fixture
def newcomer(files: set[str], tmp_path: Path) -> Iterator[Newcomer]:
    """Somebody in front of the README."""
    somebody = Newcomer(files, tmp_path)
    yield somebody
    somebody.leave()


def test_readme_has_nothing_else(newcomer: Newcomer) -> None:
    """The README has these commands and pieces of code, and no others: the tests below follow all of them."""
    serve, hello, others, own, without = blocks(newcomer.readme, "sh")
    assert [line.partition("#")[0].split()[-1] for line in others.splitlines()[:2]] == ["run", "test"]
    assert others.splitlines()[2:] == [f"twistd -n cell0gw --port {newcomer.port}"]
    assert (serve, len(hello.splitlines()), len(own.splitlines())) == ("make run\n", 2, 4)
    assert without.startswith("python -m cell0.service.gateway_ws ")
    languages = re.findall(r"^```(\w*)$", newcomer.readme.text, re.MULTILINE)
    assert sorted(filter(None, languages)) == sorted(
        ["mermaid", *["sh"] * 5, *["python"] * 2, "js", "javascript", *["json"] * 4]
    )


def test_start(newcomer: Newcomer, node22: Path) -> None:
    """`make run` in the clone, hello.py in a second terminal, and the JavaScript in Node 22, with the token that its
    first piece prints.
    """
    serve, hello, *_ = blocks(newcomer.readme, "sh")
    gateway = newcomer.shell(serve)
    newcomer.serves(gateway, "0.0.0.0")
    newcomer.write("hello.py", blocks(newcomer.readme, "python")[0])
    message = ast.literal_eval(newcomer.prints(hello).splitlines()[-1])
    assert (message["channel"], message["message"], message["from"]) == ("hello", "world", "admin")

    (minting,), (connecting,) = blocks(newcomer.readme, "js"), blocks(newcomer.readme, "javascript")
    newcomer.write("admin.js", minting.replace("the_admin_token", newcomer.token_file.read_text().strip()))
    token = newcomer.shell("node admin.js", node22.parent).wait_for(r'"token":"(cell0_\w+)"')[1]
    newcomer.write("agent.js", connecting.replace("your_token_here", token))
    agent = newcomer.shell("node agent.js", node22.parent)
    agent.wait_for("^Received: {$")
    agent.wait_for("entity_id: 'agent_001'")
    assert gateway.running


def test_other_commands(newcomer: Newcomer) -> None:
    """A virtual environment of one's own, in which the other commands serve as well."""
    *_, others, own, without = blocks(newcomer.readme, "sh")
    serving = newcomer.shell(own)
    newcomer.serves(serving, "127.0.0.1")
    serving.signal()
    assert serving.wait() == 0, serving.output
    (activate,) = (line for line in own.splitlines() if line.startswith(". "))
    for command in (others.splitlines()[-1], without.strip()):
        serving = newcomer.shell(f"{activate}\n{command}")
        serving.wait_for(f"listening on 0\\.0\\.0\\.0 port {newcomer.port}$")
        serving.signal()
        assert serving.wait() == 0, serving.output


def test_tutorial(newcomer: Newcomer, node22: Path, tmp_path: Path) -> None:
    """The tutorial, its installation included: a chat in Python and in JavaScript that restarts do no harm."""
    newcomer.prints("\n".join(commands("1. Install")))
    (empty := tmp_path / "empty").mkdir()
    folder = Folder(empty, f"{newcomer.home / 'chat-venv' / 'bin'}:{node22.parent}")
    try:
        gateway = folder.serve()
        folder.mint()
        names = ("alice", "bob", "carol")
        chatting = [*commands("4. Chat in Python"), *commands("5. Chat in JavaScript")]
        restarts_lose_nothing(folder, gateway, dict(zip(names, map(folder.run, chatting), strict=True)))
    finally:
        folder.end()
