"""How much mail may wait."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents.mail.quotas import Occupancy, Quotas
from cell0gw.config.options import Config
from cell0gw.protocol.errors import RateLimited

letters = st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(1, 9))


class QuotasTests(SynchronousTestCase):
    """L{Quotas}"""

    def quotas(self, **limits: Any) -> Quotas:
        return Quotas(Config(**limits).mail_limits)

    def limit(self, quotas: Quotas, *letter: Any) -> str:
        refusal = self.assertRaises(RateLimited, quotas.check, *letter)
        self.assertGreater(refusal.data["retry_after_ms"], 0)
        return str(refusal.data["limit"])

    def test_messages(self) -> None:
        """A recipient has so many, whoever sent them; others have room still."""
        quotas = self.quotas(mailbox_messages=2)
        for sender in "ab":
            quotas.check(sender, "x", 1)
            quotas.add(sender, "x", 1)
        self.assertEqual(self.limit(quotas, "c", "x", 1), "mailbox_messages")
        quotas.check("c", "y", 1)
        quotas.remove("a", "x", 1)
        quotas.check("c", "x", 1)

    def test_bytes(self) -> None:
        """A recipient has so many bytes, to the last one; one letter that is longer fits into an empty mailbox."""
        quotas = self.quotas(mailbox_bytes=10)
        quotas.check("a", "x", 11)
        quotas.add("a", "x", 4)
        quotas.check("a", "x", 6)
        self.assertEqual(self.limit(quotas, "a", "x", 7), "mailbox_bytes")

    def test_sender(self) -> None:
        """A sender has so many, wherever they wait; others may send still."""
        quotas = self.quotas(sender_messages=2)
        for recipient in "xy":
            quotas.add("a", recipient, 1)
        self.assertEqual(self.limit(quotas, "a", "z", 1), "sender_messages")
        quotas.check("b", "x", 1)

    def test_total(self) -> None:
        """All have so many bytes together; one letter that is longer fits when none waits."""
        quotas = self.quotas(total_mailbox_bytes=10)
        quotas.check("a", "x", 11)
        quotas.add("a", "x", 4)
        quotas.check("b", "y", 6)
        self.assertEqual(self.limit(quotas, "b", "y", 7), "total_mailbox_bytes")

    def test_asking_changes_nothing(self) -> None:
        """Whoever asks is not counted by that."""
        quotas = self.quotas()
        quotas.check("a", "x", 1)
        self.assertEqual((quotas._of_sender, quotas._of_recipient, quotas.total), ({}, {}, Occupancy()))

    def test_load(self) -> None:
        """What waits already counts as if it had been added, and can be taken out."""
        quotas = self.quotas(mailbox_messages=2, sender_messages=3)
        quotas.load({"x": Occupancy(2, 7), "y": Occupancy(1, 2)}, {"a": 3})
        self.assertEqual((quotas.total.messages, quotas.total.size), (3, 9))
        self.assertEqual(self.limit(quotas, "b", "x", 1), "mailbox_messages")
        self.assertEqual(self.limit(quotas, "a", "y", 1), "sender_messages")
        emptied = [quotas.remove("a", *each) for each in (("x", 3), ("y", 2), ("x", 4))]
        self.assertEqual((emptied, quotas.total), ([False, True, True], Occupancy()))

    @settings(max_examples=60, deadline=None)
    @given(st.lists(letters, max_size=20), st.randoms(use_true_random=False))
    def test_in_and_out(self, some: list[tuple[str, str, int]], random: Any) -> None:
        """Whatever comes and goes, in whatever order, what is counted is what waits; in the end that is nothing."""
        quotas, waiting, left = self.quotas(), list[tuple[str, str, int]](), list(some)
        while left or waiting:
            if left and (not waiting or random.random() < 0.5):
                waiting.append(left.pop())
                quotas.add(*waiting[-1])
            else:
                letter = waiting.pop(random.randrange(len(waiting)))
                last = quotas.remove(*letter)
                self.assertIs(last, letter[1] not in {recipient for _, recipient, _ in waiting})
            self.assertEqual(quotas.total, Occupancy(len(waiting), sum(size for *_, size in waiting)))
        self.assertEqual((quotas._of_sender, quotas._of_recipient), ({}, {}))
