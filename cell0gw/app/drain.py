"""Closing all connections, but in batches: their clients reconnect, and must not all do so at the same instant."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cell0gw.guard.connections import Connections
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import CloseCode

BATCH: Final = 200
"""Maximum connections that are closed at once, unless the time is short."""

PAUSE: Final = 0.1
"""Seconds between two batches, give or take half of them at random."""

ARRIVING: Final = 1.0
"""Seconds that are waited for handshakes under way: these connections are closed then as all others were."""


class Drain:
    """Closes every connection, within half of the time; the other half is for those that are slow to close.

    @param timeout: seconds after which connections that are still there are aborted.
    @param accept: seconds for which there may be new ones, which close by themselves: so long it is not done.
    """

    log = Logger()

    def __init__(self, runtime: Runtime, connections: Connections, timeout: float, accept: float = 0.0) -> None:
        self._clock = runtime.clock
        self._connections = connections
        self._randbelow = runtime.randbelow
        began = self._clock.seconds()
        self._until = began + timeout
        self._accepting_until = began + accept
        self._waiting = list(connections)
        batches = min(math.ceil(len(self._waiting) / BATCH), int(timeout / 2 / PAUSE))
        self._size = math.ceil(len(self._waiting) / max(1, batches))
        self._done: Deferred[None] = Deferred()

    def begin(self) -> Deferred[None]:
        """Close the first ones.

        @return: fires when all are gone.
        """
        self._step()
        return self._done

    def _step(self) -> None:
        batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
        for connection in batch:
            self._end(connection.close, CloseCode.DRAINING, "the gateway is going down")
        if self._clock.seconds() >= self._until:
            for connection in self._connections:
                self._end(connection.abort)
            self._done.callback(None)
        elif self._all_gone():
            self._done.callback(None)
        else:
            self._clock.callLater(PAUSE * (50 + self._randbelow(101)) / 100, self._step)

    def _end(self, end: Callable[..., None], *arguments: Any) -> None:
        """One connection that can't be closed keeps no other one from it; it is aborted when the time is over."""
        try:
            end(*arguments)
        except Exception:
            self.log.failure("a connection could not be closed", event="connection.failed")

    def _all_gone(self) -> bool:
        now = self._clock.seconds()
        if len(self._connections) or now < self._accepting_until:
            return False
        return not self._connections.arriving() or now >= self._accepting_until + ARRIVING
