"""Conversations: which one a message belongs to, and when it goes in circles."""

from __future__ import annotations

import itertools
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents import conversations
from cell0gw.agents.conversations import WINDOW, Conversations
from cell0gw.agents.message_ids import Lineage
from cell0gw.protocol.errors import LoopDetected, NotFound
from cell0gw.testing import MemoryGateway


class ConversationCase(SynchronousTestCase):
    """Messages between C{a} and C{b}, at the test's pace."""

    def make(self, max_hops: int = 0, rate: int = 0, calls: dict[tuple[str, str], Lineage] | None = None) -> None:
        """Begin, with some calls that are running, by their ids and by who has them."""
        self.clock = Clock()
        running = calls or {}
        self.events: list[tuple[str, str, Any]] = []
        self.nonces = (f"msg_{n}" for n in itertools.count(1))
        self.talk = Conversations(
            self.clock, lambda *event: self.events.append(event), max_hops, rate, lambda *call: running.get(call)
        )

    def place(self, sender: str = "a", to: str = "b", reply: str | None = None, **how: Any) -> tuple[str, Lineage]:
        """A message.

        @return: its id, and where it stands.
        """
        nonce = next(self.nonces)
        lineage = self.talk.place(nonce, sender, to, reply, **how)
        return self.talk.message_id(nonce, lineage, to), lineage

    def exchange(self, replies: int) -> str:
        """A message from C{a}, and so many replies to and fro.

        @return: the last one's id.
        """
        last, _ = self.place()
        for hop in range(replies):
            last, _ = self.place("ba"[hop % 2], "ab"[hop % 2], last)
        return last


class PlaceTests(ConversationCase):
    """L{Conversations.place}"""

    def test_begin(self) -> None:
        """What replies to nothing begins a conversation of its own."""
        self.make()
        roots = {self.place()[1].conversation_id for _ in range(3)}
        self.assertEqual(roots, {"conv_1", "conv_2", "conv_3"})

    def test_reply(self) -> None:
        """A reply is in the conversation of what it replies to, one hop on; so are several to the same one."""
        self.make()
        first, _ = self.place()
        reply, lineage = self.place("b", "a", first)
        self.assertEqual(lineage, Lineage("1", 1, first))
        _, further = self.place("a", "c", reply)
        _, second = self.place("b", "c", first)
        self.assertEqual((further, second), (Lineage("1", 2, reply), Lineage("1", 1, first)))

    def test_not_sent_to_them(self) -> None:
        """Nobody replies to what it sent, to what others were sent, or to what never was."""
        self.make()
        first, _ = self.place()
        for sender, reply in (("a", first), ("c", first), ("b", ""), ("b", first[:-1]), ("b", "call_1")):
            self.assertRaises(NotFound, self.place, sender, "a", reply)

    def test_calls(self) -> None:
        """A message may belong to a call that its sender has."""
        self.make(max_hops=5, calls={("call_1", "b"): Lineage("9", 5)})
        self.assertRaises(NotFound, self.place, "a", "c", "call_1")
        self.assertRaises(LoopDetected, self.place, "b", "a", "call_1")

    def test_another_process(self) -> None:
        """Where a reply belongs is known without a memory of what it replies to."""
        self.make()
        last = self.exchange(3)
        self.make()
        self.assertEqual(self.place("a", "b", last)[1].hops, 4)


