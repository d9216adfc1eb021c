"""The documentation's commands and programs, run as they stand there."""

from __future__ import annotations

import re
import shlex
import socket
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest

from tests.documents import DOCUMENTS, README, blocks
from tests.e2e.clients import Client
from tests.e2e.conftest import StartGateway
from tests.e2e.documented.conftest import WEBSOCKET_FLAG
from tests.e2e.processes import ADMIN_TOKEN, BIN, GatewayProcess, Process, environment

COMMANDS = sorted(
    {
        line
        for part in DOCUMENTS
        for block in blocks(part, "sh")
        for line in block.splitlines()
        if line.startswith(("twistd -n cell0gw", "python -m cell0"))
    }
)
PROGRAMS = [program for part in DOCUMENTS for program in blocks(part, "python") if "WebSocketGateway" in program]


def run_script(node: str, script: str, gateway: GatewayProcess, pattern: str) -> re.Match[str]:
    """Run JavaScript of the README's against a gateway until it prints what it should."""
    assert "ws://localhost:18801" in script
    script = script.replace("ws://localhost:18801", gateway.url)
    process = Process([node, WEBSOCKET_FLAG, "-e", script], environment(), gateway.state_dir.parent)
    try:
        return process.wait_for(pattern)
    finally:
        process.kill()


def test_javascript(node: str, gateway: GatewayProcess) -> None:
    """The README's two pieces of JavaScript: an admin mints a token, an agent authenticates with it."""
    (minting,), (connecting,) = blocks(README, "js"), blocks(README, "javascript")
    minted = run_script(
        node, minting.replace("the_admin_token", ADMIN_TOKEN), gateway, r'"id":1\}.*"token":"(cell0_\w+)".*"id":2\}\]'
    )
    run_script(node, connecting.replace("your_token_here", minted[1]), gateway, "success: true")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: str, start_gateway: StartGateway) -> None:
    """Every command that starts a gateway does, and SIGTERM ends it with status 0."""
    program, *arguments = shlex.split(command)
    gateway = start_gateway(command=[BIN / program, *arguments])
    if "--proxy-protocol" in arguments:  # we are none of the proxies that it trusts
        with socket.create_connection(("127.0.0.1", gateway.port), 10) as stranger, suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
        gateway.wait_for("proxy_untrusted")
        return
    with Client(gateway) as client:
        assert client.call("rpc.ping") == "pong"


def test_there_are_commands() -> None:
    """The commands are found in the documents at all."""
    assert {"twistd -n cell0gw --port 18801", "python -m cell0.service.gateway_ws --host 0.0.0.0 --port 18801"} <= set(
        COMMANDS
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs(program: str, tmp_path: Path) -> None:
    """Every Python program that opens a port runs; one that awaits at its top level runs in asyncio."""
    source = program.replace("port=18801", "port=0")
    if "asyncio" not in source:
        body = textwrap.indent(f"{source}\nprint('port', gateway.port)\nawait gateway.stop()\n", "    ")
        source = f"import asyncio\n\nasync def main():\n{body}\nasyncio.run(main())\n"
    env = environment(CELL0_GATEWAY_STATE_DIR=str(tmp_path / "state"))
    process = Process([sys.executable, "-c", source], env, tmp_path)
    try:
        status = process.wait()
        assert status == 0, process.output
        assert int(process.wait_for(r"port (\d+)")[1]) > 0
    finally:
        process.kill()
