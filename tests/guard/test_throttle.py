"""How much a caller may ask for."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.guard.throttle import BURST_PARTS
from cell0gw.protocol.limits import ERROR_WINDOW
from cell0gw.testing import CallFailed, Client, MemoryGateway


class Case(SynchronousTestCase):
    """A gateway with limits that are soon reached."""

    def make(self, **options: Any) -> MemoryGateway:
        gateway = MemoryGateway(**options)
        self.addCleanup(gateway.close)
        return gateway

    def calls(self, client: Client, count: int) -> list[int | None]:
        """Make some calls; None is one that was answered, a number the error it got."""
        outcomes: list[int | None] = []
        for _ in range(count):
            try:
                client.call("rpc.ping")
                outcomes.append(None)
            except CallFailed as failed:
                outcomes.append(failed.code)
        return outcomes

    def rests_of(self, client: Client) -> list[float]:
        """What the gateway has a connection rest, in seconds; it rests all the same."""
        rests: list[float] = []
        rest = client.server.rest

        def noted(seconds: float) -> None:
            rests.append(seconds)
            rest(seconds)

        client.server.rest = noted
        return rests


class RateTests(Case):
    """Calls of a connection and of an entity."""

    def test_burst(self) -> None:
        """After a silence a burst is answered, the rest is -32003 with when to come back; then it goes on."""
        gateway = self.make(calls_per_second=10, calls_burst=32)
        client = gateway.connect()
        outcomes = self.calls(client, 40)
        self.assertEqual(outcomes, [None] * 32 + [-32003] * 8)
        error = client.refusal("rpc.ping")
        self.assertEqual((error["data"]["code"], error["data"]["retryable"]), ("rate_limited", True))
        gateway.advance(error["data"]["retry_after_ms"] / 1000)
        self.assertEqual(self.calls(client, 1), [None])

    def test_over_time(self) -> None:
        """Over a minute a caller that tries all the time gets its rate, a burst and a share of it more, at most."""
        gateway = self.make(calls_per_second=10, calls_burst=32)
        client = gateway.connect("a")
        answered = 0
        for _ in range(60):
            answered += self.calls(client, 15).count(None)
            gateway.advance(1)
        self.assertTrue(600 <= answered <= 600 + 32 + 1 + 32 // BURST_PARTS, answered)

    def test_goes_on_nevertheless(self) -> None:
        """Who makes as many calls again as a burst, all of them refused, is closed with 4013, after the answer."""
        client = self.make(calls_per_second=1, calls_burst=10).connect()
        self.calls(client, 20)
        self.assertIsNone(client.close_code)
        self.assertEqual(self.calls(client, 1), [-32003])
        self.assertEqual(client.close_code, 4013)

    def test_flood(self) -> None:
        """That now and then one of a flood is let through does not let it go on."""
        gateway = self.make(calls_per_second=10, calls_burst=32)
        client = gateway.connect()
        outcomes: list[int | None] = []
        while client.close_code is None:
            outcomes += self.calls(client, 5)
            gateway.advance(0.1)
            self.assertLess(len(outcomes), 120)
        self.assertEqual(client.close_code, 4013)
        self.assertTrue(any(outcome is None for outcome in outcomes[-10:]))

    def test_slightly_too_fast(self) -> None:
        """Who is refused less often than it is answered is never closed."""
        gateway = self.make(calls_per_second=10, calls_burst=32)
        client = gateway.connect("a")
        for _ in range(50):
            self.calls(client, 15)
            gateway.advance(1)
        self.assertIsNone(client.close_code)

    def test_batches(self) -> None:
        """Each entry of a batch is a call."""
        client = self.make(calls_per_second=1, calls_burst=10).connect()
        ping = {"jsonrpc": "2.0", "method": "rpc.ping"}
        (answers,) = client.send(json.dumps([{**ping, "id": number} for number in range(12)]))
        self.assertEqual([("error" in answer) for answer in answers], [False] * 10 + [True] * 2)

    def test_entity(self) -> None:
        """All connections of an entity share what it has; another entity has its own."""
        gateway = self.make(entity_calls_per_second=1, entity_calls_burst=20)
        agents = [gateway.connect("a") for _ in range(3)]
        outcomes = [outcome for agent in agents for outcome in self.calls(agent, 10)]
        self.assertEqual(outcomes.count(None), 20)
        self.assertEqual(self.calls(gateway.connect("b"), 15), [None] * 15)

    def test_entity_leaves_nothing(self) -> None:
        """When the last session of an entity is over, nothing is kept of it for longer than its calls count."""
        gateway = self.make()
        for client in [gateway.connect("a"), gateway.connect("a"), gateway.connect("b")]:
            client.call("rpc.ping")
            client.disconnect()
        gateway.advance(2)
        throttle = gateway.guard.throttle
        self.assertEqual((throttle._of_entity, throttle._gone), ({}, set()))

    def test_many_of_an_entity(self) -> None:
        """However many connections an entity has, what each has taken in advance leaves enough for the others."""
        gateway = self.make(entity_calls_per_second=1, entity_calls_burst=100)
        agents = [gateway.connect("a") for _ in range(60)]
        self.assertEqual([self.calls(agent, 1) for agent in agents], [[None]] * 60)

    def test_taken_in_advance(self) -> None:
        """What a connection has taken in advance and not used is its entity's again when it goes, however it goes."""
        gateway = self.make(entity_calls_per_second=1, entity_calls_burst=160)
        for number in range(100):
            agent = gateway.connect("a")
            self.calls(agent, 1)
            agent.vanish() if number % 2 else agent.disconnect()
        self.assertEqual(self.calls(gateway.connect("a"), 100).count(None), 60)

    def test_entity_comes_back(self) -> None:
        """Leaving and coming back makes nobody's bucket full; waiting does."""
        gateway = self.make(entity_calls_per_second=1, entity_calls_burst=20)
        agent = gateway.connect("a")
        self.calls(agent, 20)
        agent.disconnect()
        gateway.advance(5)
        self.assertEqual(self.calls(agent := gateway.connect("a"), 20).count(None), 5)
        agent.disconnect()
        gateway.advance(30)
        self.assertEqual(self.calls(gateway.connect("a"), 25).count(None), 20)

    def test_what_can_not_be_answered(self) -> None:
        """A notification beyond the limit is carried out like the others, and its connection is not read until it is
        paid: none is dropped.
        """
        gateway = self.make(calls_per_second=100, calls_burst=32)
        listener, client = gateway.connect("b"), gateway.connect("a")
        listener.call("channel.subscribe", channel="events")
        rests = self.rests_of(client)
        publish = {"jsonrpc": "2.0", "method": "channel.publish"}
        for number in range(100):
            client.protocol.sendMessage(
                json.dumps({**publish, "params": {"channel": "events", "message": number}}).encode()
            )
        client.flush()
        self.assertTrue(rests)
        gateway.advance(0.01, 0.01)
        self.assertLess(len(listener.received("channel.message")), 40)
        got: list[Any] = []
        for _ in range(12):
            gateway.advance(0.1, 0.05)
            got += [message["message"] for message in listener.received("channel.message")]
        self.assertEqual(listener.messages.count(None), 0)
        everything = [m["params"]["message"] for m in listener.messages if m.get("method") == "channel.message"]
        self.assertEqual(everything, list(range(100)))
        self.assertIsNone(client.close_code)

    def test_heartbeats_and_responses(self) -> None:
        """Heartbeats, and answers to what was asked or was not, are charged as calls are."""
        heartbeat = b'{"jsonrpc":"2.0","method":"heartbeat"}'
        for message in (heartbeat, b'{"jsonrpc":"2.0","id":"call_1","result":1}'):
            client = self.make(calls_per_second=1, calls_burst=10).connect()
            rests = self.rests_of(client)
            for _ in range(15):
                client.protocol.sendMessage(message)
            client.flush()
            self.assertEqual(rests, [1.0])

    def test_long_messages(self) -> None:
        """Each 4 KiB of a message count for a call, whatever it was compressed to, and never refuse it."""
        client = self.make(calls_per_second=100, calls_burst=50).connect("a")
        rests = self.rests_of(client)
        client.call("rpc.echo", message="x" * 100_000)  # 25 calls, and the one that it is
        self.assertEqual(rests, [])
        client.call("rpc.echo", message="x" * 120_000)
        ((rest),) = rests
        self.assertTrue(0 < rest < 0.2, rest)

    def test_longest_message(self) -> None:
        """However long a message is, it costs no more than ten seconds of calls."""
        client = self.make(calls_per_second=10, calls_burst=10).connect("a")
        rests = self.rests_of(client)
        client.call("rpc.echo", message="x" * 1_000_000)
        ((rest),) = rests
        self.assertTrue(9 < rest <= 10, rest)

    def test_slow_calls(self) -> None:
        """What takes longer than 4 ms is charged for the time beyond that: 400 calls for a millisecond."""
        gateway = self.make(calls_per_second=1000, calls_burst=200)
        client = gateway.connect("a")
        rests, dispatch = self.rests_of(client), gateway.factory.dispatch

        def slow(caller: Any, payload: bytes) -> Any:
            gateway.clock.rightNow += 0.00445
            return dispatch(caller, payload)

        client.call("rpc.ping")
        gateway.factory.dispatch = slow
        client.call("rpc.ping")
        self.assertEqual(rests, [])
        client.call("rpc.ping")
        self.assertEqual(len(rests), 1)

    def test_none(self) -> None:
        """A limit of 0 is none."""
        gateway = self.make(calls_per_second=0, calls_burst=1, entity_calls_per_second=0, entity_calls_burst=1)
        self.assertEqual(self.calls(gateway.connect("a"), 100), [None] * 100)

    def test_before_the_permission(self) -> None:
        """Too much is said before not allowed, and after not authenticated and not found."""
        gateway = self.make(calls_per_second=1, calls_burst=2)
        client = gateway.connect("a")
        self.calls(client, 1)
        self.assertEqual(client.refusal("gateway.getStats")["code"], -32003)
        self.assertEqual(client.refusal("no.such")["code"], -32601)
        stranger = gateway.connect()
        self.calls(stranger, 2)
        self.assertEqual(stranger.refusal("gateway.getStats")["code"], -32001)

    def test_refused_are_not_errors(self) -> None:
        """Who is too fast is not closed as one that makes mistakes."""
        client = self.make(calls_per_second=1, calls_burst=200, max_errors=5).connect()
        self.calls(client, 390)
        self.assertIsNone(client.close_code)


