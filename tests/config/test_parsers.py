"""What the value of an option may look like."""

import math

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.config.parsers import duration, size, written_duration, written_size


class ValueTests(SynchronousTestCase):
    """Spellings that are taken, and those that are refused."""

    def test_durations(self) -> None:
        """Seconds as a number, or as text with a unit."""
        for value, seconds in (
            (30, 30.0), (0.5, 0.5), (0, 0.0), ("30", 30.0), ("1.5", 1.5), ("250ms", 0.25), ("30s", 30.0),
            ("30 s", 30.0), ("10m", 600.0), ("1.5h", 5400.0), ("24h", 86400.0), ("2d", 172800.0),
        ):  # fmt: skip
            self.assertEqual(duration(value), seconds, repr(value))

    def test_wrong_durations(self) -> None:
        """Anything else is refused: signs, other units, booleans, and floats that are no number."""
        for value in (
            *(
                "",
                "s",
                "-1",
                "+1",
                "-5s",
                "1e3",
                ".5",
                "5.",
                "1,5",
                "5 min",
                "5S",
                "5sec",
                "1h30m",
                "30s\n",
                "nan",
                "inf",
            ),
            *(True, False, None, -1, -0.5, math.nan, math.inf, -math.inf, [], {}),
        ):
            self.assertRaises(ValueError, duration, value)

    def test_sizes(self) -> None:
        """Bytes as a number, or as text with a binary unit."""
        for value, number in (
            (1, 1), ("1", 1), ("512B", 512), ("64KiB", 65_536), ("64 KiB", 65_536), ("10MiB", 10_485_760),
            ("2GiB", 2_147_483_648),
        ):  # fmt: skip
            self.assertEqual(size(value), number, repr(value))

    def test_wrong_sizes(self) -> None:
        """Anything else is refused: signs, fractions, units that could mean two things, booleans."""
        for value in (
            *("", "B", "-1", "+1", "1.5MiB", "64KB", "64kb", "64kib", "64k", "64K", "1e6", "10MiB\n", "0x10", "nan"),
            *(True, False, None, -1, 1.0, math.nan, math.inf, [], {}),
        ):
            self.assertRaises(ValueError, size, value)

    def test_written(self) -> None:
        """What is written for people is read as what it was."""
        for seconds, text in ((0.0, "0s"), (0.25, "0.25s"), (30.0, "30s"), (90_000.0, "90000s"), (604_800.0, "7d")):
            self.assertEqual((written_duration(seconds), duration(text)), (text, seconds))
        for length, text in ((0, "0"), (1000, "1000"), (1024, "1KiB"), (10_485_760, "10MiB"), (2**32, "4GiB")):
            self.assertEqual((written_size(length), size(text)), (text, length))
