"""What is to be sent again, and when."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents.mail.leases import SPARE, Resends
from cell0gw.agents.mail.mailbox import Mailbox

WAIT = 30.0


class ResendsTests(SynchronousTestCase):
    """L{Resends}"""

    def setUp(self) -> None:
        self.clock = Clock()
        self.resends = Resends(self.clock)
        self.boxes = [Mailbox(name, cast(Any, None)) for name in "ab"]
        for name, box in (("1", 0), ("2", 1), ("3", 0)):
            self.resends.sent(name, self.boxes[box], WAIT)

    def test_due(self) -> None:
        """Each is due once in its time, in the order of their sending, by mailbox."""
        self.assertEqual(self.resends.due(), {})
        for _ in range(2):
            self.clock.advance(WAIT)
            self.assertEqual(self.resends.due(), {self.boxes[0]: ["1", "3"], self.boxes[1]: ["2"]})
            self.assertEqual(self.resends.due(), {})

    def test_forget(self) -> None:
        """What is acknowledged is not due."""
        self.resends.forget("1")
        self.clock.advance(WAIT)
        self.assertEqual(self.resends.due()[self.boxes[0]], ["3"])
        self.assertEqual(len(self.resends), 2)

    def test_hasten(self) -> None:
        """What was not sent after all is due next, in its order; what is forgotten stays so."""
        self.clock.advance(WAIT)
        self.resends.due()
        self.resends.forget("2")
        self.clock.advance(1)
        self.resends.hasten(["1", "2", "3"])
        self.assertEqual(self.resends.due(), {self.boxes[0]: ["1", "3"]})

    def test_renewed(self) -> None:
        """What is renewed is due later, or earlier if its wait is shorter from now on; however often it was."""
        for _ in range(1000):
            self.clock.advance(1)
            self.resends.sent("1", self.boxes[0], WAIT)
        self.assertLess(len(self.resends._dates), 5)
        self.resends.due()
        self.resends.sent("2", self.boxes[1], 5)
        self.clock.advance(5)
        self.assertEqual(self.resends.due(), {self.boxes[1]: ["2"]})
        self.clock.advance(WAIT - 5)
        self.assertIn("1", self.resends.due()[self.boxes[0]])

    def test_at_once(self) -> None:
        """What waits for no time is due at once, once at a time."""
        self.resends.sent("1", self.boxes[0], 0)
        for _ in range(2):
            self.assertEqual(self.resends.due(), {self.boxes[0]: ["1"]})

    def test_what_is_kept(self) -> None:
        """Of letters that are acknowledged long before they are due, no more is kept than of those that are not."""
        for number in range(1000):
            self.resends.sent(f"n{number}", self.boxes[0], 86_400.0)
            self.resends.forget(f"n{number}")
        self.assertLessEqual(len(self.resends._dates), 2 * 3 + SPARE + 1)
        self.clock.advance(WAIT)
        self.assertEqual(self.resends.due(), {self.boxes[0]: ["1", "3"], self.boxes[1]: ["2"]})
