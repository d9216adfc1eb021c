"""Channels without messages: who comes back to one has missed nothing, and what they cost is bounded."""

from __future__ import annotations

import tracemalloc
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels.broker import Broker
from cell0gw.channels.budget import SLACK, Budget
from cell0gw.channels.history import EMPTY
from cell0gw.channels.retention import MAX_STALE, RETURN
from cell0gw.channels.rules import ChannelRule, ChannelRules
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.protocol.limits import Limits
from cell0gw.sessions.session import Session
from cell0gw.testing import RecordingConnection
from cell0gw.testing.stated import stated
from tests.channels.test_durable import DurableCase
from tests.channels.test_wildcards import PRINCIPAL

HOUR, DAY = "durable.hour", 86400.0
RULES = ChannelRules([ChannelRule(pattern="d.>", durable=True, history_ttl=7 * DAY)])


class ReturnTests(DurableCase):
    """Somebody leaves a channel that has no messages, and comes back."""

    def leave(self, channel: str) -> dict[str, Any]:
        """Subscribe, and unsubscribe; gives the position."""
        answer = self.subscribe(channel)
        self.b.call("channel.unsubscribe", channel=channel)
        return {"offset": answer["offset"], "epoch": answer["epoch"]}

    def recovered(self, channel: str, since: dict[str, Any]) -> Any:
        return self.subscribe(channel, since=since)["recovered"]

    def listed(self) -> list[str]:
        return [entry["channel"] for entry in self.a.call("channel.list")["channels"]]

    def test_within_its_time(self) -> None:
        """A channel that never had a message is there for as long as it would hold one, and nothing was missed."""
        for channel, seconds in (("minute", 50), (HOUR, 3500), ("none", 500)):
            since = self.leave(channel)
            self.gateway.advance(seconds)
            self.assertIs(self.recovered(channel, since), True)

    def test_after_its_time(self) -> None:
        """After that it is gone, and a position of it is lost; the disk has nothing of it either."""
        for channel, seconds in (("minute", 70), (HOUR, 3700)):
            since = self.leave(channel)
            self.gateway.advance(seconds)
            self.assertEqual((self.listed(), self.store.load()), ([], []))
            self.assertIs(self.recovered(channel, since), False)
            self.b.call("channel.unsubscribe", channel=channel)

    def test_each_time_anew(self) -> None:
        """The time begins with the last subscriber to go, as often as that happens."""
        since = self.leave("minute")
        for _ in range(5):
            self.gateway.advance(50)
            self.assertIs(self.recovered("minute", since), True)
            self.b.call("channel.unsubscribe", channel="minute")

    def test_a_connection_breaks(self) -> None:
        """The end of a session is the end of its subscriptions, too."""
        since = self.leave("minute")
        self.subscribe("minute")
        self.b.disconnect()
        self.b = self.gateway.connect("b")
        self.gateway.advance(50)
        self.assertIs(self.recovered("minute", since), True)

    def test_messages_that_are_too_old(self) -> None:
        """A channel whose messages are all too old is no loss either to those who have had them."""
        for channel, seconds in (("minute", 50), (HOUR, 3500)):
            self.subscribe(channel)
            self.fill(3, channel)
            self.gateway.advance(7300)
            since = self.since(3, channel)
            self.b.call("channel.unsubscribe", channel=channel)
            self.gateway.advance(seconds)
            self.assertIs(self.recovered(channel, since), True)

    def test_the_next_process(self) -> None:
        """The epoch of a durable channel is on disk as soon as it has a subscriber, and its numbering begins there."""
        answer = self.subscribe(HOUR)
        since = {"offset": 0, "epoch": answer["epoch"]}
        self.start()
        self.subscribe("x")  # or the next epoch would have the same name
        self.gateway.advance(3500)
        self.assertIs(self.recovered(HOUR, since), True)
        self.assertEqual(self.a.call("channel.publish", channel=HOUR, message=1)["epoch"], since["epoch"])
        self.start()
        self.assertIs(self.recovered(HOUR, since), True)

    def test_nobody_comes_back(self) -> None:
        """What nobody comes back to after a start is gone after its time, on disk as well."""
        self.subscribe(HOUR)
        self.start()
        self.gateway.advance(3700)
        self.assertEqual((self.listed(), self.store.load()), ([], []))

    def test_the_disk_fails(self) -> None:
        """When the epoch can't be written the subscription is there all the same; the next one has it written."""
        self.store.broken = True
        epoch = self.subscribe(HOUR)["epoch"]
        self.assertEqual(self.store.load(), [])
        self.store.broken = False
        self.subscribe(HOUR, self.a)
        self.assertEqual([(each.name, each.epoch) for each in self.store.load()], [(HOUR, epoch)])

    def test_refused_publications(self) -> None:
        """A channel that only a refused publication has opened is gone at once."""
        self.store.broken = True
        self.a.refusal("channel.publish", channel=HOUR, message=1)
        self.assertEqual(self.listed(), [])

    def test_patterns(self) -> None:
        """The end of a channel that never had a message is no loss to those who are away and have a pattern."""
        self.subscribe("*")
        self.subscribe("minute", self.a)
        secret = self.b.call("auth.authenticate", token=self.gateway.token("b"))["resume_token"]
        self.b.vanish()
        self.a.call("channel.unsubscribe", channel="minute")
        self.gateway.advance(70)
        self.assertEqual(self.listed(), [])
        self.b = self.gateway.connect("b")
        self.assertEqual(self.b.call("session.resume", resume_token=secret)["channels"], {})

    def test_the_gateway_s_own(self) -> None:
        """The gateway's own channels are not numbered: they go with their last subscriber."""
        self.leave("$agents")
        self.assertIsNone(self.gateway.channels.broker.get("$agents"))


