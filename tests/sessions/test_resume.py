"""C{session.resume}: who comes back in time has lost nothing, and to others was never gone."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels.rules import ChannelRule
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.testing import Client, MemoryGateway
from tests.channels.test_recovery import messages, offsets

WINDOW = 120


class ResumeCase(SynchronousTestCase):
    """With a gateway, someone who stays, and someone whose connection breaks."""

    RULES: tuple[ChannelRule, ...] = (
        ChannelRule(pattern="three.>", history_size=3),
        ChannelRule(pattern="minute.>", history_ttl=60.0),
        ChannelRule(pattern="durable.>", durable=True, history_size=1000),
    )

    def setUp(self) -> None:
        self.gateway = MemoryGateway(message_store=MemoryMessageStore(), channels=self.RULES)
        self.addCleanup(self.gateway.close)
        self.a = self.gateway.connect("a")
        self.token = self.gateway.token("b")
        self.b, self.secret = self.join()

    def join(self, token: str | None = None, **declared: Any) -> tuple[Client, str]:
        """A new session, and what opens its place."""
        client = self.gateway.connect()
        answer = client.call("auth.authenticate", token=token or self.token, **declared)
        return client, str(answer["resume_token"])

    def resume(self, client: Client, secret: str | None = None, positions: Any = None) -> Any:
        params = {"resume_token": secret or self.secret} | ({} if positions is None else {"positions": positions})
        return client.call("session.resume", **params)

    def back(self, token: str | None = None, **params: Any) -> tuple[Client, Any]:
        """Break the connection, if it is not broken yet, come back and resume.

        @return: the new client, and the answer.
        """
        self.b.vanish()
        client, _ = self.join(token)
        return client, self.resume(client, **params)

    def subscribe(self, *names: str, **params: Any) -> None:
        for name in names:
            self.b.call("channel.subscribe", channel=name, **params)

    def publish(self, channel: str, *contents: Any) -> None:
        for content in contents:
            self.gateway.publish(channel, content, "a")

    def position(self, channel: str, offset: int) -> dict[str, Any]:
        page = self.a.call("channel.history", channel=channel, limit=0)
        return {"offset": offset, "epoch": page["epoch"]}

    def outcome(self, channel: str, offset: int, oldest: int | None = None) -> dict[str, Any]:
        """What is told of a channel: all of it follows, or, with the oldest that is held, that there may be a hole."""
        lost = {} if oldest is None else {"oldest": oldest}
        return {"recovered": oldest is None, **self.position(channel, offset), **lost}

    def info(self, client: Client) -> Any:
        return client.call("session.getInfo")


class SubscriptionTests(ResumeCase):
    """What the new session takes up."""

    def test_all_of_them(self) -> None:
        """Channels and patterns are the new session's, in their order; what is published comes there, and once."""
        self.subscribe("x", "y.>", "z")
        client, answer = self.back()
        self.assertIs(answer["resumed"], True)
        self.assertEqual(self.info(client)["subscriptions"], ["x", "y.>", "z"])
        for channel in ("x", "y.1", "z"):
            self.assertEqual(self.gateway.publish(channel, 1).recipients, 1)  # type: ignore[union-attr]
        self.assertEqual([m["channel"] for m in client.received("channel.message")], ["x", "y.1", "z"])

    def test_itself(self) -> None:
        """The new session stays the one it is: its id, its secret, and its token's permissions."""
        self.b.vanish()
        client, secret = self.join(self.gateway.token("b", permissions=["session.*", "channel.*"]))
        before = self.info(client)
        self.resume(client)
        self.assertEqual(self.info(client), before)
        client.vanish()
        self.assertIs(self.resume(self.join()[0], secret)["resumed"], True)

    def test_filters(self) -> None:
        """Filters are kept, for what was missed and for what is new."""
        self.subscribe("x", filter={"field": "n", "op": "gt", "value": 2})
        self.b.vanish()
        self.publish("x", {"n": 1}, {"n": 3})
        client, _ = self.back()
        self.publish("x", {"n": 2}, {"n": 4})
        self.assertEqual([m["message"]["n"] for m in messages(client)], [3, 4])

    def test_own_ones(self) -> None:
        """What the new session has subscribed to before it resumes stays as it is, and nothing comes twice."""
        self.subscribe("x", filter={"field": "n", "op": "exists"})
        self.subscribe("y")
        self.b.vanish()
        self.publish("x", 1)
        self.publish("y", 1)
        client, _ = self.join()
        client.call("channel.subscribe", channel="x", since=self.position("x", 0))
        self.publish("x", 2)
        self.publish("y", 2)
        answer = self.resume(client)
        self.publish("x", 3)
        self.assertEqual((offsets(client), offsets(client, "y")), ([1, 2, 3], [1, 2]))
        self.assertNotIn("x", answer["channels"])

    def test_permission_taken_away(self) -> None:
        """A subscription that the new token does not allow ends, and is named; the others are taken up."""
        self.subscribe("x", "y", "z.>", "z.1")
        narrow = self.gateway.token("b", permissions=["channel.subscribe:y", "channel.subscribe:z.*"])
        self.b.vanish()
        for channel in ("x", "y", "z.1", "z.1.2"):
            self.publish(channel, "missed")
        client, answer = self.back(narrow)
        self.assertEqual(self.info(client)["subscriptions"], ["y", "z.1"])
        self.assertEqual((set(answer["channels"]), answer["ended"]), ({"y", "z.1"}, ["x", "z.>"]))
        self.publish("x", "later")
        self.assertEqual([m["channel"] for m in client.received("channel.message")], ["y", "z.1"])
        self.assertEqual(len(self.gateway.channels.broker.patterns), 0)

    def test_own_channels(self) -> None:
        """Events go on; those that were missed are not told again, and that is said."""
        self.subscribe("$agents")
        self.b.vanish()
        self.gateway.connect("c")
        client, answer = self.back()
        self.assertIs(answer["channels"]["$agents"]["recovered"], False)
        del client.messages[:]
        self.gateway.connect("d")
        self.assertEqual([event["data"]["entity_id"] for event in client.received("event")], ["d"])


