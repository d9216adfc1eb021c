"""Token buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.buckets import Bucket


class BucketTests(SynchronousTestCase):
    """Ten a second, five at once."""

    def test_burst_and_rate(self) -> None:
        """A new bucket gives a burst, then what comes back, and never more than a burst after a silence."""
        bucket = Bucket(100.0)
        self.assertEqual([bucket.take(3, 100.0, 10, 5) for _ in range(3)], [3, 2, 0])
        self.assertEqual(bucket.take(5, 100.25, 10, 5), 2)
        self.assertEqual(bucket.take(9, 200.0, 10, 5), 5)

    def test_wait(self) -> None:
        """It says when there will be one: not earlier and hardly later."""
        bucket = Bucket(0.0)
        bucket.take(5, 0.0, 10, 5)
        wait = bucket.wait(10, 5)
        self.assertEqual(bucket.take(1, wait - 0.01, 10, 5), 0)
        self.assertEqual(bucket.take(1, wait + 0.001, 10, 5), 1)

    def test_give_back(self) -> None:
        """What was given back can be taken again."""
        bucket = Bucket(0.0)
        bucket.take(5, 0.0, 10, 5)
        bucket.give_back(2)
        self.assertEqual(bucket.take(5, 0.0, 10, 5), 2)

    @given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 9)), max_size=30))
    def test_never_more(self, steps: list[tuple[float, int]]) -> None:
        """Whatever is asked for and when, over any time no more is given than a burst and what came back in it."""
        bucket, now, given_by = Bucket(0.0), 0.0, [(0.0, 0)]
        for pause, wanted in steps:
            now += pause
            given_by.append((now, bucket.take(wanted, now, 10, 5)))
        for begin in range(len(given_by)):
            given_since = sum(count for _, count in given_by[begin:])
            self.assertLessEqual(given_since, 5 + (now - given_by[begin][0]) * 10 + 1e-6)
