"""What sessions have missed of their channels: whether it is still retained, and how it is replayed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import UNSET, Raw, UnsetType
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from cell0gw.channels.broker import Broker
from cell0gw.channels.channel import Channel, content_of, wanted
from cell0gw.channels.filters import Filter
from cell0gw.channels.history import HeldMessage
from cell0gw.channels.replay import Replay, Slice
from cell0gw.channels.store import IMessageStore, Position, StoredMessage
from cell0gw.protocol import subjects
from cell0gw.protocol.errors import Conflict, InvalidParams, NotFound
from cell0gw.protocol.limits import MAX_PAGE
from cell0gw.protocol.notifications import HistoryMessage
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session

SLICE_BYTES = 256 * 1024
"""Approximate maximum bytes that are replayed or shown at once; one message at least."""


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The subscription is active. `offset` is that of the newest publication, 0 if this `epoch` has none; both are null
    for a pattern.

    `recovered` is present if the request has `since`. True: all missed messages follow. False: messages may be missing,
    and `oldest` is the offset of the oldest message retained.
    """

    success: bool = True
    channel: str
    offset: int | None
    epoch: str | None
    recovered: bool | UnsetType = UNSET
    oldest: int | UnsetType = UNSET


class Recovered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A subscription that was resumed. `offset` and `epoch` are those of the newest publication.

    `recovered` true: all missed messages follow. False: messages may be missing, and `oldest` is the offset of the
    oldest message retained.
    """

    recovered: bool
    offset: int
    epoch: str
    oldest: int | None = None


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of a channel. Those from `oldest` to `newest` are retained.

    `limit` is present if the request's limit was lowered to it.
    """

    channel: str
    epoch: str
    messages: list[HistoryMessage]
    oldest: int
    newest: int
    limit: int | UnsetType = UNSET


