"""What the value of an option may look like."""

import math
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.config.parsers import duration, head_size, origin, size, url_path, written_duration, written_size


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


class HandshakeTests(SynchronousTestCase):
    """What options of handshakes may be."""

    def refusal(self, parse: Callable[[Any], Any], value: Any) -> str:
        """Why a value can't be."""
        return str(self.assertRaises(ValueError, parse, value))

    def test_paths(self) -> None:
        """A path begins with a slash, has what may stand in a request, and is not that for probes."""
        for path in ("/", "/gateway", "/a/b/", "/%77s", "/a:b@c;d=e,f"):
            self.assertEqual(url_path(path), path)
        for path in ("", "gateway", "/health", "/a?b", "/a#b", "/a b", "/é", "/a\n", "ws://a/b", None, 1):
            self.assertIn("expected a", self.refusal(url_path, path), path)

    def test_head_sizes(self) -> None:
        """A head has at least 1 KiB and at most 64."""
        for value, length in (("1KiB", 1024), (65536, 65536)):
            self.assertEqual(head_size(value), length)
        for value in ("1023", "65KiB", 0, "1MiB"):
            self.assertEqual(self.refusal(head_size, value), "expected 1KiB to 64KiB")

    def test_origins(self) -> None:
        """Origins that can't be listed are refused with the reason: a slash, no origin at all, a wildcard."""
        self.assertEqual(origin("https://a.example:8443"), "https://a.example:8443")
        for value, reason in (
            ("https://a.example/", 'without the slash at its end, "https://a.example"'),
            ("https://a.example//", 'without the slash at its end, "https://a.example"'),
            ("null", "can't be told apart"), ("Null", "can't be told apart"), ("file://", "can't be told apart"),
            ("file:///", "can't be told apart"), ("*", "list each origin"), ("https://*.a.example", "list each origin"),
            ("https://a.example/b", "expected origins like"), ("a.example", "expected origins like"),
        ):  # fmt: skip
            self.assertIn(reason, self.refusal(origin, value), value)
