"""Ids of messages, which prove where these come from."""

from __future__ import annotations

import os

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents.message_ids import MESSAGE, Lineage, MessageIds, root_of
from cell0gw.process.ids import Ids

KEY = bytes(range(32))
names = st.text("abz019_-.:", min_size=1, max_size=12)


class ProvenanceTests(SynchronousTestCase):
    """L{MessageIds}"""

    def setUp(self) -> None:
        self.ids = MessageIds(KEY)
        self.new_id = Ids(os.urandom)

    def make(self, recipient: str = "b", hops: int = 0, root: str = "5eed") -> str:
        nonce = self.new_id(MESSAGE)
        return self.ids.message_id(nonce, Lineage(root, hops) if hops else root_of(nonce), recipient)

    def test_first(self) -> None:
        """The first message of a conversation names it."""
        nonce = self.new_id(MESSAGE)
        lineage = root_of(nonce)
        self.assertEqual((lineage.hops, lineage.conversation_id), (0, nonce.replace("msg_", "conv_")))
        self.assertEqual(self.ids.read(self.ids.message_id(nonce, lineage, "b"), "b"), lineage)

    def test_later(self) -> None:
        """A later one has the conversation and how far it is from the first, however far."""
        for hops in (1, 9, 10, 100, 10**9):
            self.assertEqual(self.ids.read(self.make("b", hops), "b"), Lineage("5eed", hops))

    def test_whose(self) -> None:
        """It was sent to its recipient, to nobody else, however alike the names are."""
        for recipient, other in (("b", "B"), ("b", "b1"), ("b", ""), ("b", "a"), ("b", " b"), ("b.c", "b")):
            self.assertIsNone(self.ids.read(self.make(recipient), other))

    def test_another_key(self) -> None:
        """An id made under another key proves nothing; one of another process with the same key does."""
        made = self.make()
        self.assertIsNone(MessageIds(bytes(32)).read(made, "b"))
        self.assertIsNotNone(MessageIds(KEY).read(made, "b"))

    def test_every_letter_counts(self) -> None:
        """With any one letter another, left out or put in, it is no id any more."""
        for made in (self.make(), self.make("b", 12)):
            for place in range(len(made)):
                for altered in (
                    made[:place] + made[place + 1 :], made[:place] + "0" + made[place:],
                    made[:place] + ("0" if made[place] != "0" else "1") + made[place + 1 :],
                    made[:place] + "-" + made[place:], made[:place],
                ):  # fmt: skip
                    if altered != made:
                        self.assertIsNone(self.ids.read(altered, "b"), altered)

    def test_hops_left_out(self) -> None:
        """Nobody makes a long conversation short: neither by fewer hops, nor by another conversation."""
        made = self.make("b", 12)
        nonce, hops, root, proof = made.split("-")
        for forged in (f"{nonce}-{proof}", f"{nonce}-1-{root}-{proof}", f"{nonce}-{hops}-beef-{proof}",
                       f"{nonce}-0{hops}-{root}-{proof}", f"{nonce}-{hops}-{root}-{proof.upper()}x"):  # fmt: skip
            self.assertIsNone(self.ids.read(forged, "b"))

    @settings(max_examples=100, deadline=None)
    @example("")
    @example("-")
    @example("msg_")
    @example("msg_-")
    @example("msg_1")
    @example("msg_\u0661-1-a-b")
    @example("msg_1-\ud800")
    @example("call_1-0011223344556677")
    @given(st.text(max_size=60))
    def test_anything(self, text: str) -> None:
        """Whatever is put forward as an id is read without a failure, and is none."""
        self.assertIsNone(self.ids.read(text, "b"))
        self.assertIsNone(self.ids.read(f"msg_{text}", "b"))

    @settings(max_examples=100, deadline=None)
    @given(names, names, st.integers(0, 1000))
    def test_round_trip(self, recipient: str, other: str, hops: int) -> None:
        """What is made is read by its recipient as it was made, by nobody else at all."""
        assume(recipient != other)
        made = self.make(recipient, hops)
        lineage = self.ids.read(made, recipient)
        assert lineage is not None
        self.assertEqual(lineage.hops, hops)
        self.assertIsNone(self.ids.read(made, other))
