"""What a process has and a test states: time, ids, randomness. One value instead of five arguments."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from cell0gw.process.clocks import Dates
from cell0gw.process.ids import Ids
from cell0gw.process.working import working

Wall = Callable[[], float]
NewId = Callable[[str], str]
RandomBytes = Callable[[int], bytes]
RandBelow = Callable[[int], int]


class Runtime:
    """What all parts of a gateway are given; one that needs a single thing of it takes that thing.

    @ivar clock: counts the seconds and runs the timers; it is never set.
    @ivar wall: gives the date in seconds since the epoch; it may be set at any moment.
    @ivar new_id: makes an id from a prefix, as in C{conn_9f86d081884c7d65}.
    @ivar random_bytes: gives that many unpredictable bytes.
    @ivar randbelow: gives a random number from 0 to below another.
    @ivar worked: counts the seconds for which the process has worked, see L{cell0gw.process.working.Working}.
    @ivar dates: where the two clocks meet.
    """

    __slots__ = ("clock", "dates", "new_id", "randbelow", "random_bytes", "wall", "worked")

    def __init__(
        self,
        clock: IReactorTime,
        wall: Wall,
        new_id: NewId,
        random_bytes: RandomBytes,
        randbelow: RandBelow,
        worked: Callable[[], float],
    ) -> None:
        self.clock = clock
        self.wall = wall
        self.new_id = new_id
        self.random_bytes = random_bytes
        self.randbelow = randbelow
        self.worked = worked
        self.dates = Dates(clock, wall)


def runtime_of_process(reactor: Any) -> Runtime:
    """What a process has that serves.

    @param reactor: its reactor, whose timers don't follow the wall clock, see L{cell0gw.process.clocks.make_monotonic}.
    """
    return Runtime(reactor, time.time, Ids(os.urandom), os.urandom, secrets.randbelow, working().seconds)
