"""Clients: one on `websockets`, and one that does no more than it is told."""

from __future__ import annotations

import itertools
import json
import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect
from websockets.uri import parse_uri

from tests.e2e.processes import ADMIN_TOKEN, PATIENCE, Address, GatewayProcess

Gateway = GatewayProcess | Address


def trusting(certificate: Path) -> ssl.SSLContext:
    """What a client of these needs to trust a certificate.

    They read and write on two threads. What TLS 1.3 sends after its handshake may then be read while the first request
    is written, and OpenSSL loses that: Python guards it against that only from 3.13 on.
    """
    context = ssl.create_default_context(cafile=certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


class Client:
    """A `websockets` client, which answers pings and closes by itself.

    @ivar messages: what came so far, answers apart that C{call} has returned.
    """

    def __init__(self, gateway: Gateway, token: str | None = None, **options: Any) -> None:
        self.connection: ClientConnection = connect(
            gateway.url, **{"max_size": None, "proxy": None, "ping_interval": None} | options
        ).__enter__()
        self.messages: list[Any] = []
        self._ids = itertools.count(1)
        if token is not None:
            self.call("auth.authenticate", token=token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.connection.close()

    def receive(self) -> Any:
        """The next message."""
        return json.loads(self.connection.recv(PATIENCE))

    def request(self, method: str, **params: Any) -> dict[str, Any]:
        """Make a call.

        @return: the whole answer.
        """
        request_id = next(self._ids)
        self.connection.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": request_id}))
        while True:
            message = self.receive()
            if isinstance(message, dict) and message.get("id") == request_id:
                return message
            self.messages.append(message)

    def call(self, method: str, **params: Any) -> Any:
        """Make a call that must succeed.

        @return: its result.
        """
        answer = self.request(method, **params)
        assert "result" in answer, f"{method}: {answer}"
        return answer["result"]

    def notification(self, method: str) -> Any:
        """The params of the next notification of that name."""
        while True:
            for position, message in enumerate(self.messages):
                if message.get("method") == method:
                    return self.messages.pop(position)["params"]
            self.messages.append(self.receive())

    def close_code(self) -> int | None:
        """What the gateway closes the connection with."""
        try:
            while True:
                self.messages.append(self.receive())
        except ConnectionClosed as closed:
            return None if closed.rcvd is None else closed.rcvd.code


def mint(gateway: Gateway, entity_id: str, admin_token: str = ADMIN_TOKEN, **params: Any) -> str:
    """A token for an entity, from an admin."""
    with Client(gateway, admin_token) as admin:
        token = admin.call("auth.generateToken", entity_id=entity_id, **params)["token"]
        assert isinstance(token, str)
        return token


class RawClient:
    """A socket after the opening handshake: it sends only what it is told to, no pong, no close, and reads only then.

    @param receive_buffer: how many bytes the system keeps for it, about.
    @param options: of C{websockets.client.ClientProtocol}.
    @ivar received: how many bytes it has read.
    """

    def __init__(self, gateway: Gateway, receive_buffer: int | None = None, **options: Any) -> None:
        self._protocol = ClientProtocol(parse_uri(gateway.url + "/"), max_size=None, **options)
        self.received = 0
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", gateway.port))
        self._protocol.send_request(self._protocol.connect())
        self.socket.sendall(b"".join(self._protocol.data_to_send()))
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send(self, text: str) -> None:
        """Send a text message."""
        self.socket.sendall(Frame(Opcode.TEXT, text.encode()).serialize(mask=True))

    def call(self, method: str, **params: Any) -> Any:
        """Make a call that must succeed; one at a time.

        @return: its result.
        """
        self.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": "call"}))
        while True:
            for frame in self._protocol.events_received():
                message = json.loads(frame.data) if isinstance(frame, Frame) and frame.opcode is Opcode.TEXT else {}
                if message.get("id") == "call":
                    return message["result"]
            assert self._read(), "the connection was closed"

    def close_code(self) -> int | None:
        """Read until the gateway closes: what it closes with; None when it drops the connection without a word."""
        while self._protocol.close_rcvd is None and self._read():
            pass
        return None if self._protocol.close_rcvd is None else self._protocol.close_rcvd.code

    def _read(self) -> bool:
        data = self.socket.recv(65536)
        self.received += len(data)
        if data:
            self._protocol.receive_data(data)
        self._protocol.data_to_send()  # what it would answer: dropped
        return bool(data)
