"""Channels, put together."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels.channels import Channels
from cell0gw.channels.rules import ChannelRule
from cell0gw.config.options import Config
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.protocol.limits import Limits
from cell0gw.testing.stated import stated


class ChannelsTests(SynchronousTestCase):
    """L{Channels}."""

    def setUp(self) -> None:
        self.clock, self.store = Clock(), MemoryMessageStore()

    def make(self, *rules: ChannelRule) -> Channels:
        return Channels(self.store, Config(channels=rules).channel_options, Limits(), stated(self.clock))

    def test_load(self) -> None:
        """What the store kept of durable channels is there after a start."""
        rule = ChannelRule(pattern="d", durable=True)
        self.make(rule).broker.publish("d", 1, "a")
        again = self.make(rule)
        again.load()
        self.assertEqual([(channel.name, channel.position.offset) for channel in again.broker], [("d", 1)])

    def test_reconfigure(self) -> None:
        """Other rules hold for a channel that there is, but that it goes on to be held where it was."""
        channels = self.make()
        channels.broker.publish("a", 1, "x")
        (channel,) = channels.broker
        channels.reconfigure(Config(channels=(ChannelRule(pattern="a", history_size=7),)))
        self.assertEqual(channel.rule.history_size, 7)
        channels.reconfigure(Config(channels=(ChannelRule(pattern="a", durable=True, history_size=8),)))
        self.assertEqual((channel.rule.history_size, channel.rule.durable), (8, False))

    def test_reconfigure_durable(self) -> None:
        """A channel that would not be durable any more is, and all else of the new rule holds for it."""
        channels = self.make(ChannelRule(pattern="a", durable=True))
        channels.broker.publish("a", 1, "x")
        (channel,) = channels.broker
        channels.reconfigure(Config(channels=(ChannelRule(pattern="a", history_ttl=7.0, max_message_size=3),)))
        self.assertEqual(channel.rule, ChannelRule(pattern="a", durable=True, history_ttl=7.0, max_message_size=3))
