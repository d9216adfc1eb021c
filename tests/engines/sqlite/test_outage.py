"""What is wrong with a database file, and how long it is left alone."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.engines.sqlite.outage import CALM, LONGEST, SHORTEST, Damaged, Outage, Replaced, advice, cause_of
from cell0gw.monitoring.health import CAUSES
from tests.engines.sqlite.test_database import trouble

PATH = Path("/var/lib/cell0gw/gateway.db")


class CauseTests(SynchronousTestCase):
    """Which errors are the disk's."""

    def test_causes(self) -> None:
        """Each error of a disk has its cause, extended codes included; mistakes in statements and in Python don't."""
        for error, cause in (
            (trouble(sqlite3.SQLITE_FULL), "full"),
            (OSError(errno.ENOSPC, "No space left on device"), "full"),
            (trouble(sqlite3.SQLITE_READONLY_DBMOVED), "read_only"),
            (OSError(errno.EROFS, "Read-only file system"), "read_only"),
            (trouble(sqlite3.SQLITE_BUSY_SNAPSHOT), "locked"),
            (trouble(sqlite3.SQLITE_IOERR_FSYNC), "failing"),
            (OSError(errno.EIO, "Input/output error"), "failing"),
            (trouble(sqlite3.SQLITE_CORRUPT_INDEX), "damaged"),
            (trouble(sqlite3.SQLITE_NOTADB), "damaged"),
            (Damaged("*** in database main ***"), "damaged"),
            (trouble(sqlite3.SQLITE_CANTOPEN), "unreachable"),
            (FileNotFoundError(errno.ENOENT, "No such file or directory"), "unreachable"),
            (Replaced(), "replaced"),
            (trouble(sqlite3.SQLITE_ERROR), None),
            (sqlite3.IntegrityError("UNIQUE constraint failed"), None),
            (KeyError(1), None),
            (MemoryError(), None),
        ):
            self.assertEqual(cause_of(error), cause, repr(error))

    def test_advice(self) -> None:
        """What keeps the gateway from its start is one line: the file, what is wrong with it, and what to do."""
        for error, wrong, remedy in (
            (trouble(sqlite3.SQLITE_BUSY), "another program has locked it", "end that program"),
            (trouble(sqlite3.SQLITE_CORRUPT), "it is damaged", "restore a backup, or move it away"),
            (OSError(errno.EROFS, "Read-only file system"), "(Read-only file system)", "give the gateway's user"),
            (trouble(sqlite3.SQLITE_FULL), "the disk is full", "make room"),
        ):
            line = advice(PATH, error)
            self.assertIn(f"{PATH} can't be used, ", line)
            self.assertIn(wrong, line)
            self.assertIn(remedy, line)
            self.assertNotIn("\n", line)
        self.assertIn("the disk fails", advice(PATH, trouble(sqlite3.SQLITE_IOERR_SHMSIZE)))
        self.assertIn("the disk is full", advice(PATH, trouble(sqlite3.SQLITE_IOERR_SHMSIZE), room=False))


class OutageTests(SynchronousTestCase):
    """L{Outage}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Any] = []
        self.outage = Outage(PATH, self.clock.seconds, self.told.append)

    def waits(self, times: int) -> list[float]:
        """For how long it is left alone after each of so many failures."""
        found = []
        for _ in range(times):
            self.outage.failed("failing", "error")
            assert self.outage.wait is not None
            found.append(round(self.outage.wait, 3))
            self.clock.advance(self.outage.wait)
        return found

    def test_longer_and_longer(self) -> None:
        """It is tried again at once, then after longer and longer, and never after longer than a few seconds."""
        self.assertEqual(self.waits(9), [0.0, SHORTEST, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST, LONGEST])

    def test_again_soon(self) -> None:
        """What fails again soon after it was in order is left alone for as long as before; later it is a new outage."""
        self.waits(5)
        for calm, first in ((CALM - 1, 1.6), (CALM, 0.0)):
            self.outage.over()
            self.assertIsNone(self.outage.wait)
            self.clock.advance(calm)
            self.assertEqual(self.waits(1), [first])

    def test_told(self) -> None:
        """Each cause is told once, and the end."""
        for cause in ("full", "full", "failing", "full"):
            self.outage.failed(cause, "error")
        self.outage.over()
        self.outage.over()
        self.assertEqual(self.told, ["full", "failing", "full", None])

    def test_log(self) -> None:
        """There is a line a second and cause at most, and one at the end that says how long it took."""
        with capturedLogs() as events:
            for _ in range(50):
                self.outage.failed("full", "error")
                self.outage.failed("failing", "error")
                self.clock.advance(0.1)
            self.outage.over()
        lines = [(event["log_level"], event.get("wrong")) for event in events]
        for cause in ("full", "failing"):
            self.assertEqual(lines.count((LogLevel.critical, CAUSES[cause][0])), 5)
        self.assertEqual(lines[-1], (LogLevel.warn, None))
        self.assertEqual(round(events[-1]["seconds"], 3), 5.0)

    def test_refusal(self) -> None:
        """Who is refused hears why, and when to come back."""
        self.outage.failed("full", "error")
        self.outage.failed("full", "error")
        refusal = self.outage.refusal()
        self.assertTrue(refusal.retryable)
        self.assertEqual(refusal.data, {"cause": "full", "retry_after_ms": 101})
