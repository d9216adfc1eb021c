"""Every client sees the code that it is closed with, and the stream ends as it should."""

from __future__ import annotations

import random
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from websockets.frames import Frame, Opcode

from bench.certificate import make_certificate
from tests.clients.catalogue import CLIENTS
from tests.clients.conversation import Witness, expect, request
from tests.clients.peers import Peer
from tests.clients.transports import TRANSPORTS, Stage
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import PATIENCE, GatewayProcess
from tests.e2e.wire.test_tls_clients import UPGRADE

LIBRARIES: Final = ("websockets", "ws", "websocket", "undici")
"""Python's, two of Node's that have been there for long, and what is Node's own from version 22 on."""
LONG: Final = 11_000_000
"""Letters, more than C{max_message_size}. They don't compress to much less."""


def too_long(peer: Peer, token: str, witness: Witness) -> None:
    """Send a message that is too long."""
    digits = random.Random(LONG).randbytes(LONG // 2).hex()
    peer.send(request("long", "rpc.echo", message=digits))


ENDS: Final[dict[int, Callable[[Peer, str, Witness], None]]] = {
    1003: lambda peer, token, witness: peer.send("binary"),
    1009: too_long,
    4507: lambda peer, token, witness: witness.revoke(token),
}
"""How a connection comes to be closed, by the code; 4001 is that of a gateway that goes down."""


def opened(library: str, stage: Stage, stack: ExitStack) -> tuple[Peer, str]:
    """A client that has a session, and the id of its token."""
    token = stage.witness.token(library)
    peer = CLIENTS[library].connect(stage.place, False)
    stack.callback(peer.kill)
    expect(peer, "^message .*connection.welcome")
    peer.send(request("opened", "auth.authenticate", token=token["token"]))
    expect(peer, '^message .*"opened"')
    return peer, token["token_id"]


@pytest.mark.long
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ["plain", "tls1.3", "nginx", "haproxy"])
def test_codes(library: str, name: str, tmp_path: Path) -> None:
    """A client that sends what is binary, whose token is revoked, or whose gateway goes down, is told so, and one that
    sends what is too long as well, if no proxy stands between; a proxy has no connection that was reset."""
    transport, client = TRANSPORTS[name], CLIENTS[library]
    if reason := transport.why_not() or client.why_not():
        pytest.skip(reason)
    client.prepare()
    with transport.open(tmp_path) as stage, ExitStack() as stack:
        for code, end in ENDS.items():
            if code == 1009 and stage.proxy is not None:
                continue  # both proxies end both sides when one has ended, and reset a client that is still sending
            peer, token = opened(library, stage, stack)
            end(peer, token, stage.witness)
            # That one sends fragments, which count as more than they hold.
            seen = 1008 if (library, code) == ("websocket", 1009) else code
            assert expect(peer, r"^closed (\d+)")[1] == str(seen)
        peer, _ = opened(library, stage, stack)
        stage.gateway.signal()
        assert expect(peer, r"^closed (\d+)")[1] == "4001"
        assert stage.gateway.wait() == 0
        assert stage.proxy is None or not re.search("reset by peer|recv\\(\\) failed", stage.proxy.output)


@pytest.mark.parametrize("version", [None, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("code", [1003, 4001])
def test_end_of_the_stream(
    start_gateway: StartGateway, tmp_path: Path, version: ssl.TLSVersion | None, code: int
) -> None:
    """After both close frames the stream has an end, no reset, over TLS with C{close_notify} before."""
    certificate = make_certificate(tmp_path)
    gateway = start_gateway(*(() if version is None else ("--tls-cert", str(certificate))))
    with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE) as plain:
        if version is None:
            close(gateway, plain, code)
        else:
            context = ssl.create_default_context(cafile=certificate)
            context.minimum_version = context.maximum_version = version
            with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as secured:
                close(gateway, secured, code)
                with secured.unwrap() as bare:
                    assert bare.recv(1) == b""
    if code == 4001:
        assert gateway.wait() == 0


def close(gateway: GatewayProcess, stream: socket.socket, code: int) -> None:
    """Become a WebSocket, be closed, reply, and see the end: over TLS its absence is an error of ssl's."""
    stream.sendall(UPGRADE)
    heard = b""
    while b"connection.welcome" not in heard:
        heard += stream.recv(65536)
    if code == 4001:
        gateway.signal()
    else:
        stream.sendall(Frame(Opcode.BINARY, b"binary").serialize(mask=True))
    while not re.search(rb"\x88." + code.to_bytes(2, "big"), heard, re.DOTALL):
        data = stream.recv(65536)
        assert data, heard
        heard += data
    stream.sendall(Frame(Opcode.CLOSE, code.to_bytes(2, "big")).serialize(mask=True))
    assert stream.recv(65536) == b""
