"""docs/tutorial.md, followed to the letter in an empty folder: its files, its commands, and its restart."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import Part, blocks, document, section
from tests.e2e.processes import BIN, Process, environment

TUTORIAL = document("docs/tutorial.md")
FILES = dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", TUTORIAL.text, re.DOTALL | re.MULTILINE))
SERVE = "twistd -n --pidfile= cell0gw --config chat.toml"
WEBSOCKET_FLAG = "--experimental-websocket"  # a browser's WebSocket, which Node has from version 22 without it


def commands(heading: str) -> list[str]:
    """The commands of a section; those of a list are indented."""
    part = section(TUTORIAL, heading)
    text = re.sub(r"^ {3}", "", part.text, flags=re.MULTILINE)
    return [line for block in blocks(Part(part.where, text), "sh") for line in block.splitlines()]


class Folder:
    """The folder of somebody who follows the tutorial, on a port that is free.

    @param path: an empty folder.
    @param programs: where the commands are: those of a virtual environment, and others before them.
    """

    def __init__(self, path: Path, programs: str = str(BIN)) -> None:
        self._programs = programs
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = str(probe.getsockname()[1])
        self._path = path
        self._started: list[Process] = []
        for name, text in FILES.items():
            (path / name).write_text(text.replace("18801", self._port))

    def run(self, command: str, **variables: str) -> Process:
        """Type a command in a terminal of its own."""
        env = environment(no_proxy="localhost,127.0.0.1", **variables)
        env["PATH"] = f"{self._programs}:{env['PATH']}"
        self._started.append(Process(["sh", "-c", f"exec {command}"], env, self._path))
        return self._started[-1]

    def serve(self) -> Process:
        """Start the gateway, and wait until it serves."""
        gateway = self.run(SERVE)
        gateway.wait_for(f"listening on 127.0.0.1 port {self._port}$")
        return gateway

    def mint(self) -> None:
        """Give everyone a token."""
        for command in commands("3. Give everyone a token"):
            minting = self.run(command)
            assert minting.wait() == 0, minting.output

    def end(self) -> None:
        """Close all terminals."""
        for process in self._started:
            process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """An empty folder with the files of the tutorial."""
    folder = Folder(tmp_path)
    yield folder
    folder.end()


def said(chat: Process) -> list[str]:
    """The lines of the chat that a terminal shows, in order."""
    return [line for line in list(chat.lines) if not line.startswith("*")]


def connections(chat: Process) -> int:
    """How often a client has said that it is connected."""
    return list(chat.lines).count("* connected to chat.lobby")


def restarts_lose_nothing(folder: Folder, gateway: Process, chats: dict[str, Process]) -> None:
    """End the gateway by Ctrl-C and by kill -9, type everywhere, start it again: everybody has all of it, once."""
    for name, chat in chats.items():
        chat.wait_for(r"^\* connected to chat\.lobby$")
        chat.type(f"hello from {name}")
    expected = {f"{name}: hello from {name}" for name in chats}
    for number, ending in enumerate((signal.SIGINT, signal.SIGKILL), 1):
        for chat in chats.values():
            chat.wait_until(lambda chat=chat, known=set(expected): set(said(chat)) >= known, "all that was said")
        gateway.signal(ending)
        assert gateway.wait() == (0 if ending == signal.SIGINT else -ending), gateway.output
        for name, chat in chats.items():
            chat.wait_until(lambda chat=chat, n=number: chat.lines.count("* disconnected") == n, "the end")
            chat.type(f"restart {number}, {name}")
            expected.add(f"{name}: restart {number}, {name}")
        gateway = folder.serve()
        for chat in chats.values():
            chat.wait_until(lambda chat=chat, n=number: connections(chat) == n + 1, "the gateway")
    for chat in chats.values():
        chat.wait_until(lambda chat=chat: set(said(chat)) >= expected, "all that was said")
        assert sorted(said(chat)) == sorted(expected)
    assert len({tuple(said(chat)) for chat in chats.values()}) == 1, "somebody has another order"
    for chat in chats.values():
        assert chat.running, chat.output
        assert not [line for line in chat.lines if "refused" in line or "no longer held" in line], chat.output


def test_commands() -> None:
    """The tutorial has the files and the commands that these tests use, and the restart is with the same command."""
    assert list(FILES) == ["chat.toml", "mint.py", "chat.py", "room.mjs", "chat.mjs"]
    assert commands("2. Start a gateway with a durable channel") == [SERVE] == commands("6. Restart the gateway")
    assert commands("4. Chat in Python") == ["python chat.py alice", "python chat.py bob"]
    assert commands("5. Chat in JavaScript") == ["node chat.mjs carol"]
    assert sum(TUTORIAL.text.count(f"```{language}\n") for language in ("toml", "python", "js")) == len(FILES)


def test_python(folder: Folder) -> None:
    """Two clients in Python: nothing is lost or comes twice when the gateway is stopped, or killed, and restarted."""
    gateway = folder.serve()
    folder.mint()
    alice, bob = (folder.run(command) for command in commands("4. Chat in Python"))
    restarts_lose_nothing(folder, gateway, {"alice": alice, "bob": bob})


def test_javascript(folder: Folder) -> None:
    """The same with a client in JavaScript beside one in Python, and it sees what was said before it came."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    probe = ["node", WEBSOCKET_FLAG, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this Node has no WebSocket")
    gateway = folder.serve()
    folder.mint()
    (alice, _), (carol,) = commands("4. Chat in Python"), commands("5. Chat in JavaScript")
    in_python, in_node = folder.run(alice), folder.run(carol.replace("node ", f"node {WEBSOCKET_FLAG} --no-warnings "))
    restarts_lose_nothing(folder, gateway, {"alice": in_python, "carol": in_node})
    late = folder.run(carol.replace("node ", f"node {WEBSOCKET_FLAG} --no-warnings "))
    late.wait_until(lambda: said(late) == said(in_node), "what was said before")


def test_what_lies_in_the_folder(folder: Folder, tmp_path: Path) -> None:
    """The state folder and the admin token are where the tutorial says, for their owner alone."""
    folder.serve()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / "admin.token").stat().st_mode) == 0o600