class MissedTests(ResumeCase):
    """What was missed."""

    def test_positions(self) -> None:
        """What follows the positions comes, each once, then what is new; for each channel it is told."""
        self.subscribe("x", "durable.y")
        for channel in ("x", "durable.y"):
            self.publish(channel, 1, 2, 3)
        self.b.vanish()
        for channel in ("x", "durable.y"):
            self.publish(channel, 4)
        positions = {"x": self.position("x", 3), "durable.y": self.position("durable.y", 1)}
        client, answer = self.back(positions=positions)
        self.assertEqual(answer["channels"], {"x": self.outcome("x", 4), "durable.y": self.outcome("durable.y", 4)})
        self.publish("x", 5)
        self.assertEqual((offsets(client), offsets(client, "durable.y")), ([4, 5], [2, 3, 4]))

    def test_answer_first(self) -> None:
        """The answer comes before what was missed."""
        self.subscribe("x")
        self.publish("x", 1)
        client, answer = self.back()
        self.publish("x", 2)
        client.flush()
        kinds = [m.get("method") or ("resumed" in m["result"] and "answer") for m in client.messages[2:]]
        self.assertEqual(kinds, ["answer", "channel.message", "channel.message"])
        self.assertEqual(answer["channels"]["x"]["offset"], 1)

    def test_without_positions(self) -> None:
        """Without a position a channel comes from where the subscription began."""
        self.publish("x", 1, 2)
        self.subscribe("x")
        self.publish("x", 3)
        self.b.vanish()
        self.publish("x", 4)
        client, answer = self.back(positions={})
        self.assertEqual(answer["channels"], {"x": self.outcome("x", 4)})
        self.assertEqual(offsets(client), [3, 4])

    def test_from_the_first_subscription(self) -> None:
        """Where a subscription began is kept over resuming and over subscribing again."""
        self.subscribe("x")
        self.publish("x", 1)
        self.subscribe("x")
        self.publish("x", 2)
        self.b.vanish()
        client, secret = self.join()
        self.resume(client)
        client.vanish()
        again, _ = self.join()
        self.resume(again, secret)
        self.assertEqual(offsets(again), [1, 2])

    def test_lost(self) -> None:
        """When what comes next is no longer held, or the position is none, it is said, with what is held."""
        self.subscribe("three.x", "three.y", "x")
        for channel in ("three.x", "three.y", "x"):
            self.publish(channel, *range(5))
        positions = {
            "three.x": self.position("three.x", 1), "three.y": self.position("three.y", 2),
            "x": {"offset": 5, "epoch": "another"}, "unknown": {"offset": 1, "epoch": "e"},
        }  # fmt: skip
        client, answer = self.back(positions=positions)
        self.assertEqual(
            answer["channels"],
            {
                "three.x": self.outcome("three.x", 5, oldest=3),
                "three.y": self.outcome("three.y", 5),
                "x": self.outcome("x", 5, oldest=1),
            },
        )
        for channel in ("three.x", "x"):
            self.publish(channel, "new")
        found = [offsets(client, channel) for channel in ("three.x", "three.y", "x")]
        self.assertEqual(found, [[6], [3, 4, 5], [6]])

    def test_lost_without_positions(self) -> None:
        """Without a position it is said when anything since the subscription's beginning is no longer held."""
        self.subscribe("three.x")
        self.publish("three.x", *range(4))
        client, answer = self.back()
        self.assertEqual(answer["channels"], {"three.x": self.outcome("three.x", 4, oldest=2)})
        self.assertEqual(offsets(client, "three.x"), [])


