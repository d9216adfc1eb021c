"""Idempotency keys: done once, answered as often as asked."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels.rules import ChannelRule
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.protocol.errors import Conflict, RateLimited, Unavailable
from cell0gw.protocol.keys import Key, digest_of
from cell0gw.rpc import idempotency
from cell0gw.rpc.idempotency import Idempotency
from cell0gw.testing import Client, MemoryGateway

WINDOW = 300.0


def key(name: str = "k", entity: str = "a", method: str = "m", params: bytes = b"1") -> Key:
    return Key(entity, method, name, digest_of(params))


class IdempotencyTests(SynchronousTestCase):
    """L{Idempotency.once}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.keys = Idempotency(self.clock, WINDOW)
        self.done: list[Deferred[str]] = []

    def once(self, key: Key, result: Any = "done") -> Any:
        return self.keys.once(key, lambda: result, lambda earlier: f"{earlier} before")

    def begin(self, key: Key) -> Any:
        """Do something that takes its time: the test ends it."""

        def act() -> Deferred[str]:
            self.done.append(Deferred())
            return self.done[-1]

        return self.keys.once(key, act, lambda earlier: f"{earlier} before")

    def act_in_vain(self, key: Key) -> None:
        def act() -> str:
            raise Unavailable

        self.assertRaises(Unavailable, self.keys.once, key, act, str)

    def nothing_is_left(self) -> None:
        self.assertEqual((len(self.keys), dict(self.keys._of_entity)), (0, {}))

    def test_once(self) -> None:
        """What was done is not done again; whoever asks again has the same result, made known as such."""
        self.assertEqual(self.once(key()), "done")
        for _ in range(2):
            self.assertEqual(self.once(key(), "again"), "done before")
        self.assertEqual(len(self.keys), 1)

    def test_race(self) -> None:
        """Who comes while it is being done waits for it, and has its result, too."""
        first, second, third = (self.begin(key()) for _ in range(3))
        self.assertEqual(len(self.done), 1)
        for deferred in (first, second, third):
            self.assertNoResult(deferred)
        self.done[0].callback("done")
        self.assertEqual([self.successResultOf(d) for d in (first, second, third)], ["done", *["done before"] * 2])
        self.assertEqual(self.once(key()), "done before")

    def test_other_params(self) -> None:
        """A key that stands for other params is refused, both while those are taken care of and later."""
        waiting = self.begin(key())
        self.assertRaises(Conflict, self.begin, key(params=b"2"))
        self.done[0].callback("done")
        self.assertRaises(Conflict, self.once, key(params=b"2"))
        self.assertEqual((self.successResultOf(waiting), self.once(key())), ("done", "done before"))

    def test_whose(self) -> None:
        """A key is one entity's, for one method: the same text of others, or for another, is another key."""
        for each in (key(), key(entity="b"), key(method="n"), key("l")):
            self.assertEqual(self.once(each), "done")
        self.assertEqual(len(self.keys), 4)

    def test_failure(self) -> None:
        """What failed may be tried again under its key, with other params, too."""
        self.act_in_vain(key())
        self.nothing_is_left()
        self.assertEqual(self.once(key(params=b"2")), "done")

    def test_failure_later(self) -> None:
        """What fails later fails for all who wait for it, and is forgotten."""
        first, second = self.begin(key()), self.begin(key())
        self.done[0].errback(Unavailable())
        for deferred in (first, second):
            self.failureResultOf(deferred, Unavailable)
        self.nothing_is_left()
        again = self.begin(key())
        self.done[1].callback("done")
        self.assertEqual(self.successResultOf(again), "done")

    def test_done_at_once(self) -> None:
        """A Deferred that has fired already is as good as a result."""
        deferred: Deferred[str] = Deferred()
        deferred.callback("done")
        self.assertEqual(self.successResultOf(self.once(key(), deferred)), "done")
        self.assertEqual(self.once(key()), "done before")

    def test_window(self) -> None:
        """A key stands for its call for the window, from when it was made, however often it is asked for."""
        self.once(key())
        self.clock.advance(WINDOW - 1)
        self.once(key("later"))
        self.keys.sweep()
        self.assertEqual(self.once(key()), "done before")
        self.clock.advance(1)
        self.keys.sweep()
        self.assertEqual((self.once(key()), self.once(key("later"))), ("done", "done before"))
        self.clock.advance(WINDOW)
        self.keys.sweep()
        self.nothing_is_left()

    def test_a_call_that_is_being_made(self) -> None:
        """A call that takes longer than the window is not made twice: its key stands for it until it is done."""
        waiting = self.begin(key())
        self.once(key("other"))
        self.clock.advance(WINDOW * 2)
        self.keys.sweep()
        second = self.begin(key())
        self.done[0].callback("done")
        self.assertEqual((self.successResultOf(waiting), self.successResultOf(second)), ("done", "done before"))
        self.keys.sweep()
        self.nothing_is_left()

    def limit(self, keys: Callable[[int], Key], retry: Key) -> None:
        """With room for two: a third is refused until one is gone."""
        self.once(keys(0))
        waiting = self.begin(keys(1))
        refused = self.assertRaises(RateLimited, self.once, keys(2))
        self.assertEqual(refused.data["retry_after_ms"], WINDOW * 1000)
        self.assertEqual(self.once(retry), "done before")
        self.done[0].errback(Unavailable())
        self.failureResultOf(waiting, Unavailable)
        self.assertEqual(self.once(keys(2)), "done")
        self.assertRaises(RateLimited, self.once, keys(3))
        self.clock.advance(WINDOW)
        self.keys.sweep()
        self.assertEqual(self.once(keys(3)), "done")

    def test_limit(self) -> None:
        """There are so many keys; those that are known are answered still."""
        self.patch(idempotency, "MAX_KEYS", 2)
        self.limit(lambda n: key(entity=f"e{n}"), key(entity="e0"))

    def test_limit_of_an_entity(self) -> None:
        """An entity has so many keys; those of others are not touched by it."""
        self.patch(idempotency, "MAX_KEYS_OF_ENTITY", 2)
        self.limit(lambda n: key(f"k{n}"), key("k0"))
        self.once(key("k4"))
        self.assertRaises(RateLimited, self.once, key("k5"))
        self.assertEqual(self.once(key("k5", entity="b")), "done")

    def test_who_has_most(self) -> None:
        """Where there are too many keys, who has most loses the oldest, as long as others have fewer."""
        self.patch(idempotency, "MAX_KEYS", 10)
        for number in range(10):
            self.once(key(f"k{number}"))
        self.assertRaises(RateLimited, self.once, key("more"))
        for number in range(5):
            self.once(key(f"k{number}", entity="b"))
        self.assertRaises(RateLimited, self.once, key("more", entity="b"))
        self.assertEqual([self.once(key(f"k{n}", entity=who)) for n in (5, 9) for who in "a"], ["done before"] * 2)
        self.assertEqual([self.once(key(f"k{n}", entity="b")) for n in range(5)], ["done before"] * 5)
        self.assertEqual(len(self.keys), 10)
        self.clock.advance(WINDOW)
        self.keys.sweep()
        self.nothing_is_left()

    def test_memory(self) -> None:
        """A key takes no more than half a kilobyte and a bit, however long it is."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1000):
            self.once(key(chr(0x1F600) * 196 + f"{number:04}"))
        after, _ = tracemalloc.get_traced_memory()
        self.assertLess(after - before, 1000 * 640)

    def test_digest(self) -> None:
        """Params that are written otherwise, or split otherwise, are others."""
        lists = [("a", b"b"), ("a", b"b "), ("ab", b""), ("", b"ab"), ("a", b"b", True), ("a", b"b", False), ("a",), ()]
        self.assertEqual(len({digest_of(*each) for each in lists}), len(lists))
        self.assertEqual(digest_of("a", b"b", True), digest_of("a", b"b", True))


class Case(SynchronousTestCase):
    """With a gateway, one of whose channels is durable."""

    RULES = (ChannelRule(pattern="durable", durable=True),)

    def setUp(self) -> None:
        self.store = MemoryMessageStore()
        self.start()

    def start(self) -> None:
        self.gateway = MemoryGateway(message_store=self.store, channels=self.RULES)
        self.addCleanup(self.gateway.close)
        self.a, self.b = self.gateway.connect("a"), self.gateway.connect("b")

    def arrived(self, client: Client, method: str = "channel.message") -> list[Any]:
        return [params["message"] for params in client.received(method)]


class PublishTests(Case):
    """C{channel.publish} with a key."""

    def test_again(self) -> None:
        """A publication that is made again, on another connection too, arrives once and has the first one's answer."""
        self.b.call("channel.subscribe", channel="x")
        first = self.a.call("channel.publish", channel="x", message={"n": 1}, idempotency_key="k")
        self.assertEqual((first["recipients"], first["offset"], "replayed" in first), (1, 1, False))
        self.b.call("channel.unsubscribe", channel="x")
        for client in (self.a, self.gateway.connect("a")):
            again = client.call("channel.publish", channel="x", message={"n": 1}, idempotency_key="k")
            self.assertEqual(again, first | {"replayed": True})
        self.assertEqual(self.arrived(self.b), [{"n": 1}])

    def test_keys_of_others(self) -> None:
        """Without a key, with another, by another entity, it is another publication."""
        for client, more in ((self.a, {"idempotency_key": "k"}), (self.a, {}), (self.a, {"idempotency_key": "l"}),
                             (self.b, {"idempotency_key": "k"})):  # fmt: skip
            answer = client.call("channel.publish", channel="x", message=1, **more)
            self.assertNotIn("replayed", answer)
        self.assertEqual(answer["offset"], 4)

    def test_other_params(self) -> None:
        """The same key with anything else is refused with -32007, and nothing is published."""
        self.a.call("channel.publish", channel="x", message=1, idempotency_key="k")
        for params in (
            {"channel": "x", "message": 2}, {"channel": "y", "message": 1},
            {"channel": "x", "message": 1, "exclude_self": True},
        ):  # fmt: skip
            refusal = self.a.refusal("channel.publish", idempotency_key="k", **params)
            self.assertEqual((refusal["code"], refusal["data"]["code"]), (-32007, "conflict"), params)
        self.assertEqual(self.a.call("channel.publish", channel="x", message=3)["offset"], 2)

    def test_window(self) -> None:
        """After the window the same key is a new publication."""
        self.a.call("channel.publish", channel="x", message=1, idempotency_key="k")
        self.gateway.advance(WINDOW - 1)
        again = self.a.call("channel.publish", channel="x", message=1, idempotency_key="k")
        self.assertTrue(again["replayed"])
        self.gateway.advance(2)
        later = self.a.call("channel.publish", channel="x", message=1, idempotency_key="k")
        self.assertEqual((later["offset"], "replayed" in later), (2, False))

    def test_wrong_keys(self) -> None:
        """A key is a text of 1 to 200 characters."""
        for wrong in ("", "x" * 201, 1, ["k"]):
            refusal = self.a.refusal("channel.publish", channel="x", message=1, idempotency_key=wrong)
            self.assertEqual(refusal["code"], -32602, wrong)
        self.a.call("channel.publish", channel="x", message=1, idempotency_key="\u00e9" * 200)

    def test_too_many(self) -> None:
        """Beyond the limit a key is refused for a while, and nothing is published."""
        self.patch(idempotency, "MAX_KEYS_OF_ENTITY", 1)
        self.a.call("channel.publish", channel="x", message=1, idempotency_key="k")
        refusal = self.a.refusal("channel.publish", channel="x", message=1, idempotency_key="l")
        self.assertEqual((refusal["code"], refusal["data"]["retryable"]), (-32003, True))
        self.assertEqual(refusal["data"]["retry_after_ms"], 300_000)
        self.assertEqual(self.a.call("channel.publish", channel="x", message=1)["offset"], 2)


