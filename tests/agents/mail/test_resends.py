"""What is to be sent again, and when."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents.mail.mailbox import RESEND_AFTER, Mailbox, Resends


class ResendsTests(SynchronousTestCase):
    """L{Resends}"""

    def setUp(self) -> None:
        self.clock = Clock()
        self.resends = Resends(self.clock)
        self.boxes = [Mailbox(name, cast(Any, None)) for name in "ab"]
        for name, box in (("1", 0), ("2", 1), ("3", 0)):
            self.resends.sent(name, self.boxes[box])

    def test_due(self) -> None:
        """Each is due once in its time, in the order of their sending, by mailbox."""
        self.assertEqual(self.resends.due(), {})
        self.clock.advance(RESEND_AFTER)
        self.assertEqual(self.resends.due(), {self.boxes[0]: ["1", "3"], self.boxes[1]: ["2"]})
        self.assertEqual(self.resends.due(), {})

    def test_forget(self) -> None:
        """What is acknowledged is not due."""
        self.resends.forget("1")
        self.clock.advance(RESEND_AFTER)
        self.assertEqual(self.resends.due()[self.boxes[0]], ["3"])
        self.assertEqual(len(self.resends), 2)

    def test_hasten(self) -> None:
        """What was not sent after all is due next, in its order; what is forgotten stays so."""
        self.clock.advance(RESEND_AFTER)
        self.resends.due()
        self.resends.forget("2")
        self.clock.advance(1)
        self.resends.hasten(["1", "2", "3"])
        self.assertEqual(self.resends.due(), {self.boxes[0]: ["1", "3"]})
