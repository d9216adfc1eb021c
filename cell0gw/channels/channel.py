"""One channel: its numbering, what it retains, and who is subscribed to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from cell0gw.auth.sight import Sight
from cell0gw.channels.audience import Audience
from cell0gw.channels.filters import MAX_JUDGED, MAX_TOTAL, Filter, decoded
from cell0gw.channels.history import History
from cell0gw.channels.rules import ChannelRule
from cell0gw.channels.store import NewMessage, Position
from cell0gw.protocol import jsonrpc
from cell0gw.protocol.errors import TooLarge
from cell0gw.protocol.keys import Key
from cell0gw.protocol.messages import shareable
from cell0gw.protocol.notifications import ChannelMessage
from cell0gw.protocol.patterns import PatternTree
from cell0gw.protocol.subjects import is_own
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.session import Session

ENVELOPE: Final = 1024
"""Maximum bytes of what stands around a message where it is delivered."""


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """A publication.

    - `success`: true
    - `recipients`: connections that it went to at once, those of entities that the publisher sees; they include its own
      if it is subscribed
    - `offset`: its number in the channel
    - `epoch`: the numbering
    - `replayed`: true if an earlier request had the same idempotency key; else absent
    """

    success: bool = True
    recipients: int
    offset: int
    epoch: str
    replayed: bool | UnsetType = UNSET

    @property
    def position(self) -> Position:
        """Its position in the channel."""
        return Position(self.offset, self.epoch)


SUBSCRIPTION: Final = 1300
"""Approximate bytes that a subscription takes, and the channel if it is there for no other."""


class Subscription(NamedTuple):
    """What a session is subscribed to.

    @ivar name: a channel, or a pattern of channels.
    @ivar filter: what it wants; None: everything.
    @ivar since: how many publications the gateway had seen when it began; C{losses}: how many channels were gone.
    """

    name: str
    filter: Filter | None
    since: int
    losses: int = 0

    @property
    def size(self) -> int:
        """Approximate bytes that it takes, and a channel that is there for it alone."""
        return SUBSCRIPTION + (0 if self.filter is None else self.filter.memory)


def check_filters(subscriptions: Mapping[str, Subscription]) -> None:
    """Check that the filters of a session are no more than it may have.

    @param subscriptions: what it is subscribed to.
    @raise TooLarge: they are.
    """
    if sum(each.filter.size for each in subscriptions.values() if each.filter is not None) > MAX_TOTAL:
        raise TooLarge(f"The filters of a session have at most {MAX_TOTAL} bytes together")


class Group(dict[Session, Subscription]):
    """The subscribers of a pattern of channels, and how each is subscribed.

    @ivar lost: which channel under the pattern was the last to go, counted over all channels, see
        L{cell0gw.channels.losses.Losses}; C{lost_unheard}: which of those that went so soon after their last message
        that it may be on its way still.
    """

    __slots__ = ("lost", "lost_unheard")

    def __init__(self) -> None:
        super().__init__()
        self.lost = self.lost_unheard = 0


Patterns = PatternTree[Group]
"""The subscribers of each pattern of channels."""


class Channel:
    """A channel that has subscribers, retains messages, or had some of either not long ago.

    @ivar subscribers: the sessions that are subscribed by the channel's own name.
    @ivar catching_up: the sessions that will be live once they have got what they missed.
    @ivar stored_oldest: the offset of the oldest message on disk; None: the channel is not durable.
    @ivar noted: whether its epoch is on disk, or on its way there, though it has no message yet.
    @ivar last_used: when its newest message came, and C{left_at} when its last subscriber went, in seconds of the
        clock; minus infinity: never.
    @ivar due: when it will be looked at, because what it retains is too old by then; 0: it will not.
    """

    __slots__ = (
        "_audience",
        "_version",
        "catching_up",
        "due",
        "epoch",
        "history",
        "last_used",
        "left_at",
        "name",
        "noted",
        "rule",
        "stored_oldest",
        "subscribers",
    )

    def __init__(self, name: str, epoch: str, rule: ChannelRule, history: History) -> None:
        self.name = name
        self.epoch = epoch
        self.rule = rule
        self.history = history
        self.subscribers: dict[Session, Subscription] = {}
        self.catching_up: set[Session] = set()
        self.stored_oldest: int | None = None
        self.noted = False
        self.last_used = self.left_at = -math.inf
        self.due = 0.0
        self._audience: Audience | None = None
        self._version = -1

    @property
    def position(self) -> Position:
        """The newest offset, and the epoch."""
        return Position(self.history.newest, self.epoch)

    @property
    def oldest(self) -> int:
        """The offset of the oldest message retained, here or on disk; that of the next one if none is."""
        return self.history.oldest if self.stored_oldest is None else min(self.stored_oldest, self.history.oldest)

    @property
    def idle_since(self) -> float:
        """When it had a message or a subscriber last, if it has none now."""
        return max(self.last_used, self.left_at)

    def follows(self, position: Position) -> bool:
        """Whether everything after a position is retained."""
        return position.epoch == self.epoch and self.oldest - 1 <= position.offset <= self.history.newest

    def changed(self) -> None:
        """Called when a subscriber came, went, or is live now."""
        self._audience = None

    def audience(self, patterns: Patterns) -> Audience:
        """The audience of what is published now.

        @param patterns: the subscriptions to patterns, of all sessions.
        """
        audience = self._audience
        if audience is None or self._version != patterns.version:
            audience = self._audience = self._gather(patterns)
            self._version = patterns.version
        return audience

    def has(self, session: Session, patterns: Patterns) -> bool:
        """Whether a session is subscribed, by name or by a pattern."""
        return session in self.subscribers or any(session in group for group in patterns.match(self.name))

    def seen_by(self, sight: Sight) -> int:
        """How many are subscribed by its name, of those that somebody sees."""
        if sight.everyone:
            return len(self.subscribers)
        return sum(1 for session in self.subscribers if sight.sees(session.entity_id))

    def filters_of(self, session: Session, patterns: Patterns) -> list[Filter] | None:
        """What a session wants of the channel by all of its subscriptions; None: everything."""
        groups = [self.subscribers, *patterns.match(self.name)]
        filters = [group[session].filter for group in groups if session in group]
        return None if None in filters else [each for each in filters if each is not None]

    def new_message(self, content: bytes, sender: str, time: float, key: Key | None) -> NewMessage:
        """A publication that the store is to number.

        @param time: when, in seconds since the epoch.
        """
        return NewMessage(
            channel=self.name,
            epoch=self.epoch,
            sender=sender,
            message=content,
            time=time,
            keep=max(1, self.rule.history_size),
            key=key,
        )

    def message(self, offset: int, content: Raw | bytes, sender: str, time: float) -> bytes:
        """A publication as it is sent.

        @param content: what was published.
        @param time: when, in seconds since the epoch.
        """
        params = ChannelMessage(
            channel=self.name,
            message=content if isinstance(content, Raw) else Raw(content),
            timestamp=timestamp(time),
            offset=offset,
            epoch=self.epoch,
            sender=sender,
        )
        return shareable(jsonrpc.notification("channel.message", params))

    def _gather(self, patterns: Patterns) -> Audience:
        wanted: dict[Session, list[Filter] | None] = {}
        for group in (self.subscribers, *patterns.match(self.name)):
            for session, subscription in group.items():
                if session.detached or session in self.catching_up:
                    continue
                if subscription.filter is None:
                    wanted[session] = None
                else:
                    others = wanted.setdefault(session, [])
                    if others is not None:
                        others.append(subscription.filter)
        audience = Audience()
        for session, filters in wanted.items():
            audience.add(session, filters)
            if is_own(self.name) and not session.principal.permissions.sight.everyone:
                audience.sights[session] = session.sight
        return audience


class HistoryMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A publication as `channel.history` shows it.

    - `offset`: its number
    - `message`: as it was published
    - `timestamp`: when the gateway accepted it
    - `from`: the entity that published it
    """

    offset: int
    message: Raw
    timestamp: str
    sender: str = msgspec.field(name="from")


class _Notification(msgspec.Struct):
    params: HistoryMessage  # which is a ChannelMessage without what its reader knows: the channel and the epoch


_decode = msgspec.json.Decoder(_Notification).decode


def content_of(message: bytes) -> HistoryMessage:
    """The content of a publication as it was sent."""
    return _decode(message).params


def wanted(message: bytes, filters: list[Filter]) -> bool:
    """Whether one of some filters lets a publication pass."""
    if len(message) > MAX_JUDGED + ENVELOPE:
        return True
    value = decoded(content_of(message).message)
    return any(each.wants(value) for each in filters)
