"""How much mail may wait."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents.mail import quotas as quotas_module
from cell0gw.agents.mail.quotas import Occupancy, Quotas
from cell0gw.agents.mail.store import StoredMailbox
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

    def fill(self, quotas: Quotas, sender: str, recipient: str, size: int) -> int:
        """How many letters may wait until one is refused."""
        for count in range(1000):
            try:
                quotas.check(sender, recipient, size)
            except RateLimited:
                return count
            quotas.add(sender, recipient, size)
        self.fail("there is no end of it")

    def test_messages(self) -> None:
        """A recipient has a number of messages, and each sender a share of it; others have room still."""
        quotas = self.quotas(mailbox_messages=12)
        self.assertEqual([self.fill(quotas, sender, "x", 1) for sender in "abcde"], [6, 3, 2, 1, 0])
        self.assertEqual(self.limit(quotas, "f", "x", 1), "mailbox_messages")
        quotas.check("f", "y", 1)
        quotas.remove("a", "x", 1)
        quotas.check("f", "x", 1)
        self.assertEqual(self.limit(quotas, "a", "x", 1), "mailbox_messages")

    def test_what_is_said(self) -> None:
        """The refusal says how much waits, and how much of that is one's own."""
        quotas = self.quotas(mailbox_messages=4)
        self.fill(quotas, "a", "x", 1)
        refusal = self.assertRaises(RateLimited, quotas.check, "a", "x", 1)
        self.assertEqual(refusal.message, "The mailbox of x holds 2 messages, 2 of them yours")

    def test_bytes(self) -> None:
        """A recipient has a number of bytes, and each sender a share; what is longer fits into an empty mailbox."""
        quotas = self.quotas(mailbox_bytes=16)
        quotas.check("a", "x", 100)
        self.assertEqual([self.fill(quotas, sender, "x", 1) for sender in "abcde"], [8, 4, 2, 1, 1])
        self.assertEqual(self.limit(quotas, "a", "x", 1), "mailbox_bytes")

    def test_a_long_one(self) -> None:
        """A letter that is longer than the mailbox leaves half of it to others."""
        quotas = self.quotas(mailbox_bytes=16)
        quotas.add("evil", "x", 1000)
        self.assertEqual(self.limit(quotas, "evil", "x", 1), "mailbox_bytes")
        self.assertEqual(self.fill(quotas, "b", "x", 1), 4)
        quotas.remove("evil", "x", 1000)
        self.assertEqual(self.fill(quotas, "b", "x", 1), 4)

    def test_sender(self) -> None:
        """A sender has a number of messages, wherever they wait; others may send still."""
        quotas = self.quotas(sender_messages=2)
        for recipient in "xy":
            quotas.add("a", recipient, 1)
        self.assertEqual(self.limit(quotas, "a", "z", 1), "sender_messages")
        quotas.check("b", "x", 1)

    def test_total(self) -> None:
        """All have so many bytes together, and each sender a share; what is longer fits when nothing waits."""
        quotas = self.quotas(total_mailbox_bytes=16)
        quotas.check("a", "x", 100)
        self.assertEqual([self.fill(quotas, sender, f"to {sender}", 2) for sender in "abc"], [4, 2, 1])
        self.assertEqual(self.limit(quotas, "a", "y", 1), "total_mailbox_bytes")
        self.assertEqual(self.limit(quotas, "d", "y", 3), "total_mailbox_bytes")

    def test_boxes(self) -> None:
        """There is a number of mailboxes, and each sender has a share: to those that it uses already it may go on."""
        self.patch(quotas_module, "MAX_BOXES", 8)
        quotas = self.quotas()
        for sender, most in (("a", 4), ("b", 2), ("c", 1)):
            for number in range(most):
                quotas.check(sender, f"x{number}", 1)
                quotas.add(sender, f"x{number}", 1)
            self.assertEqual(self.limit(quotas, sender, "y", 1), "mailboxes")
            quotas.check(sender, "x0", 1)
        for number in range(4):
            quotas.remove("a", f"x{number}", 1)
        quotas.check("b", "y", 1)
        self.assertEqual((dict(quotas.boxes), quotas._pairs), ({"b": 2, "c": 1}, 3))

    def test_asking_changes_nothing(self) -> None:
        """To ask counts for nothing."""
        quotas = self.quotas()
        quotas.check("a", "x", 1)
        self.assertEqual((quotas._of_sender, quotas._of_recipient, quotas.total), ({}, {}, Occupancy()))

    def test_load(self) -> None:
        """What waits already counts as if it had been added, and can be taken out."""
        quotas = self.quotas(mailbox_messages=4, sender_messages=3)
        facts = (("x", "a", 2, 7), ("y", "a", 1, 2))
        quotas.load([StoredMailbox(recipient=r, sender=s, messages=n, size=size) for r, s, n, size in facts])
        self.assertEqual((quotas.total.messages, quotas.total.size), (3, 9))
        quotas.add("b", "x", 1)
        self.assertEqual(self.limit(quotas, "b", "x", 1), "mailbox_messages")
        self.assertEqual(self.limit(quotas, "a", "y", 1), "sender_messages")
        quotas.remove("b", "x", 1)
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
