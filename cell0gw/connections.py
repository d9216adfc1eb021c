"""All connections, from the first byte on."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import Deferred

from cell0gw.interfaces import IConnection


class Connections:
    """The sockets there are: those that do their handshake still, and those that have done it.

    @ivar total: how many handshakes have ever been done.
    """

    def __init__(self) -> None:
        self._arriving: dict[IConnection, None] = {}
        self._open: dict[str, IConnection] = {}
        self._waiting: list[Deferred[None]] = []
        self.total = 0

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[IConnection]:
        """Those that are open as of now: closing some on the way does no harm."""
        return iter(list(self._open.values()))

    def arriving(self) -> list[IConnection]:
        """Those that do their handshake, oldest first."""
        return list(self._arriving)

    def accepted(self, connection: IConnection) -> None:
        """A socket has come."""
        self._arriving[connection] = None

    def opened(self, connection: IConnection) -> None:
        """A handshake was done."""
        self.total += 1
        self._arriving.pop(connection, None)
        self._open[connection.connection_id] = connection

    def closed(self, connection: IConnection) -> None:
        """A socket is gone."""
        self._arriving.pop(connection, None)
        self._open.pop(connection.connection_id, None)
        if not self._open:
            waiting, self._waiting = self._waiting, []
            for deferred in waiting:
                deferred.callback(None)

    def when_empty(self) -> Deferred[None]:
        """Fires once no open connection is left."""
        deferred: Deferred[None] = Deferred()
        if self._open:
            self._waiting.append(deferred)
        else:
            deferred.callback(None)
        return deferred
