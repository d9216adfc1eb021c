"""Whose turn it is: connections whose peers have sent more than is worked off in one go."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

TURN: Final = 0.002
"""Seconds for which what one connection has sent is worked off before others have theirs; a message is never cut."""

ROUND: Final = 0.01
"""Seconds within which all holders that wait should have had a turn: among many each is shorter."""

SHORTEST_TURN: Final = 0.0005
"""Seconds that a turn has at least."""

LOOK: Final = 0.02
"""Seconds between two looks at connections whose answers wait to be read."""

LOOKED_AT: Final = 64
"""Maximum connections that are looked at each time."""


AGAIN: Final = 1.0
"""Seconds without a turn after which the next one doesn't wait for those who send without end."""


class ITurnTaker(Protocol):
    """A connection, as far as it takes turns."""

    @property
    def turn_holder(self) -> str:
        """Who sends by it: its entity, or its address before it has one. All their connections share their turns."""

    @property
    def has_room(self) -> bool:
        """Whether its peer has read so much that there is room for more answers, or it is on its way out."""

    def take_turn(self) -> None:
        """Work off some of what waits."""


class Turns:
    """Gives turns: to one holder after another, and of each holder to one connection after another.

    Every second turn is for holders who had none for a while: one long message among short ones doesn't wait for all of
    those who send without end. Between two turns the reactor has its own: sockets are read, and connections with little
    to say are answered.

    @ivar length: seconds that a turn has now.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        # The connections of those who had no turn for a while; and of the others.
        self._fresh: OrderedDict[str, deque[ITurnTaker]] = OrderedDict()
        self._others: OrderedDict[str, deque[ITurnTaker]] = OrderedDict()
        self._fresh_next = True
        # When each had a turn: the longest ago first.
        self._served: OrderedDict[str, float] = OrderedDict()
        self._unread: dict[ITurnTaker, None] = {}
        self.length = TURN

    @property
    def busy(self) -> bool:
        """Whether somebody waits: who comes with much has to wait as well."""
        return bool(self._fresh or self._others)

    def wait(self, connection: ITurnTaker) -> None:
        """Let a connection have a turn once those before it have had theirs, and there is room for its answers."""
        if not connection.has_room:
            if not self._unread:
                self._clock.callLater(LOOK, self._look)
            self._unread[connection] = None
            return
        if not self.busy:
            self._clock.callLater(0, self._next)
        holder = connection.turn_holder
        connections = self._fresh.get(holder) or self._others.get(holder)
        if connections is not None:
            connections.append(connection)
            return
        self._forget_served()
        queue = self._others if holder in self._served else self._fresh
        queue[holder] = deque((connection,))
        self._measure()

    def _next(self) -> None:
        # In turn, so that neither many who come once in a while nor those who go on and on keep the others waiting.
        queue = self._fresh if self._fresh and (self._fresh_next or not self._others) else self._others
        self._fresh_next = queue is self._others
        holder, connections = queue.popitem(last=False)
        connection = connections.popleft()
        if connections:
            self._others[holder] = connections
        self._served[holder] = self._clock.seconds()
        self._served.move_to_end(holder)
        self._measure()
        if self.busy:
            self._clock.callLater(0, self._next)
        try:
            if connection.has_room:
                connection.take_turn()
            else:  # by now it is known how much of its answers the system has taken
                self.wait(connection)
        except Exception:
            self.log.failure("a turn failed", event="connection.failed")

    def _forget_served(self) -> None:
        before = self._clock.seconds() - AGAIN
        while self._served and next(iter(self._served.values())) <= before:
            self._served.popitem(last=False)

    def _measure(self) -> None:
        self.length = min(TURN, max(SHORTEST_TURN, ROUND / (1 + len(self._fresh) + len(self._others))))

    def _look(self) -> None:
        looked_at = list(self._unread)[:LOOKED_AT]
        for connection in looked_at:
            del self._unread[connection]
        if self._unread:
            self._clock.callLater(LOOK, self._look)
        for connection in looked_at:
            self.wait(connection)