@implementer(ISessionObserver)
class Recovery:
    """Subscriptions that begin in the past.

    @param store: has what durable channels no longer retain in memory.
    """

    def __init__(self, channels: Broker, store: IMessageStore, clock: IReactorTime) -> None:
        self._channels = channels
        self._store = store
        self._clock = clock
        self._replays: dict[Session, Replay] = {}

    def subscribe(
        self,
        session: Session,
        name: str,
        since: Position | None = None,
        history: int = 0,
        filter: Filter | None = None,
    ) -> Subscribed:
        """Let a session have what is published from now on, and before that what follows a position, or the newest.

        @param name: a channel, or a pattern of channels, which has no past.
        @param history: how many of the newest messages to replay.
        @raise InvalidParams: a past was asked for where there is none.
        """
        if (since is not None or history) and (subjects.has_wildcard(name) or subjects.is_own(name)):
            raise InvalidParams(f"Invalid params: {name} has no numbered messages: neither since nor history")
        if since is not None and history:
            raise InvalidParams("Invalid params: either since or history")
        channel = self._channels.subscribe(session, name, filter)
        if channel is None:
            return Subscribed(channel=name, offset=None, epoch=None)
        channel.history.trim(self._clock.seconds())
        position = channel.position
        if since is not None:
            recovered = channel.follows(since)
            self._bring(session, channel, since.offset if recovered else position.offset)
            return Subscribed(
                channel=name,
                offset=position.offset,
                epoch=position.epoch,
                recovered=recovered,
                oldest=UNSET if recovered else channel.oldest,
            )
        if history or session not in channel.catching_up:
            self._bring(session, channel, max(channel.oldest - 1, position.offset - history))
        return Subscribed(channel=name, offset=position.offset, epoch=position.epoch)

    def unsubscribe(self, session: Session, name: str) -> None:
        """End a subscription, and the replay of what it alone still lacks."""
        self._channels.unsubscribe(session, name)
        replay = self._replays.get(session)
        for channel in [] if replay is None else replay.channels:
            if replay is not None and not channel.has(session, self._channels.patterns):
                replay.discard(channel)
                self._channels.set_live(session, channel, True)

    def resume(
        self, old: Session, new: Session, positions: Mapping[str, Position], allowed: Callable[[str], bool]
    ) -> dict[str, Recovered]:
        """Move the subscriptions of a detached session to the one that resumes it.

        @param positions: the last that the client has seen, by channel.
        @param allowed: whether the new session may subscribe to a channel or pattern; where not, the subscription ends.
        @return: what became of each channel; and of a pattern, if a channel under it is gone.
        """
        own = set(new.subscriptions)
        begun: dict[str, int] = {}
        patterns = []
        for name, subscription in list(old.subscriptions.items()):
            if not allowed(name):
                continue  # it ends with the old session
            self._channels.move(old, new, name)
            if subjects.has_wildcard(name):
                patterns.append(name)
                covered = [c.name for c in self._channels if subjects.covers(name, c.name)]
            else:
                covered = [name]
            for each in covered:
                if each not in own:
                    begun[each] = min(subscription.since, begun.get(each, subscription.since))
        outcomes = {}
        for name, since in begun.items():
            outcome = self._recover(new, name, positions.get(name), since)
            if name in positions or name in new.subscriptions or not outcome.recovered:
                outcomes[name] = outcome
        gone = {name for name in positions if name not in begun and any(subjects.covers(p, name) for p in patterns)}
        for name in gone.union(old.lost.intersection(patterns)) - own:
            outcomes[name] = Recovered(recovered=False, offset=0, epoch="")
        return outcomes

    def page(self, name: str, since: Position | None, limit: int, reverse: bool) -> HistoryPage | Deferred[HistoryPage]:
        """Show messages of a channel: those after a position, oldest first; or those before it, newest first.

        @param since: None: from the oldest, or the newest.
        @param limit: maximum messages; lowered to L{MAX_PAGE}.
        @raise NotFound: there is no such channel.
        @raise Conflict: the position is of another numbering.
        """
        channel = self._channels.get(name)
        if channel is None or subjects.is_own(name):
            raise NotFound(f"{name} has no messages")
        channel.history.trim(self._clock.seconds())
        if since is not None and since.epoch != channel.epoch:
            raise Conflict("The channel's numbering has begun anew", epoch=channel.epoch, oldest=channel.oldest)
        most = min(limit, MAX_PAGE)
        cut = MAX_PAGE if limit > MAX_PAGE else UNSET
        if reverse:
            before = channel.history.newest + 1 if since is None else since.offset
            if channel.stored_oldest is not None:
                return self._store.read_before(name, before, most).addCallback(_stored_page, channel, cut)
            found = channel.history.before(before)
        else:
            after = channel.oldest - 1 if since is None else max(since.offset, channel.oldest - 1)
            if channel.stored_oldest is not None:
                return self._store.read(name, after, most).addCallback(_stored_page, channel, cut)
            found = channel.history.after(after)
        return _page([content_of(held.message) for _, held in _sliced(found, most)], channel, cut)

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        replay = self._replays.pop(session, None)
        if replay is not None:
            for channel in replay.channels:
                self._channels.set_live(session, channel, True)
            replay.stopProducing()

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self.session_detached(session, ending)

    def _recover(self, session: Session, name: str, position: Position | None, begun: int) -> Recovered:
        channel = self._channels.get(name)
        assert channel is not None
        if subjects.is_own(name):  # events are not numbered
            return Recovered(recovered=False, offset=0, epoch=channel.epoch)
        channel.history.trim(self._clock.seconds())
        newest = channel.position
        if position is None:
            after = channel.history.offset_at(begun)
        else:
            after = position.offset if channel.follows(position) else None
        self._bring(session, channel, newest.offset if after is None else after)
        return Recovered(
            recovered=after is not None,
            offset=newest.offset,
            epoch=newest.epoch,
            oldest=channel.oldest if after is None else None,
        )

    def _bring(self, session: Session, channel: Channel, after: int) -> None:
        """Let a session be live on a channel once it has what follows an offset."""
        replay = self._replays.get(session)
        if after >= channel.history.newest:
            if replay is not None:
                replay.discard(channel)
            self._channels.set_live(session, channel, True)
            return
        if replay is None:
            replay = self._replays[session] = Replay(session, self._clock, self._read, self._pick, self._caught_up)
        self._channels.set_live(session, channel, False)
        replay.add(channel, after)

    def _read(self, channel: Channel, after: int, limit: int) -> Slice | Deferred[Slice | None] | None:
        history = channel.history
        if after + 1 >= history.oldest:
            return [(offset, held.message) for offset, held in _sliced(history.after(after), limit)]
        if channel.stored_oldest is None or after + 1 < channel.stored_oldest:
            return None
        return self._store.read(channel.name, after, limit).addCallback(self._messages, channel, after)

    def _messages(self, messages: list[StoredMessage], channel: Channel, after: int) -> Slice | None:
        if not messages or messages[0].offset != after + 1:
            return None  # it was purged meanwhile
        return [(m.offset, channel.message(m.offset, m.message, m.sender, m.time)) for m in messages]

    def _pick(self, session: Session, channel: Channel) -> Callable[[bytes], bool] | None:
        filters = channel.filters_of(session, self._channels.patterns)
        return None if filters is None else lambda message: wanted(message, filters)

    def _caught_up(self, session: Session, channel: Channel, after: int) -> bool:
        if after < channel.history.newest:
            return False
        self._channels.set_live(session, channel, True)
        return True


def _sliced(found: Iterable[tuple[int, HeldMessage]], limit: int) -> list[tuple[int, HeldMessage]]:
    """As many of some publications as may be replayed at once."""
    taken, size = [], 0
    for offset, held in itertools.islice(found, limit):
        taken.append((offset, held))
        size += len(held.message)
        if size > SLICE_BYTES:
            break
    return taken


def _page(messages: list[HistoryMessage], channel: Channel, cut: int | UnsetType) -> HistoryPage:
    return HistoryPage(
        channel=channel.name,
        epoch=channel.epoch,
        messages=messages,
        oldest=channel.history.oldest if channel.stored_oldest is None else channel.stored_oldest,
        newest=channel.history.newest,
        limit=cut,
    )


def _stored_page(stored: list[StoredMessage], channel: Channel, cut: int | UnsetType) -> HistoryPage:
    return _page([_shown(each) for each in stored], channel, cut)


def _shown(stored: StoredMessage) -> HistoryMessage:
    return HistoryMessage(
        offset=stored.offset, message=Raw(stored.message), timestamp=timestamp(stored.time), sender=stored.sender
    )
