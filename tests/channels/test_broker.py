"""The rules of channels."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import Principal
from cell0gw.channels.broker import Broker
from cell0gw.channels.budget import Budget
from cell0gw.channels.rules import ChannelRule, ChannelRules
from cell0gw.channels.store import IMessageStore
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.protocol.errors import TooLarge
from cell0gw.protocol.limits import Limits
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session
from cell0gw.testing import RecordingConnection
from cell0gw.testing.stated import stated

PRINCIPAL = Principal(
    entity_id=">", entity_type="agent", permissions=Permissions([]), token_id="tok_1", expires_at=None
)


class ChannelsTests(SynchronousTestCase):
    """Subscriptions and fan-out."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.channels = self.make()

    def make(self, *rules: ChannelRule, total: int = 10_000_000) -> Broker:
        return Broker(
            ChannelRules(rules),
            MemoryMessageStore(),
            stated(self.clock),
            Budget(1_000_000, total),
            Limits(max_subscriptions=3),
        )

    def session(self, name: str) -> Session:
        return Session(name, name, PRINCIPAL, RecordingConnection(name), 0.0)

    def messages(self, session: Session) -> list[Any]:
        """What came to a session."""
        connection = session.connection
        assert isinstance(connection, RecordingConnection)
        return [json.loads(message) for message in connection.messages]

    def test_interfaces(self) -> None:
        """The parts provide what they are used as."""
        verifyObject(ISessionObserver, self.channels)
        verifyObject(IMessageStore, MemoryMessageStore())

    def test_fan_out(self) -> None:
        """A publication goes to each subscriber once, numbered, and to nobody else."""
        a, b, other = self.session("a"), self.session("b"), self.session("other")
        for session in (a, b, a):
            self.channels.subscribe(session, "events")
        self.channels.subscribe(other, "events.more")
        publication = self.channels.publish("events", {"n": 1}, "a")
        self.assertEqual((publication.recipients, publication.position.offset), (2, 1))
        self.assertEqual(self.messages(a), self.messages(b))
        self.assertEqual(
            self.messages(a),
            [
                {
                    "jsonrpc": "2.0",
                    "method": "channel.message",
                    "params": {
                        "channel": "events",
                        "message": {"n": 1},
                        "timestamp": "1970-01-01T00:00:00.000Z",
                        "offset": 1,
                        "epoch": publication.position.epoch,
                        "from": "a",
                    },
                }
            ],
        )
        self.assertEqual(self.messages(other), [])

    def test_one_message_for_all(self) -> None:
        """Every subscriber gets the very same bytes, encoded once."""
        sessions = [self.session(str(n)) for n in range(3)]
        for session in sessions:
            self.channels.subscribe(session, "events")
        self.channels.publish("events", 1, "x")
        self.assertEqual(len({id(s.connection.messages[0]) for s in sessions}), 1)  # type: ignore[attr-defined]

    def test_exclude(self) -> None:
        """A publisher who wants no copy gets none, and is not counted."""
        a, b = self.session("a"), self.session("b")
        self.channels.subscribe(a, "events")
        self.channels.subscribe(b, "events")
        self.assertEqual(self.channels.publish("events", 1, "a", exclude=a).recipients, 1)
        self.assertEqual(self.messages(a), [])

    def offset(self, channel: Any, message: Any) -> int:
        published: Any = self.channels.publish(channel, message, "a")
        return int(published.position.offset)

    def test_numbering(self) -> None:
        """Offsets count from 1 without a gap, for as long as the channel has subscribers or holds messages."""
        a, b = self.session("a"), self.session("b")
        before: Any = self.channels.subscribe(a, "events")
        self.assertEqual(before.position.offset, 0)
        self.assertEqual([self.offset("events", n) for n in range(3)], [1, 2, 3])
        self.channels.unsubscribe(a, "events")
        again: Any = self.channels.subscribe(b, "events")
        self.assertEqual(again.position, before.position)
        self.assertEqual(again.position.offset, 3)

    def test_nothing_is_left(self) -> None:
        """A channel that nobody is subscribed to, that holds nothing and was silent for long begins anew."""
        self.channels = self.make(ChannelRule(history_size=0))
        a = self.session("a")
        before: Any = self.channels.subscribe(a, "events")
        epoch = before.epoch
        self.offset("events", 1)
        self.channels.unsubscribe(a, "events")
        self.clock.advance(601)
        self.channels.retention.sweep()
        again: Any = self.channels.subscribe(a, "events")
        self.assertEqual(again.position.offset, 0)
        self.assertNotEqual(again.epoch, epoch)

    def test_too_old(self) -> None:
        """Publishing to nobody leaves its messages for as long as they are held, and then nothing."""
        for n in range(100):
            self.assertEqual(self.channels.publish(f"c{n}", 1, "a").recipients, 0)  # type: ignore[union-attr]
        self.assertEqual(len(self.channels), 100)
        self.clock.advance(599)
        self.channels.retention.sweep()
        self.assertEqual(len(self.channels), 100)
        self.clock.advance(2)
        self.channels.retention.sweep()
        self.assertEqual(len(self.channels), 0)
        self.assertEqual(self.channels.budget.used, 0)

    def test_too_much(self) -> None:
        """When all channels hold too much together, those that have been silent for longest forget, and go."""
        self.channels = self.make(total=25_000)
        for n in range(100):
            self.channels.publish(f"c{n}", "x" * 100, "a")
        self.clock.advance(0)
        self.assertLessEqual(self.channels.budget.used, 25_000)
        names = [channel.name for channel in self.channels]
        self.assertTrue(0 < len(names) < 20)
        self.assertEqual(names, [f"c{n}" for n in range(100 - len(names), 100)])

    def test_gone_with_its_last_message(self) -> None:
        """Subscribers by a pattern may not have the last message of a channel that is gone; long after it they do."""
        self.channels = self.make(ChannelRule(pattern="short", history_ttl=30), ChannelRule(history_ttl=90))
        a, b = self.session("a"), self.session("b")
        self.channels.subscribe(a, "*")
        self.channels.subscribe(b, "other.*")
        self.channels.publish("long", 1, "x")
        self.clock.advance(91)
        self.channels.retention.sweep()
        self.assertFalse(self.channels.losses.has(a, "*"))
        self.channels.publish("short", 1, "x")
        self.clock.advance(31)
        self.channels.retention.sweep()
        losses = self.channels.losses
        self.assertEqual((losses.has(a, "*"), losses.has(b, "other.*")), (True, False))

    def test_leaving(self) -> None:
        """A session that closes leaves all its channels; the subscriptions of others stay."""
        a, b = self.session("a"), self.session("b")
        for session in (a, b):
            self.channels.subscribe(session, "events")
        self.channels.subscribe(a, "more")
        self.channels.session_closed(a, Ending(EndingKind.LOST))
        self.assertEqual(self.channels.publish("events", 1, "x").recipients, 1)
        self.assertEqual(self.channels.publish("more", 1, "x").recipients, 0)

    def test_unsubscribe_without_subscription(self) -> None:
        """Unsubscribing from what one has no subscription to changes nothing."""
        self.channels.unsubscribe(self.session("a"), "events")
        self.assertEqual(len(self.channels), 0)

    def test_limit(self) -> None:
        """A session has so many subscriptions; those it has may be repeated."""
        a = self.session("a")
        for name in ("a", "b", "c", "c"):
            self.channels.subscribe(a, name)
        self.assertRaises(TooLarge, self.channels.subscribe, a, "d")
        self.assertEqual(self.channels.publish("d", 1, "x").recipients, 0)

    def test_events_of_channels(self) -> None:
        """The life of channels is told on $channels, that of the gateway's own is not."""
        watcher, a = self.session("watcher"), self.session("a")
        self.channels.subscribe(watcher, "$channels")
        self.channels.subscribe(a, "$agents")
        self.channels.subscribe(a, "events")
        self.channels.unsubscribe(a, "events")
        self.clock.advance(601)
        self.channels.retention.sweep()
        told = [message["params"] for message in self.messages(watcher)]
        self.assertEqual(
            [(event["type"], event["data"]) for event in told],
            [
                ("channel.created", {"channel": "events"}),
                ("channel.joined", {"channel": "events", "entity_id": "a"}),
                ("channel.left", {"channel": "events", "entity_id": "a"}),
                ("channel.removed", {"channel": "events"}),
            ],
        )
        self.assertEqual({(event["channel"], event["source"]) for event in told}, {("$channels", "gateway")})
