"""C{positions} of a pattern: a cold start has what was missed by the rule of a session that resumes, or is refused."""

from __future__ import annotations

from typing import Any

from cell0gw.channels import registry
from cell0gw.channels.rules import ChannelRule
from cell0gw.testing import Client
from tests.channels.test_recovery import RecoveryCase, messages, offsets

CONFLICT, INVALID, LARGE = -32007, -32602, -32005
GONE = {"recovered": False, "offset": 0, "epoch": ""}


class PositionsCase(RecoveryCase):
    """With a client that keeps its positions."""

    RULES = (ChannelRule(pattern="three.*", history_size=3), *RecoveryCase.RULES)

    def cold(self, pattern: str, positions: Any, client: Client | None = None, **params: Any) -> dict[str, Any]:
        """Subscribe to a pattern with positions; gives what became of the channels."""
        answer = self.subscribe(pattern, client, positions=positions, **params)
        self.assertEqual((answer["offset"], answer["epoch"]), (None, None))
        return dict(answer["channels"])

    def outcome(self, channel: str, offset: int, oldest: int | None = None) -> dict[str, Any]:
        known = {"recovered": oldest is None, "offset": offset, "epoch": self.epoch(channel)}
        return known if oldest is None else known | {"oldest": oldest}

    def refused(self, code: int, channel: str, **params: Any) -> dict[str, Any]:
        """A subscription is refused, and none is there; gives what the error says."""
        before = self.b.call("session.getInfo")["subscriptions"]
        error = self.b.refusal("channel.subscribe", channel=channel, **params)
        self.assertEqual((error["code"], self.b.call("session.getInfo")["subscriptions"]), (code, before))
        return dict(error["data"])


class ColdStartTests(PositionsCase):
    """A pattern, and positions of channels under it."""

    def test_what_was_missed(self) -> None:
        """What follows each position comes, in order and before what is new; each once."""
        for channel in ("y.1", "y.2"):
            self.fill(3, channel)
        answer = self.cold("y.*", {"y.1": self.since(1, "y.1"), "y.2": self.since(3, "y.2")})
        self.assertEqual(answer, {"y.1": self.outcome("y.1", 3), "y.2": self.outcome("y.2", 3)})
        for channel in ("y.1", "y.2", "y.3"):
            self.publish(4, channel=channel)
        self.assertEqual([offsets(self.b, f"y.{n}") for n in (1, 2, 3)], [[2, 3, 4], [4], [1]])

    def test_channels_without_a_position(self) -> None:
        """A channel without a position is one that the client knows nothing of: all comes, or it is told."""
        self.fill(2, "three.a")
        self.fill(4, "three.b")
        self.assertEqual(self.cold("three.*", {}), {"three.b": self.outcome("three.b", 4, oldest=2)})
        self.publish(9, channel="three.b")
        self.assertEqual((offsets(self.b, "three.a"), offsets(self.b, "three.b")), ([1, 2], [5]))

    def test_from_disk(self) -> None:
        """So it is with what another process has written."""
        for channel in ("durable.a", "durable.b"):
            self.fill(3, channel)
        since = self.since(2, "durable.a")
        self.start()
        self.assertEqual(self.cold("durable.*", {"durable.a": since}), {"durable.a": self.outcome("durable.a", 3)})
        self.assertEqual((offsets(self.b, "durable.a"), offsets(self.b, "durable.b")), ([3], [1, 2, 3]))

    def test_lost(self) -> None:
        """Positions of another numbering, of the future, or behind a hole are told, as C{since} tells it."""
        for channel in ("three.a", "three.b", "three.c"):
            self.fill(5, channel)
        positions = {
            "three.a": {"offset": 5, "epoch": "another"},
            "three.b": self.since(6, "three.b"),
            "three.c": self.since(1, "three.c"),
        }
        outcomes = self.cold("three.*", positions)
        self.assertEqual(outcomes, {name: self.outcome(name, 5, oldest=3) for name in positions})
        for name, since in positions.items():
            told = self.subscribe(name, self.a, since=since)
            self.assertEqual({key: told[key] for key in outcomes[name]}, outcomes[name])
        self.assertEqual(messages(self.b, "three.a"), [])

    def test_gone(self) -> None:
        """A channel that is no longer there is told; positions that the pattern does not cover mean nothing."""
        self.fill(1, "y.1")
        positions = {name: {"offset": 1, "epoch": "e"} for name in ("y.gone", "z.1", "$agents", "y.*")}
        self.assertEqual(self.cold("y.*", positions), {"y.gone": GONE})
        self.assertEqual(offsets(self.b, "y.1"), [1])

    def test_own_names(self) -> None:
        """What the session is subscribed to by name is left as it is."""
        self.subscribe("y.1")
        self.fill(2, "y.1")
        self.assertEqual(self.cold("y.*", {"y.1": self.since(0, "y.1")}), {})
        self.assertEqual(offsets(self.b, "y.1"), [1, 2])

    def test_filter(self) -> None:
        """What is brought is filtered as what is live is."""
        self.publish({"n": 1}, {"n": 2}, channel="y.1")
        self.cold("y.*", {}, filter={"field": "n", "op": "eq", "value": 2})
        self.assertEqual(offsets(self.b, "y.1"), [2])

    def test_again(self) -> None:
        """A second time begins what the positions ask for anew."""
        self.fill(2, "y.1")
        for count in (1, 2):
            self.cold("y.*", {"y.1": self.since(1, "y.1")})
            self.assertEqual(offsets(self.b, "y.1"), [2] * count)

    def test_too_many(self) -> None:
        """Where more channels would have to be looked at than is done, the pattern is told, and nothing comes."""
        self.patch(registry, "MAX_RECOVERED", 3)
        for number in range(5):
            self.fill(1, f"y.{number}")
        self.assertEqual(self.cold("y.*", {})["y.*"], GONE)
        self.publish(2, channel="y.4")
        self.assertEqual(offsets(self.b, "y.4")[-1], 2)

    def test_an_answer_that_is_too_long(self) -> None:
        """What would not fit an answer is refused, and nothing is subscribed."""
        self.gateway.close()
        self.gateway = type(self.gateway)(max_message_size=4096)
        self.addCleanup(self.gateway.close)
        self.b = self.gateway.connect("b")
        self.refused(LARGE, ">", positions={f"x.{number}": {"offset": 1, "epoch": ""} for number in range(60)})

    def test_refusals(self) -> None:
        """Positions are for patterns, stand alone, and are not without end."""
        self.refused(INVALID, "x", positions={})
        self.refused(INVALID, "$agents", positions={})
        self.refused(INVALID, "y.*", positions={}, history=1)
        self.refused(INVALID, "y.*", positions={}, since={"offset": 1, "epoch": "e"})
        self.refused(INVALID, "*.*.*.*.*", positions={})
        self.refused(LARGE, ">", positions={f"x{n}": {"offset": 1, "epoch": ""} for n in range(10_001)})


