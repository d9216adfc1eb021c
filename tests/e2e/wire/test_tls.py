"""A gateway that speaks TLS, and clients that trust its certificate."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from bench.certificate import make_certificate
from tests.e2e.clients import Client, trusting
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, Address

MEGABYTE = 1024 * 1024


def test_calls_and_publications(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Calls, shared publications and messages of megabytes arrive whole; so does the reason of an end."""
    certificate = make_certificate(tmp_path)
    gateway = start_gateway("--tls-cert", str(certificate))
    assert "with TLS" in gateway.output
    address = Address(gateway.port, "wss")
    context = trusting(certificate)
    with Client(address, ADMIN_TOKEN, ssl=context) as one, Client(address, ADMIN_TOKEN, ssl=context) as two:
        for client in (one, two):
            client.call("channel.subscribe", channel="events")
        for message in ("short", "x" * 3000, "x" * 3 * MEGABYTE):
            assert one.call("rpc.echo", message=message) == message
            assert one.call("channel.publish", channel="events", message=message)["recipients"] == 2
            assert {c.notification("channel.message")["message"] for c in (one, two)} == {message}
        two.connection.send(b"binary")
        assert two.close_code() == 1003
        assert one.call("rpc.ping") == "pong"


NO_TLS = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an old ClientHello": bytes.fromhex("802e0100020015000000100100800200") + b"\x80" * 40,
    "a ClientHello cut short": bytes.fromhex("16030100c8010000c40303") + b"\x00" * 200,
    "a record of another kind": b"\x17\x03\x03\x00\x05hello",
    "NULs": b"\x00" * 1000,
    "nothing": b"",
}


def test_no_handshake_of_tls(start_gateway: StartGateway, tmp_path: Path) -> None:
    """What is no handshake of TLS ends without a word of HTTP, and is at most a line in the log; others are served."""
    certificate = make_certificate(tmp_path)
    gateway = start_gateway("--tls-cert", str(certificate))
    context = trusting(certificate)
    for sent in NO_TLS.values():
        before = len(gateway.lines)
        with socket.create_connection(("127.0.0.1", gateway.port), 30) as plain:
            plain.sendall(sent)
            plain.shutdown(socket.SHUT_WR)
            assert b"HTTP" not in plain.recv(65536)
        with Client(Address(gateway.port, "wss"), ssl=context) as client:
            assert client.call("rpc.ping") == "pong"
        told = gateway.lines[before:]
        assert len(told) <= 1 and "Traceback" not in str(told), told


def test_in_the_clear(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Who speaks no TLS is refused, and nothing of the gateway's is told in the clear."""
    gateway = start_gateway("--tls-cert", str(make_certificate(tmp_path)))
    with socket.create_connection(("127.0.0.1", gateway.port), 30) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n")
        heard = b""
        while data := plain.recv(65536):
            heard += data
    assert b"HTTP" not in heard and json.dumps("connection.welcome").encode() not in heard
