"""Channels, put together: subscriptions, publications, retention, and recovery of missed messages."""

from __future__ import annotations

from typing import Protocol

from msgspec import structs
from zope.interface import implementer

from cell0gw.channels.answers import Pages
from cell0gw.channels.broker import Broker
from cell0gw.channels.budget import Budget
from cell0gw.channels.recovery import Recovery
from cell0gw.channels.retention import DiskRetention
from cell0gw.channels.rules import ChannelOptions, ChannelRule, ChannelRules
from cell0gw.channels.store import IMessageStore
from cell0gw.process.interfaces import IReconfigurable
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.limits import Limits


class _Options(Protocol):
    """What is asked of the options."""

    @property
    def channels(self) -> tuple[ChannelRule, ...]: ...


@implementer(IReconfigurable)
class Channels:
    """The parts, by name.

    @param store: keeps the messages of durable channels.
    @param limits: maximum channels and patterns that one session is subscribed to.
    @ivar broker: all channels, and all subscriptions.
    @ivar recovery: subscriptions that begin in the past.
    @ivar pages: what has been published, page by page.
    @ivar parts: what is notified of sessions, sweeps, drains and changed options, in this order.
    """

    def __init__(self, store: IMessageStore, options: ChannelOptions, limits: Limits, runtime: Runtime) -> None:
        self._rules = ChannelRules(options.channels)
        self._store, self._dates = store, runtime.dates
        budget = Budget(options.history_bytes, options.total_history_bytes)
        self.broker = Broker(self._rules, store, runtime, budget, limits, options.heartbeat_timeout)
        self.recovery = Recovery(self.broker, store, runtime.clock, limits)
        self.pages = Pages(self.broker, store, runtime.clock, limits)
        disk = DiskRetention(self.broker, store, runtime, options.idempotency_window)
        self.parts = (self, self.recovery, self.broker, self.broker.retention, disk)

    def load(self) -> None:
        """Load what the store kept."""
        if (seen := self._store.seen()) is not None:
            self._dates.resume(seen)
        self.broker.load()

    def reconfigure(self, config: _Options) -> None:
        """See L{IReconfigurable}: other rules hold for the channels that there are as well, but for C{durable}: what a
        channel was it stays, for the life of the process.
        """
        self._rules.change(config.channels)
        for channel in self.broker:
            rule = structs.replace(self._rules.of(channel.name), durable=channel.rule.durable)
            if rule != channel.rule:
                channel.rule = rule
                channel.history.follow(rule)
                self.broker.retention.watch(channel)
