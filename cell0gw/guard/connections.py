"""All connections, from the first byte on: how many there are, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import Limits
from cell0gw.sessions.session import IConnection

PATIENCE: Final = 1.0
"""Seconds that an unauthenticated connection has before it may be closed to free capacity."""

MAX_REFUSED: Final = 64
"""Maximum sockets over the limit that still get a 503; the rest are closed at once."""


class _Source:
    """The connections from one address."""

    __slots__ = ("total", "unauthenticated")

    def __init__(self) -> None:
        self.total = 0
        self.unauthenticated: dict[IConnection, None] = {}


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
        self._arriving: dict[IConnection, None] = {}
        self._open: dict[str, IConnection] = {}
        self._unauthenticated: dict[IConnection, None] = {}
        self._sources: dict[str, _Source] = {}
        self.total = 0

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[IConnection]:
        """The connections that are open now: some may be closed while iterating."""
        return iter(list(self._open.values()))

    def arriving(self) -> list[IConnection]:
        """The sockets in their handshake, oldest first."""
        return list(self._arriving)

    @property
    def unauthenticated(self) -> int:
        """The number of connections without a session."""
        return len(self._unauthenticated)

    @property
    def is_full(self) -> bool:
        """Whether there is no capacity for one more open connection."""
        return len(self._open) >= self._limits.max_connections

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
        if sockets >= limits.max_connections and self._close_oldest("max_connections", self._unauthenticated, address):
            return True
        return sockets < limits.max_connections + MAX_REFUSED

    def accepted(self, connection: IConnection) -> None:
        """Called when a socket was accepted; it is unauthenticated until L{forget_unauthenticated}."""
        self._arriving[connection] = None
        self._unauthenticated[connection] = None
        self._count_source(connection)

    def comes_from(self, connection: IConnection, address: str) -> None:
        """Record the client address that a proxy reported for an accepted connection."""
        self._forget_source(connection)
        connection.address = address
        self._count_source(connection)

    def opened(self, connection: IConnection) -> None:
        """Called when a handshake is done."""
        self.total += 1
        self._arriving.pop(connection, None)
        self._open[connection.connection_id] = connection

    def forget_unauthenticated(self, connection: IConnection) -> None:
        """Called when a connection is authenticated, or is closing."""
        self._unauthenticated.pop(connection, None)
        source = self._sources.get(connection.address)
        if source is not None:
            source.unauthenticated.pop(connection, None)

    def closed(self, connection: IConnection) -> None:
        """Called when a socket is gone."""
        known = self._arriving.pop(connection, self) is None
        known = self._open.pop(connection.connection_id, None) is not None or known
        if known:
            self.forget_unauthenticated(connection)
            self._forget_source(connection)

    def _close_oldest(self, limit: str, unauthenticated: Iterable[IConnection], address: str | None) -> bool:
        self._limit_exceeded(limit, address or "a proxy")
        oldest = next(iter(unauthenticated), None)
        if oldest is None or oldest.opened_at > self._seconds() - PATIENCE:
            return False
        self.forget_unauthenticated(oldest)
        if oldest in self._arriving:
            oldest.abort()
        else:
            oldest.close(CloseCode.AUTHENTICATION_TIMEOUT, "no authentication, and others wait")
        return True

    def _count_source(self, connection: IConnection) -> None:
        source = self._sources.setdefault(connection.address, _Source())
        source.total += 1
        source.unauthenticated[connection] = None

    def _forget_source(self, connection: IConnection) -> None:
        source = self._sources.get(connection.address)
        if source is not None:
            source.unauthenticated.pop(connection, None)
            source.total -= 1
            if not source.total:
                del self._sources[connection.address]
