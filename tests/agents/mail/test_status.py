"""The ladder of directed messages: only up."""

from __future__ import annotations

import itertools
from typing import get_args

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents.mail.status import FINAL, Acknowledgement, DeliveryStatus, advances

STATUSES = get_args(DeliveryStatus)
STEPS = STATUSES[:4]
TAKEN = frozenset({"received", "started", "done", "failed"})
"""From here on the recipient has the message."""


class LadderTests(SynchronousTestCase):
    """L{advances}"""

    def test_up(self) -> None:
        """Every higher step may follow, also when others are left out; no lower one, and not the same."""
        for here, there in itertools.product(range(4), repeat=2):
            self.assertIs(advances(STEPS[here], STEPS[there]), there > here)

    def test_ends(self) -> None:
        """Nothing follows an end, whatever it was."""
        for end, following in itertools.product(sorted(FINAL), STATUSES):
            self.assertFalse(advances(end, following), (end, following))

    def test_to_an_end(self) -> None:
        """A message is done or failed at any time; it expires only before its recipient has it, or in its work."""
        for here in STEPS:
            self.assertTrue(advances(here, "done") and advances(here, "failed"))
            self.assertIs(advances(here, "expired"), here != "received")
            self.assertIs(advances(here, "recalled"), here == "queued")

    def test_every_climb_ends(self) -> None:
        """Whatever is said in whatever order, the ladder rises step by step, and to one end at most."""
        ranks = {status: min(rank, 4) for rank, status in enumerate(STATUSES)}
        for said in itertools.permutations(STATUSES[1:]):
            status, transition = "queued", ["queued"]
            for following in said:
                if advances(status, following):
                    status = following
                    transition.append(status)
            self.assertEqual([ranks[each] for each in transition], sorted({ranks[each] for each in transition}))
            self.assertIn(status, FINAL)

    def test_what_recipients_say(self) -> None:
        """A recipient can't say what is the gateway's to know; that it is at it is no step of its own."""
        self.assertEqual(set(get_args(Acknowledgement)) - {"working"}, TAKEN)
