"""The audience of a channel: the connections that a publication goes to, each once."""

from __future__ import annotations

from collections.abc import Iterable

from cell0gw.channels.filters import Filter, decoded
from cell0gw.protocol.frames import Batch, LongFrame
from cell0gw.sessions.interfaces import IConnection
from cell0gw.sessions.session import Session


class Audience:
    """Those who get what is published to a channel, all of it or what they want of it.

    @ivar connections: of those who get all, by session.
    """

    __slots__ = ("_apart", "_batch", "_choosy", "connections")

    def __init__(self) -> None:
        self.connections: dict[Session, IConnection] = {}
        self._choosy: dict[Filter, dict[Session, IConnection]] = {}
        self._batch: Batch | None = None
        self._apart: list[IConnection] = []

    def add(self, session: Session, filters: Iterable[Filter] | None = None) -> None:
        """One more.

        @param filters: what one of these wants it gets; None: everything.
        """
        if filters is None:
            self.connections[session] = session.connection
            self._batch = None
        else:
            for each in filters:
                self._choosy.setdefault(each, {})[session] = session.connection

    def write(self, frame: bytes, message: bytes, exclude: Session | None = None) -> int:
        """Write a frame to all who want it.

        @param message: what the frame brings, for filters.
        @param exclude: who shall not get it.
        @return: how many connections it went to.
        """
        count = len(self.connections)
        if exclude in self.connections:
            count -= 1
            self._write_apart(frame, exclude)
        elif count:
            self._write(frame)
        if self._choosy:
            wanting = self._wanting(message)
            wanting.pop(exclude, None)  # type: ignore[arg-type]
            for connection in wanting.values():
                connection.write_frame(frame)
            count += len(wanting)
        return count

    def _wanting(self, message: bytes) -> dict[Session, IConnection]:
        """Those of the choosy whose filter lets a message pass. It is decoded once."""
        value = decoded(message)
        wanting: dict[Session, IConnection] = {}
        for each, connections in self._choosy.items():
            if each.wants(value):
                wanting.update(connections)
        return wanting

    def _write_apart(self, frame: bytes, exclude: Session | None) -> None:
        for session, connection in self.connections.items():
            if session is not exclude:
                connection.write_frame(frame)

    def _write(self, frame: bytes) -> None:
        """What is published in a row is gathered in one batch for all who can share it: it costs a connection no more
        than a single frame. Long frames are written one by one: not everyone gets the same form of them.
        """
        if isinstance(frame, LongFrame) or len(self.connections) == 1:
            for connection in self.connections.values():
                connection.write_frame(frame)
            return
        batch = self._batch
        if batch is None or not batch.open:
            self._batch = batch = Batch()
            self._apart = [connection for connection in self.connections.values() if not connection.share(batch)]
        batch.append(frame)
        for connection in self._apart:
            connection.write_frame(frame)
