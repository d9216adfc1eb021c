"""Handshakes of TLS that failed: counted by cause, and at most one line in the log per cause and second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger
from zope.interface import implementer

from cell0gw.monitoring.sampling import Sampler
from cell0gw.process.interfaces import ISweeper
from cell0gw.sessions.client import ClientAddress

CAUSES: Final = {
    "plain_http": "it was a request of HTTP without TLS: clients must connect to wss://",
    "not_tls": "what came was no TLS",
    "version": "the client and the gateway speak no version of TLS in common; the gateway speaks 1.2 and 1.3",
    "cipher": "the client and the gateway have no cipher, key exchange or signature in common",
    "certificate": "the client does not trust the certificate, or the name in it",
    "alert": "the client ended it",
    "malformed": "what came does not fit into it",
    "timeout": "it was not done in time",
    "broken_off": "the client closed the connection before it was done",
}
"""Why handshakes fail, by the cause that C{gateway.getStats} counts."""


@implementer(ISweeper)
class TLSFailures:
    """Reports handshakes of TLS that failed.

    @param seconds: tells the time.
    @ivar counts: how many did since the start, by cause; causes that did not occur are not there.
    """

    log = Logger()

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.counts: dict[str, int] = {}
        self._sampler = Sampler(seconds, self._tell)

    def handshake_failed(self, cause: str, client: ClientAddress, said: str) -> None:
        """Called when one failed.

        @param cause: one of L{CAUSES}.
        @param said: what OpenSSL says of it; empty: nothing.
        """
        self.counts[cause] = self.counts.get(cause, 0) + 1
        self._sampler.happened(cause, (client, said))

    def sweep(self) -> None:
        """See L{ISweeper}: report what has only been counted."""
        self._sampler.sweep()

    def _tell(self, cause: str, details: tuple[ClientAddress, str] | None, more: int) -> None:
        why = CAUSES[cause]
        if details is None:
            self.log.info("{more} more handshakes of TLS failed: {reason}", event="tls.failed", more=more, reason=why)
            return
        client, said = details
        self.log.info(
            "the handshake of TLS with {peer} failed: {reason}{said}",
            event="tls.failed",
            peer=client.peer,
            address=client.address,
            reason=why,
            said=f" ({said})" if said else "",
        )
