"""``channel``: publish to many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType
from twisted.application.service import Service
from zope.interface import implementer

from cell0gw.auth.permissions import Permissions
from cell0gw.channels.channel import Publication
from cell0gw.channels.channels import Channels
from cell0gw.channels.filters import Filter, FilterError
from cell0gw.channels.recovery import HistoryPage, Subscribed
from cell0gw.channels.store import Position
from cell0gw.monitoring.statistics import Counts, IStatistics
from cell0gw.protocol.errors import InvalidParams
from cell0gw.protocol.keys import IdempotencyKey, Key, digest_of
from cell0gw.protocol.limits import MAX_LISTED
from cell0gw.protocol.printable import printable
from cell0gw.protocol.subjects import ChannelPattern, Name, Pattern, covers
from cell0gw.rpc.access import permission, session
from cell0gw.rpc.idempotency import Idempotency
from cell0gw.rpc.methods import MAX_FAULT
from cell0gw.sessions.observers import IRefreshObserver
from cell0gw.sessions.session import Caller, Session

Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]


# Beside Position, since what a client sends is bounded, and an object in JSON.
class Since(msgspec.Struct, frozen=True):
    """A position in a channel: that of the newest message that the client has seen. `offset` 0 is before the first."""

    offset: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    epoch: Annotated[str, Meta(max_length=200)]

    @property
    def position(self) -> Position:
        """The same as the rules have it."""
        return Position(self.offset, self.epoch)


class Unsubscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The subscription has ended."""

    success: bool = True
    channel: str


class ChannelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A channel. `subscribers` are those by its name, `messages` is the number of messages retained."""

    channel: str
    subscribers: int
    offset: int
    epoch: str
    messages: int
    durable: bool


class ChannelList(msgspec.Struct, frozen=True, kw_only=True):
    """Channels, sorted by name. `total` is how many match.

    `limit` is present if the request's limit was lowered to it.
    """

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
        """Subscribe to a channel, or to all that match a pattern. `since` or `history` replay retained messages."""
        assert caller.session is not None
        return self._recovery.subscribe(caller.session, channel, _position(since), history, _filter(filter))

    @session
    def rpc_unsubscribe(self, caller: Caller, *, channel: ChannelPattern) -> Unsubscribed:
        """Unsubscribe from a channel or a pattern."""
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
        """Publish a message to a channel."""
        assert caller.entity_id is not None
        exclude = caller.session if exclude_self else None
        if idempotency_key is None:
            return self._channels.publish(channel, message, caller.entity_id, exclude)
        digest = digest_of(channel, bytes(message), exclude_self)
        key = Key(caller.entity_id, "channel.publish", idempotency_key, digest)
        return self._idempotency.once(
            key,
            lambda: self._channels.publish(channel, message, key.entity_id, exclude, key),
            lambda publication: msgspec.structs.replace(publication, replayed=True),
        )

    @permission(resource="channel")
    def rpc_history(
        self, caller: Caller, *, channel: Name, since: Since | None = None, limit: Count = 100, reverse: bool = False
    ) -> HistoryPage | Awaitable[HistoryPage]:
        """Get retained messages: after a position, oldest first; with `reverse`, before it, newest first."""
        return self._recovery.page(channel, _position(since), limit, reverse)

    @permission(resource="pattern")
    def rpc_list(self, caller: Caller, *, pattern: Pattern = ">", limit: Count = 1000) -> ChannelList:
        """List the channels that match a pattern."""
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
    return None if since is None else since.position


def _filter(tree: dict[str, Any] | None) -> Filter | None:
    try:
        return None if tree is None else Filter(tree)
    except FilterError as fault:
        raise InvalidParams(f"Invalid params: {printable(str(fault), MAX_FAULT)}") from None
