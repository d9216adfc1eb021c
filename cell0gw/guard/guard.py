"""What holds peers to their limits, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from zope.interface import implementer

from cell0gw.guard.anonymous import AnonymousBudgets
from cell0gw.guard.arrivals import Arrivals
from cell0gw.guard.bad_tokens import BadTokens
from cell0gw.guard.connections import Connections
from cell0gw.guard.heartbeat import HeartbeatService
from cell0gw.guard.renewals import Renewals
from cell0gw.guard.throttle import Throttle
from cell0gw.guard.work import Work
from cell0gw.monitoring.alarms import Alarms
from cell0gw.monitoring.audit import Audit
from cell0gw.process.interfaces import IReconfigurable
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.limits import Limits
from cell0gw.sessions.signs import Signs


class _Options(Protocol):
    """What is asked of the options."""

    @property
    def limits(self) -> Limits: ...


@implementer(IReconfigurable)
class Guard:
    """The limits of a gateway, and the parts that enforce them.

    @param interval: seconds between two heartbeats of a connection.
    @param timeout: seconds without a byte from a connection after which it is closed.
    @param emit: sends an event on C{$system}: its type, its data, and whom it is about.
    @param audit: takes the lines of the L{Audit} log.
    @ivar limits: one object for all, whose values may change.
    @ivar signs: which sessions show no sign of life.
    @ivar parts: what is notified of sessions, sweeps, drains and changed options, in this order.
    """

    def __init__(
        self,
        limits: Limits,
        interval: float,
        timeout: float,
        emit: Callable[[str, Any, Sequence[str]], Any],
        audit: Callable[[bytes], Any],
        runtime: Runtime,
    ) -> None:
        seconds = runtime.clock.seconds
        self.limits = limits
        self.audit = Audit(audit, runtime.wall)
        self.alarms = Alarms(seconds, emit)
        self.connections = Connections(limits, seconds, self.alarms.limit_exceeded)
        self.arrivals = Arrivals(limits, self.alarms.limit_exceeded)
        self.throttle = Throttle(limits, seconds, self.alarms.limit_exceeded)
        self.work = Work(runtime.worked)
        self.anonymous = AnonymousBudgets(seconds, self.alarms.limit_exceeded)
        self.bad_tokens = BadTokens(seconds, self.alarms.limit_exceeded)
        self.renewals = Renewals(seconds, self.alarms.limit_exceeded)
        self.signs = Signs(seconds)
        self.heartbeats = HeartbeatService(
            self.connections, limits, self.signs, self.alarms, interval, timeout, runtime
        )
        self.parts = (self, self.alarms, self.throttle, self.anonymous, self.renewals, self.signs)

    def reconfigure(self, config: _Options) -> None:
        """See L{IReconfigurable}: limits hold at once, for those who are connected as well."""
        self.limits.change(config.limits)
