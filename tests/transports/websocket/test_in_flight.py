"""A connection of which too much is in flight: nothing more is read from it."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels.rules import ChannelRule
from cell0gw.channels.store import NewMessage, Stored
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.protocol.limits import FRAGMENT_RATE, FRAGMENT_REST
from cell0gw.testing import Client, MemoryGateway
from tests.transports.websocket.test_chunking import frame
from tests.transports.websocket.test_hardened import BEGIN, GO_ON

DURABLE = (ChannelRule(pattern="d.>", durable=True, history_size=1000, history_ttl=1000.0),)


class SlowStore(MemoryMessageStore):
    """A disk that answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Deferred[Stored], NewMessage]] = []

    def append(self, message: NewMessage) -> Deferred[Stored]:
        """See L{IMessageStore}."""
        deferred: Deferred[Stored] = Deferred()
        self.waiting.append((deferred, message))
        return deferred

    def answer(self, count: int) -> None:
        """Let the oldest writes be done."""
        for _ in range(count):
            deferred, message = self.waiting.pop(0)
            super().append(message).chainDeferred(deferred)


class InFlightTests(SynchronousTestCase):
    """Four may be in flight."""

    def setUp(self) -> None:
        self.store = SlowStore()
        self.gateway = MemoryGateway(message_store=self.store, channels=DURABLE, max_in_flight=4)
        self.addCleanup(self.gateway.close)
        self.client = self.gateway.connect("a")
        self.told: list[str] = []
        transport = self.client.server.transport
        transport.pauseProducing = lambda: self.told.append("pause")
        transport.resumeProducing = lambda: self.told.append("resume")

    def publish(self, numbers: range, client: Client | None = None, batch: bool = False) -> None:
        """Publish to a durable channel without waiting for the answers."""
        calls = [
            {"jsonrpc": "2.0", "method": "channel.publish", "params": {"channel": "d.a", "message": n}, "id": n}
            for n in numbers
        ]
        for message in [calls] if batch else calls:
            (client or self.client).protocol.sendMessage(json.dumps(message).encode())
        (client or self.client).flush()

    def answered(self) -> list[Any]:
        """The ids of the answers that have come."""
        self.client.flush()
        return [m["id"] for m in self.client.messages if isinstance(m, dict) and "result" in m and m["id"] >= 100]

    def test_pause_and_resume(self) -> None:
        """With four in flight nothing is read; when two are left it goes on, in order, and nothing is lost."""
        self.publish(range(100, 110))
        self.assertEqual((len(self.store.waiting), self.told), (4, ["pause"]))
        self.store.answer(1)
        self.assertEqual((len(self.store.waiting), self.answered()), (3, [100]))
        self.store.answer(1)
        self.assertEqual((len(self.store.waiting), self.told), (4, ["pause", "pause"]))
        while self.store.waiting:
            self.store.answer(1)
        self.assertEqual(sorted(self.answered()), list(range(100, 110)))
        self.assertEqual((self.told[-1], self.client.server.caller.in_flight), ("resume", 0))
        history = self.gateway.channels.broker.get("d.a")
        assert history is not None
        self.assertEqual(history.history.newest, 10)

    def test_in_order(self) -> None:
        """What is published through a pause has the order in which it was sent."""
        subscriber = self.gateway.connect("b")
        subscriber.call("channel.subscribe", channel="d.a")
        self.publish(range(100, 130))
        while self.store.waiting:
            self.store.answer(1)
        self.assertEqual([m["message"] for m in subscriber.received("channel.message")], list(range(100, 130)))

    def test_rest(self) -> None:
        """While it is not read since its fragments came too fast, answers don't have it read on; time does."""
        self.publish(range(100, 103))
        fragments = frame(b" " * 64, BEGIN) + frame(b" " * 64, GO_ON) * FRAGMENT_RATE.burst
        self.client.server.dataReceived(fragments)
        self.assertEqual(self.told, ["pause"])
        self.store.answer(3)
        self.assertEqual(self.told, ["pause"])
        self.gateway.clock.advance(FRAGMENT_REST)
        self.assertEqual(self.told, ["pause", "resume"])

    def test_not_silent_for_a_rest(self) -> None:
        """A peer is not silent while it rests, however long: what it says then is not read. Afterwards it is."""
        self.client.server.rest(rest := 2 * self.gateway.config.heartbeat_timeout)
        self.gateway.clock.pump([1.0] * int(rest))
        self.assertEqual((self.told, self.client.server.closing_since), (["pause", "resume"], None))
        self.gateway.clock.pump([1.0] * int(rest / 2 + 1))
        self.assertIsNotNone(self.client.server.closing_since)

    def test_rest_with_as_many_in_flight(self) -> None:
        """When the rest is over and four are in flight still, nothing is read until two are left."""
        self.publish(range(100, 104))
        self.client.server.rest(FRAGMENT_REST)
        self.publish(range(104, 106))
        self.gateway.clock.advance(FRAGMENT_REST)
        self.assertEqual((len(self.store.waiting), self.told), (4, ["pause"]))
        self.store.answer(2)
        self.assertEqual((len(self.store.waiting), self.told), (4, ["pause", "pause"]))

    def test_others_go_on(self) -> None:
        """Another connection is read all the while."""
        self.publish(range(100, 110))
        self.assertEqual(self.gateway.connect("b").call("rpc.ping"), "pong")

    def test_batches(self) -> None:
        """The entries of a batch are in flight each; a batch that has begun is finished."""
        self.publish(range(100, 106), batch=True)
        self.assertEqual((len(self.store.waiting), self.told), (6, ["pause"]))
        self.store.answer(6)
        self.assertEqual(self.told, ["pause", "resume"])

    def test_long_messages(self) -> None:
        """What Autobahn reads waits as it came, and is read when it goes on."""
        self.publish(range(100, 104))
        long = {"jsonrpc": "2.0", "method": "rpc.echo", "params": {"message": "x" * 70_000}, "id": 500}
        self.client.protocol.sendMessage(json.dumps(long).encode())
        self.client.flush()
        self.assertEqual(self.answered(), [])
        self.assertTrue(self.client.server.data)
        self.store.answer(4)
        self.assertEqual(sorted(self.answered()), [100, 101, 102, 103, 500])

    def test_calls_to_agents(self) -> None:
        """Calls to agents don't count: else an agent's own answer might never be read."""
        self.gateway.connect("worker", capabilities=["work"], max_inflight=100)
        for number in range(10):
            call = {"agent_id": "worker", "message": number}
            message = {"jsonrpc": "2.0", "method": "agent.call", "params": call, "id": f"call {number}"}
            self.client.protocol.sendMessage(json.dumps(message).encode())
        self.client.flush()
        self.assertEqual((self.told, self.client.call("rpc.ping")), ([], "pong"))

    def test_silence(self) -> None:
        """Who is not read is not silent."""
        self.publish(range(100, 104))
        self.gateway.advance(100)
        self.assertIsNone(self.client.close_code)
        self.store.answer(4)
        self.assertEqual(self.client.call("rpc.ping"), "pong")

    def test_closed_meanwhile(self) -> None:
        """A connection that is closed while it is not read is read again, for the other side's goodbye."""
        self.publish(range(100, 110))
        self.client.server.close(4001, "go")
        self.assertEqual(self.told, ["pause", "resume"])
        self.client.flush()
        self.assertEqual((self.client.close_code, len(self.gateway.guard.connections)), (4001, 0))
        self.store.answer(4)
