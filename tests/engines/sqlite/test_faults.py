"""A database whose disk fails: what can be refused is refused, what can be read is read, and it recovers by itself."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

from twisted.internet.defer import Deferred

from cell0gw.engines.sqlite import file as sqlite_file
from cell0gw.engines.sqlite.database import SLOW, Database
from cell0gw.engines.sqlite.outage import Damaged
from cell0gw.protocol.errors import Unavailable
from tests.engines.sqlite.test_database import Case, trouble
from tests.engines.test_token_stores import PATIENCE

BLOB = 2000


class FaultCase(Case):
    """With a table of rows that take up room."""

    def setUp(self) -> None:
        super().setUp()
        self.now = 0.0
        self.told: list[str | None] = []
        self.database = Database(self.path, self.reactor, lambda: self.now, self.told.append)
        self.addCleanup(self.database.close)
        self.database.open()
        self.outcome(self.database.write(lambda c: c.execute("CREATE TABLE numbers (n, b)") and None))

    def insert(self, number: int) -> Deferred[Any]:
        return self.database.write(
            lambda c: c.execute("INSERT INTO numbers VALUES (?, zeroblob(?))", (number, BLOB)) and None
        )

    def numbers(self) -> list[int]:
        """What the database itself finds."""
        found = self.outcome(self.database.look(lambda c: c.execute("SELECT n FROM numbers ORDER BY n").fetchall()))
        return [n for (n,) in found]

    def pragma(self, text: str) -> None:
        """Change a setting of the connection."""
        self.outcome(self.database.look(lambda c: c.execute(f"PRAGMA {text}").fetchall()))

    def refused(self, cause: str) -> None:
        """One more write is refused, for that reason."""
        self.reactor.run_until_fired(failed := self.insert(99))
        self.assertEqual(self.failureResultOf(failed, Unavailable).value.data["cause"], cause)

    def until_told(self, what: str | None) -> None:
        while not self.told or self.told[-1] != what:
            self.reactor.turn()


class FullTests(FaultCase):
    """A disk without room."""

    def setUp(self) -> None:
        super().setUp()
        self.outcome(self.insert(1))
        self.pragma("max_page_count = 1")  # no more than it has

    def fill(self) -> None:
        for _ in range(20):  # what is left of the last page may do for some
            self.reactor.run_until_fired(filled := self.insert(99))
            if isinstance(filled.result, BaseException) or filled.result is not None:
                self.failureResultOf(filled, Unavailable)
                return
        self.fail("it is not full")

    def test_refused_and_read(self) -> None:
        """What would be written is refused and leaves nothing behind; what is there can be read."""
        self.fill()
        before = self.numbers()
        self.refused("full")
        self.assertEqual(self.numbers(), before)
        self.assertEqual(self.told, ["full"])

    def test_reads_beside_writes(self) -> None:
        """What only reads is answered though what it shared the transaction with is refused."""
        self.fill()
        self.now += 100
        busy, go_on = threading.Event(), threading.Event()
        blocked = self.database.look(lambda connection: busy.set() or go_on.wait(PATIENCE))
        self.assertTrue(busy.wait(PATIENCE))
        writing = self.insert(99)
        reading = self.database.look(lambda c: c.execute("SELECT MIN(n) FROM numbers").fetchone()[0])
        go_on.set()
        self.reactor.run_until_fired(reading)
        self.successResultOf(blocked)
        self.failureResultOf(writing, Unavailable)
        self.assertEqual(self.successResultOf(reading), 1)

    def test_recovers(self) -> None:
        """Once there is room it is written again, without a start, and that is told."""
        self.fill()
        self.pragma("max_page_count = 100000")
        self.now += 100
        self.outcome(self.insert(2))
        self.assertEqual(self.told, ["full", None])
        self.assertIn((2,), self.on_disk("SELECT n FROM numbers"))

    def test_recovers_unasked(self) -> None:
        """Nobody has to write for it to be noticed that there is room."""
        self.fill()
        self.pragma("max_page_count = 100000")
        self.now += 100
        self.until_told(None)

    def test_hardly_any_room(self) -> None:
        """A few bytes more are no room: a disk on the brink would be well and ill in turns."""
        self.fill()
        self.patch(sqlite_file, "SPACE", 1 << 62)  # first: the thread may try again at any moment
        self.pragma("max_page_count = 100000")
        self.now += 100
        self.refused("full")
        self.patch(sqlite_file, "SPACE", 1)
        self.now += 100
        self.outcome(self.insert(2))


class LockedTests(FaultCase):
    """Another program that has locked the file."""

    def test_locked(self) -> None:
        """While it is locked writes are refused and reads go on; after that all is as before."""
        self.outcome(self.insert(1))
        self.pragma("busy_timeout = 1")
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        self.refused("locked")
        self.assertEqual(self.numbers(), [1])
        other.execute("ROLLBACK")
        self.now += 100
        self.outcome(self.insert(2))
        self.assertEqual((self.numbers(), self.told), ([1, 2], ["locked", None]))


class ErrorTests(FaultCase):
    """A disk with errors."""

    def fails(self, code: int = sqlite3.SQLITE_IOERR_FSYNC) -> None:
        """A write runs into one."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO numbers VALUES (98, NULL)")
            raise trouble(code)

        self.reactor.run_until_fired(failed := self.database.write(work))
        self.failureResultOf(failed, Unavailable)

    def connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection = self.outcome(self.database.look(lambda connection: connection))
        return found

    def test_opened_anew(self) -> None:
        """After an error of the disk the next write has the file opened anew; what was refused is not there."""
        self.outcome(self.insert(1))
        before = self.connection()
        self.fails()
        self.assertEqual(self.numbers(), [1])
        self.outcome(self.insert(2))
        self.assertIsNot(self.connection(), before)
        self.assertEqual((self.numbers(), self.told), ([1, 2], ["failing", None]))

    def test_safe_settings(self) -> None:
        """The new connection is as safe as the first."""
        self.fails()
        self.outcome(self.insert(2))
        found = [self.connection().execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")]
        self.assertEqual(found, [2, "wal"])

    def test_damaged(self) -> None:
        """A file that is found damaged then is not written any more, and what can be read of it is."""
        for number in range(50):
            self.outcome(self.insert(number))
        self.pragma("wal_checkpoint(TRUNCATE)")
        ((size,), (pages,)) = (self.on_disk(f"PRAGMA {name}")[0] for name in ("page_size", "page_count"))
        with self.path.open("r+b") as file:
            file.seek(size * (pages - 2))
            file.write(b"\xff" * size)
        self.fails()
        self.refused("damaged")
        self.now += 100
        self.refused("damaged")
        self.assertEqual(self.outcome(self.database.look(lambda c: c.execute("SELECT 1").fetchone())), (1,))

    def test_gone(self) -> None:
        """A file that is gone is not written, though it could be; it goes on once it is back, and with no other."""
        self.outcome(self.insert(1))
        aside = self.path.with_name("aside")
        self.path.rename(aside)
        self.refused("unreachable")
        self.assertFalse(self.path.exists())
        self.path.touch()
        self.now += 100
        self.refused("replaced")
        aside.rename(self.path)
        self.now += 100
        self.outcome(self.insert(2))
        self.assertEqual((self.numbers(), self.told[-1]), ([1, 2], None))

    def test_jobs_are_no_disk(self) -> None:
        """A mistake in a job says nothing about the disk."""
        self.reactor.run_until_fired(failed := self.database.write(lambda c: c.execute("nonsense")))
        self.failureResultOf(failed, Unavailable)
        self.reactor.run_until_fired(failed := self.database.look(lambda c: c.execute("nonsense")))
        self.failureResultOf(failed, Unavailable)
        self.assertEqual(len(self.flushLoggedErrors(sqlite3.OperationalError)), 2)
        self.outcome(self.insert(1))
        self.assertEqual(self.told, [])

    def test_a_read_that_fails(self) -> None:
        """A disk that can't be read is told of, too."""

        def work(connection: sqlite3.Connection) -> None:
            raise trouble(sqlite3.SQLITE_IOERR_READ)

        self.reactor.run_until_fired(failed := self.database.look(work))
        self.failureResultOf(failed, Unavailable)
        self.until_told(None)  # the next try is good
        self.assertEqual(self.told, ["failing", None])


class SlowTests(FaultCase):
    """A disk that takes very long."""

    def test_told(self) -> None:
        """It is told that it does, while everyone waits, and that it no longer does."""
        busy, go_on = threading.Event(), threading.Event()
        blocked = self.database.write(lambda connection: busy.set() or go_on.wait(PATIENCE))
        self.assertTrue(busy.wait(PATIENCE))
        self.now += SLOW + 1
        waiting = [self.insert(1), self.insert(2)]
        self.assertEqual(self.told, ["slow"])
        go_on.set()
        self.until_told(None)
        self.reactor.run_until_fired(waiting[-1])
        self.assertIs(self.successResultOf(blocked), True)
        self.assertEqual((self.numbers(), self.told), ([1, 2], ["slow", None]))


class ConnectTests(FaultCase):
    """Opening anew."""

    def test_none_is_made(self) -> None:
        """Where there is no file none is made: an empty one would be taken for what was lost."""
        nowhere = self.path.with_name("nowhere")
        self.assertRaises(sqlite3.OperationalError, sqlite_file.connect, nowhere)
        self.assertFalse(nowhere.exists())

    def test_names(self) -> None:
        """Whatever the folder is called."""
        folder = self.path.with_name("a b?c#d%20é")
        folder.mkdir()
        (folder / "gateway.db").touch()
        sqlite_file.connect(folder / "gateway.db").close()
        self.assertEqual([path.name for path in folder.iterdir()], ["gateway.db"])


class CheckTests(FaultCase):
    """Looking for damage."""

    def test_whole(self) -> None:
        """A whole file is found whole, however little time there is."""
        for number in range(20):
            self.outcome(self.insert(number))
        for seconds in (0.0, 30.0):
            self.database.check(seconds)

    def test_damaged(self) -> None:
        """A damaged one is not."""
        for number in range(20):
            self.outcome(self.insert(number))
        self.database.close()
        with self.path.open("r+b") as file:
            file.seek(-5000, 2)
            file.write(b"\xff" * 3000)
        self.database.open()
        self.assertRaises((Damaged, sqlite3.DatabaseError), self.database.check, 30.0)
