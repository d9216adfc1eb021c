"""Subscriptions to patterns of channels, alone and beside others."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import Principal
from cell0gw.channels.broker import Broker
from cell0gw.channels.budget import Budget
from cell0gw.channels.filters import Filter
from cell0gw.channels.rules import ChannelRules
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.subjects import OWN_CHANNELS, covers
from cell0gw.sessions.session import Session
from cell0gw.testing import Client, MemoryGateway, RecordingConnection
from cell0gw.testing.stated import stated
from tests.protocol.test_patterns import names, patterns

PRINCIPAL = Principal(
    entity_id=">", entity_type="agent", permissions=Permissions([]), token_id="tok_1", expires_at=None
)


def filtered(value: int) -> dict[str, Any]:
    return {"field": "n", "op": "eq", "value": value}


class Case(SynchronousTestCase):
    """With a gateway, a publisher and a subscriber."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.a, self.b = self.gateway.connect("a"), self.gateway.connect("b")

    def subscribe(self, *names: str, client: Client | None = None, **params: Any) -> None:
        for name in names:
            answer = (client or self.b).call("channel.subscribe", channel=name, **params)
            self.assertEqual((answer["success"], answer["channel"]), (True, name))

    def publish(self, channel: str, message: Any = 1, **params: Any) -> int:
        """How many got it."""
        return int(self.a.call("channel.publish", channel=channel, message=message, **params)["recipients"])

    def got(self, client: Client | None = None) -> list[tuple[str, Any]]:
        """The channels and messages that came since the last look."""
        client = client or self.b
        found = [(params["channel"], params["message"]) for params in client.received("channel.message")]
        del client.messages[:]
        return found


class DeliveryTests(Case):
    """What comes by a pattern."""

    def test_answer(self) -> None:
        """A pattern has no offset and no epoch: it has no numbering of its own."""
        self.assertEqual(
            self.b.call("channel.subscribe", channel="tasks.>"),
            {"success": True, "channel": "tasks.>", "offset": None, "epoch": None},
        )

    def test_which_channels(self) -> None:
        """Whatever is published to a channel that the pattern covers comes, under the channel's own name."""
        self.subscribe("tasks.*.done")
        for channel, recipients in (("tasks.a.done", 1), ("tasks.b.done", 1), ("tasks.done", 0), ("tasks.a.b.done", 0)):
            self.assertEqual(self.publish(channel, channel), recipients, channel)
        self.assertEqual(self.got(), [("tasks.a.done", "tasks.a.done"), ("tasks.b.done", "tasks.b.done")])

    def test_once(self) -> None:
        """Several subscriptions that cover a channel bring a message once."""
        self.subscribe("tasks.x", "tasks.*", "tasks.>", ">", "*.x")
        self.assertEqual(self.publish("tasks.x"), 1)
        self.assertEqual(self.got(), [("tasks.x", 1)])

    def test_channels_that_come_later(self) -> None:
        """A channel that is used for the first time, or once more after it was gone, is covered as any other."""
        self.subscribe(">")
        self.publish("x")
        self.gateway.advance(700)
        self.assertEqual(self.a.call("channel.list")["channels"], [])
        self.publish("x")
        self.publish("y")
        self.assertEqual([channel for channel, _ in self.got()], ["x", "x", "y"])

    def test_pattern_after_channel(self) -> None:
        """A pattern that comes to a channel in use counts from the next message on; so does one that goes."""
        self.subscribe("x", client=self.a)
        self.publish("x", 1)
        self.subscribe("*")
        self.publish("x", 2)
        self.b.call("channel.unsubscribe", channel="*")
        self.publish("x", 3)
        self.assertEqual((self.got(), [m for _, m in self.got(self.a)]), ([("x", 2)], [1, 2, 3]))

    def test_unsubscribe(self) -> None:
        """Unsubscribing from one leaves the others; from what covers a subscription, it leaves that."""
        self.subscribe("x", "*", ">")
        for name, expected in (("*", 1), ("x", 1), ("a.>", 1), (">", 0), (">", 0)):
            self.assertEqual(self.b.call("channel.unsubscribe", channel=name), {"success": True, "channel": name})
            self.assertEqual((self.publish("x"), len(self.got())), (expected, expected), name)

    def test_listed(self) -> None:
        """Patterns stand among the subscriptions; they are no channels, and no channel's subscribers."""
        self.subscribe("x", ">")
        self.assertEqual(self.b.call("session.getInfo")["subscriptions"], ["x", ">"])
        (entry,) = self.b.call("channel.list")["channels"]
        self.assertEqual((entry["channel"], entry["subscribers"]), ("x", 1))

    def test_leaving(self) -> None:
        """Who leaves takes its patterns along, and the last one leaves nothing behind."""
        self.subscribe(">", "a.*")
        self.subscribe(">", client=self.a)
        self.b.disconnect()
        self.assertEqual(self.publish("a.x"), 1)
        self.assertEqual(len(self.gateway.channels.broker.patterns), 1)

    def test_limit(self) -> None:
        """Patterns count as subscriptions."""
        gateway = MemoryGateway(max_subscriptions=2)
        self.addCleanup(gateway.close)
        client = gateway.connect("a")
        self.subscribe("x", "*", "*", client=client)
        self.assertEqual(client.refusal("channel.subscribe", channel=">")["code"], -32005)


