"""Counting, and how fast the counts grow."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.monitoring.statistics import Rates


class RatesTests(SynchronousTestCase):
    """L{Rates}."""

    def test_no_sample(self) -> None:
        """Before the first sample every rate is there, and 0."""
        self.assertEqual(Rates(3).per_second(10.0, {"calls": 7, "errors": 1}), {"calls": 0.0, "errors": 0.0})

    def test_since_oldest_sample(self) -> None:
        """A rate is the growth since the oldest sample over the time since then."""
        rates = Rates(3)
        rates.sample(100.0, {"calls": 10})
        rates.sample(105.0, {"calls": 1000})
        self.assertEqual(rates.per_second(110.0, {"calls": 60}), {"calls": 5.0})

    def test_old_samples_are_forgotten(self) -> None:
        """Only so many samples are kept: a busy hour ago no longer counts."""
        rates = Rates(2)
        rates.sample(0.0, {"calls": 0})
        rates.sample(10.0, {"calls": 900})
        rates.sample(20.0, {"calls": 910})
        self.assertEqual(rates.per_second(20.0, {"calls": 910}), {"calls": 1.0})

    def test_no_time_has_passed(self) -> None:
        """In the moment of the oldest sample, and before it when the clock was set back, rates are 0."""
        rates = Rates(3)
        rates.sample(100.0, {"calls": 10})
        for now in (100.0, 99.0):
            self.assertEqual(rates.per_second(now, {"calls": 50}), {"calls": 0.0})

    def test_new_name(self) -> None:
        """A service that came after the oldest sample began at 0."""
        rates = Rates(3)
        rates.sample(0.0, {"calls": 10})
        self.assertEqual(rates.per_second(4.0, {"calls": 10, "mine.jobs": 2}), {"calls": 0.0, "mine.jobs": 0.5})

    def test_gone_name(self) -> None:
        """A service that has left has no rate."""
        rates = Rates(3)
        rates.sample(0.0, {"calls": 10, "mine.jobs": 2})
        self.assertEqual(rates.per_second(5.0, {"calls": 20}), {"calls": 2.0})

    def test_rounded(self) -> None:
        """Rates have three decimals: they are for people."""
        rates = Rates(3)
        rates.sample(0.0, {"calls": 0})
        self.assertEqual(rates.per_second(3.0, {"calls": 1}), {"calls": 0.333})

    def test_clear(self) -> None:
        """After a restart the samples from before it don't count."""
        rates = Rates(3)
        rates.sample(0.0, {"calls": 100})
        rates.clear()
        rates.sample(10.0, {"calls": 0})
        self.assertEqual(rates.per_second(12.0, {"calls": 6}), {"calls": 3.0})

    @given(st.lists(st.integers(0, 1000), min_size=1, max_size=30), st.integers(1, 13))
    def test_never_negative(self, steps: list[int], kept: int) -> None:
        """Totals only grow, so no rate is ever below 0."""
        rates, total = Rates(kept), 0
        for now, step in enumerate(steps):
            total += step
            rates.sample(float(now), {"calls": total})
        self.assertGreaterEqual(rates.per_second(float(len(steps)), {"calls": total})["calls"], 0)
