"""Renewals of tokens, counted."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.guard.renewals import Renewals
from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol.errors import RateLimited
from cell0gw.protocol.limits import RENEWAL_RATE


class RenewalsTests(SynchronousTestCase):
    """L{Renewals}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.hits: list[tuple[str, str]] = []
        self.renewals = Renewals(self.clock.seconds, lambda limit, by: self.hits.append((limit, by)))

    def renew(self, entity_id: str, times: int) -> int:
        """How many of some renewals pass."""
        passed = 0
        for _ in range(times):
            try:
                self.renewals.count(entity_id)
                passed += 1
            except RateLimited as refusal:
                self.assertGreater(refusal.data["retry_after_ms"], 0)
        return passed

    def test_by_entity(self) -> None:
        """So many at once for each entity, and one a minute after that; the operator hears of it."""
        self.assertEqual([self.renew(name, 100) for name in "ab"], [RENEWAL_RATE.burst] * 2)
        self.clock.advance(121)
        self.assertEqual(self.renew("a", 100), 2)
        self.assertEqual(self.hits[0], ("renewals", "a"))

    def test_forgotten(self) -> None:
        """An entity that may renew as many as any again takes no memory; one that may not is remembered."""
        self.assertTrue(verifyObject(ISweeper, self.renewals))
        self.renew("a", 2)
        self.clock.advance(100)
        self.renew("b", 1)
        self.renewals.sweep()
        self.assertEqual(list(self.renewals._by_entity), ["a", "b"])
        self.clock.advance(21)
        self.renewals.sweep()
        self.assertEqual(list(self.renewals._by_entity), ["b"])
        self.clock.advance(60)
        self.renewals.sweep()
        self.assertEqual(list(self.renewals._by_entity), [])
