"""Room for connections: what the limit of open files leaves of what was asked for."""

from __future__ import annotations

from twisted.logger import LogEvent, Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.app import room
from cell0gw.app.entrance import StartError
from cell0gw.app.room import MIN_CONNECTIONS, fitting
from cell0gw.config.options import SPARE_DESCRIPTORS, Config


class FittingTests(SynchronousTestCase):
    """L{fitting}."""

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        self.patch(room, "_log", Logger(observer=self.events.append))

    def fit(self, files: int, asked: int | None = None) -> int | None:
        self.patch(room, "open_file_limit", lambda: files)
        return fitting(Config(max_connections=asked)).max_connections

    def test_enough(self) -> None:
        """Where there is room nothing changes, and nothing is said."""
        self.assertEqual(self.fit(1024), None)
        self.assertEqual(self.fit(1024, 1024 - SPARE_DESCRIPTORS), 1024 - SPARE_DESCRIPTORS)
        self.assertEqual(self.events, [])

    def test_lowered(self) -> None:
        """Where fewer fit than were asked for, so many it is, and a warning says how many files would do."""
        self.assertEqual(self.fit(1024, 5000), 1024 - SPARE_DESCRIPTORS)
        (event,) = self.events
        self.assertIs(event["log_level"], LogLevel.warn)
        self.assertIn("max_connections is 896 instead of 5000, since 1024 files may be open", formatEvent(event))
        self.assertIn("ulimit -n", formatEvent(event))
        self.assertTrue(formatEvent(event).endswith(" to 5128"))

    def test_too_few(self) -> None:
        """Where hardly anybody would be served it does not start, and says how many files it takes."""
        least = SPARE_DESCRIPTORS + MIN_CONNECTIONS
        self.assertEqual(self.fit(least), None)
        for files in (20, 128, least - 1):
            for asked in (None, 10_000):
                message = str(self.assertRaises(StartError, self.fit, files, asked))
                self.assertTrue(message.startswith(f"{files} open files are too few for 32 connections: "), message)
                self.assertTrue(message.endswith(f" to {least}"), message)

    def test_few_are_meant(self) -> None:
        """Whoever asks for fewer gets them."""
        self.assertEqual(self.fit(SPARE_DESCRIPTORS + 2, 2), 2)
        self.assertRaises(StartError, self.fit, SPARE_DESCRIPTORS + 1, 2)
