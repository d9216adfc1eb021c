"""The disk of the single process: what is acknowledged is written, and what fails says so."""

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.engines.sqlite import schema as sqlite_schema
from cell0gw.engines.sqlite.database import Database
from cell0gw.engines.sqlite.file import LOG
from cell0gw.engines.sqlite.schema import MIGRATIONS, SchemaTooNew
from cell0gw.engines.sqlite.tokens import SQLiteTokenStore
from cell0gw.protocol.errors import Unavailable
from tests.engines.test_token_stores import PATIENCE, QueueReactor, record


def insert(number: int) -> Callable[[sqlite3.Connection], int]:
    """A job that writes one row and returns its number."""

    def job(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        return number

    return job


def long_row(connection: sqlite3.Connection) -> None:
    """A job that makes the log long."""
    connection.execute("CREATE TABLE long AS SELECT zeroblob(?)", (LOG + 1,))


def out_of_order(connection: sqlite3.Connection) -> None:
    """A job that the disk fails."""
    raise trouble(sqlite3.SQLITE_IOERR_WRITE)


def trouble(code: int) -> sqlite3.OperationalError:
    """What SQLite raises."""
    error = sqlite3.OperationalError(f"error {code:#x}")
    error.sqlite_errorcode = code
    return error


class Case(SynchronousTestCase):
    """A database in a file of its own."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.reactor = QueueReactor()
        self.database = Database(self.path, self.reactor)
        self.addCleanup(self.database.close)

    def on_disk(self, query: str) -> list[Any]:
        """What another process would read."""
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def outcome(self, deferred: Deferred[Any]) -> Any:
        self.reactor.run_until_fired(deferred)
        return self.successResultOf(deferred)


class WriteTests(Case):
    """L{Database.write}."""

    def setUp(self) -> None:
        super().setUp()
        self.database.open()
        self.outcome(self.database.write(lambda c: c.execute("CREATE TABLE numbers (n UNIQUE)") and None))

    def numbers(self) -> list[int]:
        return [row[0] for row in self.on_disk("SELECT n FROM numbers ORDER BY n")]

    def together(self, *jobs: Callable[[sqlite3.Connection], Any]) -> list[Deferred[Any]]:
        """Have these jobs gather while the thread is busy with another, then let it go on until all are done."""
        busy, go_on = threading.Event(), threading.Event()
        blocked = self.database.write(lambda connection: busy.set() or go_on.wait(PATIENCE))
        self.assertTrue(busy.wait(PATIENCE))
        gathered = [self.database.write(job) for job in jobs]
        go_on.set()
        self.assertIs(self.outcome(blocked), True)
        self.reactor.run_until_fired(gathered[-1])
        return gathered

    def test_double(self) -> None:
        """The reactor of these tests is one, as far as the database asks."""
        self.assertTrue(verifyObject(IReactorFromThreads, self.reactor))

    def test_on_disk_when_it_fires(self) -> None:
        """Whoever is told that it is written can read it by another connection."""
        seen = []
        written = self.database.write(insert(7)).addCallback(lambda result: seen.append((result, self.numbers())))
        self.reactor.run_until_fired(written)
        self.assertEqual(seen, [(7, [7])])

    def test_fires_on_the_reactor(self) -> None:
        """Nothing fires on the writer's thread: results wait for the reactor's turn."""
        threads = []
        written = self.database.write(insert(1)).addCallback(lambda result: threads.append(threading.get_ident()))
        self.database.close()  # the thread is done
        self.assertNoResult(written)
        self.reactor.turn()
        self.assertEqual(threads, [threading.get_ident()])

    def test_long_log(self) -> None:
        """A long log is brought into the file after the results are told, and the next commit cuts it."""
        sizes = []
        call = self.reactor.callFromThread

        def told(*job: Any) -> None:
            sizes.append(self.path.stat().st_size)
            call(*job)

        self.patch(self.reactor, "callFromThread", told)
        self.outcome(self.database.write(long_row))
        self.outcome(self.database.write(insert(1)))
        self.assertLess(sizes[0], LOG)
        self.assertGreater(sizes[1], LOG)
        self.assertLessEqual(Path(f"{self.path}-wal").stat().st_size, LOG)

    def test_log_that_stays(self) -> None:
        """A log that can't be brought into the file is tried again after later commits, and nothing else fails."""
        allowed, asked = [False], []

        def forbid(action: int, name: str | None, *others: Any) -> int:
            if action != sqlite3.SQLITE_PRAGMA or name != "wal_checkpoint":
                return sqlite3.SQLITE_OK
            asked.append(allowed[0])
            return sqlite3.SQLITE_OK if allowed[0] else sqlite3.SQLITE_DENY

        self.outcome(self.database.write(lambda connection: connection.set_authorizer(forbid)))
        self.outcome(self.database.write(long_row))
        self.outcome(self.database.write(insert(1)))
        self.outcome(self.database.look(lambda connection: None))  # by then it was tried after both
        self.assertLess(self.path.stat().st_size, LOG)
        allowed[0] = True
        self.outcome(self.database.write(insert(2)))
        self.outcome(self.database.write(insert(3)))
        self.assertEqual((self.numbers(), asked[:2], asked[-1]), ([1, 2, 3], [False, False], True))
        self.assertGreater(self.path.stat().st_size, LOG)

    def test_in_order(self) -> None:
        """Writes happen, and are told of, in the order they were asked for."""
        told: list[int] = []
        writes = [self.database.write(insert(n)).addCallback(told.append) for n in range(50)]
        self.reactor.run_until_fired(writes[-1])
        self.assertEqual(told, list(range(50)))
        self.assertEqual([row[0] for row in self.on_disk("SELECT n FROM numbers ORDER BY rowid")], list(range(50)))

    def test_safe_settings(self) -> None:
        """Each transaction is synced to the disk, in a write-ahead log."""
        settings = [
            self.outcome(self.database.write(lambda c, name=name: c.execute(f"PRAGMA {name}").fetchone()[0]))
            for name in ("synchronous", "journal_mode")
        ]
        self.assertEqual(settings, [2, "wal"])  # 2 is FULL

    def test_share_a_transaction(self) -> None:
        """The writes that gather while the thread is busy share one transaction, and one turn of the reactor."""
        statements: list[str] = []
        self.outcome(self.database.write(lambda connection: connection.set_trace_callback(statements.append)))
        del statements[:]
        turns = self.reactor.turns
        writes = self.together(*(insert(n) for n in range(20)))
        self.assertEqual([self.successResultOf(write) for write in writes], list(range(20)))
        self.assertEqual(sum(statement.startswith("COMMIT") for statement in statements), 2)  # the busy one's own
        self.assertEqual(self.reactor.turns - turns, 2)
        self.assertEqual(self.numbers(), list(range(20)))

    def test_a_conflict_fails_alone(self) -> None:
        """A job that breaks a constraint takes back its own part only; its neighbours are written."""

        def two_rows(connection: sqlite3.Connection) -> None:
            insert(5)(connection)
            insert(1)(connection)

        one, conflict, two = self.together(insert(1), two_rows, insert(2))
        self.assertEqual((self.successResultOf(one), self.successResultOf(two)), (1, 2))
        self.failureResultOf(conflict, sqlite3.IntegrityError)
        self.assertEqual(self.numbers(), [1, 2])

    def test_trouble_fails_the_group(self) -> None:
        """When the disk fails, everyone in the transaction hears that nothing was written, and nothing was."""
        writes = self.together(insert(1), out_of_order, insert(2))
        for write in writes:
            self.assertTrue(self.failureResultOf(write, Unavailable).value.retryable)
        self.assertEqual(self.numbers(), [])

    def test_goes_on_after_trouble(self) -> None:
        """After the disk has failed once, the next write is tried anew."""
        self.reactor.run_until_fired(failed := self.database.write(out_of_order))
        self.failureResultOf(failed, Unavailable)
        self.assertEqual(self.outcome(self.database.write(insert(3))), 3)
        self.assertEqual(self.numbers(), [3])

    def test_a_defect_in_a_job(self) -> None:
        """A job that raises anything else harms no other: the thread lives on."""
        failed, written = self.together(lambda connection: {}[1], insert(3))
        self.failureResultOf(failed, Unavailable)
        self.assertEqual(self.successResultOf(written), 3)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_a_defect_of_the_writer(self) -> None:
        """Whatever goes wrong in the thread itself is told and logged, and the thread lives on."""
        told: list[str | None] = []
        self.patch(self.database._outage, "_tell", told.append)
        in_order, self.database._in_order = self.database._in_order, lambda: {}[1]  # type: ignore[method-assign]
        failed = self.database.write(insert(1))
        self.reactor.run_until_fired(failed)
        self.failureResultOf(failed, Unavailable)
        self.assertEqual((told, len(self.flushLoggedErrors(KeyError))), (["failing"], 1))
        self.database._in_order = in_order  # type: ignore[method-assign]
        self.assertEqual(self.outcome(self.database.write(insert(2))), 2)
        self.assertEqual(told, ["failing", None])

    def test_more_than_a_group(self) -> None:
        """However many writes gather, all are done."""
        writes = self.together(*(insert(n) for n in range(2500)))
        self.assertEqual(len(self.numbers()), 2500)
        self.assertEqual([self.successResultOf(write) for write in writes], list(range(2500)))

    def test_close_finishes(self) -> None:
        """What was asked for before the close is on disk after it, and told in a later turn."""
        writes = [self.database.write(insert(n)) for n in range(30)]
        self.database.close()
        self.assertEqual(self.numbers(), list(range(30)))
        self.reactor.run_until_fired(writes[-1])
        self.assertEqual([self.successResultOf(write) for write in writes], list(range(30)))

    def test_close_ends_the_thread(self) -> None:
        """After the close no thread is left, and the file belongs to nobody."""
        self.database.close()
        self.assertNotIn("cell0gw-sqlite", [thread.name for thread in threading.enumerate()])
        self.assertFalse(self.path.with_name(self.path.name + "-wal").exists())
        self.database.close()

    def test_write_after_close(self) -> None:
        """A write that comes too late fails at once: nobody waits for it in vain."""
        self.database.close()
        self.failureResultOf(self.database.write(insert(1)), Unavailable)
        self.assertEqual(self.numbers(), [])

    def test_open_again(self) -> None:
        """A database that was closed can be opened again."""
        self.outcome(self.database.write(insert(1)))
        self.database.close()
        self.database.open()
        self.outcome(self.database.write(insert(2)))
        self.assertEqual(self.numbers(), [1, 2])


class FileTests(Case):
    """The file: made, brought up to date, or refused."""

    def version(self) -> int:
        return int(self.on_disk("PRAGMA user_version")[0][0])

    def test_made(self) -> None:
        """A file that isn't there is made with the schema of this release, for the owner alone."""
        self.addCleanup(os.umask, os.umask(0))
        self.database.open()
        self.database.close()
        self.assertEqual(self.version(), len(MIGRATIONS))
        self.assertEqual(self.on_disk("SELECT * FROM tokens"), [])
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_neighbours_are_private_too(self) -> None:
        """The write-ahead log, which holds the same rows, is for the owner alone as well."""
        self.addCleanup(os.umask, os.umask(0))
        self.database.open()
        self.outcome(SQLiteTokenStore(self.database).add(record("a")))
        for suffix in ("-wal", "-shm"):
            self.assertEqual(self.path.with_name(self.path.name + suffix).stat().st_mode & 0o777, 0o600)

    def test_empty_file(self) -> None:
        """An empty file becomes a database."""
        self.path.touch()
        self.database.open()
        self.assertEqual(self.version(), len(MIGRATIONS))

    def test_a_look_keeps_no_hold(self) -> None:
        """Opening and closing leaves no thread and no open file behind: the process may fork after it."""
        self.database.open()
        self.database.close()
        self.assertNotIn("cell0gw-sqlite", [thread.name for thread in threading.enumerate()])
        self.failureResultOf(self.database.write(insert(1)), Unavailable)

    def test_later_schema(self) -> None:
        """A file of a later release is refused, with both versions, and left as it is."""
        self.database.open()
        self.database.close()
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        message = str(self.assertRaises(SchemaTooNew, self.database.open))
        self.assertIn("99", message)
        self.assertIn(str(len(MIGRATIONS)), message)
        self.assertEqual(self.version(), 99)

    def test_no_database(self) -> None:
        """A file that is something else is refused, and left as it is."""
        self.path.write_bytes(b"no database at all" * 1000)
        self.assertRaises(sqlite3.DatabaseError, self.database.open)
        self.assertEqual(self.path.read_bytes(), b"no database at all" * 1000)

    def test_no_folder(self) -> None:
        """Without its folder the file can't be made, and that is said."""
        self.assertRaises(OSError, Database(self.path / "gateway.db", self.reactor).open)

    def test_upgrade(self) -> None:
        """A file of an earlier release is brought to the schema of this one, with all it holds."""
        self.database.open()
        self.outcome(SQLiteTokenStore(self.database).add(record("a")))
        self.database.close()
        self.patch(sqlite_schema, "MIGRATIONS", (*MIGRATIONS, "ALTER TABLE tokens ADD COLUMN note TEXT"))
        self.database.open()
        self.assertEqual(self.version(), len(MIGRATIONS) + 1)
        self.assertEqual(self.on_disk("SELECT token_id, note FROM tokens"), [("tok_a", None)])

    def test_upgrade_of_tokens(self) -> None:
        """A file from before tokens could be renewed keeps its tokens; they are as they were, and not renewable."""
        connection = sqlite3.connect(self.path)
        for script in MIGRATIONS[:3]:
            connection.executescript(script)
        connection.execute("PRAGMA user_version = 3")
        connection.execute("INSERT INTO tokens VALUES ('tok_a', 'digest of a', 'a', 'agent', '[]', 1.5, 9.5, NULL, 1)")
        connection.commit()
        connection.close()
        self.database.open()
        store = SQLiteTokenStore(self.database)
        old = record("a", permissions=(), expires_at=9.5, revoked=True)
        self.assertEqual((self.version(), store.load()), (len(MIGRATIONS), [old]))
        renewed = record("b", renewed_from="tok_a", renew_until=99.5)
        self.outcome(store.add(renewed))
        self.assertEqual(store.load(), [old, renewed])

    def test_an_upgrade_that_fails(self) -> None:
        """A migration happens as a whole or not at all: the earlier release can still use the file."""
        self.database.open()
        self.database.close()
        self.patch(sqlite_schema, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE more (n); CREATE TABLE tokens (n)"))
        self.assertRaises(sqlite3.OperationalError, self.database.open)
        self.assertEqual(self.version(), len(MIGRATIONS))
        self.assertNotIn(("more",), self.on_disk("SELECT name FROM sqlite_master WHERE type = 'table'"))

    def test_kept(self) -> None:
        """What was stored is there, field by field, for the next process."""
        kept = record("a.>", permissions=("*",), expires_at=2.25, issued_by="tok_b", revoked=True)
        self.database.open()
        self.outcome(SQLiteTokenStore(self.database).add(kept))
        self.database.close()
        again = Database(self.path, self.reactor)
        again.open()
        self.addCleanup(again.close)
        self.assertEqual(SQLiteTokenStore(again).load(), [kept])