class ErrorTests(Case):
    """Requests that make no sense."""

    MISTAKES = (
        "{", "[]", '{"jsonrpc":"2.0","method":"no.such","id":1}', '{"jsonrpc":"2.0","method":"rpc.echo","id":1}',
        '{"jsonrpc":"2.0","method":"gateway.getStats","id":1}', '{"jsonrpc":"2.0","method":"rpc.echo"}',
        '{"jsonrpc":"2.0","method":"auth.listTokens","id":1}',
    )  # fmt: skip

    def test_too_many(self) -> None:
        """The one beyond the limit is answered, and closes the connection with 4509."""
        for mistake in self.MISTAKES:
            client = self.make(max_errors=5).connect("a")
            for _ in range(5):
                client.send(mistake)
            self.assertIsNone(client.close_code, mistake)
            answers = client.send(mistake)
            self.assertEqual((client.close_code, len(answers)), (4509, '"id"' in mistake or mistake in ("{", "[]")))

    def test_strangers(self) -> None:
        """Strangers have no more mistakes than others."""
        client = self.make(max_errors=5).connect()
        for _ in range(6):
            client.send('{"jsonrpc":"2.0","method":"session.getInfo","id":1}')
        self.assertEqual(client.close_code, 4509)

    def test_now_and_then(self) -> None:
        """Mistakes that are spread over time don't add up."""
        gateway = self.make(max_errors=5)
        client = gateway.connect("a")
        for _ in range(10):
            for _ in range(5):
                client.send("{")
            gateway.advance(ERROR_WINDOW + 1)
        self.assertIsNone(client.close_code)

    def test_not_the_clients(self) -> None:
        """Refusals that depend on others or on the time are no mistakes."""
        client = self.make(max_errors=5).connect("a")
        for _ in range(20):
            client.refusal("agent.send", agent_id="nobody", message=1)
        self.assertIsNone(client.close_code)

    def test_none(self) -> None:
        """A limit of 0 is none."""
        client = self.make(max_errors=0).connect("a")
        for _ in range(200):
            client.send("{")
        self.assertIsNone(client.close_code)
