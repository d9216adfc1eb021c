"""Opening handshakes of software that is not this project's, in the forms that people's networks give them."""

from __future__ import annotations

import json

import pytest
import websocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.e2e.conftest import OpenTab, StartGateway
from tests.e2e.inputs.peer import PING, Peer, frame
from tests.e2e.processes import PATIENCE, GatewayProcess

CALL = '{"jsonrpc": "2.0", "method": "rpc.ping", "id": 1}'


def test_cookies_of_other_servers(gateway: GatewayProcess, chromium: OpenTab) -> None:
    """A browser connects that has cookies of other servers on the same host, with names of people and places."""
    tab = chromium(f"http://localhost:{gateway.port}/")
    tab.console("for (const name of ['Müßig', 'Éric', 'Łódź', '東京', '🙂']) document.cookie = `${name}=${name}`")
    assert "東京=東京" in tab.console("document.cookie")
    opened = "await new Promise((done) => { const ws = new WebSocket(location.href.replace(/^http/, 'ws'));"
    assert tab.console(f"{opened} ws.onopen = ws.onerror = (event) => done(event.type); }})") == "open"


def test_long_heads(start_gateway: StartGateway) -> None:
    """A head of 15 KiB connects; a longer one is refused with the option that allows it, and connects with that."""
    cookies = [("Cookie", "a=" + "x" * 3800)] * 4
    gateway = start_gateway()
    with connect(gateway.url, additional_headers=cookies, proxy=None):
        pass
    with pytest.raises(InvalidStatus) as caught, connect(gateway.url, additional_headers=cookies * 3, proxy=None):
        pass
    assert (caught.value.response.status_code, b"max_head_size" in caught.value.response.body) == (431, True)
    gateway = start_gateway("--max-head-size", "64KiB", state_dir=gateway.state_dir.with_name("other"))
    with connect(gateway.url, additional_headers=cookies * 3, proxy=None):
        pass


def test_empty_list_of_subprotocols(gateway: GatewayProcess) -> None:
    """A client that offers no subprotocol, but with the field for it, connects."""
    with connect(gateway.url, additional_headers=[("Sec-WebSocket-Protocol", "")], proxy=None) as client:
        assert client.subprotocol is None
    with connect(gateway.url, subprotocols=[], proxy=None) as client:
        assert client.subprotocol is None


def test_path(start_gateway: StartGateway) -> None:
    """With a path of the operator's, clients connect there and nowhere else."""
    gateway = start_gateway("--path", "/gateway/ws")
    with connect(f"{gateway.url}/gateway/ws", proxy=None):
        pass
    for path in ("", "/ws", "/gateway"):
        with pytest.raises(InvalidStatus) as caught, connect(gateway.url + path, proxy=None):
            pass
        assert caught.value.response.status_code == 404


def test_own_origin(start_gateway: StartGateway) -> None:
    """websocket-client, which sends the host that it connects to for an origin, needs no listing; a page does."""
    gateway = start_gateway("--allowed-origins", "https://app.example.com")
    client = websocket.create_connection(gateway.url, PATIENCE)
    client.send(CALL)
    assert "connection.welcome" in client.recv()
    assert json.loads(client.recv())["result"] == "pong"
    client.close()
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(gateway.url, PATIENCE, origin="https://other.example.com")
    assert caught.value.status_code == 403
    websocket.create_connection(gateway.url, PATIENCE, suppress_origin=True).close()


def test_sixty_pings(gateway: GatewayProcess) -> None:
    """Clients that wait for the pong to each of their pings get them all, sixty at once."""
    payloads = [b"%d" % number for number in range(60)]
    with Peer(gateway.port) as peer:
        peer.open()
        peer.send(b"".join(frame(PING, payload) for payload in payloads))
        while len(peer.pongs) < len(payloads):
            assert peer.read()
        assert peer.pongs == payloads
