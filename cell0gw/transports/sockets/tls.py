"""TLS between the socket and the protocol."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from cell0gw.protocol.limits import Limits
from cell0gw.protocol.messages import Batch
from cell0gw.transports.sockets.backlog import NOTED, Waiting
from cell0gw.transports.sockets.certificates import Certificate, self_signed
from cell0gw.transports.sockets.handshaking import HandshakingTransport, Report


class TLSTransport(HandshakingTransport):
    """The transport of a protocol over TLS. What is not here it asks of the transport below.

    @ivar limits: see L{PlainTransport}; what waits is judged here, before it is encrypted.
    """

    TLS = True
    limits: Limits | None = None
    _waiting: Waiting | None = None

    @property
    def backlog(self) -> int:
        """Bytes that wait for the peer to read, some of them encrypted."""
        return sum(map(len, self._appSendBuffer)) + int(getattr(self.transport, "backlog", 0))

    @property
    def unsent(self) -> int:
        """Bytes that the kernel does not have yet, some of them encrypted."""
        return self.backlog + sum(map(len, getattr(self.transport, "outgoing", None) or ()))

    @property
    def stalled(self) -> bool:
        """See L{Waiting.stalls}."""
        if self._waiting is None:
            self._waiting = Waiting()
        return self._waiting.stalls(self)

    @property
    def self_signed(self) -> str | None:
        """The SHA-256 of the certificate that is shown to the peer, in hexadecimal, if that is self-signed."""
        return self_signed(self.getHandle())

    def watch_backlog(self, limits: Limits | None) -> None:
        """See L{PlainTransport.watch_backlog}."""
        self.limits = limits if hasattr(self.transport, "look") else None

    def write(self, data: bytes) -> None:
        """See L{ITransport}."""
        limits = self.limits
        if limits is not None:
            length = len(data)
            if (length >= NOTED or self.backlog + length > limits.outbound_limit) and not self._may_wait(length):
                return
        super().write(data)

    def writeSequence(self, iovec: Any) -> None:
        """See L{ITransport}. The parts are one message. Twisted's own makes a copy of all together."""
        if self.limits is None or self._may_wait(sum(map(len, iovec))):
            for part in iovec:
                super().write(part)

    def _may_wait(self, length: int) -> bool:
        """See L{PlainTransport}."""
        if self._waiting is None:
            self._waiting = Waiting()
        if self._waiting.admits(self, length):
            return True
        self.limits = None
        self.wrappedProtocol.fall_behind()  # type: ignore[attr-defined]
        return False

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """See L{IProtocol}."""
        super().connectionLost(reason)
        self._appSendBuffer = []

    def share(self, batch: Batch) -> bool:
        """See L{IConnection.share}: each connection has its own cipher."""
        return False


class TLSFactory(TLSMemoryBIOFactory):
    """Makes protocols that speak over TLS, if the one below makes any.

    @ivar report: called when a handshake has failed.
    """

    protocol = TLSTransport
    report: Report

    def buildProtocol(self, addr: Any) -> Any:
        """See L{IProtocolFactory}."""
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped)


def over_tls(factory: IProtocolFactory, certificate: Certificate, clock: Any, report: Report) -> TLSFactory:
    """A factory whose protocols speak over TLS.

    @param factory: makes those that speak.
    @param report: called when a handshake has failed.
    """
    secured = TLSFactory(certificate, isClient=False, wrappedFactory=factory, clock=clock)
    secured.report = report
    return secured
