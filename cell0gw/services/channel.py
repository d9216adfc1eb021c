"""``channel``: publish to many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, Meta, Raw
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.sight import Sight
from cell0gw.channels.answers import ChannelList, HistoryPage, Subscribed, entry_of
from cell0gw.channels.channel import Publication
from cell0gw.channels.channels import Channels
from cell0gw.channels.filters import Filter, FilterError
from cell0gw.channels.registry import MAX_RECOVERED
from cell0gw.channels.store import Position
from cell0gw.monitoring.statistics import Counts, IStatistics
from cell0gw.protocol.errors import InvalidParams, TooLarge
from cell0gw.protocol.keys import IdempotencyKey, Key, digest_of
from cell0gw.protocol.limits import MAX_LISTED, Limits
from cell0gw.protocol.printable import printable
from cell0gw.protocol.subjects import ChannelPattern, Name, Pattern, is_name, is_own
from cell0gw.rpc.access import permission, session
from cell0gw.rpc.faults import MAX_FAULT
from cell0gw.rpc.idempotency import Idempotency
from cell0gw.rpc.pages import Cursor, page
from cell0gw.sessions.observers import IRefreshObserver
from cell0gw.sessions.session import Caller, Session

Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]


# Beside Position, since what a client sends is bounded, and an object in JSON.
class Since(msgspec.Struct, frozen=True):
    """A position in a channel: that of the newest message that the client has seen.

    - `offset`: its number; 0 is before the first
    - `epoch`: its numbering, see `channel.message`
    """

    offset: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    epoch: Annotated[str, Meta(max_length=200)]

    @property
    def position(self) -> Position:
        """The same as the rules have it."""
        return Position(self.offset, self.epoch)


class Unsubscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The subscription has ended.

    - `success`: true
    - `channel`: the channel or the pattern
    """

    success: bool = True
    channel: str