class DurableTests(Case):
    """C{channel.publish} with a key, where answers wait for the disk."""

    def publish(self, client: Client, request_id: int, message: int = 1) -> None:
        """Ask for it without waiting for the answer."""
        params = {"channel": "durable", "message": message, "idempotency_key": "k"}
        client.send(json.dumps({"jsonrpc": "2.0", "method": "channel.publish", "id": request_id, "params": params}))

    def answers(self, client: Client) -> dict[int, Any]:
        client.flush()
        return {m["id"]: m.get("result", m.get("error")) for m in client.messages if m.get("id", 0) >= 1000}

    def test_race(self) -> None:
        """Asked for again while the disk is busy it is written once, and both have their answer when it is."""
        self.b.call("channel.subscribe", channel="durable")
        again = self.gateway.connect("a")
        self.store.held = True
        self.publish(self.a, 1000)
        self.publish(again, 1001)
        self.publish(again, 1002, message=2)
        self.assertEqual((self.answers(self.a), self.arrived(self.b)), ({}, []))
        self.assertEqual(self.answers(again)[1002]["code"], -32007)
        self.store.release()
        first = self.answers(self.a)[1000]
        self.assertEqual((first["recipients"], first["offset"]), (1, 1))
        self.assertEqual(self.answers(again)[1001], first | {"replayed": True})
        self.assertEqual(self.arrived(self.b), [1])

    def test_failure(self) -> None:
        """What could not be written may be tried again under its key."""
        self.store.broken = True
        self.assertEqual(
            self.a.refusal("channel.publish", channel="durable", message=1, idempotency_key="k")["code"], -32000
        )
        self.store.broken = False
        answer = self.a.call("channel.publish", channel="durable", message=1, idempotency_key="k")
        self.assertEqual((answer["offset"], "replayed" in answer), (1, False))

    def test_another_process(self) -> None:
        """The next process knows the key as well: the same offset, nothing written, nothing delivered."""
        first = self.a.call("channel.publish", channel="durable", message=1, idempotency_key="k")
        self.start()
        self.b.call("channel.subscribe", channel="durable")
        again = self.a.call("channel.publish", channel="durable", message=1, idempotency_key="k")
        self.assertEqual(again, first | {"recipients": 0, "replayed": True})
        self.assertEqual(
            self.a.refusal("channel.publish", channel="durable", message=2, idempotency_key="k")["code"], -32007
        )
        self.assertEqual(self.arrived(self.b), [])
        self.assertEqual(self.a.call("channel.publish", channel="durable", message=3)["offset"], 2)


