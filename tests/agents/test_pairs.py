"""Two that write to each other for ever, and don't say what they reply to."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents import pairs
from cell0gw.agents.pairs import WINDOW, Pairs
from cell0gw.testing import MemoryGateway


class PairsTests(SynchronousTestCase):
    """L{Pairs}, with ten messages that are not too many."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pairs = Pairs(self.clock, 10)

    def told(self, *messages: tuple[str, str, bool]) -> int:
        """How often messages were told to be a loop: from whom, to whom, whether they begin a conversation."""
        return [self.pairs.wrote(*message) for message in messages].count(True)

    def test_neither_says(self) -> None:
        """Two that answer without saying so are told of with the first message that is too many, and once."""
        ball = [("a", "b", True), ("b", "a", True)] * 5
        self.assertEqual(self.told(*ball), 0)
        self.assertEqual(self.told(("a", "b", True)), 1)
        self.assertEqual(self.told(*ball), 0)

    def test_one_says(self) -> None:
        """It is the same if only one of them says what it replies to, whichever writes last."""
        self.assertEqual(self.told(*[("a", "b", True), ("b", "a", False)] * 6), 1)
        self.assertEqual(self.told(*[("c", "d", False), ("d", "c", True)] * 6), 1)

    def test_both_say(self) -> None:
        """Those that say so are counted in their conversations, however many of these they have at once."""
        talk = [("a", "b", True), ("b", "a", False), ("a", "b", False), ("b", "a", False)]
        self.assertEqual(self.told(*talk * 100), 0)

    def test_one_way(self) -> None:
        """Who writes much, and gets little in return, is in no loop."""
        self.assertEqual(self.told(*[("a", "b", True)] * 100, *[("b", "a", True)] * 5), 0)

    def test_with_others(self) -> None:
        """What others write does not count."""
        self.assertEqual(self.told(*[("a", "b", True), ("b", "c", True), ("c", "a", True), ("d", "a", True)] * 50), 0)

    def test_anew(self) -> None:
        """After a minute all is counted anew, and told of anew."""
        ball = [("a", "b", True), ("b", "a", True)] * 5
        self.told(*ball)
        self.clock.advance(WINDOW)
        self.pairs.sweep()
        self.assertEqual(len(self.pairs), 0)
        self.assertEqual(self.told(*ball), 0)
        self.clock.advance(WINDOW)
        self.pairs.sweep()
        self.assertEqual(self.told(*ball, *ball), 1)

    def test_share(self) -> None:
        """Who writes to very many is not counted with all of them, and leaves room for others."""
        self.patch(pairs, "MAX_PAIRS", 20)
        self.told(*[("a", f"x{number}", True) for number in range(100)])
        self.assertEqual(len(self.pairs), 10)
        self.assertEqual(self.told(*[("b", "c", True), ("c", "b", True)] * 6), 1)
        self.clock.advance(WINDOW)
        self.told(("a", "y", True))
        self.assertEqual(len(self.pairs), 1)


class LoopTests(SynchronousTestCase):
    """Seen from outside."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway(conversation_rate=10)
        self.addCleanup(self.gateway.close)
        self.operator = self.gateway.connect(token=self.gateway.token("o", permissions=["*"]))
        self.operator.call("channel.subscribe", channel="$system")
        self.a, self.b = self.gateway.connect("a"), self.gateway.connect("b")

    def loops(self) -> list[dict[str, Any]]:
        return [event["data"] for event in self.operator.received("event") if event["type"] == "agent.loop"]

    def test_event(self) -> None:
        """Operators are told who writes to whom; nothing is refused."""
        for _ in range(20):
            self.a.call("agent.send", agent_id="b", message="thanks")
            reply = self.b.received("agent.message")[-1]["message_id"]
            self.b.call("agent.send", agent_id="a", message="no, thank you", in_reply_to=reply)
        (told,) = self.loops()
        self.assertEqual((told["from"], told["agent_id"], told["hops"]), ("a", "b", 0))
        self.assertIn("more than 10 messages between the two in a minute", told["reason"])
        self.assertEqual(len(self.a.received("agent.message")), 20)
        self.gateway.advance(WINDOW + 1)
        self.assertEqual(len(self.loops()), 1)

    def test_asking(self) -> None:
        """Asking what would become of a message counts for nothing."""
        for _ in range(20):
            for name in "ab":
                asked = {"method": "agent.send", "params": {"agent_id": name, "message": 1}}
                self.operator.request("gateway.explain", asked)
        self.assertEqual(self.loops(), [])

    def test_unlimited(self) -> None:
        """Where conversations have no rate nothing is counted."""
        gateway = MemoryGateway(conversation_rate=0)
        self.addCleanup(gateway.close)
        gateway.connect("a").call("agent.send", agent_id="a", message=1)
        self.assertEqual(len(gateway.agents.conversations._pairs), 0)
