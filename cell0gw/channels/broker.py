"""Channels: who is subscribed to what, the fan-out of publications, and how they are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.channels.channel import Channel, Patterns, Publication, Subscription
from cell0gw.channels.filters import Filter
from cell0gw.channels.history import Budget, History
from cell0gw.channels.retention import Retention, mark_lost
from cell0gw.channels.rules import ChannelRules
from cell0gw.channels.store import IMessageStore, NewMessage, Position, Stored
from cell0gw.process.failures import reported_already
from cell0gw.process.runtime import Runtime
from cell0gw.protocol import jsonrpc, subjects
from cell0gw.protocol.errors import TooLarge
from cell0gw.protocol.keys import Key
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.messages import shareable
from cell0gw.protocol.notifications import Event, as_raw
from cell0gw.protocol.patterns import PatternTree
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session


@implementer(ISessionObserver)
class Broker:
    """All channels and all subscriptions. A channel exists while it has subscribers, or while it retains messages.

    @param store: keeps the messages of durable channels.
    @param runtime: an id of it names a numbering, and so must never come back, not in another process either.
    @param limits: C{max_subscriptions}: maximum channels and patterns that one session is subscribed to.
    @param unheard: maximum seconds for which a connection may be broken without anyone knowing.
    """

    def __init__(
        self,
        rules: ChannelRules,
        store: IMessageStore,
        runtime: Runtime,
        budget: Budget,
        limits: Limits,
        unheard: float = 60.0,
    ) -> None:
        self._rules = rules
        self._store = store
        self._seconds = runtime.clock.seconds
        self._wall = runtime.wall
        self._new_id = runtime.new_id
        self._budget = budget
        self._limits = limits
        self._unheard = unheard
        self._channels: dict[str, Channel] = {}
        self.patterns: Patterns = PatternTree()
        # Those who are waited for, and the patterns that they were subscribed to.
        self._away: dict[Session, list[str]] = {}
        self.retention = Retention(runtime.clock, self)
        budget.observers.append(self.retention)
        self.publications = self.deliveries = 0

    def load(self) -> None:
        """Load the channels that the store kept, where they are durable still."""
        for stored in self._store.load():
            if self._rules.of(stored.name).durable:
                channel = self._open(stored.name, stored.epoch, stored.newest)
                channel.stored_oldest = stored.oldest
                channel.last_used = self._seconds() - max(0.0, self._wall() - stored.time)
                self.retention.watch(channel)

    def __len__(self) -> int:
        return sum(not subjects.is_own(name) for name in self._channels)

    def __iter__(self) -> Iterator[Channel]:
        """All that there are, but the gateway's own."""
        return iter([channel for name, channel in self._channels.items() if not subjects.is_own(name)])

    def get(self, name: str) -> Channel | None:
        """A channel, if there is one of that name."""
        return self._channels.get(name)

    def subscribe(self, session: Session, name: str, filter: Filter | None = None) -> Channel | None:
        """Let the session have what is published from now on; a second time changes nothing but the filter.

        @param name: a channel, or a pattern of channels.
        @return: the channel; None for a pattern.
        @raise TooLarge: it has as many subscriptions as one may have.
        """
        before = session.subscriptions.get(name)
        if before is None and len(session.subscriptions) >= self._limits.max_subscriptions:
            raise TooLarge(f"A session has at most {self._limits.max_subscriptions} subscriptions")
        since = self.publications if before is None else before.since
        subscription = session.subscriptions[name] = Subscription(name, filter, since)
        channel = self._join(session, subscription)
        if before is None:
            self._tell_of("channel.joined", name, session)
        return channel

    def unsubscribe(self, session: Session, name: str) -> None:
        """Stop that; without a subscription nothing changes."""
        if session.subscriptions.pop(name, None) is None:
            return
        channel = self._part(session, name)
        self._tell_of("channel.left", name, session)
        if channel is not None:
            self.drop_if_idle(channel)

    def move(self, old: Session, new: Session, name: str) -> None:
        """Move another session's subscription to a session, unless it has one of that name already."""
        subscription = old.subscriptions.pop(name)
        self._part(old, name)
        if name not in new.subscriptions:
            new.subscriptions[name] = subscription
            self._join(new, subscription)

    def publish(
        self, name: str, message: Any, sender: str, exclude: Session | None = None, key: Key | None = None
    ) -> Publication | Deferred[Publication]:
        """Send a message to every subscriber of a channel.

        @param message: L{msgspec.Raw}, relayed as it is, or any value that is JSON.
        @param sender: who publishes, an entity id.
        @param exclude: a session that shall not get it.
        @param key: is stored with the message, if that is.
        @return: for a durable channel a Deferred, which fires once the message is on disk and on its way.
        @raise TooLarge: beyond what the channel takes.
        """
        raw = as_raw(message)
        channel = self._channels.get(name) or self._open(name)
        rule = channel.rule
        if rule.max_message_size is not None and len(bytes(raw)) > rule.max_message_size:
            self.drop_if_idle(channel)
            raise TooLarge(f"A message on {name} has at most {rule.max_message_size} bytes")
        now = self._wall()
        if rule.durable:
            new = NewMessage(
                channel=name,
                epoch=channel.epoch,
                sender=sender,
                message=bytes(raw),
                time=now,
                keep=max(1, rule.history_size),
                key=key,
            )
            storing = self._store.append(new)
            return storing.addCallbacks(self._stored, self._not_stored, (new, exclude), {}, (channel,))
        publication = self._accept(channel, raw, sender, now, exclude)
        if not channel.due:
            self.retention.watch(channel)
        return publication

    def emit(self, name: str, type: str, data: Any, source: str = "gateway") -> int:
        """Send an event to every subscriber of a channel.

        @param data: any value that is JSON.
        @return: how many connections it went to.
        """
        channel = self._channels.get(name)
        audience = None if channel is None else channel.audience(self.patterns)
        if audience is None:
            return 0
        event = Event(type=type, data=data, source=source, timestamp=timestamp(self._wall()), channel=name)
        content = as_raw(event)
        count = audience.send(shareable(jsonrpc.notification("event", content)), content)
        self.deliveries += count
        return count

    def set_live(self, session: Session, channel: Channel, live: bool) -> None:
        """Whether a session gets what is published; not while it has yet to get what it missed."""
        (channel.catching_up.discard if live else channel.catching_up.add)(session)
        channel.changed()

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        patterns = [name for name in session.subscriptions if subjects.has_wildcard(name)]
        if patterns:
            self._away[session] = patterns
            self.patterns.touch()
        for name in session.subscriptions.keys() - patterns:
            self._channels[name].changed()

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self._away.pop(session, None)
        for name in list(session.subscriptions):
            self.unsubscribe(session, name)

    def _join(self, session: Session, subscription: Subscription) -> Channel | None:
        name = subscription.name
        if subjects.has_wildcard(name):
            group = self.patterns.get(name)
            if group is None:
                self.patterns.add(name, {session: subscription})
            else:
                group[session] = subscription
                self.patterns.touch()
            return None
        channel = self._channels.get(name) or self._open(name)
        channel.subscribers[session] = subscription
        channel.changed()
        return channel

    def _part(self, session: Session, name: str) -> Channel | None:
        if subjects.has_wildcard(name):
            group = self.patterns.get(name)
            assert group is not None
            del group[session]
            if group:
                self.patterns.touch()
            else:
                self.patterns.remove(name)
            return None
        channel = self._channels[name]
        del channel.subscribers[session]
        channel.changed()
        return channel

    def _open(self, name: str, epoch: str | None = None, newest: int = 0) -> Channel:
        rule = self._rules.of(name)
        history = History(name, rule, self._budget, newest)
        channel = self._channels[name] = Channel(name, epoch or self._new_id("epoch"), rule, history)
        if rule.durable:
            channel.stored_oldest = newest + 1
        self._tell_of("channel.created", name)
        return channel

    def _accept(self, channel: Channel, content: Raw, sender: str, time: float, exclude: Session | None) -> Publication:
        """A publication that has its number: retain it and deliver it."""
        self.publications += 1
        history = channel.history
        message = channel.message(history.newest + 1, content, sender, time)
        channel.last_used = now = self._seconds()
        history.add(message, now, self.publications)
        recipients = channel.audience(self.patterns).send(message, content, exclude)
        self.deliveries += recipients
        return Publication(recipients=recipients, offset=history.newest, epoch=channel.epoch)

    def _stored(self, stored: Stored, new: NewMessage, exclude: Session | None) -> Publication:
        if stored.replayed:
            return Publication(recipients=0, offset=stored.position.offset, epoch=stored.position.epoch, replayed=True)
        channel = self._channels.get(new.channel)
        if channel is None or (channel.history.newest + 1, channel.epoch) != stored.position:
            channel = self._renumber(new.channel, stored.position)
        channel.stored_oldest = max(stored.oldest, 1)
        publication = self._accept(channel, Raw(new.message), new.sender, new.time, exclude)
        if not channel.due:
            self.retention.watch(channel)
        return publication

    def _not_stored(self, failure: Failure, channel: Channel) -> Failure:
        self.drop_if_idle(channel)
        return failure

    def _renumber(self, name: str, position: Position) -> Channel:
        """The store numbers a channel otherwise than was thought here, as when it was dropped on the way."""
        before = self._channels.pop(name, None)
        channel = self._open(name, position.epoch, position.offset - 1)
        if before is not None:
            before.history.clear()
            before.history.release()
            channel.subscribers = before.subscribers
        return channel

    def drop_if_idle(self, channel: Channel, at_once: bool = False) -> bool:
        """Forget a channel that has no subscribers and retains no messages.

        @param at_once: not only when the last one would have been too old by now, too.
        @return: whether it is gone.
        """
        history = channel.history
        if channel.subscribers or len(history) or self._channels.get(channel.name) is not channel:
            return False
        silent = self._seconds() - channel.last_used
        if history.newest and silent < channel.rule.history_ttl and not at_once:
            return False
        if channel.stored_oldest is not None:
            self._store.drop(channel.name, history.newest).addErrback(reported_already)  # tried again
        del self._channels[channel.name]
        history.release()
        mark_lost(channel.name, self._away, self.patterns if silent < self._unheard else None)
        self._tell_of("channel.removed", channel.name)
        return True

    def _tell_of(self, type: str, name: str, session: Session | None = None) -> None:
        """An event on C{$channels}; the gateway's own channels are no news."""
        if not subjects.is_own(name) and self._rules.of(name).presence:
            data = {"channel": name} if session is None else {"channel": name, "entity_id": session.entity_id}
            self.emit("$channels", type, data)
