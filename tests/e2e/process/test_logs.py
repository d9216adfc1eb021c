"""The log of a running gateway: one line an event, whatever peers send, and no token in it."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import pytest

from tests.e2e.clients import Client, RawClient, mint
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, PATIENCE, GatewayProcess

CURSOR = "\x1b[31md\u2028e\x85f\x00g"
HOSTILE = f"a\nb\rc{CURSOR}"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[(debug|info|warn|error|critical)\] \S.*")


def objects(gateway: GatewayProcess) -> list[dict[str, Any]]:
    """The log of a gateway that writes JSON: every line of it must be an object."""
    parsed = [json.loads(line) for line in gateway.lines]
    assert all(isinstance(line, dict) for line in parsed)
    return parsed


def misbehave(gateway: GatewayProcess) -> None:
    """Put characters that begin lines and move cursors wherever a peer can put text."""
    for text in (HOSTILE, CURSOR):
        for name in ("Origin", "User-Agent", "Upgrade", "Connection", "Host", "X-Forwarded-For"):
            shake(gateway, f"{name}: {text}")
        for name in ("Key", "Version", "Protocol", "Extensions"):
            shake(gateway, f"Sec-WebSocket-{name}: {text}")
        shake(gateway, f"{text}: {text}")
        shake(gateway, path=f"/{text}")
        shake(gateway, path=f"/?{text}")
        shake(gateway, method=text)
    shake(gateway, path="/%0a%1b[31m")
    with Client(gateway) as stranger:
        stranger.request(HOSTILE)
        stranger.request("auth.authenticate", token=HOSTILE)
        stranger.connection.send(f'{{"jsonrpc":"2.0","method":"rpc.ping","id":{json.dumps(HOSTILE)}}}')
        stranger.connection.send(HOSTILE)
    with Client(gateway, ADMIN_TOKEN) as admin:
        for method, params in {
            "auth.authenticate": {"token": ADMIN_TOKEN, "entity_id": HOSTILE, "capabilities": [HOSTILE]},
            "auth.generateToken": {"entity_id": HOSTILE, "permissions": [HOSTILE]},
            "auth.revokeToken": {"token_id": HOSTILE},
            "presence.update": {"status": "busy", "status_message": HOSTILE, "metadata": {HOSTILE: HOSTILE}},
            "channel.subscribe": {"channel": HOSTILE},
            "agent.send": {"agent_id": HOSTILE, "message": HOSTILE},
            HOSTILE: {HOSTILE: HOSTILE},
        }.items():
            admin.request(method, **params)
        admin.connection.close(4999, "bye\n\x1b[31mbye")


def shake(gateway: GatewayProcess, header: str = "X: y", path: str = "/", method: str = "GET") -> None:
    """Begin a handshake, and wait for what the gateway has to say to it."""
    usual = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    kept = [f"{name}: {value}" for name, value in usual.items() if not header.startswith(f"{name}:")]
    request = "\r\n".join([f"{method} {path} HTTP/1.1", *kept, header, "", ""])
    with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE) as connection:
        connection.sendall(request.encode())
        connection.recv(1)


@pytest.mark.parametrize("level", ["info", "debug"])
def test_text_lines(start_gateway: StartGateway, level: str) -> None:
    """Whatever a peer sends, every line of the text log begins with its time, and none holds a control character."""
    gateway = start_gateway("--log-level", level)
    misbehave(gateway)
    gateway.stop()
    for line in gateway.lines:
        assert LINE.fullmatch(line), repr(line)
        assert line.isprintable(), repr(line)


@pytest.mark.parametrize("level", ["info", "debug"])
def test_json_lines(start_gateway: StartGateway, level: str) -> None:
    """Whatever a peer sends, every line of the JSON log, from the first to the last, is one object."""
    gateway = start_gateway("--log-format", "json", "--log-level", level)
    misbehave(gateway)
    gateway.stop()
    for line in objects(gateway):
        assert {"time", "level", "logger", "message"} <= set(line)
        assert line["message"].isprintable()
    assert all(line.isprintable() for line in gateway.lines)


def test_json_lines_say_whom_they_are_about(start_gateway: StartGateway) -> None:
    """Where the connection and the entity are known the JSON line has them, and the token's id, as members."""
    gateway = start_gateway("--log-format", "json")
    with Client(gateway, mint(gateway, "agent_001")) as client:
        connection_id = client.notification("connection.welcome")["connection_id"]
        session_id = client.call("session.getInfo")["session_id"]
    gateway.stop()
    about = [line for line in objects(gateway) if line.get("session_id") == session_id]
    assert len(about) == 2, "one when it opened, one when it closed"
    for line in about:
        assert (line["connection_id"], line["entity_id"]) == (connection_id, "agent_001")
    assert about[0]["token_id"].startswith("tok_")
    assert "peer" in about[0]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_token_in_the_log(start_gateway: StartGateway, log_format: str) -> None:
    """At the most talkative level no token is logged: not the first, not a minted, not a refused one."""
    gateway = start_gateway("--log-format", log_format, "--log-level", "debug", CELL0_GATEWAY_ADMIN_TOKEN=None)
    gateway.wait_for("the admin token is in ")
    admin_token = (gateway.state_dir / "admin.token").read_text().strip()
    minted = mint(gateway, "agent_001", admin_token)
    refused = minted[:-1] + "x"
    with Client(gateway, minted) as client:
        client.request("auth.authenticate", token=refused)
        client.request("auth.authenticate", token=[refused])
        client.request("auth.authenticate", tokens=refused)
    with RawClient(gateway) as raw:
        raw.send(f'{{"jsonrpc":"2.0","method":"auth.authenticate","params":{{"token":"{refused}"}},"id":')
        raw.send("{" + refused)
    with Client(gateway, admin_token) as admin:
        admin.call("auth.revokeToken", entity_id="agent_001")
    gateway.stop()
    assert "admin.token" in gateway.output
    for token in (admin_token, minted, refused):
        assert token.split("_")[1] not in gateway.output


def test_the_operators_own_token_is_not_logged(start_gateway: StartGateway) -> None:
    """The token of CELL0_GATEWAY_ADMIN_TOKEN is not logged either."""
    gateway = start_gateway("--log-level", "debug")
    mint(gateway, "agent_001")
    gateway.stop()
    assert ADMIN_TOKEN.split("_")[1] not in gateway.output
