"""``channel``: publish to many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cell0gw.auth.permissions import Permissions
from cell0gw.channels.channel import Publication
from cell0gw.channels.channels import Channels
from cell0gw.channels.filters import Filter, FilterError
from cell0gw.channels.recovery import Page
from cell0gw.channels.store import Position
from cell0gw.monitoring.statistics import Counts, IStatistics
from cell0gw.protocol.errors import InvalidParams
from cell0gw.protocol.keys import IdempotencyKey, Key, digest_of
from cell0gw.protocol.limits import MAX_LISTED, MAX_PAGE
from cell0gw.protocol.notifications import HistoryMessage
from cell0gw.protocol.printable import printable
from cell0gw.protocol.subjects import ChannelPattern, Name, Pattern, covers
from cell0gw.rpc.access import permission, session
from cell0gw.rpc.faults import MAX_FAULT
from cell0gw.rpc.idempotency import Idempotency
from cell0gw.sessions.observers import IRefreshObserver
from cell0gw.sessions.session import Caller, Session

Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Since(msgspec.Struct, frozen=True):
    """A position in a channel: the newest message that one has seen; 0 is before the first."""

    offset: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    epoch: Annotated[str, Meta(max_length=200)]


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The subscription holds. C{offset} is the newest publication's, 0 when there was none in this C{epoch}; both are
    null for a pattern. C{recovered} is there if C{since} was: true, what was missed follows; false, it may have a hole,
    and C{oldest} is the offset of the oldest message held.
    """

    success: bool = True
    channel: str
    offset: int | None
    epoch: str | None
    recovered: bool | UnsetType = UNSET
    oldest: int | UnsetType = UNSET


class Unsubscribed(msgspec.Struct, frozen=True, kw_only=True):
    """No subscription is left."""

    success: bool = True
    channel: str


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The message went to so many connections, a subscribed publisher's own among them. C{replayed}: it did so before,
    by the same idempotency key.
    """

    success: bool = True
    recipients: int
    offset: int
    epoch: str
    replayed: bool | UnsetType = UNSET


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of a channel. C{oldest} to C{newest} are held. C{limit} is there if it was cut, and says to what."""

    channel: str
    epoch: str
    messages: list[HistoryMessage]
    oldest: int
    newest: int
    limit: int | UnsetType = UNSET


class ChannelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A channel: how many are subscribed to it by name, and which messages are held."""

    channel: str
    subscribers: int
    offset: int
    epoch: str
    messages: int
    durable: bool


class ChannelList(msgspec.Struct, frozen=True, kw_only=True):
    """Channels in the order of their names, C{total} in all. C{limit} is there if they were cut, and says to what."""

    channels: list[ChannelEntry]
    total: int
    limit: int | UnsetType = UNSET


@implementer(IStatistics, IRefreshObserver)
class ChannelService(Service):
    """Subscriptions and publications.

    @param allows: whether some permissions let a method be called on a resource.
    """

    name = "channel"

    def __init__(
        self, channels: Channels, idempotency: Idempotency, allows: Callable[[Permissions, str, str], bool]
    ) -> None:
        self._channels = channels.broker
        self._recovery = channels.recovery
        self._idempotency = idempotency
        self._allows = allows

    @permission(resource="channel", open=("$agents", "$presence"))
    def rpc_subscribe(
        self,
        caller: Caller,
        *,
        channel: ChannelPattern,
        since: Since | None = None,
        history: Count = 0,
        filter: dict[str, Any] | None = None,
    ) -> Subscribed:
        """Subscribe to channel, or to all that a pattern covers; with since or history from the past on."""
        assert caller.session is not None
        joined = self._recovery.subscribe(caller.session, channel, _position(since), history, _filter(filter))
        return Subscribed(
            channel=channel,
            offset=None if joined.position is None else joined.position.offset,
            epoch=None if joined.position is None else joined.position.epoch,
            recovered=UNSET if joined.recovered is None else joined.recovered,
            oldest=UNSET if joined.oldest is None else joined.oldest,
        )

    @session
    def rpc_unsubscribe(self, caller: Caller, *, channel: ChannelPattern) -> Unsubscribed:
        """Unsubscribe from channel, or from the pattern."""
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
    ) -> Published | Awaitable[Published]:
        """Publish to channel."""
        assert caller.entity_id is not None
        exclude = caller.session if exclude_self else None
        if idempotency_key is None:
            return _published(self._channels.publish(channel, message, caller.entity_id, exclude))
        digest = digest_of(channel, bytes(message), exclude_self)
        key = Key(caller.entity_id, "channel.publish", idempotency_key, digest)
        return self._idempotency.once(
            key,
            lambda: _published(self._channels.publish(channel, message, key.entity_id, exclude, key)),
            lambda published: msgspec.structs.replace(published, replayed=True),
        )

    @permission(resource="channel")
    def rpc_history(
        self, caller: Caller, *, channel: Name, since: Since | None = None, limit: Count = 100, reverse: bool = False
    ) -> History | Awaitable[History]:
        """Get messages of a channel: after a position, oldest first; in reverse before it, newest first."""
        page = self._recovery.page(channel, _position(since), min(limit, MAX_PAGE), reverse)
        cut = MAX_PAGE if limit > MAX_PAGE else UNSET
        if isinstance(page, Deferred):
            return page.addCallback(_history, channel, cut)
        return _history(page, channel, cut)

    @permission(resource="pattern")
    def rpc_list(self, caller: Caller, *, pattern: Pattern = ">", limit: Count = 1000) -> ChannelList:
        """List the channels that a pattern covers."""
        found = sorted((c for c in self._channels if covers(pattern, c.name)), key=lambda c: c.name)
        return ChannelList(
            channels=[
                ChannelEntry(
                    channel=c.name,
                    subscribers=len(c.subscribers),
                    offset=c.history.newest,
                    epoch=c.epoch,
                    messages=c.history.newest - c.oldest + 1,
                    durable=c.rule.durable,
                )
                for c in found[: min(limit, MAX_LISTED)]
            ],
            total=len(found),
            limit=MAX_LISTED if limit > MAX_LISTED else UNSET,
        )

    def session_refreshed(self, session: Session) -> None:
        """See L{IRefreshObserver}: subscriptions that the new token does not allow end."""
        for name in list(session.subscriptions):
            if not self._allows(session.principal.permissions, "channel.subscribe", name):
                self._recovery.unsubscribe(session, name)

    def statistics(self) -> Counts:
        """See L{IStatistics}."""
        channels = self._channels
        return Counts(
            current={"channels": len(channels), "patterns": len(channels.patterns)},
            total={"publications": channels.publications, "deliveries": channels.deliveries},
        )


def _position(since: Since | None) -> Position | None:
    return None if since is None else Position(since.offset, since.epoch)


def _filter(tree: dict[str, Any] | None) -> Filter | None:
    try:
        return None if tree is None else Filter(tree)
    except FilterError as fault:
        text, path = printable(f"params.{fault}", MAX_FAULT), f"params.{fault.where}"
        raise InvalidParams(f"Invalid params: {text}", path=path, near=fault.near, allowed=fault.allowed) from None


def _published(publication: Publication | Deferred[Publication]) -> Any:
    if isinstance(publication, Deferred):
        return publication.addCallback(_published)
    position = publication.position
    return Published(
        recipients=publication.recipients,
        offset=position.offset,
        epoch=position.epoch,
        replayed=publication.replayed or UNSET,
    )


def _history(page: Page, channel: str, cut: int | UnsetType) -> History:
    return History(
        channel=channel,
        epoch=page.position.epoch,
        messages=page.messages,
        oldest=page.oldest,
        newest=page.position.offset,
        limit=cut,
    )
