"""Channels: who is subscribed to what, the fan-out of publications, and how they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.channels.budget import Budget
from cell0gw.channels.channel import Channel, Group, Patterns, Publication, Subscription, check_filters
from cell0gw.channels.filters import Filter, FilterShares
from cell0gw.channels.history import History
from cell0gw.channels.losses import Losses
from cell0gw.channels.registry import Registry
from cell0gw.channels.retention import Retention
from cell0gw.channels.rules import ChannelRules
from cell0gw.channels.store import IMessageStore, NewMessage, Position, Stored
from cell0gw.process.failures import reported_already
from cell0gw.process.runtime import Runtime
from cell0gw.protocol import jsonrpc, subjects
from cell0gw.protocol.errors import RateLimited, TooLarge
from cell0gw.protocol.keys import Key
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.messages import as_raw, shareable
from cell0gw.protocol.notifications import Event
from cell0gw.protocol.patterns import PatternTree
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session


@implementer(ISessionObserver)
class Broker:
    """All channels and all subscriptions. A channel exists while it has subscribers or retains messages, and a while
    longer.

    @param store: keeps the messages of durable channels.
    @param runtime: an id of it names a numbering, and so must never come back, not in another process either.
    @param limits: C{max_subscriptions}: maximum channels and patterns that one session is subscribed to.
    @param unheard: maximum seconds for which a connection may be broken without anyone knowing.
    @ivar registry: the channels, by name.
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
        self._rules, self._store = rules, store
        self._seconds = runtime.clock.seconds
        self._wall, self._dates, self._new_id = runtime.wall, runtime.dates, runtime.new_id
        self.budget, self._limits = budget, limits
        self.registry = Registry()
        self._filters = FilterShares()
        self.patterns: Patterns = PatternTree()
        self.losses = Losses(self.patterns, unheard)
        self.retention = Retention(runtime.clock, self.registry, store, self.losses, self._tell_of)
        budget.observers.append(self.retention)
        self.publications = self.deliveries = self.refused = 0

    def load(self) -> None:
        """Load the channels that the store kept, where they are durable still."""
        for stored in self._store.load():
            if self._rules.of(stored.name).durable:
                channel = self._open(stored.name, "", stored.epoch, stored.newest)
                channel.stored_oldest, channel.noted = stored.oldest, True
                if stored.time is not None:
                    channel.last_used = self._seconds() - max(0.0, self._dates.trusted() - stored.time)
                self.retention.loaded(channel)

    def __len__(self) -> int:
        return len(self.registry)

    def __iter__(self) -> Iterator[Channel]:
        """All that there are, but the gateway's own."""
        return iter(self.registry)

    def get(self, name: str) -> Channel | None:
        """A channel, if there is one of that name."""
        return self.registry.get(name)

    def subscribe(
        self, session: Session, name: str, filter: Filter | None = None, begun: int | None = None
    ) -> Channel | None:
        """Let the session have what is published from now on; a second time changes nothing but the filter.

        @param name: a channel, or a pattern of channels.
        @param begun: how many publications there had been when the subscription began, see L{Subscription}; None: as
            many as there have been, or what it was.
        @return: the channel; None for a pattern.
        @raise TooLarge: it has as many subscriptions, or as much of filters, as one may have.
        @raise RateLimited: all filters together take too much.
        """
        before = session.subscriptions.get(name)
        if before is None and len(session.subscriptions) >= self._limits.max_subscriptions:
            raise TooLarge(f"A session has at most {self._limits.max_subscriptions} subscriptions")
        since, losses = (self.publications, self.losses.count) if before is None else before[2:]
        subscription = Subscription(name, filter, since if begun is None else begun, losses)
        if filter is not None:
            check_filters({**session.subscriptions, name: subscription})
        self._filters.replace(session.entity_id, None if before is None else before.filter, filter)
        session.subscriptions[name] = subscription
        channel = self._join(session, subscription)
        if before is None:
            self._tell_of("channel.joined", name, session)
        return channel

    def unsubscribe(self, session: Session, name: str) -> None:
        """Stop that; without a subscription nothing changes."""
        subscription = session.subscriptions.pop(name, None)
        if subscription is None:
            return
        self._filters.replace(session.entity_id, subscription.filter, None)
        channel = self._part(session, name)
        self._tell_of("channel.left", name, session)
        if channel is not None:
            self.retention.left(channel)

    def move(self, old: Session, new: Session, name: str) -> None:
        """Move another session's subscription to a session, unless it has one of that name already."""
        subscription = old.subscriptions.pop(name)
        if name not in new.subscriptions:
            new.subscriptions[name] = subscription
            self._join(new, subscription)
        else:
            self._filters.replace(old.entity_id, subscription.filter, None)
        self._part(old, name)  # only now: a pattern that somebody is subscribed to is not taken apart in between

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
        self._limits.check_content(len(raw))
        channel = self.registry.get(name) or self._open(name, sender)
        rule = channel.rule
        if rule.max_message_size is not None and len(raw) > rule.max_message_size:
            self.retention.drop_if_idle(channel)
            raise TooLarge(f"A message on {name} has at most {rule.max_message_size} bytes")
        now = self._wall()
        if rule.durable:
            new = channel.new_message(bytes(raw), sender, now, key)
            return self._store.append(new).addCallbacks(self._stored, self._not_stored, (new, exclude), {}, (channel,))
        publication = self._accept(channel, raw, sender, now, exclude)
        if not channel.due:
            self.retention.watch(channel)
        return publication

    def emit(self, name: str, type: str, data: Any, about: Sequence[str] = (), source: str = "gateway") -> int:
        """Send an event to every subscriber of a channel.

        @param data: any value that is JSON.
        @param about: the entities in it; who does not see them all does not get it.
        @return: how many connections it went to.
        """
        channel = self.registry.get(name)
        audience = None if channel is None else channel.audience(self.patterns)
        if audience is None:
            return 0
        content = as_raw(Event(type=type, data=data, source=source, timestamp=timestamp(self._wall()), channel=name))
        count = audience.tell(shareable(jsonrpc.notification("event", content)), content, about)
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
            self.losses.leave(session)
            self.patterns.touch()
        for name in session.subscriptions.keys() - patterns:
            self.registry[name].changed()

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self.losses.forget(session)
        for name in list(session.subscriptions):
            self.unsubscribe(session, name)

    def _join(self, session: Session, subscription: Subscription) -> Channel | None:
        name = subscription.name
        if subjects.has_wildcard(name):
            group = self.patterns.get(name)
            if group is None:
                group = Group()
                self.patterns.add(name, group)
            group[session] = subscription
            self.patterns.touch()
            return None
        channel = self.registry.get(name) or self._open(name, session.entity_id)
        channel.subscribers[session] = subscription
        channel.changed()
        if channel.stored_oldest is not None and not (channel.noted or channel.history.newest):
            channel.noted = True
            begun = self._store.begin(name, channel.epoch, session.entity_id)
            begun.addErrback(reported_already).addCallback(self._begun, channel)
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
        channel = self.registry[name]
        del channel.subscribers[session]
        channel.changed()
        return channel

    def _open(self, name: str, owner: str, epoch: str | None = None, newest: int = 0) -> Channel:
        rule = self._rules.of(name)
        history = History(name, rule, self.budget, newest, owner)
        channel = Channel(name, epoch or self._new_id("epoch"), rule, history)
        self.registry.add(channel)
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
        history.add(message, now, self.publications, sender)
        recipients = channel.audience(self.patterns).send(message, content, exclude)
        self.deliveries += recipients
        return Publication(recipients=recipients, offset=history.newest, epoch=channel.epoch)

    def _stored(self, stored: Stored, new: NewMessage, exclude: Session | None) -> Publication:
        if stored.replayed:
            return Publication(recipients=0, offset=stored.position.offset, epoch=stored.position.epoch, replayed=True)
        channel = self.registry.get(new.channel)
        if channel is None or (channel.history.newest + 1, channel.epoch) != stored.position:
            channel = self._renumber(new, stored.position)
        channel.stored_oldest = max(stored.oldest, 1)
        publication = self._accept(channel, Raw(new.message), new.sender, new.time, exclude)
        if not channel.due:
            self.retention.watch(channel)
        return publication

    def _begun(self, kept: bool | None, channel: Channel) -> None:
        """If the epoch is not on disk it lives no longer than the process, and is written with the first message."""
        channel.noted = kept is True

    def _not_stored(self, failure: Failure, channel: Channel) -> Failure:
        self.refused += failure.check(RateLimited) is not None
        self.retention.drop_if_idle(channel)
        return failure

    def _renumber(self, new: NewMessage, position: Position) -> Channel:
        """The store numbers a channel otherwise than was thought here, as when it was dropped on the way."""
        before = self.registry.get(new.channel)
        channel = self._open(new.channel, new.sender, position.epoch, position.offset - 1)
        if before is not None:
            before.history.evict()
            channel.subscribers, channel.catching_up = before.subscribers, before.catching_up
        return channel

    def _tell_of(self, type: str, name: str, session: Session | None = None) -> None:
        """An event on C{$channels}; the gateway's own channels are no news."""
        if not subjects.is_own(name) and self._rules.of(name).presence:
            data = {"channel": name} if session is None else {"channel": name, "entity_id": session.entity_id}
            self.emit("$channels", type, data, () if session is None else (session.entity_id,))
