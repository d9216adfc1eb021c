"""Guards of tests."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock

from cell0gw.guard.guard import Guard
from cell0gw.protocol.limits import Limits
from cell0gw.sessions.registry import Sessions
from cell0gw.testing.stated import stated


def quiet_sessions() -> Sessions:
    """Sessions of which nobody is told, on a time that stands still."""
    return Sessions(stated(Clock()), 0.0, lambda type, data: None)


def quiet_guard(
    limits: Limits, clock: IReactorTime | None = None, interval: float = 30.0, timeout: float = 60.0
) -> Guard:
    """A guard whose alarms and audit log go nowhere.

    @param clock: None: the time stands still.
    """
    runtime = stated(Clock() if clock is None else clock)
    return Guard(limits, interval, timeout, lambda type, data, about=(): None, lambda line: None, runtime)
