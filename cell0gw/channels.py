"""Channels: who is subscribed to what, and the fan-out of publications."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from cell0gw import jsonrpc, subjects
from cell0gw.engines import Position
from cell0gw.errors import TooLarge
from cell0gw.frames import Batch, LongFrame, text_frame
from cell0gw.interfaces import IBroker, IConnection, ISessionObserver
from cell0gw.notifications import ChannelMessage, Event, as_raw
from cell0gw.sessions import Session
from cell0gw.timestamps import timestamp


class Publication(msgspec.Struct, frozen=True):
    """What became of a publication: how many connections it went to, and its place in the channel."""

    recipients: int
    position: Position


class Audience:
    """Those who get what is published to a channel.

    @ivar connections: by session.
    """

    __slots__ = ("_apart", "_batch", "connections")

    def __init__(self) -> None:
        self.connections: dict[Session, IConnection] = {}
        self._batch: Batch | None = None
        self._apart: list[IConnection] = []

    def add(self, session: Session) -> None:
        """One more."""
        self.connections[session] = session.connection
        self._batch = None

    def remove(self, session: Session) -> None:
        """One less."""
        del self.connections[session]
        self._batch = None

    def write(self, frame: bytes) -> None:
        """Write a frame to all of them.

        What is published in a row is gathered in one batch for all who can share it: it costs a connection no more
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


@implementer(ISessionObserver)
class Channels:
    """The subscriptions of all sessions.

    A channel exists while someone is subscribed to it.

    @param max_subscriptions: how many channels one session may be subscribed to.
    """

    def __init__(self, broker: IBroker, clock: IReactorTime, max_subscriptions: int) -> None:
        self._broker = broker
        self._clock = clock
        self._max_subscriptions = max_subscriptions
        self._audiences: dict[str, Audience] = {}
        self.publications = 0
        self.deliveries = 0

    def __len__(self) -> int:
        return sum(not subjects.is_own(name) for name in self._audiences)

    def subscribe(self, session: Session, channel: str) -> Position:
        """Let the session have what is published from now on; a second time changes nothing.

        @raise TooLarge: it has as many subscriptions as one may have.
        """
        if channel not in session.subscriptions:
            if len(session.subscriptions) >= self._max_subscriptions:
                raise TooLarge(f"A session has at most {self._max_subscriptions} subscriptions")
            created = channel not in self._audiences
            self._audiences.setdefault(channel, Audience()).add(session)
            session.subscriptions[channel] = None
            if created:
                self._tell_of("channel.created", channel)
            self._tell_of("channel.joined", channel, session)
        return self._broker.position(channel)

    def unsubscribe(self, session: Session, channel: str) -> None:
        """Stop that; without a subscription nothing changes."""
        if channel in session.subscriptions:
            del session.subscriptions[channel]
            audience = self._audiences[channel]
            audience.remove(session)
            self._tell_of("channel.left", channel, session)
            if not audience.connections:
                del self._audiences[channel]
                self._broker.forget(channel)
                self._tell_of("channel.removed", channel)

    def publish(self, channel: str, message: Any, sender: str, exclude: IConnection | None = None) -> Publication:
        """Bring a message to every subscriber of a channel.

        @param message: L{msgspec.Raw}, relayed as it is, or any value that is JSON.
        @param sender: who publishes, an entity id.
        @param exclude: a connection that shall not get it.
        """
        self.publications += 1
        position = self._broker.publish(channel)
        audience = self._audiences.get(channel)
        if audience is None:
            self._broker.forget(channel)
            return Publication(0, position)
        content = ChannelMessage(
            channel=channel,
            message=as_raw(message),
            timestamp=timestamp(self._clock.seconds()),
            offset=position.offset,
            epoch=position.epoch,
            sender=sender,
        )
        return Publication(self._fan_out("channel.message", content, audience, exclude), position)

    def emit(self, channel: str, type: str, data: Any, source: str = "gateway") -> int:
        """Bring an event to every subscriber of a channel.

        @param data: any value that is JSON.
        @return: how many connections it went to.
        """
        audience = self._audiences.get(channel)
        if audience is None:
            return 0
        content = Event(
            type=type, data=data, source=source, timestamp=timestamp(self._clock.seconds()), channel=channel
        )
        return self._fan_out("event", content, audience, None)

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""

    def session_closed(self, session: Session, reason: str) -> None:
        """See L{ISessionObserver}."""
        for channel in list(session.subscriptions):
            self.unsubscribe(session, channel)

    def _fan_out(self, method: str, content: Any, audience: Audience, exclude: IConnection | None) -> int:
        frame = text_frame(jsonrpc.notification(method, content))
        count = len(audience.connections)
        if exclude is None or exclude not in audience.connections.values():
            audience.write(frame)
        else:
            count -= 1
            for connection in audience.connections.values():
                if connection is not exclude:
                    connection.write_frame(frame)
        self.deliveries += count
        return count

    def _tell_of(self, type: str, channel: str, session: Session | None = None) -> None:
        """An event on C{$channels}; the gateway's own channels are no news."""
        if not subjects.is_own(channel):
            data = {"channel": channel} if session is None else {"channel": channel, "entity_id": session.entity_id}
            self.emit("$channels", type, data)
