"""The two clocks. The *monotonic* clock counts seconds and is never set: it is for durations, timers, deadlines
and rates. The *wall* clock says what time it is, and may be set, by an hour or by years, at any moment: it is for dates
on the wire, on disk and in tokens.

What must outlive the process needs a date, though it is about a duration. L{Dates} notices that the wall clock was set,
so that such dates can be judged all the same.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python import runtime
from zope.interface import implementer

from cell0gw.process.interfaces import ISweeper

TOLERANCE: Final = 1.0
"""Seconds that the clocks may drift apart before the wall clock counts as set."""

MAX_STEPS: Final = 100
"""Maximum number of clock changes that are remembered."""


@implementer(ISweeper)
class Dates:
    """Where the two clocks meet.

    @param clock: the monotonic one.
    @ivar wall: gives the seconds since the epoch.
    @ivar stepped: each is called when the wall clock was set, with the seconds that it was set forward.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, wall: Callable[[], float]) -> None:
        self._clock = clock
        self.wall = wall
        self._looked = clock.seconds()
        # How far the wall clock is ahead, and since when at the latest; the last is the one of now.
        self._steps: deque[tuple[float, float]] = deque([(self._looked, wall() - self._looked)], maxlen=MAX_STEPS)
        self.stepped: list[Callable[[float], None]] = []

    def of(self, moment: float) -> float:
        """The date of a moment of the monotonic clock, as the wall clock says it now."""
        return self.wall() - (self._clock.seconds() - moment)

    def lasting(self) -> float:
        """The date of now; a change of the wall clock shows only after the functions of L{stepped} were called."""
        return self._clock.seconds() + self._steps[-1][1]

    def before(self, age: float) -> float:
        """A date: what bears an earlier one is older than that, however the wall clock was set.

        @param age: seconds.
        """
        since = self._clock.seconds() - age
        ahead = self._steps[-1][1]
        for began, other in reversed(self._steps):
            ahead = min(ahead, other)
            if began <= since:
                break
        return since + ahead

    def sweep(self) -> None:
        """See L{ISweeper}: see whether the wall clock was set."""
        now = self._clock.seconds()
        ahead = self.wall() - now
        step = ahead - self._steps[-1][1]
        if abs(step) > TOLERANCE:
            self._steps.append((self._looked, ahead))
            self.log.warn("the wall clock was set by {seconds:+.1f} s", event="clock.set", seconds=step)
            for tell in self.stepped:
                tell(step)
        self._looked = now


def make_monotonic(reactor: Any) -> None:
    """Have the reactor's timers no longer follow the wall clock, which is what Twisted's own keep time by.

    C{reactor.seconds()} goes on from where it is, so that the timers which are set already are not touched. Other
    reactors, such as a L{twisted.internet.task.Clock}, are left alone.
    """
    if reactor.seconds is not runtime.seconds:
        return
    ahead = time.time() - time.monotonic()

    def monotonic() -> float:
        return time.monotonic() + ahead

    reactor.seconds = monotonic
    for call in reactor.getDelayedCalls():
        call.seconds = monotonic
