"""What holds peers to their limits, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cell0gw.guard.bad_tokens import BadTokens
from cell0gw.guard.connections import Connections
from cell0gw.guard.throttle import Throttle
from cell0gw.monitoring.alarms import Alarms
from cell0gw.monitoring.audit import Audit
from cell0gw.process.sweeping import ISweeper
from cell0gw.protocol.limits import Limits


class Guard:
    """The limits of a gateway, and all who see to it that they are kept.

    @param seconds: tells the time.
    @param emit: brings an event to C{$system}: its type and its data.
    @ivar limits: one object for all, whose values may change.
    """

    def __init__(
        self, limits: Limits, seconds: Callable[[], float], emit: Callable[[str, Any], Any], audit: Audit
    ) -> None:
        self.limits = limits
        self.audit = audit
        self.alarms = Alarms(seconds, emit)
        self.connections = Connections(limits, seconds, self.alarms.hit)
        self.throttle = Throttle(limits, seconds, self.alarms.hit)
        self.bad_tokens = BadTokens(seconds, self.alarms.hit)

    @property
    def sweepers(self) -> list[ISweeper]:
        """Those that are to sweep every second."""
        return [self.alarms, self.throttle]