class PatternTests(ResumeCase):
    """What was missed of the channels under a pattern."""

    def test_channels_that_came_meanwhile(self) -> None:
        """Channels that began meanwhile are there from their beginning; they are told only if asked for."""
        self.subscribe("y.*")
        self.publish("y.old", 1)
        self.b.vanish()
        self.publish("y.old", 2)
        self.publish("y.new", 1, 2)
        self.publish("other", 1)
        client, answer = self.back(positions={"y.old": self.position("y.old", 1)})
        self.assertEqual(answer["channels"], {"y.old": self.outcome("y.old", 2)})
        self.publish("y.new", 3)
        self.assertEqual((offsets(client, "y.old"), offsets(client, "y.new")), ([2], [1, 2, 3]))

    def test_from_the_beginning(self) -> None:
        """Without positions every channel comes from where the subscription to the pattern began."""
        self.publish("y.1", 1)
        self.subscribe("y.>")
        self.publish("y.1", 2)
        self.publish("y.2", 1)
        client, answer = self.back()
        self.assertEqual(answer["channels"], {})
        self.assertEqual((offsets(client, "y.1"), offsets(client, "y.2")), ([2], [1]))

    def test_channel_and_pattern(self) -> None:
        """A channel that is covered twice comes once, from where the earlier of the subscriptions began."""
        self.subscribe("y.*")
        self.publish("y.1", 1)
        self.subscribe("y.1", ">")
        self.publish("y.1", 2)
        client, answer = self.back()
        self.assertEqual(answer["channels"], {"y.1": self.outcome("y.1", 2)})
        self.publish("y.1", 3)
        self.assertEqual(offsets(client, "y.1"), [1, 2, 3])

    def test_lost(self) -> None:
        """A channel under a pattern of which something is lost is told, though nobody asked."""
        self.subscribe("three.*")
        self.b.vanish()
        self.publish("three.x", *range(4))
        self.publish("three.y", 1)
        client, answer = self.back()
        self.assertEqual(answer["channels"], {"three.x": self.outcome("three.x", 4, oldest=2)})
        self.assertEqual((offsets(client, "three.x"), offsets(client, "three.y")), ([], [1]))

    def test_gone(self) -> None:
        """When a channel under a pattern came to its end meanwhile, the pattern is told: something may be lost."""
        self.subscribe("minute.*", "y.*")
        self.b.vanish()
        self.publish("minute.x", 1)
        self.gateway.advance(62)
        self.assertEqual(self.a.call("channel.list")["channels"], [])
        _, answer = self.back()
        self.assertEqual(answer["channels"], {"minute.*": {"recovered": False, "offset": 0, "epoch": ""}})

    def test_gone_and_back(self) -> None:
        """So it is when there is a channel of that name again: what is held of that one comes."""
        self.subscribe("minute.*")
        self.b.vanish()
        self.publish("minute.x", 1)
        self.gateway.advance(62)
        self.publish("minute.x", "again")
        client, answer = self.back()
        self.assertIs(answer["channels"]["minute.*"]["recovered"], False)
        self.assertEqual([m["message"] for m in messages(client, "minute.x")], ["again"])

    def test_gone_and_known(self) -> None:
        """A position in a channel that is gone is told to be lost."""
        self.subscribe("minute.*")
        self.publish("minute.x", 1)
        position = self.position("minute.x", 1)
        self.b.vanish()
        self.gateway.advance(62)
        _, answer = self.back(positions={"minute.x": position})
        self.assertIs(answer["channels"]["minute.x"]["recovered"], False)