class BrokerCase(SynchronousTestCase):
    """With channels alone."""

    ROOM = 200

    def setUp(self) -> None:
        self.clock, self.store = Clock(), MemoryMessageStore()
        self.start(2 * self.ROOM)
        self.session, self.other = self.open("s"), self.open("o")

    def start(self, room: int) -> None:
        """As a new process would."""
        budget = Budget(10**9, room * EMPTY)
        self.channels = Broker(RULES, self.store, stated(self.clock), budget, Limits(max_subscriptions=10**6))
        self.channels.load()

    def open(self, name: str) -> Session:
        return Session(name, name, PRINCIPAL, RecordingConnection(name), 0.0)

    def sweep(self, seconds: float = 1.0) -> None:
        self.clock.advance(seconds)
        self.channels.retention.sweep()


class SilentTests(BrokerCase):
    """A durable channel was silent for longer than it holds messages, but not without subscribers."""

    def test_a_start(self) -> None:
        """It is there for an hour after a start, for those who come back, and then no more."""
        for seconds, expected in ((RETURN - 100, True), (RETURN + 100, False)):
            self.channels.publish("d.x", 1, "a")
            self.channels.subscribe(self.session, "d.x")
            self.sweep(8 * DAY)
            self.start(self.ROOM)
            self.session = self.open("s")
            self.sweep()
            self.sweep(seconds)
            self.assertIs(self.channels.get("d.x") is not None, expected)


class FloodTests(BrokerCase):
    """Somebody subscribes to ever new names."""

    def flood(self, count: int, prefix: str, stays: bool = False) -> None:
        for number in range(count):
            name = f"{prefix}{number}"
            self.channels.subscribe(self.session, name)
            if not stays:
                self.channels.unsubscribe(self.session, name)
            if number % 50 == 0:
                self.sweep()
        self.sweep()

    def test_one_entity(self) -> None:
        """An entity has half of the room, in memory and on disk; those of others are there still."""
        for prefix in ("m.", "d."):
            self.channels.subscribe(self.other, prefix + "other")
            self.channels.unsubscribe(self.other, prefix + "other")
        for prefix in ("m.", "d."):
            self.flood(20 * self.ROOM, prefix)
            self.assertLessEqual(len(self.channels), self.ROOM + 2)
            self.assertLessEqual(len(self.store.load()), self.ROOM + 2)
            self.assertGreaterEqual(len(self.channels), self.ROOM - self.ROOM // SLACK - 1)
        self.assertIsNotNone(self.channels.get("m.other"))
        self.assertIsNotNone(self.channels.get("d.other"))

    def test_its_own_messages(self) -> None:
        """Its own channels with messages are there still, however many empty ones it opens."""
        self.channels.publish("kept", 1, "s")
        self.channels.subscribe(self.other, "m.s")
        self.channels.publish("m.s", 1, "s")
        self.flood(5 * self.ROOM, "m.")
        for name in ("kept", "m.s"):
            channel = self.channels.get(name)
            assert channel is not None
            self.assertEqual(len(channel.history), 1)

    def test_looks(self) -> None:
        """What is remembered of channels that are gone is bounded as well, however long they would have been there."""
        self.flood(20 * self.ROOM, "d.")
        self.assertLessEqual(len(self.channels.retention._due), 2 * len(self.channels) + MAX_STALE + 50)

    def test_subscribers(self) -> None:
        """What had to make room is there for its subscribers alone, and gone with them, on disk as well."""
        for prefix in ("m.", "d."):
            self.flood(5 * self.ROOM, prefix, stays=True)
        self.assertEqual(len(self.channels), 10 * self.ROOM)
        for name in list(self.session.subscriptions):
            self.channels.unsubscribe(self.session, name)
        self.assertLessEqual(len(self.channels), self.ROOM)
        self.assertLessEqual(len(self.store.load()), self.ROOM)

    def test_a_start(self) -> None:
        """After a start there is no more room either: what is beyond it goes from the disk."""
        self.flood(self.ROOM, "d.")
        self.start(self.ROOM)
        self.sweep()
        self.assertLessEqual(len(self.channels), self.ROOM // 2)
        self.assertEqual(len(self.store.load()), len(self.channels))

    def test_real_size(self) -> None:
        """A channel counts for what it takes, with a name as long as names are."""
        count = self.ROOM // 2
        names = [f"d.{number}".ljust(200, "x") for number in range(count)]
        self.flood(count, "m.")
        tracemalloc.start()
        try:
            for name in names:
                own = "".join(list(name))
                self.channels.subscribe(self.session, own)
                self.channels.unsubscribe(self.session, own)
            self.assertLessEqual(tracemalloc.get_traced_memory()[0], count * EMPTY)
        finally:
            tracemalloc.stop()