class LoopTests(ConversationCase):
    """The guard."""

    def refuses(self, last: str, sender: str = "a", to: str = "b") -> LoopDetected:
        return self.assertRaises(LoopDetected, self.place, sender, to, last)

    def test_hops(self) -> None:
        """So many replies may follow each other, and not one more, however slowly they do."""
        self.make(max_hops=4)
        last = self.exchange(3)
        self.clock.advance(10 * WINDOW)
        last, lineage = self.place("a", "b", last)
        self.assertEqual(lineage.hops, 4)
        refusal = self.refuses(last, "b", "a")
        self.assertEqual((refusal.data["hops"], refusal.data["conversation_id"]), (5, "conv_1"))
        self.place("a", "b")

    def test_rate(self) -> None:
        """So many replies a conversation has in a minute, whoever makes them; others are not touched by it."""
        self.make(rate=3)
        first, _ = self.place()
        other, _ = self.place()
        for _ in range(3):
            self.place("b", "a", first)
        self.refuses(first, "b", "a")
        self.place("b", "a", other)
        self.clock.advance(WINDOW - 1)
        self.refuses(first, "b", "a")
        self.clock.advance(1)
        self.place("b", "a", first)

    def test_off(self) -> None:
        """0 is no bound."""
        self.make()
        self.exchange(1000)
        self.assertEqual((self.events, self.talk.refused), ([], 0))

    def test_told_once(self) -> None:
        """Operators hear of it once in a minute and conversation, of who, with whom and why."""
        self.make(max_hops=2)
        last = self.exchange(2)  # to b
        for _ in range(3):
            self.refuses(last, "b", "a")
        self.assertEqual(self.events, [("$system", "agent.loop", {
            "conversation_id": "conv_1", "hops": 3, "from": "b", "agent_id": "a", "reason": "more than 2 hops",
        }, ("b", "a"))])  # fmt: skip
        self.assertEqual(self.talk.refused, 3)
        self.clock.advance(WINDOW - 1)
        self.refuses(last, "b", "a")
        self.assertEqual(len(self.events), 1)
        self.clock.advance(1)
        self.refuses(last, "b", "a")
        self.assertEqual(len(self.events), 2)
        self.refuses(self.exchange(2), "b", "c")
        self.assertEqual(len(self.events), 3)

    def test_only_asked(self) -> None:
        """Who only asks what would be is not counted, and nobody hears of it."""
        self.make(max_hops=5, rate=1)
        first, _ = self.place()
        for _ in range(3):
            self.place("b", "a", first, dry=True)
        self.place("b", "a", first)
        self.assertRaises(LoopDetected, self.place, "b", "a", first, dry=True)
        self.assertEqual((self.events, self.talk.refused), ([], 0))
        self.refuses(first, "b", "a")
        self.assertEqual(len(self.events), 1)

    def test_forgotten(self) -> None:
        """What is of the past takes no room; nor do more conversations than are counted at once."""
        self.patch(conversations, "MAX_CONVERSATIONS", 3)
        self.make(rate=1)
        firsts = [self.place()[0] for _ in range(5)]
        for first in firsts:
            self.place("b", "a", first)
        self.assertEqual(len(self.talk._counts), 3)
        self.refuses(firsts[-1], "b", "a")
        self.clock.advance(WINDOW - 1)
        self.talk.sweep()
        self.assertEqual(len(self.talk._counts), 3)
        self.clock.advance(1)
        self.talk.sweep()
        self.assertEqual(len(self.talk._counts), 0)

    def test_who_has_most(self) -> None:
        """Who goes on with many conversations keeps none of others from being counted."""
        self.patch(conversations, "MAX_CONVERSATIONS", 10)
        self.make(rate=1)
        first = self.place()[0]
        self.place("b", "a", first)
        for _ in range(100):
            self.place("b2", "a", self.place("a", "b2")[0])
        self.assertEqual(len(self.talk._counts), 10)
        self.refuses(first, "b", "a")


class WireTests(SynchronousTestCase):
    """As agents see it."""

    def test_on_the_way_over_the_disk(self) -> None:
        """Place, conversation and hops are the same for a message that waited, and a reply to it may come after it."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        a, token = gateway.connect("a"), gateway.token("b")
        first = a.call("agent.send", agent_id="b", message=1)["message_id"]
        b = gateway.connect(token=token)
        gateway.advance(0)
        (got,) = b.received("agent.message")
        self.assertEqual((got["message_id"], got["hops"], got["in_reply_to"]), (first, 0, None))
        a.disconnect()
        reply = b.call("agent.send", agent_id="a", message=2, in_reply_to=first, receipts=True)["message_id"]
        a = gateway.connect("a")
        gateway.advance(0)
        (got_back,) = a.received("agent.message")
        self.assertEqual((got_back["message_id"], got_back["hops"], got_back["in_reply_to"]), (reply, 1, first))
        self.assertEqual(got_back["conversation_id"], got["conversation_id"])
