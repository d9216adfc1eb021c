"""Guards of tests."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock

from cell0gw.guard.guard import Guard
from cell0gw.protocol.limits import Limits
from cell0gw.testing.stated import stated


def quiet_guard(limits: Limits, clock: IReactorTime | None = None) -> Guard:
    """A guard whose alarms and audit log go nowhere.

    @param clock: None: the time stands still.
    """
    return Guard(limits, lambda type, data: None, lambda line: None, stated(Clock() if clock is None else clock))
