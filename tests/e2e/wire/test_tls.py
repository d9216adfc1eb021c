"""A gateway that speaks TLS, and clients that trust its certificate, or don't."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

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
    before = len(gateway.lines)
    senders = []
    for sent in NO_TLS.values():
        with socket.create_connection(("127.0.0.1", gateway.port), 30) as plain:
            senders.append(f"127.0.0.1:{plain.getsockname()[1]} ")
            plain.sendall(sent)
            plain.shutdown(socket.SHUT_WR)
            assert b"HTTP" not in plain.recv(65536)
        with Client(Address(gateway.port, "wss"), ssl=context) as client:
            assert client.call("rpc.ping") == "pong"
    gateway.signal()
    assert gateway.wait() == 0
    told = "\n".join(gateway.lines[before:])
    assert all(told.count(sender) <= 1 for sender in senders) and "Traceback" not in told, told


@pytest.mark.parametrize("body", [b"", b"x" * MEGABYTE])
def test_in_the_clear(start_gateway: StartGateway, tmp_path: Path, body: bytes) -> None:
    """Who sends a request without TLS is told so, whole and in the clear, and nothing else of the gateway's."""
    gateway = start_gateway("--tls-cert", str(make_certificate(tmp_path)))
    with socket.create_connection(("127.0.0.1", gateway.port), 30) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n" + body)
        plain.shutdown(socket.SHUT_WR)
        heard = b""
        while data := plain.recv(65536):
            heard += data
    head, _, text = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"Content-Length: 33" in head
    assert text == b"This port speaks TLS: use wss://\n"


def test_failures(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Handshakes that fail are counted by cause, and the first of each is a line with the client's address."""
    certificate = make_certificate(tmp_path)
    gateway = start_gateway("--tls-cert", str(certificate))
    for _ in range(3):
        with (
            socket.create_connection(("127.0.0.1", gateway.port), 30) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", gateway.port), 30) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while plain.recv(65536):
            pass
    with Client(Address(gateway.port, "wss"), ADMIN_TOKEN, ssl=trusting(certificate)) as client:
        assert client.call("gateway.getStats")["tls_failures"] == {"certificate": 3, "plain_http": 1}
    begins = r"\[info\] the handshake of TLS with 127\.0\.0\.1:\d+ failed:"
    gateway.wait_for(f"{begins} the client does not trust .*unknown ca")
    gateway.wait_for(f"{begins} .* wss://")
    gateway.wait_for(r"\[info\] \d more handshakes of TLS failed: the client does not trust ")
