"""What a gateway keeps on disk: tokens that survive it, and no secret that could leak from a copy."""

from __future__ import annotations

import hashlib
import signal
import sqlite3
import stat
from pathlib import Path

import pytest

from tests.e2e.clients import Client, mint
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, GatewayProcess

NOT_AUTHENTICATED = -32001


def first_token(gateway: GatewayProcess) -> str:
    """The admin token that a gateway with an empty state folder has made."""
    gateway.wait_for("the admin token is in ")
    return (gateway.state_dir / "admin.token").read_text().strip()


def opens(gateway: GatewayProcess, token: str) -> bool:
    """Whether a token opens a session; if it does not, the answer must be the documented one."""
    with Client(gateway) as client:
        answer = client.request("auth.authenticate", token=token)
    assert "result" in answer or answer["error"]["code"] == NOT_AUTHENTICATED
    return "result" in answer


def digest(token: str) -> str:
    """What may be kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture
def gateway(start_gateway: StartGateway) -> GatewayProcess:
    """A gateway that has made its own admin token."""
    return start_gateway(CELL0_GATEWAY_ADMIN_TOKEN=None)


def test_first_token(gateway: GatewayProcess) -> None:
    """The first start leaves an admin token that works in a file which only its owner can read."""
    token = first_token(gateway)
    path = gateway.state_dir / "admin.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(gateway.state_dir.stat().st_mode) == 0o700
    assert opens(gateway, mint(gateway, "agent_001", token))
    with Client(gateway, token) as admin:
        info = admin.call("session.getInfo")
    assert (info["entity_id"], info["entity_type"], info["permissions"]) == ("admin", "system", ["*"])


def test_files_of_the_state_folder_are_private(gateway: GatewayProcess) -> None:
    """No file of the state folder can be read by group or others."""
    mint(gateway, "agent_001", first_token(gateway))
    for path in gateway.state_dir.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_tokens_survive(gateway: GatewayProcess, start_gateway: StartGateway) -> None:
    """After a restart the admin token and those minted open sessions, and the admin token is not made anew."""
    admin = first_token(gateway)
    token = mint(gateway, "agent_001", admin)
    gateway.stop()
    again = start_gateway(CELL0_GATEWAY_ADMIN_TOKEN=None)
    assert opens(again, token)
    assert opens(again, admin)
    assert (again.state_dir / "admin.token").read_text().strip() == admin


def test_tokens_survive_a_kill(gateway: GatewayProcess, start_gateway: StartGateway) -> None:
    """A token that was handed out is on disk: it survives kill -9."""
    token = mint(gateway, "agent_001", first_token(gateway))
    gateway.signal(signal.SIGKILL)
    assert gateway.wait() == -signal.SIGKILL
    assert opens(start_gateway(CELL0_GATEWAY_ADMIN_TOKEN=None), token)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_revoked_tokens_stay_revoked(gateway: GatewayProcess, start_gateway: StartGateway, end: signal.Signals) -> None:
    """A revoked token, and what it had minted, opens nothing after a restart, even after kill -9."""
    admin = first_token(gateway)
    permissions = ["auth.generateToken", "agent.*"]
    minter = mint(gateway, "team.>", admin, entity_type="service", permissions=permissions)
    with Client(gateway) as client:
        client.call("auth.authenticate", token=minter, entity_id="team.lead")
        minted = client.call("auth.generateToken", entity_id="team.worker", permissions=["agent.send"])["token"]
    assert opens(gateway, minted)
    with Client(gateway, admin) as operator:
        (minters_id,) = [
            t["token_id"] for t in operator.call("auth.listTokens")["tokens"] if t["entity_id"] == "team.>"
        ]
        operator.call("auth.revokeToken", token_id=minters_id)
    gateway.signal(end)
    gateway.wait()
    again = start_gateway(CELL0_GATEWAY_ADMIN_TOKEN=None)
    assert not opens(again, minted)
    with Client(again) as client:
        answer = client.request("auth.authenticate", token=minter, entity_id="team.lead")
    assert answer["error"]["code"] == NOT_AUTHENTICATED


def test_the_database_has_no_tokens(gateway: GatewayProcess) -> None:
    """The database's files hold the SHA-256 of each token and no token, neither while it runs nor afterwards."""
    tokens = [first_token(gateway)]
    tokens += [mint(gateway, f"agent_{number:03}", tokens[0]) for number in range(5)]
    for gone in (False, True):
        if gone:
            gateway.stop()
        files = {path.name: path.read_bytes() for path in gateway.state_dir.glob("gateway.db*")}
        kept = b"".join(files.values())
        for token in tokens:
            secret = token.split("_")[1]
            assert secret.encode() not in kept
            assert digest(token).encode() in kept
    assert list(files) == ["gateway.db"]
    database = sqlite3.connect(gateway.state_dir / "gateway.db")
    assert {row[0] for row in database.execute("SELECT digest FROM tokens")} == {digest(token) for token in tokens}
    database.close()


def test_the_operators_own_token(start_gateway: StartGateway, tmp_path: Path) -> None:
    """The token of CELL0_GATEWAY_ADMIN_TOKEN works as long as the variable gives it, and is written nowhere."""
    gateway = start_gateway()
    token = mint(gateway, "agent_001")
    gateway.stop()
    for path in gateway.state_dir.iterdir():
        assert ADMIN_TOKEN.encode() not in path.read_bytes()
        assert digest(ADMIN_TOKEN).encode() not in path.read_bytes()
    again = start_gateway(CELL0_GATEWAY_ADMIN_TOKEN=None)
    assert not opens(again, ADMIN_TOKEN)
    assert opens(again, token)
