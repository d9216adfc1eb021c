"""How long messages can have taken: a process that waits for a processor, or stands still, does no work for anybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FRESH: Final = 0.0005
"""Seconds for which a look at the work of the process is good: a look costs ten times what one at a clock costs."""


class Work:
    """What the process has worked since it was looked at last: no message since then has taken more.

    @param worked: tells for how many seconds the process has had a processor.
    @ivar stale_at: the time from which on it has to be looked at again before a message, see L{look}.
    """

    __slots__ = ("_before", "_worked", "stale_at")

    def __init__(self, worked: Callable[[], float]) -> None:
        self._worked = worked
        self._before = worked()
        self.stale_at = 0.0

    def look(self, now: float) -> None:
        """Called before messages are handled: what was worked until now was not for them.

        @param now: the time, by the clock.
        """
        self._before = self._worked()
        self.stale_at = now + FRESH

    def bound(self, seconds: float) -> float:
        """Called after a message that took long.

        @param seconds: how long it took, by the clock.
        @return: the seconds of work that it can have been.
        """
        worked = self._worked()
        bounded, self._before = min(seconds, worked - self._before), worked
        return bounded
