"""Sending everyone away, but not all at once: who is told to come back does so, and would at the same instant."""

from __future__ import annotations

import math
from typing import Final

from twisted.internet.defer import Deferred

from cell0gw.guard.connections import Connections
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import CloseCode

BATCH: Final = 200
"""So many connections are closed at once, more only if the time is short."""

PAUSE: Final = 0.1
"""How many seconds lie between two batches, half as many more or less."""

ARRIVING: Final = 1.0
"""For how many seconds those are waited for whose handshake was under way: they are told then where all others were."""


class Drain:
    """Closes every connection, within half of the time; the other half is for those who are slow to go.

    @param timeout: after so many seconds whoever is still there is cut off.
    """

    def __init__(self, runtime: Runtime, connections: Connections, timeout: float) -> None:
        self._clock = runtime.clock
        self._connections = connections
        self._randbelow = runtime.randbelow
        self._began = self._clock.seconds()
        self._until = self._began + timeout
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
            connection.close(CloseCode.DRAINING, "the gateway is going down")
        if self._clock.seconds() >= self._until:
            for connection in self._connections:
                connection.abort()
            self._done.callback(None)
        elif self._all_gone():
            self._done.callback(None)
        else:
            self._clock.callLater(PAUSE * (50 + self._randbelow(101)) / 100, self._step)

    def _all_gone(self) -> bool:
        if len(self._connections):
            return False
        return not self._connections.arriving() or self._clock.seconds() >= self._began + ARRIVING
