"""What clients are answered that subscribe, resume and read history."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from cell0gw.auth.sight import Sight
from cell0gw.channels.broker import Broker
from cell0gw.channels.channel import Channel, HistoryMessage, content_of
from cell0gw.channels.replay import sliced
from cell0gw.channels.store import IMessageStore, Position, StoredMessage
from cell0gw.protocol import subjects
from cell0gw.protocol.errors import Conflict, NotFound
from cell0gw.protocol.limits import MAX_PAGE, Limits
from cell0gw.protocol.timestamps import timestamp

FRAME: Final = 128
"""Maximum bytes of what stands around a message and its sender on a page."""


class ChannelPosition(msgspec.Struct, frozen=True):
    """A position in a channel: what follows it comes to those who give it as `since`.

    - `offset`: number of the message that it is behind; 0: it is before the first
    - `epoch`: the numbering
    """

    offset: int
    epoch: str


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The subscription is active.

    - `success`: true
    - `channel`: the channel or the pattern
    - `offset`: number of the newest publication, 0 if this `epoch` has none; null for a pattern
    - `epoch`: the numbering, see `channel.message`; null for a pattern
    - `recovered`: present if the request has `since`. True: all missed messages follow. False: messages may be missing,
      and nothing of the past follows
    - `oldest`: present if `recovered` is false: number of the oldest message retained, of the next one if none is
    - `beginning`: present if `recovered` is false: the position before that
    - `position`: where the client is: what follows comes, the messages to be replayed first; absent for a pattern and
      for the gateway's own channels
    - `channels`: present if the request has `positions`: what became of each channel of which it has one, and of those
      that were not recovered. The pattern itself is there if something may be missing of channels without a position
    """

    success: bool = True
    channel: str
    offset: int | None
    epoch: str | None
    recovered: bool | UnsetType = UNSET
    oldest: int | UnsetType = UNSET
    beginning: ChannelPosition | UnsetType = UNSET
    position: ChannelPosition | UnsetType = UNSET
    channels: dict[str, Recovered] | UnsetType = UNSET


class Recovered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A subscription that was resumed.

    - `recovered`: true: all missed messages follow. False: messages may be missing
    - `offset`: number of the newest publication
    - `epoch`: the numbering; `""` if the channel is no longer there
    - `oldest`: present if `recovered` is false: number of the oldest message retained
    """

    recovered: bool
    offset: int
    epoch: str
    oldest: int | None = None


GONE: Final = Recovered(recovered=False, offset=0, epoch="")
"""What is said of a channel that is no longer there."""

MAX_NAMED: Final = 100
"""Maximum channels that a refusal names."""


def refuse_lost(outcomes: Mapping[str, Recovered]) -> None:
    """Refuse a subscription of which something is lost.

    @raise Conflict: something is.
    """
    lost = {name: outcome for name, outcome in outcomes.items() if not outcome.recovered}
    if lost:
        named = dict(itertools.islice(lost.items(), MAX_NAMED))
        raise Conflict("Not all that was missed is retained", lost=msgspec.to_builtins(named), total=len(lost))


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of a channel.

    - `channel`: the channel
    - `epoch`: the numbering
    - `messages`: the messages, in the order that was asked for
    - `oldest`: number of the oldest message retained; above `newest` if none is
    - `newest`: number of the newest message
    - `beginning`: the position before the oldest message retained: it brings all that is
    - `end`: the position of the newest message: it brings only what is new
    - `next`: where the next page begins, for `since`; absent if there is none
    - `limit`: present if the `limit` of the request was lowered to it
    """

    channel: str
    epoch: str
    messages: list[HistoryMessage]
    oldest: int
    newest: int
    beginning: ChannelPosition
    end: ChannelPosition
    next: ChannelPosition | UnsetType = UNSET
    limit: int | UnsetType = UNSET


class ChannelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A channel.

    - `channel`: its name
    - `subscribers`: those by its name that the caller sees; sessions that are kept after their connection broke count
    - `offset`: number of the newest message
    - `epoch`: the numbering
    - `position`: both together, as they are given for `since`
    - `messages`: messages retained
    - `durable`: whether they are on disk
    """

    channel: str
    subscribers: int
    offset: int
    epoch: str
    position: ChannelPosition
    messages: int
    durable: bool


class ChannelList(msgspec.Struct, frozen=True, kw_only=True):
    """Channels, sorted by name.

    - `channels`: the channels; never the gateway's own
    - `total`: how many match, on all pages together. Absent if that takes long: more than 10000 channels begin as the
      pattern does, and it has a `*`
    - `limit`: present if the `limit` of the request was lowered to it
    - `next`: where the next page begins, for `after`; absent if there is none
    """

    channels: list[ChannelEntry]
    total: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    next: str | UnsetType = UNSET


def entry_of(sight: Sight, channel: Channel) -> ChannelEntry:
    """A channel, as it is shown to somebody with this sight."""
    return ChannelEntry(
        channel=channel.name,
        subscribers=channel.seen_by(sight),
        offset=channel.history.newest,
        epoch=channel.epoch,
        position=at(channel, channel.history.newest),
        messages=channel.history.newest - channel.oldest + 1,
        durable=channel.rule.durable,
    )


def at(channel: Channel, offset: int) -> ChannelPosition:
    """A position in a channel as it is now, as clients are shown it."""
    return ChannelPosition(offset, channel.epoch)


def shown(stored: StoredMessage) -> HistoryMessage:
    """A message in a store, as a page shows it."""
    return HistoryMessage(
        offset=stored.offset, message=Raw(stored.message), timestamp=timestamp(stored.time), sender=stored.sender
    )


def fitting(messages: list[HistoryMessage], room: int) -> list[HistoryMessage]:
    """The first of some messages that a page has room for; one at least.

    @param room: its size in bytes.
    """
    for count, message in enumerate(messages):
        room -= len(message.message) + len(message.sender) + FRAME
        if room < 0 and count:
            return messages[:count]
    return messages


class Pages:
    """Messages of channels, page by page.

    @param store: has what durable channels no longer retain in memory.
    @param limits: maximum bytes of a page.
    """

    def __init__(self, channels: Broker, store: IMessageStore, clock: IReactorTime, limits: Limits) -> None:
        self._channels = channels
        self._limits = limits
        self._store = store
        self._clock = clock

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
        limit, cut = min(limit, MAX_PAGE), MAX_PAGE if limit > MAX_PAGE else UNSET
        if reverse:
            bound = channel.history.newest + 1 if since is None else since.offset
        else:
            bound = channel.oldest - 1 if since is None else max(since.offset, channel.oldest - 1)
        if channel.stored_oldest is not None:
            read = self._store.read_before if reverse else self._store.read
            stored = read(name, bound, limit)
            return stored.addCallback(lambda found: self._page(list(map(shown, found)), channel, bound, reverse, cut))
        held = sliced((channel.history.before if reverse else channel.history.after)(bound), limit)
        return self._page([content_of(each.message) for _, each in held], channel, bound, reverse, cut)

    def _page(
        self, messages: list[HistoryMessage], channel: Channel, bound: int, reverse: bool, cut: int | UnsetType
    ) -> HistoryPage:
        messages = fitting(messages, self._limits.max_content_size)
        oldest = channel.history.oldest if channel.stored_oldest is None else channel.stored_oldest
        newest = channel.history.newest
        end = messages[-1].offset if messages else bound
        more = end > oldest if reverse else end < newest
        return HistoryPage(
            channel=channel.name,
            epoch=channel.epoch,
            messages=messages,
            oldest=oldest,
            newest=newest,
            beginning=at(channel, oldest - 1),
            end=at(channel, newest),
            next=at(channel, end) if more else UNSET,
            limit=cut,
        )
