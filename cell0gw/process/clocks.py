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

FAR: Final = 3600.0
"""Seconds that the wall clock may be ahead, at the start, of the last date that the process before has seen: beyond it
either nothing ran meanwhile, or the clock is wrong.
"""

GRACE: Final = 86_400.0
"""Seconds after such a start for which the clock may be wrong: until then time goes on where it was."""


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
        # What the process before has seen last, and when this one began; None: the wall clock is trusted.
        self._resumed: tuple[float, float] | None = None

    def resume(self, seen: float) -> None:
        """Called at the start with the last date that the process before has seen."""
        if self.lasting() - seen > FAR:
            self._resumed = (seen, self._clock.seconds())
            hours = (self.lasting() - seen) / 3600
            self.log.info("{hours:.0f} h have passed since the last run, by the clock", event="clock.far", hours=hours)

    def trusted(self) -> float:
        """The date of now, where things are forgotten by it: a clock that is ahead at the start makes nothing old."""
        date = self.lasting()
        if self._resumed is not None:
            seen, began = self._resumed
            passed = self._clock.seconds() - began
            if passed < GRACE:
                return min(date, seen + passed)
            self._resumed = None
        return date

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
        return min(since + ahead, self.trusted() - age)

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

    Where timers are set already, C{reactor.seconds()} goes on from where it is, so that they are not touched. Other
    reactors, such as a L{twisted.internet.task.Clock}, are left alone.
    """
    if reactor.seconds is not runtime.seconds:
        return
    if not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic  # asked for with every message, so without a function around it
        return
    ahead = time.time() - time.monotonic()

    def monotonic() -> float:
        return time.monotonic() + ahead

    reactor.seconds = monotonic
    for call in reactor.getDelayedCalls():
        call.seconds = monotonic
