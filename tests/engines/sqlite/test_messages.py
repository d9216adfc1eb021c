"""Durable channels on disk: what happens when the disk fails, and when there is too much on it."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

from twisted.internet.defer import Deferred

from cell0gw.channels.store import NewMessage, Stored
from cell0gw.protocol.errors import Unavailable
from tests.engines.sqlite.test_database import out_of_order
from tests.engines.test_message_stores import SQLiteCase, key, new_message
from tests.engines.test_token_stores import PATIENCE


class Case(SQLiteCase):
    """With a disk that fails when the test says so."""

    def execute(self, statement: str) -> Any:
        return self.outcome(self.database.write(lambda connection: connection.execute(statement).fetchall()))

    def together(self, *messages: NewMessage) -> list[Deferred[Stored]]:
        """Have these gather while the thread is busy with something else, and be written by one job."""
        busy, go_on = threading.Event(), threading.Event()
        self.database.write(lambda connection: busy.set() or go_on.wait(PATIENCE))
        self.assertTrue(busy.wait(PATIENCE))
        asked = [self.store.append(each) for each in messages]
        go_on.set()
        self.settle(asked[-1])
        return asked

    def consistent(self) -> None:
        """What the store tells, what the next process finds, and what is read are the same."""
        told = {name: self.read(name) for name in ("x", "y", "new")}
        found = self.loaded()
        for name, offsets in told.items():
            self.assertEqual(self.read(name), offsets)
            if offsets:
                self.assertEqual(offsets, list(range(found[name].oldest, found[name].newest + 1)))


class FailureTests(Case):
    """A write that fails."""

    def full(self, how: str) -> None:
        """From now on the disk has no room for messages of one sender."""
        when = "BEFORE INSERT ON messages WHEN NEW.sender = 'bad'"
        self.execute(f"CREATE TRIGGER full {when} BEGIN SELECT RAISE({how}, 'full'); END")

    def check(self, how: str) -> None:
        """With two channels: all that is written together fails, for a new channel too, and leaves no trace."""
        self.fill(3)
        self.fill(2, "y")
        self.full(how)
        asked = self.together(new_message(key=key()), new_message("y", sender="bad"), new_message("new", epoch="e2"))
        for each in asked:
            self.failureResultOf(each)
        self.flushLoggedErrors(sqlite3.Error)
        self.assertEqual([self.read(name) for name in ("x", "y", "new")], [[1, 2, 3], [1, 2], []])
        stored = [
            self.outcome(each)
            for each in self.together(new_message("new", epoch="e3"), new_message(key=key()), new_message("y"))
        ]
        self.assertEqual([(*s.position, s.replayed) for s in stored],
                         [(1, "e3", False), (4, "e1", False), (3, "e1", False)])  # fmt: skip
        self.consistent()
        self.assertEqual(self.append(new_message(), new_message("new"))[1].position, (2, "e3"))
        self.consistent()

    def test_the_statement(self) -> None:
        """A statement that is refused uses up no number: what comes later goes on without a hole."""
        self.check("ABORT")

    def test_the_transaction(self) -> None:
        """A transaction that is rolled back uses up no number either."""
        self.check("ROLLBACK")

    def test_another_job(self) -> None:
        """What fails of others in the same transaction takes the messages with it, and their numbers."""
        self.fill(2)
        busy, go_on = threading.Event(), threading.Event()
        self.database.write(lambda connection: busy.set() or go_on.wait(PATIENCE))
        self.assertTrue(busy.wait(PATIENCE))
        appending = self.store.append(new_message())
        failing = self.database.write(out_of_order)
        go_on.set()
        self.settle(failing)
        for each in (appending, failing):
            self.failureResultOf(each, Unavailable)
        self.assertEqual(self.append(new_message())[0].position.offset, 3)
        self.consistent()

    def test_dropping(self) -> None:
        """A channel whose drop came to nothing is there still, and goes on."""
        self.fill(3)
        self.execute("CREATE TRIGGER full BEFORE DELETE ON channels BEGIN SELECT RAISE(ROLLBACK, 'full'); END")
        self.failureResultOf(self.settle(self.store.drop("x", 3)), Unavailable)
        self.flushLoggedErrors(sqlite3.Error)
        self.assertEqual(self.append(new_message(epoch="e2"))[0].position, (4, "e1"))
        self.consistent()

    def test_purging(self) -> None:
        """A purge that came to nothing has purged nothing."""
        self.append(*(new_message(time=float(n)) for n in range(5)))
        self.execute("CREATE TRIGGER full BEFORE DELETE ON messages BEGIN SELECT RAISE(ROLLBACK, 'full'); END")
        self.failureResultOf(self.settle(self.store.purge({"x": 3.0}, 0.0)), Unavailable)
        self.flushLoggedErrors(sqlite3.Error)
        self.assertEqual(self.read(), [1, 2, 3, 4, 5])
        self.execute("DROP TRIGGER full")
        self.assertEqual(self.outcome(self.store.purge({"x": 3.0}, 0.0)), {"x": 4})

    def test_closed(self) -> None:
        """Once the file is closed everything is refused at once; the next process goes on after what was kept."""
        self.fill(2)
        self.database.close()
        for asked in (
            self.store.append(new_message()), self.store.append(new_message()), self.store.read("x", 0, 9),
            self.store.read_before("x", 9, 9), self.store.purge({"x": 1.0}, 0.0), self.store.drop("x", 2),
        ):  # fmt: skip
            self.failureResultOf(asked, Unavailable)
        self.open()
        self.assertEqual(self.append(new_message())[0].position.offset, 3)
        self.assertEqual(self.read(), [1, 2, 3])

    def test_asked_for_before_the_close(self) -> None:
        """What was asked for before the close is on disk after it."""
        asked = [self.store.append(new_message()) for _ in range(5)]
        self.database.close()
        self.settle(asked[-1])
        self.assertEqual([self.outcome(each).position.offset for each in asked], [1, 2, 3, 4, 5])
        self.assertEqual(self.loaded()["x"].newest, 5)

    def test_closed_and_opened(self) -> None:
        """A store whose file is closed and opened again is of use again."""
        self.fill(2)
        self.database.close()
        self.failureResultOf(self.store.append(new_message()), Unavailable)
        self.database.open()
        self.assertEqual(self.append(new_message())[0].position.offset, 3)


class SizeTests(Case):
    """What the file takes."""

    def test_space_is_used_again(self) -> None:
        """What was forgotten makes room: a channel that keeps its newest few does not make the file grow for ever."""
        sizes = []
        for _ in range(6):
            self.append(*(new_message(message=bytes(1000), keep=50) for _ in range(500)))
            sizes.append(self.execute("PRAGMA page_count")[0][0])
        # How much is forgotten before it is all there depends on how many the writer takes at a time.
        self.assertLess(max(sizes), 2 * sizes[0])
