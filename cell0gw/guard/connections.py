"""All connections, from the first byte on: how many there are, and where they come from."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from cell0gw.protocol.errors import CloseCode, RateLimited
from cell0gw.protocol.limits import Limits
from cell0gw.sessions.session import IArrival, IConnection

PATIENCE: Final = 1.0
"""Seconds that an unauthenticated connection has before it may be closed to free capacity."""

RESERVE: Final = 8
"""Maximum connections that are kept for tokens of the type C{system}, and not more than one in 16: who runs the gateway
gets in when it is full.
"""

RETRY_AFTER_MS: Final = 10_000
"""Milliseconds after which one that was refused may try again."""

LOOK_AT: Final = 64
"""Maximum unauthenticated connections that are looked at to find the address with most of them."""

MAX_REFUSED: Final = 64
"""Maximum sockets over the limit that still get a 503; the rest are closed at once."""


class _Source:
    """The connections from one address."""

    __slots__ = ("total", "unauthenticated")

    def __init__(self) -> None:
        self.total = 0
        self.unauthenticated: dict[IArrival, None] = {}


class Connections:
    """All sockets: those in their handshake, those that are open, those that are closing.

    When there is no capacity for one more, the oldest unauthenticated connection is closed: one that stalls can't keep
    others out.

    @param seconds: tells the time.
    @param limit_exceeded: called with the name of a limit that was exceeded, and by whom.
    @ivar total: how many handshakes have been done since the start.
    """

    def __init__(
        self,
        limits: Limits,
        seconds: Callable[[], float],
        limit_exceeded: Callable[[str, str], None] = lambda limit, by: None,
    ) -> None:
        self._limits = limits
        self._seconds = seconds
        self._limit_exceeded = limit_exceeded
        self._arriving: dict[IArrival, None] = {}
        self._open: dict[str, IConnection] = {}
        self._unauthenticated: dict[IArrival, None] = {}
        self._sources: dict[str, _Source] = {}
        # Those that were told to go, and are there still.
        self._going: set[IArrival] = set()
        # Whose the authenticated ones are, and whether by a token of the type system.
        self._holders: dict[IArrival, tuple[str, bool]] = {}
        self._of_entity: Counter[str] = Counter()
        self._ordinary = 0
        self.total = 0

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[IConnection]:
        """The connections that are open now: some may be closed while iterating."""
        return iter(list(self._open.values()))

    def arriving(self) -> list[IArrival]:
        """The sockets in their handshake, oldest first."""
        return list(self._arriving)

    @property
    def unauthenticated(self) -> int:
        """The number of connections without a session."""
        return len(self._unauthenticated)

    @property
    def is_full(self) -> bool:
        """Whether there is no capacity for one more open connection."""
        return len(self._open) - len(self._going) >= self._limits.max_connections

    def claim(self, connection: IConnection, entity_id: str, is_system: bool) -> None:
        """Called when a connection is to be an entity's, from now until it is gone. One that can't be is closed.

        @param is_system: whether the token has the type C{system}.
        @raise RateLimited: the entity has too many, or those that are left are for tokens of the type C{system}.
        """
        self._release(connection)
        limits, held = self._limits, self._of_entity[entity_id]
        if 0 < limits.max_connections_per_entity <= held:
            limit, said, code = "max_connections_per_entity", f"You have {held} connections", CloseCode.CONNECTION_LIMIT
        elif not is_system and self._ordinary >= limits.max_connections - min(RESERVE, limits.max_connections // 16):
            limit, said, code = "max_connections", "The gateway is full", CloseCode.FULL
        else:
            self._holders[connection] = (entity_id, is_system)
            self._of_entity[entity_id] += 1
            self._ordinary += not is_system
            return
        self._limit_exceeded(limit, entity_id)
        connection.close_when_answered(code, said)
        raise RateLimited(said, limit=limit, retry_after_ms=RETRY_AFTER_MS)

    def has_capacity_for(self, address: str) -> bool:
        """Whether the connections from an address, this one included, are within their limit."""
        most, source = self._limits.max_connections_per_address, self._sources.get(address)
        return not most or source is None or source.total <= most

    def free_capacity(self, address: str | None) -> bool:
        """Make sure of capacity for one more socket, if need be by closing the oldest unauthenticated connection.

        @param address: where the socket comes from; None: not known yet.
        @return: False: there is none; the socket must be closed.
        """
        limits, source = self._limits, self._sources.get(address) if address else None
        sockets = len(self._arriving) + len(self._open)
        if source is not None and 0 < limits.max_unauthenticated_per_address <= len(source.unauthenticated):
            return self._close_oldest("max_unauthenticated_per_address", source.unauthenticated, address)
        if 0 < limits.max_unauthenticated <= len(self._unauthenticated):
            return self._close_oldest("max_unauthenticated", self._unauthenticated, address)
        if sockets - len(self._going) >= limits.max_connections:
            self._close_oldest("max_connections", self._unauthenticated, address, self._crowding(address))
        return sockets < limits.max_connections + MAX_REFUSED

    def accepted(self, connection: IArrival) -> None:
        """Called when a socket was accepted; it is unauthenticated until L{forget_unauthenticated}."""
        self._arriving[connection] = None
        self._unauthenticated[connection] = None
        self._count_source(connection)

    def comes_from(self, connection: IArrival, address: str) -> None:
        """Record the client address that a proxy reported for an accepted connection."""
        self._forget_source(connection)
        connection.address = address
        self._count_source(connection)

    def opened(self, connection: IConnection) -> None:
        """Called when a handshake is done."""
        self.total += 1
        self._arriving.pop(connection, None)
        self._open[connection.connection_id] = connection

    def forget_unauthenticated(self, connection: IArrival) -> None:
        """Called when a connection is authenticated, or is closing."""
        self._unauthenticated.pop(connection, None)
        source = self._sources.get(connection.address)
        if source is not None:
            source.unauthenticated.pop(connection, None)

    def closed(self, connection: IArrival) -> None:
        """Called when a socket is gone."""
        known = self._arriving.pop(connection, self) is None
        known = self._open.pop(connection.connection_id, None) is not None or known
        if known:
            self.forget_unauthenticated(connection)
            self._forget_source(connection)
            self._going.discard(connection)
            self._release(connection)

    def _release(self, connection: IArrival) -> None:
        """A connection is nobody's any more."""
        if connection in self._holders:
            entity_id, is_system = self._holders.pop(connection)
            self._ordinary -= not is_system
            self._of_entity[entity_id] -= 1
            if not self._of_entity[entity_id]:
                del self._of_entity[entity_id]

    def _crowding(self, address: str | None) -> IArrival | None:
        """An unauthenticated connection from another address that has several connections, authenticated ones included:
        it goes before one from an address that has none.
        """
        first = list(itertools.islice(self._unauthenticated, LOOK_AT))
        most = max(first, key=lambda each: self._count(each.address), default=None)
        if most is None or not address or self._count(most.address) < 2 + self._count(address):
            return None
        return most

    def _count(self, address: str) -> int:
        source = self._sources.get(address)
        return 0 if source is None else source.total

    def _close_oldest(
        self,
        limit: str,
        unauthenticated: Iterable[IArrival],
        address: str | None,
        otherwise: IArrival | None = None,
    ) -> bool:
        """
        @param otherwise: what goes when the oldest has not had its time yet.
        """
        self._limit_exceeded(limit, address or "a proxy")
        oldest = next(iter(unauthenticated), None)
        if oldest is None or oldest.opened_at > self._seconds() - PATIENCE:
            oldest = otherwise
        if oldest is None:
            return False
        self.forget_unauthenticated(oldest)
        if oldest in self._arriving:
            oldest.abort()
        else:
            self._going.add(oldest)
            oldest.close(CloseCode.AUTHENTICATION_TIMEOUT, "no authentication, and others wait")
        return True

    def _count_source(self, connection: IArrival) -> None:
        source = self._sources.setdefault(connection.address, _Source())
        source.total += 1
        source.unauthenticated[connection] = None

    def _forget_source(self, connection: IArrival) -> None:
        source = self._sources.get(connection.address)
        if source is not None:
            source.unauthenticated.pop(connection, None)
            source.total -= 1
            if not source.total:
                del self._sources[connection.address]
