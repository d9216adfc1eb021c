"""Limits that were exceeded: for the log, at most one line per limit and second, and for subscribers of C{$system}."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger
from zope.interface import implementer

from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol.printable import printable

SILENCE: Final = 1.0
"""Seconds that a limit is only counted after it was reported."""


class _Cause:
    __slots__ = ("more", "told_at")

    def __init__(self, told_at: float) -> None:
        self.told_at = told_at
        self.more = 0


@implementer(ISweeper)
class Alarms:
    """Reports limits that are exceeded, and how often: a thousand times a second must not fill the disk.

    @param seconds: tells the time.
    @param emit: sends an event on C{$system}: its type and its data.
    """

    log = Logger()

    def __init__(self, seconds: Callable[[], float], emit: Callable[[str, Any], Any]) -> None:
        self._seconds = seconds
        self._emit = emit
        self._causes: dict[str, _Cause] = {}

    def limit_exceeded(self, limit: str, by: str) -> None:
        """Called when a limit was exceeded.

        @param limit: its name, as the option's, or what it is called in the documentation.
        @param by: who exceeded it: an address, an entity, a connection.
        """
        cause = self._causes.get(limit)
        if cause is not None:
            cause.more += 1
            return
        self._causes[limit] = _Cause(self._seconds())
        self._tell(limit, printable(by), 0)

    def sweep(self) -> None:
        """See L{ISweeper}: report what has only been counted."""
        now = self._seconds()
        for limit, cause in list(self._causes.items()):
            if cause.told_at > now - SILENCE:
                continue
            if not cause.more:
                del self._causes[limit]
                continue
            self._tell(limit, "", cause.more)
            cause.told_at, cause.more = now, 0

    def _tell(self, limit: str, by: str, more: int) -> None:
        if more:
            self.log.warn("{limit} was hit {more} more times", event="limit.hit", limit=limit, more=more)
            self._emit("limit.hit", {"limit": limit, "times": more})
        else:
            self.log.warn("{limit} was hit by {by}", event="limit.hit", limit=limit, by=by)
            self._emit("limit.hit", {"limit": limit, "by": by, "times": 1})
