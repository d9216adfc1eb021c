"""Transports on a poller, over pairs of sockets; the poller's own reactor is one that the test moves."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.transports.sockets.poller import Poller
from cell0gw.transports.sockets.tcp import GatewayTransport


class Reactor(Clock):
    """A clock with readers: they are read when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def turn(self) -> None:
        """What a reactor does over and over."""
        self.advance(0)
        for reader in list(self.readers):
            reader.doRead()


def unexpected(cause: str, client: Any, said: str) -> None:
    """Called when a handshake of TLS fails that should not."""
    raise AssertionError(f"the handshake failed: {cause}, {said}")


class Recorder(Protocol):
    """Keeps what comes; answers or raises if it is told to."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: list[Failure] = []
        self.answer: bytes | None = None
        self.bad = False
        self.audience: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self.bad:
            raise RuntimeError("bad protocol")
        for other in self.audience:
            other.write(data)
        if self.answer is not None:
            self.transport.write(self.answer)  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:
        self.lost.append(reason)


class Producer:
    """A push producer that remembers."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class PollerCase(SynchronousTestCase):
    """With a poller, and connections on it."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.poller = Poller(self.reactor)
        self.addCleanup(lambda: self.reactor.readers and self.close())

    def close(self) -> None:
        self.poller.close(Failure(ConnectionAborted()))

    def connect(self) -> tuple[GatewayTransport, Recorder, socket.socket]:
        """A transport, its protocol, and the socket at the other end."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        theirs.setblocking(False)
        self.addCleanup(theirs.close)
        protocol = Recorder()
        transport = GatewayTransport(ours, protocol, ("peer", 1), None, 0, self.poller)  # type: ignore[arg-type]
        protocol.makeConnection(transport)
        return transport, protocol, theirs

    def read_all(self, theirs: socket.socket, turns: int = 500) -> bytes:
        """Everything that arrives at the other end while the reactor turns."""
        parts = []
        for _ in range(turns):
            self.reactor.turn()
            try:
                parts.append(theirs.recv(65536))
            except BlockingIOError:
                break
            if not parts[-1]:
                break
        return b"".join(parts)
