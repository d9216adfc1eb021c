"""Handshakes of TLS that fail: why they do, and what a peer is told that does not speak TLS at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from cell0gw.guard.addresses import client_address
from cell0gw.sessions.client import ClientAddress

Report = Callable[[str, ClientAddress, str], None]
"""Called when a handshake has failed: see L{cell0gw.monitoring.tls_failures.TLSFailures.handshake_failed}."""

_ADVICE: Final = b"This port speaks TLS: use wss://\n"

NO_TLS: Final = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nX-Content-Type-Options: nosniff\r\n\r\n%s" % (len(_ADVICE), _ADVICE)
)
"""The answer to a request of HTTP that comes in the clear."""

_CAUSES_BY_REASON: Final = {
    "http request": "plain_http",
    "https proxy request": "plain_http",
    "wrong version number": "not_tls",
    "unsupported protocol": "version",
    "version too low": "version",
    "alert protocol version": "version",
    "no shared cipher": "cipher",
    "no suitable": "cipher",
    "no shared": "cipher",
    "alert certificate": "certificate",
    "alert bad certificate": "certificate",
    "alert unsupported certificate": "certificate",
    "alert unknown ca": "certificate",
    "alert": "alert",
    "unexpected eof": "broken_off",
}
"""Causes by what OpenSSL says, in any of its releases; the first that is part of it counts."""


class HandshakingTransport(TLSMemoryBIOProtocol):
    """TLS that reports why its handshake has failed. Once that is done, nothing here is in the way."""

    factory: Any
    _heard = -1
    _judged = False

    def _checkHandshakeStatus(self) -> None:
        """Called when the connection is made, and for all that comes until the handshake is done."""
        self._heard += 1
        super()._checkHandshakeStatus()

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        """Called when there can be no more TLS; None: it has ended as it should."""
        if self._handshakeDone or self._judged:
            super()._tlsShutdownFinished(reason)
            return
        said = "unexpected eof" if reason is None else reason_of(reason.value or SSL.Error())
        cause = cause_of(said)
        self._report(cause, said)
        if cause == "plain_http":
            self._answer_in_the_clear(reason)
        else:
            super()._tlsShutdownFinished(reason)

    def abortConnection(self) -> None:
        """See L{ITCPTransport}. Before the handshake is done the gateway does so when it has waited long enough."""
        if not self._handshakeDone:
            self._report("timeout", "")
        super().abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """See L{IProtocol}. A socket on which nothing came is no failure: so are ports probed."""
        if not self._handshakeDone:
            if not self._heard or reason.check(ConnectionAborted):
                self._judged = True
            self._report("broken_off", "")
        super().connectionLost(reason)

    def _report(self, cause: str, said: str) -> None:
        if not self._judged:
            self._judged = True
            peer: Any = self.getPeer()
            self.factory.report(cause, client_address(f"{peer.host}:{peer.port}", None), said)

    def _answer_in_the_clear(self, reason: Failure | None) -> None:
        """Say what is wrong, and let the peer read that: to close a socket with something unread in it resets it."""
        self._reason, self._lostTLSConnection = reason, True
        self.dataReceived = _discard  # type: ignore[method-assign]
        below: Any = self.transport
        below.write(NO_TLS)
        below.loseWriteConnection()


def _discard(data: bytes) -> None:
    """Take what comes after the end; that is not for long, since the handshake has its deadline."""


def reason_of(problem: BaseException) -> str:
    """What OpenSSL says of a failure, in lower case."""
    queue = problem.args[0] if isinstance(problem, SSL.Error) and problem.args else []
    said = [text for *_, text in queue if text] if isinstance(queue, list) else [str(problem.args[-1])]
    return said[-1].lower() if said else "unexpected eof"


def cause_of(said: str) -> str:
    """The cause of a failure, one of L{cell0gw.monitoring.tls_failures.CAUSES}.

    @param said: what OpenSSL says of it, see L{reason_of}.
    """
    return next((cause for part, cause in _CAUSES_BY_REASON.items() if part in said), "malformed")
