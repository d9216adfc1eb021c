"""Memory after a busy time."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.process.tidying import CALM, EVERY, TidyService


class TidyTests(SynchronousTestCase):
    """L{TidyService}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.made = 0
        self.did: list[str] = []
        self.service = TidyService(
            self.clock, lambda: self.made, lambda: self.did.append("collect"), lambda: self.did.append("trim")
        )
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def look(self, made: int) -> list[str]:
        """What it does at the next look.

        @param made: how many objects there are by then.
        """
        self.did.clear()
        self.made = made
        self.clock.advance(EVERY)
        return list(self.did)

    def test_calm_after_a_busy_time(self) -> None:
        """The first calm after a busy time is when it tidies up, once; a collection in between is no calm."""
        looks = [100, 20_000, 45_000, 9_000, 9_100, 9_200, 12_000, 12_100]
        self.assertEqual([self.look(made) for made in looks], [[], [], [], [], ["collect", "trim"], [], [], []])

    def test_never_busy(self) -> None:
        """Where little happens it does nothing."""
        self.assertEqual([self.look(number * CALM) for number in range(5)], [[]] * 5)
