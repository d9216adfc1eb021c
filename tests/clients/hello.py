"""What clients offer by TLS: their ClientHello, read from the wire."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Final, NamedTuple, Self

from tests.e2e.processes import PATIENCE

HANDSHAKE: Final = 22
CLIENT_HELLO: Final = 1
ALPN: Final = 16
SUPPORTED_VERSIONS: Final = 43
NAMES: Final = {0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}
"""Versions of TLS; clients also send others that mean nothing (RFC 8701)."""


class Hello(NamedTuple):
    """What a ClientHello offers.

    @ivar versions: of TLS, ascending.
    @ivar protocols: by ALPN, as they stand there; none: it has no ALPN.
    """

    versions: tuple[str, ...]
    protocols: tuple[str, ...]


class _Reader:
    """Reads numbers and what has its length in front of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        taken, self.data = self.data[:count], self.data[count:]
        if len(taken) < count:
            raise ValueError("cut short")
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> _Reader:
        return _Reader(self.take(self.number(size)))


def read_hello(data: bytes) -> Hello:
    """Read a ClientHello.

    @param data: it, without the records around it.
    @raise ValueError: it is none.
    """
    message = _Reader(data)
    if message.number(1) != CLIENT_HELLO:
        raise ValueError("no ClientHello")
    body = message.vector(3)
    legacy = body.number(2)
    body.take(32)
    for size in (1, 2, 1):  # session id, cipher suites, compression
        body.vector(size)
    versions, protocols = [legacy], []
    extensions = body.vector(2) if body.data else body
    while extensions.data:
        kind, content = extensions.number(2), extensions.vector(2)
        if kind == ALPN:
            names = content.vector(2)
            while names.data:
                protocols.append(names.vector(1).data.decode("ascii"))
        elif kind == SUPPORTED_VERSIONS:
            offered = content.vector(1).data
            versions = [number for (number,) in struct.iter_unpack("!H", offered)]
    return Hello(tuple(sorted(NAMES[number] for number in versions if number in NAMES)), tuple(protocols))


class Probe:
    """A port that reads one ClientHello and hangs up."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.close()

    def hear(self) -> Hello:
        """Wait for a client, and read what it offers.

        @raise OSError: none has come.
        @raise ValueError: it does not speak TLS.
        """
        while True:
            connected, _ = self._listener.accept()
            with connected:
                connected.settimeout(PATIENCE)
                if data := self._hello(connected):
                    return read_hello(data)

    def _hello(self, connected: socket.socket) -> bytes:
        """A ClientHello; empty: the client has gone before, as browsers do that connect in advance."""
        with connected.makefile("rb") as stream:
            message = b""
            while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4]):
                head = stream.read(5)
                if not head:
                    return b""
                kind, _, length = struct.unpack("!BHH", head)
                if kind != HANDSHAKE:
                    raise ValueError(f"no TLS: {head!r}")
                message += stream.read(length)
            return message
