"""TLS between the socket and the protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IProtocolFactory
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.protocol.limits import Limits
from cell0gw.protocol.messages import Batch


class CertificateError(Exception):
    """A certificate or its key can't be used; the message names the file."""


def read_certificate(certificate: Path, key: Path) -> CertificateOptions:
    """What a server needs to speak TLS 1.2 and 1.3.

    @param certificate: a PEM file with the certificate, and those between it and its root.
    @param key: a PEM file with its private key; may be the same one.
    @raise CertificateError: one of them can't be read, or they don't belong together.
    """
    options = CertificateOptions()
    context = options.getContext()
    for path, use, lacks in (
        (certificate, context.use_certificate_chain_file, "no certificate in it"),
        (key, context.use_privatekey_file, "no private key in it; --tls-key names the file that has it"),
    ):
        try:
            path.open("rb").close()
            use(str(path))
        except OSError as problem:
            raise CertificateError(f"{path}: {problem.strerror}") from None
        except SSL.Error as problem:
            raise CertificateError(f"{path}: {reason_of(problem, lacks)}") from None
    return options


@implementer(IOpenSSLServerConnectionCreator)
class Certificate:
    """What handshakes are made with; L{renew} changes it for those that begin later."""

    def __init__(self, options: CertificateOptions) -> None:
        self._context = options.getContext()

    def renew(self, options: CertificateOptions) -> None:
        """Take over another one."""
        self._context = options.getContext()

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """See L{IOpenSSLServerConnectionCreator}."""
        return SSL.Connection(self._context)


_NOTHING_FOUND: Final = ("no start line", "unsupported")
"""What OpenSSL says of a file that has nothing of the kind that it looks for."""


def reason_of(problem: Exception, lacks: str) -> str:
    """Why OpenSSL does not take a file, for people.

    @param problem: an error of OpenSSL's.
    @param lacks: what is said of a file that lacks what is looked for.
    """
    reasons = [text for *_, text in problem.args[0] if text] if problem.args else []
    first = next(iter(reasons), "unsupported")  # the others only say what that has brought about
    return lacks if first in _NOTHING_FOUND else first


class TLSTransport(TLSMemoryBIOProtocol):
    """The transport of a protocol over TLS. What is not here it asks of the transport below."""

    TLS = True
    _limits: Limits | None = None

    @property
    def backlog(self) -> int:
        """How many bytes wait for the peer to read, some of them encrypted."""
        return sum(map(len, self._appSendBuffer)) + int(getattr(self.transport, "backlog", 0))

    def watch_backlog(self, limits: Limits) -> None:
        """See L{PlainTransport.watch_backlog}."""
        self._limits = limits

    def write(self, data: bytes) -> None:
        """See L{ITransport}."""
        if self._limits is not None and self.backlog > self._limits.outbound_limit:
            self._judge_backlog(self._limits)
        super().write(data)

    def writeSequence(self, iovec: Any) -> None:
        """See L{ITransport}; Twisted's own makes a copy of all parts together."""
        first, *others = iovec
        self.write(first)
        for part in others:
            super().write(part)

    def _judge_backlog(self, limits: Limits) -> None:
        below: Any = self.transport
        if hasattr(below, "try_to_send"):
            below.try_to_send()
        if self.backlog > limits.outbound_limit:
            self._limits = None
            self.wrappedProtocol.fall_behind()  # type: ignore[attr-defined]

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """See L{IProtocol}."""
        super().connectionLost(reason)
        self._appSendBuffer = []

    def share(self, batch: Batch) -> bool:
        """See L{IConnection.share}: each connection has its own cipher."""
        return False


class TLSFactory(TLSMemoryBIOFactory):
    """Makes protocols that speak over TLS, if the one below makes any."""

    protocol = TLSTransport

    def buildProtocol(self, addr: Any) -> Any:
        """See L{IProtocolFactory}."""
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped)


def over_tls(factory: IProtocolFactory, certificate: Certificate, clock: Any) -> TLSFactory:
    """A factory whose protocols speak over TLS.

    @param factory: makes those that speak.
    """
    return TLSFactory(certificate, isClient=False, wrappedFactory=factory, clock=clock)
