"""The audience of a channel: the connections that a publication goes to, each once."""

from __future__ import annotations

from collections.abc import Iterable

from cell0gw.channels.filters import Filter, decoded
from cell0gw.protocol.messages import Batch, LongMessage
from cell0gw.sessions.session import IConnection, Session


class Audience:
    """The sessions that get what is published to a channel: all of it, or what passes their filters.

    @ivar connections: of those who get all, by session.
    """

    __slots__ = ("_apart", "_batch", "_choosy", "connections")

    def __init__(self) -> None:
        self.connections: dict[Session, IConnection] = {}
        self._choosy: dict[Filter, dict[Session, IConnection]] = {}
        self._batch: Batch | None = None
        self._apart: list[IConnection] = []

    def add(self, session: Session, filters: Iterable[Filter] | None = None) -> None:
        """Add a subscriber.

        @param filters: what one of these wants it gets; None: everything.
        """
        if filters is None:
            self.connections[session] = session.connection
            self._batch = None
        else:
            for each in filters:
                self._choosy.setdefault(each, {})[session] = session.connection

    def send(self, message: bytes, content: bytes, exclude: Session | None = None) -> int:
        """Send a message to all sessions that want it.

        @param message: as made by L{shareable}.
        @param content: what was published, for filters.
        @param exclude: a session that shall not get it.
        @return: how many connections it went to.
        """
        count = len(self.connections)
        if exclude in self.connections:
            count -= 1
            self._send_apart(message, exclude)
        elif count:
            self._send(message)
        if self._choosy:
            wanting = self._wanting(content)
            wanting.pop(exclude, None)  # type: ignore[arg-type]
            for connection in wanting.values():
                connection.send(message)
            count += len(wanting)
        return count

    def _wanting(self, content: bytes) -> dict[Session, IConnection]:
        """The subscribers with a filter that lets a publication pass. It is decoded once."""
        value = decoded(content)
        wanting: dict[Session, IConnection] = {}
        for each, connections in self._choosy.items():
            if each.wants(value):
                wanting.update(connections)
        return wanting

    def _send_apart(self, message: bytes, exclude: Session | None) -> None:
        for session, connection in self.connections.items():
            if session is not exclude:
                connection.send(message)

    def _send(self, message: bytes) -> None:
        """What is published in a row is gathered in one batch for all who can share it: it costs a connection no more
        than a single message. A long message is a batch of its own: not everyone gets the same form of it.
        """
        connections = self.connections.values()
        if len(connections) == 1:
            for connection in connections:
                connection.send(message)
            return
        if isinstance(message, LongMessage):
            alone = Batch(message)
            for connection in connections:
                if not connection.share(alone):
                    connection.send(message)
            return
        batch = self._batch
        if batch is None or not batch.open:
            self._batch = batch = Batch()
            self._apart = [connection for connection in connections if not connection.share(batch)]
        batch.append(message)
        for connection in self._apart:
            connection.send(message)