class SendTests(Case):
    """C{agent.send} with a key."""

    def test_again(self) -> None:
        """A message that is sent again arrives once, and has its first id."""
        first = self.a.call("agent.send", agent_id="b", message=1, idempotency_key="k")
        again = self.a.call("agent.send", agent_id="b", message=1, idempotency_key="k")
        self.assertEqual(again, first | {"replayed": True})
        self.assertEqual(self.arrived(self.b, "agent.message"), [1])

    def test_other_params(self) -> None:
        """The same key with another message, or for another agent, is refused; for another method it is another key."""
        self.a.call("agent.send", agent_id="b", message=1, idempotency_key="k")
        for params in ({"agent_id": "b", "message": 2}, {"agent_id": "a", "message": 1}):
            self.assertEqual(self.a.refusal("agent.send", idempotency_key="k", **params)["code"], -32007)
        self.assertNotIn("replayed", self.a.call("channel.publish", channel="b", message=1, idempotency_key="k"))
        self.assertEqual(self.arrived(self.b, "agent.message"), [1])

    def test_nobody(self) -> None:
        """What could not be sent may be tried again under its key."""
        params = {"agent_id": "c", "message": 1, "idempotency_key": "k"}
        self.assertEqual(self.a.refusal("agent.send", **params)["code"], -32006)
        c = self.gateway.connect("c")
        self.assertNotIn("replayed", self.a.call("agent.send", **params))
        self.assertEqual(self.arrived(c, "agent.message"), [1])