class ExcludeTests(Case):
    """C{exclude_self}"""

    def test_by_whatever(self) -> None:
        """A publisher that leaves itself out gets nothing by any of its subscriptions, and is not counted."""
        for subscribed in (["x"], ["*"], ["x", "*", ">"]):
            self.subscribe(*subscribed, client=self.a)
            self.subscribe("*")
            self.assertEqual(self.publish("x", exclude_self=True), 1, subscribed)
            self.assertEqual((self.got(self.a), self.got()), ([], [("x", 1)]))

    def test_with_a_filter(self) -> None:
        """A filter makes no difference to that."""
        self.subscribe("*", client=self.a, filter=filtered(1))
        self.subscribe("*", filter=filtered(1))
        self.assertEqual(self.publish("x", {"n": 1}, exclude_self=True), 1)
        self.assertEqual((len(self.got(self.a)), len(self.got())), (0, 1))

    def test_another_session(self) -> None:
        """It is the session that is left out: another one of the same entity gets it."""
        other = self.gateway.connect("a")
        self.subscribe("*", client=other)
        self.assertEqual(self.publish("x", exclude_self=True), 1)


class FilterTests(Case):
    """Filters of several subscriptions."""

    def check(self, *expected: int) -> None:
        """Of three messages these come, each once, and are counted."""
        counts = [self.publish("x", {"n": n}) for n in (1, 2, 3)]
        self.assertEqual(counts, [int(n in expected) for n in (1, 2, 3)])
        self.assertEqual([message["n"] for _, message in self.got()], list(expected))

    def test_any_of_them(self) -> None:
        """A message comes that any of the subscriptions wants; one without a filter wants all."""
        self.subscribe("x", filter=filtered(1))
        self.check(1)
        self.subscribe("*", filter=filtered(2))
        self.check(1, 2)
        self.subscribe(">", filter=filtered(1))
        self.check(1, 2)
        self.subscribe("*.>")
        self.check(1, 2)
        self.subscribe(">")
        self.check(1, 2, 3)
        self.b.call("channel.unsubscribe", channel=">")
        self.check(1, 2)
        self.b.call("channel.unsubscribe", channel="x")
        self.check(2)

    def test_shared(self) -> None:
        """Subscribers with the same filter, with others and without one have what each wants."""
        clients = [self.gateway.connect(f"c{n}") for n in range(4)]
        for client, tree in zip(clients, (filtered(1), filtered(1), filtered(2), None), strict=True):
            self.subscribe("x", client=client, **({} if tree is None else {"filter": tree}))
        self.assertEqual([self.publish("x", {"n": n}) for n in (1, 2, 3)], [3, 2, 1])
        got = [[message["n"] for _, message in self.got(client)] for client in clients]
        self.assertEqual(got, [[1], [1], [2], [1, 2, 3]])

    def test_what_cannot_be_judged(self) -> None:
        """A message that no decoder takes comes to all, whatever their filters."""
        self.subscribe("x", filter=filtered(1))
        call = '{"jsonrpc":"2.0","id":1,"method":"channel.publish","params":{"channel":"x","message":{"n":1e999}}}'
        self.assertEqual(self.a.send(call)[0]["result"]["recipients"], 1)

    def test_events(self) -> None:
        """A filter of the gateway's own channels judges the whole event."""
        tree = {"all": [{"field": "type", "op": "prefix", "value": "presence."},
                        {"field": "data.entity_id", "op": "eq", "value": "c"}]}  # fmt: skip
        self.subscribe("$presence", filter=tree)
        for entity_id in ("d", "c"):
            self.gateway.connect(entity_id)
        self.assertEqual([event["data"]["entity_id"] for event in self.b.received("event")], ["c"])


