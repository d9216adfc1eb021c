"""All open connections, authenticated or not."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import Deferred

from cell0gw.interfaces import IConnection


class Connections:
    """The sockets that have done their handshake and are not gone yet.

    @ivar accepted: how many there have ever been.
    """

    def __init__(self) -> None:
        self._open: dict[str, IConnection] = {}
        self._waiting: list[Deferred[None]] = []
        self.accepted = 0

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[IConnection]:
        """All of them as of now: closing some on the way does no harm."""
        return iter(list(self._open.values()))

    def opened(self, connection: IConnection) -> None:
        """A handshake was done."""
        self.accepted += 1
        self._open[connection.connection_id] = connection

    def closed(self, connection: IConnection) -> None:
        """A socket is gone."""
        self._open.pop(connection.connection_id, None)
        if not self._open:
            waiting, self._waiting = self._waiting, []
            for deferred in waiting:
                deferred.callback(None)

    def when_empty(self) -> Deferred[None]:
        """Fires once no connection is left."""
        deferred: Deferred[None] = Deferred()
        if self._open:
            self._waiting.append(deferred)
        else:
            deferred.callback(None)
        return deferred
