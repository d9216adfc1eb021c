"""How long channels are there, and what the disk is told to forget."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels.broker import Broker
from cell0gw.channels.budget import Budget
from cell0gw.channels.history import EMPTY
from cell0gw.channels.retention import PURGE_EVERY, DiskRetention
from cell0gw.channels.rules import ChannelRule, ChannelRules
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.protocol.errors import Unavailable
from cell0gw.protocol.limits import Limits
from cell0gw.sessions.session import Session
from cell0gw.testing import RecordingConnection
from cell0gw.testing.stated import stated
from tests.channels.test_wildcards import PRINCIPAL

PLENTY = 10**9
TTL = 100.0


class RecordingStore(MemoryMessageStore):
    """A store that remembers what it was told to forget, and says when the test does."""

    def __init__(self) -> None:
        super().__init__()
        self.purges: list[tuple[dict[str, float], float]] = []
        self.answer: Deferred[dict[str, int]] | None = None

    def purge(self, too_old: dict[str, float], keys_before: float) -> Deferred[dict[str, int]]:
        """See L{IMessageStore}."""
        self.purges.append((too_old, keys_before))
        answer, self.answer = self.answer, None
        return succeed({}) if answer is None else answer


class Case(SynchronousTestCase):
    """With channels that hold their messages for a while."""

    def setUp(self) -> None:
        self.clock, self.store = Clock(), RecordingStore()
        self.use(PLENTY)

    def use(self, total: int) -> None:
        rules = ChannelRules(
            [
                ChannelRule(pattern="durable.>", durable=True, history_ttl=TTL),
                ChannelRule(pattern="none", history_size=0, history_ttl=TTL),
                ChannelRule(history_ttl=TTL),
            ]
        )
        self.budget = Budget(PLENTY, total)
        self.channels = Broker(rules, self.store, stated(self.clock), self.budget, Limits())

    def publish(self, channel: str) -> Any:
        return self.channels.publish(channel, 1, "a")

    def names(self) -> list[str]:
        return [channel.name for channel in self.channels]

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.channels.retention.sweep()


class RetentionTests(Case):
    """Channels."""

    def test_until_the_last_is_too_old(self) -> None:
        """A channel without subscribers is there until its newest message is too old."""
        self.publish("a")
        self.wait(60)
        self.publish("a")
        self.wait(99)
        self.assertEqual(self.names(), ["a"])
        self.wait(1)
        self.assertEqual((self.names(), self.budget.used), ([], 0))

    def test_without_history(self) -> None:
        """One that holds nothing keeps its numbering as long as if it held something."""
        first = self.publish("none").position
        session = Session("s", "s", PRINCIPAL, RecordingConnection("s"), 0.0)
        self.channels.subscribe(session, "none")
        self.channels.unsubscribe(session, "none")
        self.wait(99)
        self.assertEqual(self.publish("none").position, (2, first.epoch))
        self.wait(100)
        self.assertEqual(self.publish("none").position.offset, 1)

    def test_one_look_for_each(self) -> None:
        """However often a channel comes and goes, it is looked at once for each time that it came."""
        self.use(EMPTY + 1000)
        for _ in range(50):
            for channel in ("a", "b"):
                self.publish(channel)
            self.wait(1)
        for _ in range(20):
            self.publish("a")
            self.wait(TTL / 2)
        self.assertEqual(len(self.channels.retention._due), 1)

    def test_too_much(self) -> None:
        """Beyond the budget those that were silent for longest go; who is subscribed to keeps its numbering."""
        self.use(3 * EMPTY + 1800)
        for channel in ("a", "b", "c", "d"):
            self.publish(channel)
        self.assertNotIn("a", self.names())
        self.assertIn("d", self.names())
        self.assertLessEqual(self.budget.used, 3 * EMPTY + 1800)


class DiskRetentionTests(Case):
    """The disk."""

    def setUp(self) -> None:
        super().setUp()
        self.disk = DiskRetention(self.channels, self.store, stated(self.clock), 300.0)

    def sweep(self, seconds: float = PURGE_EVERY) -> None:
        self.clock.advance(seconds)
        self.disk.sweep()

    def test_what_is_too_old(self) -> None:
        """Now and then the disk is told which messages of which channels are too old, and which keys."""
        for channel in ("a", "durable.x"):
            self.publish(channel)
        for seconds in (1000.0, 1.0, PURGE_EVERY - 2, 1.0):
            self.sweep(seconds)
        self.assertEqual(self.store.purges, [({"durable.x": 900.0}, 700.0), ({"durable.x": 960.0}, 760.0)])

    def test_keys_of_channels_that_are_gone(self) -> None:
        """Keys are forgotten in time, though no durable channel is left."""
        self.sweep(1000.0)
        self.assertEqual(self.store.purges, [({}, 700.0)])

    def test_what_the_disk_says(self) -> None:
        """What the disk has forgotten is no longer held; what it has yet to tell changes nothing."""
        self.publish("durable.x")
        channel = self.channels.get("durable.x")
        assert channel is not None
        for _ in range(4):
            self.publish("durable.x")
        channel.history.clear()
        self.assertEqual(channel.oldest, 1)
        self.store.answer = answer = Deferred()
        self.sweep()
        self.assertEqual(channel.oldest, 1)
        answer.callback({"durable.x": 4, "durable.gone": 9})
        self.assertEqual(channel.oldest, 4)

    def test_the_disk_fails(self) -> None:
        """What could not be forgotten is tried again the next time."""
        self.store.answer = fail(Unavailable())
        for _ in range(2):
            self.sweep()
        self.assertEqual(len(self.store.purges), 2)
