"""Handshakes that are refused: for the log, at most a line a cause and second, and as figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from twisted.logger import Logger
from zope.interface import implementer

from cell0gw.monitoring.sampling import Sampler
from cell0gw.monitoring.statistics import Counts, IStatistics
from cell0gw.process.interfaces import ISweeper
from cell0gw.sessions.client import ClientAddress

PROXY_CAUSES: Final = {
    "proxy_untrusted": "Connections begin with a header of the PROXY protocol here, and the peer is not in "
    "trusted_proxies.",
    "proxy_missing": "The connection does not begin with a header of the PROXY protocol: have the proxy send one, or "
    "turn proxy_protocol off.",
    "proxy_malformed": "The header of the PROXY protocol is not as version 1 or 2 defines it.",
    "proxy_too_long": "The header of the PROXY protocol is longer than 107 bytes in version 1, or 4096 in version 2.",
    "proxy_incomplete": "The header of the PROXY protocol did not all come within 5 seconds, or before the end of the "
    "connection.",
}
"""Why connections are closed whose header is not believed, by the cause that C{gateway.getStats} counts."""


@implementer(ISweeper, IStatistics)
class Refusals:
    """Counts refused handshakes by cause, and tells of them.

    @param seconds: tells the time.
    @param causes: the names of all causes but L{PROXY_CAUSES}.
    """

    name = "handshake"
    log = Logger()

    def __init__(self, seconds: Callable[[], float], causes: Iterable[str]) -> None:
        self._counts = dict.fromkeys([*causes, *PROXY_CAUSES], 0)
        self._sampler = Sampler(seconds, self._tell)

    def count(self, cause: str) -> None:
        """Count one that something else tells of."""
        self._counts[cause] += 1

    def refused(self, cause: str, reason: str, client: ClientAddress) -> None:
        """Called when a handshake was refused.

        @param reason: what the client was told.
        """
        self.count(cause)
        self._sampler.happened(cause, (reason, client))

    def sweep(self) -> None:
        """See L{ISweeper}: tell of those that were only counted."""
        self._sampler.sweep()

    def _tell(self, cause: str, details: tuple[str, ClientAddress] | None, more: int) -> None:
        if details is None:
            self.log.info(
                "{more} more handshakes were refused, {cause}", event="handshake.refused", cause=cause, more=more
            )
            return
        reason, client = details
        self.log.info(
            "a handshake from {peer}{way} was refused, {cause}: {reason}",
            event="handshake.refused",
            cause=cause,
            reason=reason,
            address=client.address,
            peer=client.peer,
            proxy=client.proxy,
            way="" if client.proxy is None else f" by way of {client.proxy}",
        )

    def statistics(self) -> Counts:
        """See L{IStatistics}."""
        return Counts({}, dict(self._counts))
