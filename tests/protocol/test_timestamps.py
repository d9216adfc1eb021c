"""Moments on the wire."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.timestamps import timestamp

SECONDS = st.floats(0, 4_102_444_800)  # to the year 2100


class TimestampTests(SynchronousTestCase):
    """L{timestamp}."""

    def test_shape(self) -> None:
        """UTC, ISO 8601, always with milliseconds, ending in Z."""
        for seconds, expected in (
            (0, "1970-01-01T00:00:00.000Z"),
            (1_770_892_200, "2026-02-12T10:30:00.000Z"),
            (1_770_892_200.25, "2026-02-12T10:30:00.250Z"),
            (1_770_892_200.9999, "2026-02-12T10:30:00.999Z"),
            (1_772_323_199.5, "2026-02-28T23:59:59.500Z"),
        ):
            self.assertEqual(timestamp(seconds), expected)

    @given(SECONDS)
    def test_reads_back(self, seconds: float) -> None:
        """A reader gets the same moment back, to the millisecond."""
        moment = datetime.fromisoformat(timestamp(seconds))
        self.assertEqual(moment.tzinfo, UTC)
        self.assertLess(abs(moment.timestamp() - seconds), 0.001_001)

    @given(SECONDS, SECONDS)
    def test_sorts_as_text(self, one: float, other: float) -> None:
        """The later of two moments is never the smaller text."""
        self.assertLessEqual(timestamp(min(one, other)), timestamp(max(one, other)))