@implementer(IStatistics, IRefreshObserver)
class ChannelService(Service):
    """Subscriptions and publications.

    @param allows: whether some permissions let a method be called on a resource.
    """

    name = "channel"

    def __init__(
        self,
        channels: Channels,
        idempotency: Idempotency,
        allows: Callable[[Permissions, str, str], bool],
        limits: Limits,
    ) -> None:
        self._channels = channels.broker
        self._recovery, self._pages = channels.recovery, channels.pages
        self._idempotency = idempotency
        self._allows = allows
        self._limits = limits

    @permission(resource="channel", open=("$agents", "$presence"))
    def rpc_subscribe(
        self,
        caller: Caller,
        *,
        channel: ChannelPattern,
        since: Since | None = None,
        history: Count = 0,
        filter: dict[str, Any] | None = None,
        positions: dict[str, Since] | None = None,
        unrecoverable: Literal["tell", "refuse"] = "tell",
    ) -> Subscribed:
        """Subscribe to a channel, or to all that match a pattern. Retained messages can be replayed before.

        The replayed messages come after the answer as `channel.message`, oldest first; then the subscription is live.
        For a channel `since` or `history` say which, for a pattern `positions`; the gateway's own channels have no
        past. Subscribing twice sets the filter anew. More: docs/protocol.md#subscriptions.

        - `channel`: a channel, which needs no making; a pattern of channels; or one of the gateway's own
        - `since`: a position; what came after it is replayed
        - `history`: how many of the newest messages to replay, as far as they are retained
        - `filter`: which messages to deliver, see docs/protocol.md#filters; null: all
        - `positions`: for a pattern: by channel, that of the newest message that the client has. What came after it is
          replayed; of a channel without one, all that it ever had. null: what is new
        - `unrecoverable`: what to do if something of that is no longer retained: `tell` it in the answer, or `refuse`
          the subscription, for clients that load their state from elsewhere then
        - `conflict`: it was to be refused then, and nothing is subscribed. `data.lost` has of each channel of which
          something is not retained what the answer would have said, of 100 at most, and `data.total` how many there are
        - `rate_limited`: the filters of all subscriptions take too much memory together
        - `too_large`: the session has too many subscriptions, or its filters more than 64 KiB together; or the filters
          of all sessions of the entity take more than 16 MiB; or there are more than 10000 positions, or more channels
          that were not recovered than an answer can tell
        - `invalid_params`: the filter is malformed, and `message` says where; or two of `since`, `history` and
          `positions` are given, or one of the former for a pattern or for one of the gateway's own channels, or
          `positions` for anything but a pattern; or a pattern has more than 16 segments, or more than four `*`
        """
        assert caller.session is not None
        refuse = unrecoverable == "refuse"
        if positions is None:
            return self._recovery.subscribe(caller.session, channel, _position(since), history, _filter(filter), refuse)
        if since is not None or history:
            raise InvalidParams("Invalid params: positions stand alone, without since and history")
        return self._recovery.subscribe_since(caller.session, channel, seen(positions), _filter(filter), refuse)

    @session
    def rpc_unsubscribe(self, caller: Caller, *, channel: ChannelPattern) -> Unsubscribed:
        """Unsubscribe from a channel or a pattern.

        What the subscription was still to replay ends, too. Without a subscription nothing changes. A name and a
        pattern that covers it are two subscriptions.

        - `channel`: the same text as in `channel.subscribe`
        """
        assert caller.session is not None
        self._recovery.unsubscribe(caller.session, channel)
        return Unsubscribed(channel=channel)

    @permission(resource="channel")
    def rpc_publish(
        self,
        caller: Caller,
        *,
        channel: Name,
        message: Raw,
        exclude_self: bool = False,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Publication | Awaitable[Publication]:
        """Publish a message to a channel.

        The publisher need not be subscribed. On a durable channel the message is on disk before it is delivered and
        before the answer. What a channel retains, and what an idempotency key promises: docs/protocol.md#publications.

        - `channel`: the channel, not one of the gateway's own
        - `message`: what to publish
        - `exclude_self`: whether the publisher's own connection is left out; what is replayed later leaves nobody out
        - `idempotency_key`: names this publication and its repetitions
        - `too_large`: the message is longer than the channel allows, or than anything that is relayed
        - `unavailable`: the message could not be stored; it has no number, and nobody gets it
        - `conflict`: the key stands for other params
        - `rate_limited`: more than 100,000 keys of the entity, or most of 500,000, at once; or the disk has no room for
          a durable message, which then has no number and goes to nobody, see docs/operations.md#shares
        """
        entity_id, exclude = caller.entity_id, caller.session if exclude_self else None
        assert entity_id is not None and caller.principal is not None
        everyone = caller.principal.permissions.sight.everyone
        if idempotency_key is None and everyone:
            return self._channels.publish(channel, message, entity_id, exclude)

        def publish(key: Key | None = None) -> Publication | Deferred[Publication]:
            published = self._channels.publish(channel, message, entity_id, exclude, key)
            return published if everyone else self._seen(caller.sight, channel, message, exclude, published)

        if idempotency_key is None:
            return publish()
        key = Key(entity_id, "channel.publish", idempotency_key, digest_of(channel, bytes(message), exclude_self))
        return self._idempotency.once(
            key, lambda: publish(key), lambda publication: msgspec.structs.replace(publication, replayed=True)
        )

    @permission(resource="channel")
    def rpc_history(
        self, caller: Caller, *, channel: Name, since: Since | None = None, limit: Count = 100, reverse: bool = False
    ) -> HistoryPage | Awaitable[HistoryPage]:
        """Get retained messages: after a position, oldest first; with `reverse`, before it, newest first.

        The caller need not be subscribed. A page may be shorter than `limit` if messages are long. For the next page
        give `next` as `since`, until a page has none. If messages after the position are no longer retained the page
        begins with the oldest that is: compare `oldest`.

        - `channel`: the channel; the gateway's own have no history
        - `since`: the position; null: from the oldest message, in reverse from the newest
        - `limit`: maximum messages; more than 1000 are lowered to 1000
        - `reverse`: newest first
        - `not_found`: there is no such channel
        - `conflict`: `since` is of another epoch; `data.epoch` and `data.oldest` say what is there
        - `unavailable`: the disk could not be read
        """
        return self._pages.page(channel, _position(since), limit, reverse)

    @permission(resource="pattern")
    def rpc_list(
        self, caller: Caller, *, pattern: Pattern = ">", limit: Count = 1000, after: Cursor | None = None
    ) -> ChannelList:
        """List the channels that match a pattern, in pages, see docs/protocol.md#pages.

        A page may have few channels, or none, and a `next` all the same: of a pattern with `*` at most 10000 names are
        looked at for one.

        - `pattern`: which channels
        - `limit`: maximum channels; more than 10000 are lowered to 10000
        - `after`: `next` of the page before; null: the first page
        """
        registry = self._channels.registry
        found, more = registry.page(pattern, after or "", min(limit, MAX_LISTED))
        total = registry.count(pattern)
        entries, last = page(map(partial(entry_of, caller.sight), found), None, self._limits.max_content_size)
        if last is not None:
            more = last.channel
        return ChannelList(
            channels=cast(Any, entries),
            total=UNSET if total is None else total,
            limit=MAX_LISTED if limit > MAX_LISTED else UNSET,
            next=UNSET if more is None else more,
        )

    def session_refreshed(self, session: Session) -> None:
        """See L{IRefreshObserver}: subscriptions that the new token does not allow end."""
        for name in list(session.subscriptions):
            if not self._allows(session.principal.permissions, "channel.subscribe", name):
                self._recovery.unsubscribe(session, name)
            elif is_own(name):
                self._channels.registry[name].changed()  # it may see others now

    def _seen(self, sight: Sight, name: str, message: Raw, exclude: Session | None, published: Any) -> Any:
        """A publication as one is told of it who does not see everyone: its recipients are those that it sees."""
        if isinstance(published, Deferred):
            return published.addCallback(partial(self._seen, sight, name, message, exclude))
        channel = self._channels.get(name)
        count = 0 if channel is None else channel.audience(self._channels.patterns).count(message, sight, exclude)
        return msgspec.structs.replace(published, recipients=min(count, published.recipients))

    def statistics(self) -> Counts:
        """See L{IStatistics}."""
        channels = self._channels
        return Counts(
            current={
                "channels": len(channels),
                "patterns": len(channels.patterns),
                "history_bytes": channels.budget.used,
            },
            total={
                "publications": channels.publications,
                "publications_refused": channels.refused,
                "deliveries": channels.deliveries,
            },
        )


def seen(positions: dict[str, Since] | None) -> dict[str, Position]:
    """The positions that a client has, by channel, as the rules have them.

    @raise TooLarge: there are more than one may give.
    """
    if positions is None:
        return {}
    if len(positions) > MAX_RECOVERED:
        raise TooLarge(f"There are at most {MAX_RECOVERED} positions")
    return {name: since.position for name, since in positions.items() if is_name(name)}


def _position(since: Since | None) -> Position | None:
    return None if since is None else since.position


def _filter(tree: dict[str, Any] | None) -> Filter | None:
    try:
        return None if tree is None else Filter(tree)
    except FilterError as fault:
        text, path = printable(f"params.{fault}", MAX_FAULT), f"params.{fault.where}"
        raise InvalidParams(f"Invalid params: {text}", path=path, near=fault.near, allowed=fault.allowed) from None
