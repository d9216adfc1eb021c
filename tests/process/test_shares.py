"""Who has most of what all use together."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.process.shares import Counts, Shared

STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=60)


class CountsTests(SynchronousTestCase):
    """L{Counts}."""

    @given(STEPS)
    def test_most(self, steps: list[tuple[str, bool]]) -> None:
        """It knows who has most, whatever comes and goes."""
        counts, truth = Counts(), Counter[str]()
        for owner, more in steps:
            if more:
                counts.add(owner)
                truth[owner] += 1
            elif truth[owner]:
                counts.remove(owner)
                truth[owner] -= 1
            self.assertEqual(
                (counts.total, {name: counts[name] for name in "abcd"}),
                (truth.total(), {name: truth[name] for name in "abcd"}),
            )
            if counts.total:
                self.assertEqual(truth[counts.most()], max(truth.values()))


class SharedTests(SynchronousTestCase):
    """L{Shared}."""

    def test_who_has_most(self) -> None:
        """Who has most loses what was not used for longest."""
        shared: Shared[str, int] = Shared()
        shared.put("x", 0, "a", 4)
        for number in range(3):
            shared.put(f"b{number}", number, "b", 4)
        self.assertEqual(shared.get("b0"), 0)
        shared.put("y", 1, "a", 4)
        self.assertEqual([shared.get(key) for key in ("x", "y", "b0", "b1", "b2")], [0, 1, 0, None, 2])
        self.assertEqual(shared.oldest(), ("x", 0))
        shared.put("x", 2, "b", 4)
        self.assertEqual((shared.get("x"), len(shared), shared.oldest()), (2, 4, ("b0", 0)))
        for key in ("x", "y", "b0", "b2", "b2"):
            shared.pop(key)
        self.assertEqual((len(shared), shared.oldest()), (0, None))
