"""Subscriptions that begin in the past: what was missed comes whole, in order and once, or it is said that it can't."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels.rules import ChannelRule
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.testing import Client, MemoryGateway

INVALID = -32602


def messages(client: Client, channel: str = "x") -> list[Any]:
    """What a client got on a channel."""
    return [params for params in client.received("channel.message") if params["channel"] == channel]


def offsets(client: Client, channel: str = "x") -> list[int]:
    return [message["offset"] for message in messages(client, channel)]


class RecoveryCase(SynchronousTestCase):
    """With a gateway, someone who publishes, and someone who wants to know."""

    RULES: tuple[ChannelRule, ...] = (
        ChannelRule(pattern="three", history_size=3),
        ChannelRule(pattern="none", history_size=0),
        ChannelRule(pattern="minute", history_ttl=60.0),
        ChannelRule(pattern="durable.>", durable=True, history_size=1000),
    )

    def setUp(self) -> None:
        self.store = MemoryMessageStore()
        self.start()

    def start(self) -> None:
        """As a new process would."""
        self.gateway = MemoryGateway(message_store=self.store, channels=self.RULES)
        self.addCleanup(self.gateway.close)
        self.a, self.b = self.gateway.connect("a"), self.gateway.connect("b")

    def publish(self, *contents: Any, channel: str = "x") -> None:
        for content in contents:
            self.gateway.publish(channel, content, "a")

    def fill(self, count: int, channel: str = "x") -> None:
        self.publish(*range(1, count + 1), channel=channel)

    def epoch(self, channel: str = "x") -> str:
        return str(self.a.call("channel.history", channel=channel, limit=0)["epoch"])

    def since(self, offset: int, channel: str = "x") -> dict[str, Any]:
        """A position in the channel's present numbering."""
        return {"offset": offset, "epoch": self.epoch(channel)}

    def subscribe(self, channel: str = "x", client: Client | None = None, **params: Any) -> Any:
        return (client or self.b).call("channel.subscribe", channel=channel, **params)


class SinceTests(RecoveryCase):
    """C{since}"""

    def test_what_was_missed(self) -> None:
        """What follows the position comes as it came to those who were there, in order; then what is new, each once."""
        self.subscribe(client=self.a)
        self.publish(1, "two", {"n": [3, None]}, 4.5, True)
        answer = self.subscribe(since=self.since(2))
        expected = {"success": True, "channel": "x", "offset": 5, "epoch": self.epoch(), "recovered": True}
        self.assertEqual(answer, expected | {"position": self.since(2)})
        self.publish(6)
        self.assertEqual(offsets(self.b), [3, 4, 5, 6])
        self.assertEqual(messages(self.b), messages(self.a)[2:])

    def test_nothing_missed(self) -> None:
        """Who has seen the newest has missed nothing."""
        self.fill(3)
        self.assertIs(self.subscribe(since=self.since(3))["recovered"], True)
        self.assertEqual(offsets(self.b), [])
        self.publish(4)
        self.assertEqual(offsets(self.b), [4])

    def test_from_the_beginning(self) -> None:
        """Position 0 is before the first message."""
        self.fill(3)
        self.assertIs(self.subscribe(since=self.since(0))["recovered"], True)
        self.assertEqual(offsets(self.b), [1, 2, 3])

    def lost(self, channel: str, since: dict[str, Any], oldest: int) -> None:
        """There may be a hole: nothing of the past comes, and what is held is told; what is new comes still."""
        answer = self.subscribe(channel, since=since)
        self.assertEqual((answer["recovered"], answer["oldest"]), (False, oldest))
        self.assertEqual(answer["position"], self.since(answer["offset"], channel))
        self.assertIs(self.subscribe(channel, self.a, since=answer["beginning"])["recovered"], True)
        self.a.call("channel.unsubscribe", channel=channel)
        self.assertEqual(offsets(self.b, channel), [])
        self.publish("new", channel=channel)
        self.assertEqual(offsets(self.b, channel), [answer["offset"] + 1])

    def test_another_epoch(self) -> None:
        """A position of another numbering is lost, even if it is the newest."""
        self.fill(3)
        self.lost("x", {"offset": 3, "epoch": "another"}, 1)

    def test_too_old(self) -> None:
        """Whose next message is no longer held has a hole; who needs only what is held has none."""
        self.fill(5, "three")
        self.assertIs(self.subscribe("three", self.a, since=self.since(2, "three"))["recovered"], True)
        self.assertEqual(offsets(self.a, "three"), [3, 4, 5])
        self.lost("three", self.since(1, "three"), 3)

    def test_the_future(self) -> None:
        """A position that was never reached is none of this numbering."""
        self.fill(3)
        self.lost("x", self.since(4), 1)

    def test_beyond_all_numbers(self) -> None:
        """However large its number, a position is judged like any other, as long as it can be one."""
        self.fill(3)
        for offset in (2**40, 2**53 - 1):
            self.assertIs(self.subscribe(since=self.since(offset))["recovered"], False)
            self.assertEqual(self.a.call("channel.history", channel="x", since=self.since(offset))["messages"], [])
        for offset in (2**53, 2**64):
            refusal = self.b.refusal("channel.subscribe", channel="x", since=self.since(offset))
            self.assertEqual(refusal["code"], INVALID)

    def test_no_such_channel(self) -> None:
        """In a channel that has just begun every position is of another numbering."""
        self.lost("x", {"offset": 0, "epoch": "another"}, 1)

    def test_too_old_by_age(self) -> None:
        """What is too old is gone at that very moment, not when someone next looks."""
        self.gateway.advance(0.5)
        self.fill(2, "minute")
        position = self.since(0, "minute")
        self.gateway.advance(59.75, step=0.25)
        self.assertIs(self.subscribe("minute", self.a, since=position)["recovered"], True)
        self.assertEqual(offsets(self.a, "minute"), [1, 2])
        self.gateway.clock.advance(0.25)
        self.lost("minute", position, 3)

    def test_without_history(self) -> None:
        """A channel that holds nothing recovers only those who have missed nothing."""
        self.subscribe("none", self.a)
        self.fill(2, "none")
        self.lost("none", self.since(1, "none"), 3)
        self.assertIs(self.subscribe("none", since=self.since(3, "none"))["recovered"], True)