class BrokenTests(PositionsCase):
    """The connection breaks while a cold start is brought."""

    def test_resuming(self) -> None:
        """What had not come yet is missed as well: a session that resumes gets it, without a position too."""
        self.fill(300, "durable.a")
        secret = self.b.call("auth.authenticate", token=self.gateway.token("b"))["resume_token"]
        self.cold("durable.*", {})
        self.b.server.transport.producer.pauseProducing()
        self.b.vanish()
        self.b = self.gateway.connect("b")
        answer = self.b.call("session.resume", resume_token=secret)
        self.assertEqual(answer["channels"], {})
        self.gateway.advance(1)
        self.assertEqual(offsets(self.b, "durable.a"), list(range(1, 301)))


class RefuseTests(PositionsCase):
    """C{unrecoverable: "refuse"}"""

    def refuse(self, channel: str, **params: Any) -> dict[str, Any]:
        return self.refused(CONFLICT, channel, unrecoverable="refuse", **params)

    def test_name(self) -> None:
        """A position that is lost is refused, with what is there; nothing is subscribed, and nothing comes."""
        self.fill(5, "three")
        told = self.refuse("three", since=self.since(1, "three"))
        self.assertEqual((told["code"], told["lost"]), ("conflict", {"three": self.outcome("three", 5, oldest=3)}))
        self.assertEqual((told["total"], told["retryable"]), (1, False))
        self.publish(6, channel="three")
        self.assertEqual(messages(self.b, "three"), [])

    def test_name_that_is_gone(self) -> None:
        """So is one of a channel that is not there, and that is not made by it."""
        told = self.refuse("x", since={"offset": 0, "epoch": "e"})
        self.assertEqual(told["lost"], {"x": GONE})
        self.assertIsNone(self.gateway.channels.broker.get("x"))

    def test_a_subscription_that_is_there(self) -> None:
        """One that the session has already stays as it is, its filter too."""
        self.subscribe("x", filter={"field": "n", "op": "exists"})
        self.refuse("x", since={"offset": 0, "epoch": "e"})
        self.publish({}, {"n": 1})
        self.assertEqual(offsets(self.b), [2])

    def test_pattern(self) -> None:
        """A pattern is refused when one channel is lost, and the error says which."""
        self.fill(2, "three.a")
        self.fill(4, "three.b")
        told = self.refuse(
            "three.*", positions={"three.a": self.since(1, "three.a"), "three.c": self.since(1, "three.a")}
        )
        self.assertEqual(told["lost"], {"three.b": self.outcome("three.b", 4, oldest=2), "three.c": GONE})
        self.assertEqual((told["total"], offsets(self.b, "three.a")), (2, []))

    def test_very_many(self) -> None:
        """However many are lost, the error names a hundred of them."""
        told = self.refuse(">", positions={f"x.{number}": {"offset": 1, "epoch": ""} for number in range(1000)})
        self.assertEqual((len(told["lost"]), told["total"]), (100, 1000))

    def test_recovered(self) -> None:
        """Where nothing is lost, or no position is given, there is nothing to refuse."""
        self.fill(3)
        answer = self.subscribe(since=self.since(1), unrecoverable="refuse")
        self.assertEqual((answer["recovered"], offsets(self.b)), (True, [2, 3]))
        self.fill(3, "y.1")
        self.cold("y.*", {"y.1": self.since(2, "y.1")}, unrecoverable="refuse")
        self.assertEqual(offsets(self.b, "y.1"), [3])
        self.assertTrue(self.subscribe("z", unrecoverable="refuse")["success"])
        self.assertTrue(self.subscribe("z.*", unrecoverable="refuse")["success"])

    def test_told(self) -> None:
        """What is to be done is one of two."""
        self.assertEqual(self.refused(INVALID, "x", unrecoverable="ignore")["allowed"], ["refuse", "tell"])
