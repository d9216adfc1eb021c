"""Durable channels: on disk before anyone hears of a message, and there still for the next process."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cell0gw.channels.rules import ChannelRule
from cell0gw.protocol.errors import RateLimited, Unavailable
from tests.channels.test_recovery import RecoveryCase, messages, offsets

D = "durable.x"


class DurableCase(RecoveryCase):
    """With a disk that is as quick as the test says."""

    RULES = (
        ChannelRule(pattern="durable.five", durable=True, history_size=5),
        ChannelRule(pattern="durable.hour", durable=True, history_ttl=3600.0),
        ChannelRule(pattern="durable.none", durable=True, history_size=0),
        *RecoveryCase.RULES,
    )

    def ask(self, message: Any, request_id: int) -> None:
        """Publish without waiting for the answer."""
        params = {"channel": D, "message": message}
        self.a.send(json.dumps({"jsonrpc": "2.0", "method": "channel.publish", "id": request_id, "params": params}))

    def answers(self) -> list[tuple[int, Any]]:
        """What came back, in order."""
        self.a.flush()
        found = [m for m in self.a.messages if m.get("id", 0) >= 1000]
        return [(m["id"], m["result"]["offset"] if "result" in m else m["error"]["code"]) for m in found]


class PublishTests(DurableCase):
    """The way of a message."""

    def test_not_before_it_is_stored(self) -> None:
        """Nobody hears of a message, its publisher neither, before it is on disk; then all do."""
        self.subscribe(D)
        self.subscribe(">", self.a)
        self.store.held = True
        self.ask(1, 1000)
        self.gateway.advance(5)
        self.assertEqual((self.answers(), offsets(self.b, D), offsets(self.a, D)), ([], [], []))
        self.store.release()
        self.assertEqual((self.answers(), offsets(self.b, D), offsets(self.a, D)), ([(1000, 1)], [1], [1]))

    def test_no_room(self) -> None:
        """What the disk has no room for is refused, with when to try again, counted, and leaves no channel behind."""
        full = Failure(RateLimited("no room", limit="max_database_size", retry_after_ms=1000))
        self.patch(self.store, "_append", lambda message: full)
        error = self.a.refusal("channel.publish", channel=D, message=1)
        self.assertEqual((error["code"], error["data"]["limit"]), (-32003, "max_database_size"))
        self.assertIsNone(self.gateway.channels.broker.get(D))
        admin = self.gateway.connect(token=self.gateway.token("admin", "system", ["*"]))
        self.assertEqual(admin.call("gateway.getStats")["services"]["channel"]["publications_refused"], 1)

    def test_order(self) -> None:
        """What waits for the disk together is numbered, delivered and answered in the order it came."""
        self.subscribe(D)
        self.store.held = True
        for n in range(5):
            self.ask(n, 1000 + n)
        self.store.release()
        self.assertEqual(self.answers(), [(1000 + n, n + 1) for n in range(5)])
        self.assertEqual([(m["offset"], m["message"]) for m in messages(self.b, D)], [(n + 1, n) for n in range(5)])

    def test_recipients(self) -> None:
        """The answer counts those who got it once it was stored; a publisher may leave itself out."""
        self.subscribe(D)
        self.subscribe(D, self.a)
        self.assertEqual(self.a.call("channel.publish", channel=D, message=1)["recipients"], 2)
        answer = self.a.call("channel.publish", channel=D, message=2, exclude_self=True)
        self.assertEqual((answer["recipients"], answer["offset"]), (1, 2))
        self.assertEqual((offsets(self.a, D), offsets(self.b, D)), ([1], [1, 2]))

    def test_time(self) -> None:
        """A message has the time when it was published, not when the disk was done."""
        self.subscribe(D)
        self.store.held = True
        self.ask(1, 1000)
        self.gateway.advance(5)
        self.store.release()
        self.assertEqual(messages(self.b, D)[0]["timestamp"], "2026-02-12T10:30:00.000Z")
        shown = self.b.call("channel.history", channel=D)["messages"][0]
        self.assertEqual(shown["timestamp"], "2026-02-12T10:30:00.000Z")

    def test_broken(self) -> None:
        """When the disk fails the publisher is told -32000, nobody got anything, and the numbers go on."""
        self.subscribe(D)
        self.fill(2, D)
        self.store.broken = True
        refusal = self.a.refusal("channel.publish", channel=D, message=1)
        self.assertEqual((refusal["code"], refusal["data"]["retryable"]), (-32000, True))
        self.assertEqual(offsets(self.b, D), [1, 2])
        self.assertTrue(self.a.call("channel.publish", channel="memory", message=1)["success"])
        self.store.broken = False
        self.assertEqual(self.a.call("channel.publish", channel=D, message=1)["offset"], 3)
        self.assertEqual(offsets(self.b, D), [1, 2, 3])

    def test_broken_from_the_start(self) -> None:
        """A channel whose first message could not be stored leaves nothing behind."""
        self.store.broken = True
        self.assertEqual(self.a.refusal("channel.publish", channel=D, message=1)["code"], -32000)
        self.assertEqual(self.a.call("channel.list")["channels"], [])

    def test_in_process(self) -> None:
        """A program in the process awaits the disk as clients do."""
        self.store.held = True
        published: Any = self.gateway.publish(D, 1)
        deferred: Deferred[Any] = published.deferred
        self.assertNoResult(deferred)
        self.store.broken = True
        self.store.release()
        self.failureResultOf(deferred, Unavailable)

    def test_joined_meanwhile(self) -> None:
        """Who subscribes while a message waits for the disk gets it, once: live, or as one that was missed."""
        self.fill(2, D)
        self.store.held = True
        self.ask(3, 1000)
        answers = [self.subscribe(D, since=self.since(1, D)), self.subscribe(D, self.a)]
        self.assertEqual([answer["offset"] for answer in answers], [2, 2])
        self.store.release()
        self.assertEqual((offsets(self.b, D), offsets(self.a, D)), ([2, 3], [3]))

    def test_gone_meanwhile(self) -> None:
        """A publisher that is gone before the disk was done has published still; nobody is hurt by it."""
        self.subscribe(D)
        self.store.held = True
        self.ask(1, 1000)
        self.a.vanish()
        self.store.release()
        self.assertEqual(offsets(self.b, D), [1])


class ProcessTests(DurableCase):
    """The next process."""

    def test_goes_on(self) -> None:
        """Numbering, epoch and messages are there; positions of the process before are good."""
        self.fill(5, D)
        position = self.since(2, D)
        self.start()
        (entry,) = self.b.call("channel.list")["channels"]
        self.assertEqual((entry["offset"], entry["messages"], entry["epoch"]), (5, 5, position["epoch"]))
        answer = self.subscribe(D, since=position)
        self.assertEqual((answer["recovered"], answer["offset"]), (True, 5))
        self.publish(6, channel=D)
        self.assertEqual([m["message"] for m in messages(self.b, D)], [3, 4, 5, 6])
        self.assertEqual(offsets(self.b, D), [3, 4, 5, 6])

    def test_as_it_was(self) -> None:
        """What is brought from disk is what was delivered live, to the letter."""
        self.subscribe(D)
        self.publish({"a": [1, None, "\u00e9"]}, 2.5, channel=D)
        live = messages(self.b, D)
        epoch = self.epoch(D)
        self.start()
        self.subscribe(D, since={"offset": 0, "epoch": epoch})
        self.assertEqual(messages(self.b, D), live)

    def test_not_what_is_in_memory(self) -> None:
        """Other channels begin anew."""
        self.fill(5)
        self.fill(1, D)
        self.start()
        self.assertEqual([c["channel"] for c in self.b.call("channel.list")["channels"]], [D])
        self.assertEqual(self.subscribe()["offset"], 0)

    def test_no_longer_durable(self) -> None:
        """A channel that is durable no longer begins anew, and the disk is left as it is."""
        self.fill(5, D)
        epoch = self.epoch(D)
        rules, self.RULES = self.RULES, ()
        self.start()
        self.assertEqual(self.b.call("channel.list")["channels"], [])
        self.RULES = rules
        self.start()
        self.assertEqual(self.subscribe(D, since={"offset": 5, "epoch": epoch})["recovered"], True)


class KeepingTests(DurableCase):
    """How long messages stay."""

    def test_number(self) -> None:
        """The newest few are kept."""
        self.fill(20, "durable.five")
        page = self.b.call("channel.history", channel="durable.five")
        self.assertEqual([m["offset"] for m in page["messages"]], [16, 17, 18, 19, 20])
        self.assertEqual(page["oldest"], 16)
        since = self.since(14, "durable.five")
        self.assertEqual(self.subscribe("durable.five", since=since)["recovered"], False)
        self.assertEqual(self.subscribe("durable.five", since=since | {"offset": 15})["recovered"], True)
        self.assertEqual(offsets(self.b, "durable.five"), [16, 17, 18, 19, 20])

    def test_none(self) -> None:
        """Without history the newest is kept, so that the numbering goes on."""
        self.fill(3, "durable.none")
        epoch = self.epoch("durable.none")
        self.start()
        answer = self.subscribe("durable.none", since={"offset": 2, "epoch": epoch})
        self.assertEqual((answer["recovered"], answer["offset"]), (True, 3))

    def test_more_on_disk_than_in_memory(self) -> None:
        """What memory has no room for is read from disk."""
        gateway = self.gateway
        self.fill(50, D)
        channel = gateway.channels.broker.get(D)
        assert channel is not None
        channel.history.clear()
        self.fill(10, D)
        self.assertEqual(len(self.b.call("channel.history", channel=D, limit=60)["messages"]), 60)
        self.subscribe(D, history=30)
        self.assertEqual(offsets(self.b, D), list(range(31, 61)))

    def test_age(self) -> None:
        """What is too old goes from the disk, too; a channel that has subscribers keeps its numbering."""
        hour = "durable.hour"
        self.subscribe(hour)
        self.fill(3, hour)
        self.gateway.advance(3000)
        self.fill(2, hour)
        self.gateway.advance(700)
        page = self.b.call("channel.history", channel=hour)
        self.assertEqual(([m["offset"] for m in page["messages"]], page["oldest"]), ([4, 5], 4))
        self.gateway.advance(3700)
        self.fill(1, hour)
        self.assertEqual(offsets(self.b, hour)[-1], 6)

    def test_idle(self) -> None:
        """A channel without subscribers goes with its last message; the next one begins a new numbering."""
        hour = "durable.hour"
        self.fill(3, hour)
        epoch = self.epoch(hour)
        self.gateway.advance(3500)
        self.assertEqual(self.epoch(hour), epoch)
        self.gateway.advance(200)
        self.assertEqual(self.b.call("channel.list")["channels"], [])
        self.assertEqual(self.store.load(), [])
        answer = self.a.call("channel.publish", channel=hour, message=1)
        self.assertEqual((answer["offset"], answer["epoch"] == epoch), (1, False))

    def test_idle_after_a_start(self) -> None:
        """A channel that nobody has used since a start goes when its newest message is too old, not earlier."""
        hour = "durable.hour"
        self.fill(3, hour)
        self.start()
        self.gateway.advance(3500)
        self.assertEqual(len(self.b.call("channel.history", channel=hour)["messages"]), 3)
        self.gateway.advance(200)
        self.assertEqual((self.b.call("channel.list")["channels"], self.store.load()), ([], []))