class HistoryTests(RecoveryCase):
    """C{history}"""

    def test_the_newest(self) -> None:
        """So many of the newest come, or as many as are held; nothing is said of what was missed."""
        self.fill(5)
        for count, expected in ((2, [4, 5]), (0, []), (5, [1, 2, 3, 4, 5]), (10**6, [1, 2, 3, 4, 5])):
            client = self.gateway.connect("c")
            answer = self.subscribe(client=client, history=count)
            position = self.since(5 - len(expected))
            whole = {"success": True, "channel": "x", "offset": 5, "epoch": self.epoch(), "position": position}
            self.assertEqual(answer, whole)
            self.assertEqual(offsets(client), expected, count)
            self.assertIs(self.subscribe(client=self.b, since=answer["position"])["recovered"], True)
        self.assertEqual(offsets(self.b), [4, 5, *[1, 2, 3, 4, 5] * 2])

    def test_asked_again_meanwhile(self) -> None:
        """Who subscribes again while messages are still to come is told where it is by then."""
        self.fill(300, "durable.a")
        self.subscribe("durable.a", since=self.since(0, "durable.a"))
        self.b.server.transport.producer.pauseProducing()
        position = self.subscribe("durable.a")["position"]
        self.assertEqual(position, self.since(offsets(self.b, "durable.a")[-1], "durable.a"))
        self.assertLess(position["offset"], 300)
        self.b.server.transport.producer.resumeProducing()
        self.assertEqual(offsets(self.b, "durable.a"), list(range(1, 301)))

    def test_then_live(self) -> None:
        """What is new follows, once."""
        self.fill(3)
        self.subscribe(history=2)
        self.publish(4)
        self.assertEqual(offsets(self.b), [2, 3, 4])


