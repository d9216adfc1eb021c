"""What connections cost before they are authenticated."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.guard.anonymous import BYTES, MILLISECONDS, AnonymousBudgets
from cell0gw.protocol.limits import MIB
from cell0gw.testing import MemoryGateway


class Stranger:
    """A connection of nobody."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.refusals = 0

    def refuse(self, reason: str) -> None:
        self.refusals += 1


class AnonymousBudgetsTests(SynchronousTestCase):
    """The budget."""

    def setUp(self) -> None:
        self.now = 100.0
        self.hits: list[tuple[str, str]] = []
        self.budgets = AnonymousBudgets(lambda: self.now, lambda limit, by: self.hits.append((limit, by)))

    def test_bytes(self) -> None:
        """All connections of an address share its bytes; beyond them one is closed, and other addresses have theirs."""
        first, second, other = Stranger("a"), Stranger("a"), Stranger("b")
        for _ in range(BYTES.burst // MIB // 2):
            self.budgets.spent(first, MIB, 0.0)
            self.budgets.spent(second, MIB, 0.0)
        self.assertEqual((first.refusals, second.refusals), (0, 0))
        self.budgets.spent(second, MIB, 0.0)
        self.budgets.spent(other, MIB, 0.0)
        self.assertEqual((first.refusals, second.refusals, other.refusals), (0, 1, 0))
        self.assertEqual(self.hits, [("unauthenticated_bytes", "a")])

    def test_time(self) -> None:
        """So is the time that their messages take."""
        peer = Stranger("a")
        for _ in range(MILLISECONDS.burst // 100):
            self.budgets.spent(peer, 1, 0.1)
        self.assertEqual(peer.refusals, 0)
        self.budgets.spent(peer, 1, 0.1)
        self.assertEqual((peer.refusals, self.hits), (1, [("unauthenticated_time", "a")]))

    def test_comes_back(self) -> None:
        """What was refused is not charged: others from there have room as soon as there is some."""
        for _ in range(100):
            self.budgets.spent(Stranger("a"), MIB, 0.0)
        self.now += 1
        peer = Stranger("a")
        self.budgets.spent(peer, MIB, 0.0)
        self.assertEqual(peer.refusals, 0)

    def test_forgotten(self) -> None:
        """Nothing is kept of an address that has used nothing lately."""
        self.budgets.spent(Stranger("a"), 10 * MIB, 0.0)
        self.budgets.sweep()
        self.assertTrue(self.budgets._of_address)
        self.now += 11
        self.budgets.sweep()
        self.assertFalse(self.budgets._of_address)

    def test_authenticated(self) -> None:
        """The message that authenticates costs nothing, nor does any after it; one that does not is charged."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        gateway.connect("a").call("rpc.echo", message="x" * 1000)
        self.assertFalse(gateway.guard.anonymous._of_address)
        gateway.connect().call("rpc.ping")
        self.assertTrue(gateway.guard.anonymous._of_address)
