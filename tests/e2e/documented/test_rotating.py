"""The program in docs/how-to/rotating-tokens.md, run as it stands there, with tokens that live for seconds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.documents import blocks, document
from tests.e2e.clients import Client
from tests.e2e.processes import ADMIN_TOKEN, GatewayProcess, Process, environment

(PROGRAM,) = blocks(document("docs/how-to/rotating-tokens.md"), "python")
SECOND = 1 / 3600


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    return tmp_path / "token.txt"


def start(gateway: GatewayProcess, token_file: Path, **times: float) -> Process:
    """Start the program with a token for C{agent_001}."""
    with Client(gateway, ADMIN_TOKEN) as admin:
        minted = admin.call("auth.generateToken", entity_id="agent_001", **times)
    token_file.write_text(minted["token"])
    command = [sys.executable, "-c", PROGRAM, gateway.url, str(token_file)]
    return Process(command, environment(no_proxy="127.0.0.1"), token_file.parent)


def entries(admin: Client) -> list[dict[str, Any]]:
    listed = admin.call("auth.listTokens", expired=True)["tokens"]
    return [entry for entry in listed if entry["entity_id"] == "agent_001" and not entry["revoked"]]


def test_outlives_its_token(gateway: GatewayProcess, token_file: Path) -> None:
    """The agent's session outlives its first tokens, and the file has the newest one, for nobody else to read."""
    agent = start(gateway, token_file, expires_in_hours=6 * SECOND, renewable_for_hours=1)
    first = token_file.read_text()
    try:
        with Client(gateway, ADMIN_TOKEN) as admin:
            agent.wait_until(lambda: sum("renewed until" in line for line in agent.lines) >= 3, "three renewals")
            assert admin.call("presence.get", entity_id="agent_001")["status"] == "online"
            chain = entries(admin)
            assert [entry["renewed_from"] for entry in chain] == [None, *(e["token_id"] for e in chain[:-1])]
            assert len(chain) >= 4
        assert agent.running
        assert token_file.read_text() != first
        assert token_file.stat().st_mode & 0o777 == 0o600
        with Client(gateway, token_file.read_text()) as other:
            assert other.call("session.getInfo")["entity_id"] == "agent_001"
    finally:
        agent.kill()
        with Client(gateway, ADMIN_TOKEN) as admin:
            admin.call("auth.revokeToken", entity_id="agent_001")


def test_the_last_token(gateway: GatewayProcess, token_file: Path) -> None:
    """When the minter's time is up the agent says so while its last token is still good, and ends when that does."""
    agent = start(gateway, token_file, expires_in_hours=6 * SECOND, renewable_for_hours=8 * SECOND)
    try:
        agent.wait_for("^this token is the last one, it ends at .*: Your token can't be renewed beyond ")
        assert agent.wait() == 1
        assert "4507" in agent.lines[-1]
    finally:
        agent.kill()
