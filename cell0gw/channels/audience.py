"""The audience of a channel: the connections that a publication goes to, each once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from cell0gw.auth.sight import Sight
from cell0gw.channels.filters import Filter, decoded
from cell0gw.protocol.messages import Batch, LongMessage, fitting
from cell0gw.sessions.session import IConnection, Session


class Audience:
    """The sessions that get what is published to a channel: all of it, or what passes their filters.

    What one connection raises keeps no message from the others.

    @ivar connections: of those who get all, by session.
    @ivar sights: of those who don't see everyone, where that matters.
    """

    __slots__ = ("_apart", "_batch", "_choosy", "_least", "connections", "sights")

    def __init__(self) -> None:
        self.connections: dict[Session, IConnection] = {}
        self._choosy: dict[Filter, dict[Session, IConnection]] = {}
        self._batch: Batch | None = None
        self._apart: list[IConnection] = []
        # What all of their clients take, as far as they say.
        self._least = math.inf
        self.sights: dict[Session, Sight] = {}

    def add(self, session: Session, filters: Iterable[Filter] | None = None) -> None:
        """Add a subscriber.

        @param filters: what one of these wants it gets; None: everything.
        """
        if session.max_message_size is not None:
            self._least = min(self._least, session.max_message_size)
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
        if len(message) > self._least:
            there = self._wanting(content) | self.connections
            there.pop(exclude, None)  # type: ignore[arg-type]
            return self._send_fitting(message, there)
        count = len(self.connections)
        if exclude in self.connections:
            count -= 1
            self._send_apart(message, exclude)
        elif count:
            self._send(message)
        if self._choosy:
            wanting = self._wanting(content)
            wanting.pop(exclude, None)  # type: ignore[arg-type]
            self._send_each(wanting.values(), message)
            count += len(wanting)
        if message.__class__ is LongMessage:
            message.keep()
        return count

    def tell(self, message: bytes, content: bytes, about: Sequence[str]) -> int:
        """Send an event to all sessions that want it and see whom it is about; see L{send}.

        @param about: ids of entities.
        """
        blind = {session for session, sight in self.sights.items() if not all(map(sight.sees, about))}
        if not blind:
            return self.send(message, content)
        there = self._wanting(content) | self.connections
        seeing = [connection for session, connection in there.items() if session not in blind]
        self._send_each(seeing, message)
        if message.__class__ is LongMessage:
            message.keep()
        return len(seeing)

    def count(self, content: bytes, sight: Sight, exclude: Session | None = None) -> int:
        """How many of the sessions that want a message somebody sees; C{exclude} as of L{send}."""
        there = (session for session in self._wanting(content) | self.connections if session is not exclude)
        return sum(1 for session in there if sight.sees(session.entity_id))

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
                try:
                    connection.send(message)
                except Exception:
                    connection.write_failed()

    def _send_fitting(self, message: bytes, there: Mapping[Session, IConnection]) -> int:
        """Send a message, to those whose clients don't take one as long as this without what is in it."""
        for session, connection in there.items():
            try:
                connection.send(fitting(message, session.max_message_size))
            except Exception:
                connection.write_failed()
        if message.__class__ is LongMessage:
            message.keep()
        return len(there)

    def _send_each(self, connections: Iterable[IConnection], message: bytes) -> None:
        for connection in connections:
            try:
                connection.send(message)
            except Exception:
                connection.write_failed()

    def _share(self, batch: Batch) -> list[IConnection]:
        """Share a batch with all who can.

        @return: those who can't: each message must be sent to them.
        """
        apart = []
        for connection in self.connections.values():
            try:
                if not connection.share(batch):
                    apart.append(connection)
            except Exception:
                connection.write_failed()
        return apart

    def _send(self, message: bytes) -> None:
        """What is published in a row is gathered in one batch for all who can share it: it costs a connection no more
        than a single message. A long message is a batch of its own: not everyone gets the same form of it.
        """
        connections = self.connections.values()
        if len(connections) == 1:
            for connection in connections:
                try:
                    connection.send(message)
                except Exception:
                    connection.write_failed()
            return
        if isinstance(message, LongMessage):
            self._send_each(self._share(Batch(message)), message)
            return
        batch = self._batch
        if batch is None or not batch.open:
            self._batch = batch = Batch()
            self._apart = self._share(batch)
        batch.append(message)
        for connection in self._apart:
            try:
                connection.send(message)
            except Exception:
                connection.write_failed()