class OwnChannelTests(Case):
    """The gateway's own channels."""

    def test_no_pattern_reaches_them(self) -> None:
        """No event of the gateway's own comes by a wildcard, not even to those who may see them."""
        operator = self.gateway.connect(token=self.gateway.token("ops", "system", ["*"]))
        for client in (operator, self.b):
            self.subscribe(">", "*", client=client)
        for name in sorted(OWN_CHANNELS):
            operator.call("channel.subscribe", channel=name)
        self.gateway.emit("test.event", {})
        self.gateway.connect("c")
        self.assertEqual(self.b.received("event"), [])
        types = [event["type"] for event in operator.received("event")]
        self.assertEqual(types.count("test.event"), 1)
        for name in sorted(OWN_CHANNELS):
            operator.call("channel.unsubscribe", channel=name)
        del operator.messages[:]
        self.gateway.emit("test.event", {})
        self.assertEqual(operator.received("event"), [])

    def test_permission(self) -> None:
        """A pattern needs a permission that covers all of it."""
        client = self.gateway.connect(token=self.gateway.token("c", permissions=["channel.subscribe:tasks.>"]))
        self.subscribe("tasks.>", "tasks.*", "tasks.a.>", client=client)
        for name in (">", "*", "*.a", "other.*", "tasks"):
            self.assertEqual(client.refusal("channel.subscribe", channel=name)["code"], -32002, name)


subscriptions = st.tuples(
    st.integers(0, 2), st.one_of(names, patterns), st.sampled_from([None, None, 1, 2]), st.booleans()
)


class ModelTests(SynchronousTestCase):
    """Audiences beside lists."""

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.one_of(subscriptions, st.tuples(names, st.integers(1, 3), st.sampled_from([None, 0, 1, 2])))))
    def test_who_gets_what(self, todo: list[tuple[Any, ...]]) -> None:
        """Whoever subscribes to what, with or without a filter, gets each message that one of them wants, once."""
        clock, budget = Clock(), Budget(10**9, 10**9)
        channels = Broker(ChannelRules(), MemoryMessageStore(), stated(clock), budget, Limits())
        sessions = [Session(str(n), str(n), PRINCIPAL, RecordingConnection(str(n)), 0.0) for n in range(3)]
        model: list[dict[str, int | None]] = [{}, {}, {}]
        for step in todo:
            if len(step) == 4:
                who, name, wanted, stays = step
                if stays:
                    model[who][name] = wanted
                    channels.subscribe(sessions[who], name, None if wanted is None else Filter(filtered(wanted)))
                else:
                    model[who].pop(name, None)
                    channels.unsubscribe(sessions[who], name)
                continue
            name, number, excluded = step
            before = [len(session.connection.messages) for session in sessions]  # type: ignore[attr-defined]
            published: Any = channels.publish(
                name, {"n": number}, "x", None if excluded is None else sessions[excluded]
            )
            expected = [
                who != excluded and any(covers(p, name) and w in (None, number) for p, w in model[who].items())
                for who in range(3)
            ]
            after = [len(session.connection.messages) for session in sessions]  # type: ignore[attr-defined]
            self.assertEqual([b - a for a, b in zip(before, after, strict=True)], [int(e) for e in expected])
            self.assertEqual(published.recipients, sum(expected))
