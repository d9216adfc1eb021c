"""Limits that were exceeded: for the log, at most one line per limit and second, and for subscribers of C{$system}."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from cell0gw.monitoring.sampling import Sampler
from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol.printable import printable


@implementer(ISweeper)
class Alarms:
    """Reports limits that are exceeded, and how often: a thousand times a second must not fill the disk.

    @param seconds: tells the time.
    @param emit: sends an event on C{$system}: its type, its data, and whom it is about. Anybody may have hit a limit
        again and again: what counts that is about one whom only those see who see everyone.
    """

    log = Logger()

    def __init__(self, seconds: Callable[[], float], emit: Callable[[str, Any, Sequence[str]], Any]) -> None:
        self._emit = emit
        self._sampler = Sampler(seconds, self._tell)

    def limit_exceeded(self, limit: str, by: str) -> None:
        """Called when a limit was exceeded.

        @param limit: its name, as the option's, or what it is called in the documentation.
        @param by: who exceeded it: an address, an entity, a connection.
        """
        self._sampler.happened(limit, by)

    def sweep(self) -> None:
        """See L{ISweeper}: report what has only been counted."""
        self._sampler.sweep()

    def _tell(self, limit: str, by: str | None, more: int) -> None:
        if by is None:
            self.log.warn("{limit} was hit {more} more times", event="limit.hit", limit=limit, more=more)
            self._emit("limit.hit", {"limit": limit, "times": more}, ("",))
        else:
            by = printable(by)
            self.log.warn("{limit} was hit by {by}", event="limit.hit", limit=limit, by=by)
            self._emit("limit.hit", {"limit": limit, "by": by, "times": 1}, (by,))
