"""``channel``: publish to many."""

from __future__ import annotations

import msgspec
from msgspec import Raw
from twisted.application.service import Service
from zope.interface import implementer

from cell0gw.channels import Channels
from cell0gw.interfaces import IStatistics
from cell0gw.permissions import permission, session
from cell0gw.sessions import Caller
from cell0gw.statistics import Counts
from cell0gw.subjects import ChannelName, Name


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The subscription holds. C{offset} is the newest publication's, 0 when there was none in this C{epoch}."""

    success: bool = True
    channel: str
    offset: int
    epoch: str


class Unsubscribed(msgspec.Struct, frozen=True, kw_only=True):
    """No subscription is left."""

    success: bool = True
    channel: str


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The message went to so many connections, a subscribed publisher's own among them."""

    success: bool = True
    recipients: int
    offset: int
    epoch: str


@implementer(IStatistics)
class ChannelService(Service):
    """Subscriptions and publications."""

    name = "channel"

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    @permission(resource="channel", open=("$agents", "$presence"))
    def rpc_subscribe(self, caller: Caller, *, channel: ChannelName) -> Subscribed:
        """Subscribe to channel."""
        assert caller.session is not None
        position = self._channels.subscribe(caller.session, channel)
        return Subscribed(channel=channel, offset=position.offset, epoch=position.epoch)

    @session
    def rpc_unsubscribe(self, caller: Caller, *, channel: ChannelName) -> Unsubscribed:
        """Unsubscribe from channel."""
        assert caller.session is not None
        self._channels.unsubscribe(caller.session, channel)
        return Unsubscribed(channel=channel)

    @permission(resource="channel")
    def rpc_publish(self, caller: Caller, *, channel: Name, message: Raw, exclude_self: bool = False) -> Published:
        """Publish to channel."""
        assert caller.entity_id is not None
        exclude = caller.connection if exclude_self else None
        publication = self._channels.publish(channel, message, caller.entity_id, exclude)
        position = publication.position
        return Published(recipients=publication.recipients, offset=position.offset, epoch=position.epoch)

    def statistics(self) -> Counts:
        """See L{IStatistics}."""
        channels = self._channels
        return Counts(
            current={"channels": len(channels)},
            total={"publications": channels.publications, "deliveries": channels.deliveries},
        )