class RefusalTests(RecoveryCase):
    """What can't be asked for."""

    def test_no_past(self) -> None:
        """Patterns and the gateway's own channels have no past; nobody is subscribed by a refused call."""
        for channel in (">", "x.*", "$agents", "$presence"):
            for past in ({"since": {"offset": 0, "epoch": "e"}}, {"history": 1}):
                refusal = self.b.refusal("channel.subscribe", channel=channel, **past)
                self.assertEqual(refusal["code"], INVALID, (channel, past))
        self.assertEqual(self.b.call("session.getInfo")["subscriptions"], [])

    def test_either_or(self) -> None:
        """Either since or history."""
        refusal = self.b.refusal("channel.subscribe", channel="x", since={"offset": 0, "epoch": "e"}, history=1)
        self.assertEqual(refusal["code"], INVALID)
        self.assertEqual(self.b.call("session.getInfo")["subscriptions"], [])

    def test_malformed(self) -> None:
        """Positions and numbers that make no sense are refused."""
        for params in (
            {"since": {"offset": -1, "epoch": "e"}}, {"since": {"offset": 1}}, {"since": {"epoch": "e"}}, {"since": 1},
            {"since": {"offset": 1.5, "epoch": "e"}}, {"since": {"offset": 1, "epoch": 1}},
            {"since": {"offset": 1, "epoch": "e" * 201}}, {"history": -1}, {"history": "1"}, {"history": 1.5},
        ):  # fmt: skip
            self.assertEqual(self.b.refusal("channel.subscribe", channel="x", **params)["code"], INVALID, params)

    def test_filters(self) -> None:
        """What is no filter is refused with its place, and the subscription that one had stays as it was."""
        self.subscribe()
        tree = {"all": [{"field": "a", "op": "exists"}, {"field": "a", "op": "like", "value": 1}]}
        refusal = self.b.refusal("channel.subscribe", channel="x", filter=tree)
        self.assertEqual(refusal["code"], INVALID)
        self.assertIn("filter.all[1].op: ", refusal["message"])
        for wrong in ([], "a", 1, {}):
            self.assertEqual(self.b.refusal("channel.subscribe", channel="x", filter=wrong)["code"], INVALID, wrong)
        self.publish(1)
        self.assertEqual(offsets(self.b), [1])

    def test_numbers_beyond_all(self) -> None:
        """A number in a filter may be as large as JSON lets it be: it is refused or taken, never a failure."""
        for number in ("18446744073709551616", "-" + "9" * 400, "1e400", "9" * 5000):
            (answer,) = self.b.send(
                '{"jsonrpc":"2.0","id":1,"method":"channel.subscribe","params":{"channel":"x","filter":'
                f'{{"field":"a","op":"eq","value":{number}}}}}}}'
            )
            self.assertIn(answer.get("error", {}).get("code"), (None, INVALID, -32600, -32700), number[:30])


class OrderTests(RecoveryCase):
    """The answer, and then the rest."""

    def test_answer_first(self) -> None:
        """The answer comes before what was missed, and that before what is published next."""
        self.fill(3)
        position = self.since(0)
        del self.b.messages[:]
        self.subscribe(since=position)
        self.publish(4)
        self.b.flush()
        self.assertIn("result", self.b.messages[0])
        self.assertEqual([m["params"]["offset"] for m in self.b.messages[1:]], [1, 2, 3, 4])

    def test_several_channels(self) -> None:
        """Each channel comes in its own order, whichever others are asked for in one breath."""
        for channel in "xyz":
            self.fill(60, channel)
        for channel in "xyz":
            self.subscribe(channel, since=self.since(10, channel))
        self.publish("new", channel="y")
        for channel in "xyz":
            self.assertEqual(offsets(self.b, channel), list(range(11, 61 + (channel == "y"))))

    def test_filter(self) -> None:
        """What was missed passes the filter as what is new does; the offsets skip what does not."""
        wanted = {"field": "n", "op": "in", "value": [2, 4, 7]}
        self.publish(*({"n": n} for n in range(1, 6)))
        self.assertIs(self.subscribe(since=self.since(0), filter=wanted)["recovered"], True)
        self.publish({"n": 6}, {"n": 7})
        self.assertEqual(offsets(self.b), [2, 4, 7])

    def test_another_filter(self) -> None:
        """Subscribing again changes the filter and nothing else: nothing comes twice, nothing of the past comes."""
        for _ in range(2):
            self.subscribe(filter={"field": "n", "op": "eq", "value": 1})
        self.publish({"n": 1}, {"n": 2})
        self.subscribe(filter={"field": "n", "op": "eq", "value": 2})
        self.publish({"n": 1}, {"n": 2})
        self.subscribe()
        self.publish({"n": 1}, {"n": 2})
        self.assertEqual(offsets(self.b), [1, 4, 5, 6])
        self.assertEqual(self.b.call("session.getInfo")["subscriptions"], ["x"])
