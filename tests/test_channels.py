"""The rules of channels."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.channels import Channels
from cell0gw.engines.local import LocalBroker
from cell0gw.errors import TooLarge
from cell0gw.interfaces import IBroker, ISessionObserver
from cell0gw.permissions import Permissions
from cell0gw.sessions import Principal, Session
from cell0gw.testing import RecordingConnection, counter

PRINCIPAL = Principal(
    entity_id=">", entity_type="agent", permissions=Permissions([]), token_id="tok_1", expires_at=None
)


class ChannelsTests(SynchronousTestCase):
    """Subscriptions and fan-out."""

    def setUp(self) -> None:
        self.channels = Channels(LocalBroker(counter()), Clock(), max_subscriptions=3)

    def session(self, name: str) -> Session:
        return Session(name, name, PRINCIPAL, RecordingConnection(name), 0.0)

    def messages(self, session: Session) -> list[Any]:
        """What came to a session: frames without their two bytes of header."""
        connection = session.connection
        assert isinstance(connection, RecordingConnection)
        return [json.loads(frame[frame.index(b"{") :]) for frame in connection.frames]

    def test_interfaces(self) -> None:
        """The parts provide what they are used as."""
        verifyObject(ISessionObserver, self.channels)
        verifyObject(IBroker, LocalBroker(counter()))

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

    def test_one_frame_for_all(self) -> None:
        """Every subscriber gets the very same bytes, framed once."""
        sessions = [self.session(str(n)) for n in range(3)]
        for session in sessions:
            self.channels.subscribe(session, "events")
        self.channels.publish("events", 1, "x")
        self.assertEqual(len({id(s.connection.frames[0]) for s in sessions}), 1)  # type: ignore[attr-defined]

    def test_exclude(self) -> None:
        """A publisher who wants no copy gets none, and is not counted."""
        a, b = self.session("a"), self.session("b")
        self.channels.subscribe(a, "events")
        self.channels.subscribe(b, "events")
        self.assertEqual(self.channels.publish("events", 1, "a", exclude=a.connection).recipients, 1)
        self.assertEqual(self.messages(a), [])

    def test_numbering(self) -> None:
        """Offsets count from 1 without a gap; a channel that nobody held begins anew, in another epoch."""
        a = self.session("a")
        before = self.channels.subscribe(a, "events")
        self.assertEqual(before.offset, 0)
        offsets = [self.channels.publish("events", n, "a").position.offset for n in range(3)]
        self.assertEqual(offsets, [1, 2, 3])
        b = self.session("b")
        self.assertEqual(self.channels.subscribe(b, "events"), before._replace(offset=3))
        for session in (a, b):
            self.channels.unsubscribe(session, "events")
        again = self.channels.subscribe(a, "events")
        self.assertEqual(again.offset, 0)
        self.assertNotEqual(again.epoch, before.epoch)

    def test_nobody_listens(self) -> None:
        """Publishing to nobody reaches nobody and leaves nothing behind."""
        for n in range(100):
            self.assertEqual(self.channels.publish(f"c{n}", 1, "a").recipients, 0)
        self.assertEqual(len(self.channels), 0)
        self.assertEqual(len(self.channels._broker._positions), 0)  # type: ignore[attr-defined]

    def test_leaving(self) -> None:
        """A session that closes leaves all its channels; the subscriptions of others stay."""
        a, b = self.session("a"), self.session("b")
        for session in (a, b):
            self.channels.subscribe(session, "events")
        self.channels.subscribe(a, "more")
        self.channels.session_closed(a, "gone")
        self.assertEqual(self.channels.publish("events", 1, "x").recipients, 1)
        self.assertEqual(self.channels.publish("more", 1, "x").recipients, 0)
        self.assertEqual(len(self.channels), 1)

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
