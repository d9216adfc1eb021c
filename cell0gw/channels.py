"""Channels: who is subscribed to what, and the fan-out of publications."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from cell0gw import jsonrpc, subjects
from cell0gw.engines import Position
from cell0gw.errors import TooLarge
from cell0gw.frames import text_frame
from cell0gw.interfaces import IBroker, IConnection, ISessionObserver
from cell0gw.notifications import ChannelMessage, Event, as_raw
from cell0gw.sessions import Session
from cell0gw.timestamps import timestamp


class Publication(msgspec.Struct, frozen=True):
    """What became of a publication: how many connections it went to, and its place in the channel."""

    recipients: int
    position: Position


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
        self._subscribers: dict[str, dict[Session, IConnection]] = {}
        self.publications = 0
        self.deliveries = 0

    def __len__(self) -> int:
        return sum(not subjects.is_own(name) for name in self._subscribers)

    def subscribe(self, session: Session, channel: str) -> Position:
        """Let the session have what is published from now on; a second time changes nothing.

        @raise TooLarge: it has as many subscriptions as one may have.
        """
        if channel not in session.subscriptions:
            if len(session.subscriptions) >= self._max_subscriptions:
                raise TooLarge(f"A session has at most {self._max_subscriptions} subscriptions")
            created = channel not in self._subscribers
            self._subscribers.setdefault(channel, {})[session] = session.connection
            session.subscriptions[channel] = None
            if created:
                self._tell_of("channel.created", channel)
            self._tell_of("channel.joined", channel, session)
        return self._broker.position(channel)

    def unsubscribe(self, session: Session, channel: str) -> None:
        """Stop that; without a subscription nothing changes."""
        if channel in session.subscriptions:
            del session.subscriptions[channel]
            subscribers = self._subscribers[channel]
            del subscribers[session]
            self._tell_of("channel.left", channel, session)
            if not subscribers:
                del self._subscribers[channel]
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
        subscribers = self._subscribers.get(channel)
        if subscribers is None:
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
        return Publication(self._fan_out("channel.message", content, subscribers, exclude), position)

    def emit(self, channel: str, type: str, data: Any, source: str = "gateway") -> int:
        """Bring an event to every subscriber of a channel.

        @param data: any value that is JSON.
        @return: how many connections it went to.
        """
        subscribers = self._subscribers.get(channel)
        if subscribers is None:
            return 0
        content = Event(
            type=type, data=data, source=source, timestamp=timestamp(self._clock.seconds()), channel=channel
        )
        return self._fan_out("event", content, subscribers, None)

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""

    def session_closed(self, session: Session, reason: str) -> None:
        """See L{ISessionObserver}."""
        for channel in list(session.subscriptions):
            self.unsubscribe(session, channel)

    def _fan_out(
        self, method: str, content: Any, subscribers: dict[Session, IConnection], exclude: IConnection | None
    ) -> int:
        frame = text_frame(jsonrpc.notification(method, content))
        connections = [connection for connection in subscribers.values() if connection is not exclude]
        for connection in connections:
            connection.write_frame(frame)
        self.deliveries += len(connections)
        return len(connections)

    def _tell_of(self, type: str, channel: str, session: Session | None = None) -> None:
        """An event on C{$channels}; the gateway's own channels are no news."""
        if not subjects.is_own(channel):
            data = {"channel": channel} if session is None else {"channel": channel, "entity_id": session.entity_id}
            self.emit("$channels", type, data)
