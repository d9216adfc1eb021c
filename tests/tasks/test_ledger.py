"""Tasks as their store has them: what is counted of them, and when something becomes of them by itself."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.engines.memory.tasks import MemoryTaskStore
from cell0gw.engines.sqlite.database import Database
from cell0gw.engines.sqlite.room import Room
from cell0gw.engines.sqlite.tasks.store import SQLiteTaskStore
from cell0gw.process.clocks import Dates
from cell0gw.protocol.errors import NotFound, Unavailable
from cell0gw.tasks import ledger
from cell0gw.tasks.ledger import Ledger
from cell0gw.tasks.moves import Cancel
from cell0gw.tasks.quotas import TaskQuotas
from tests.engines.test_task_stores import assign, task
from tests.engines.test_token_stores import QueueReactor


class LedgerTests(SynchronousTestCase):
    """With a store in memory."""

    def setUp(self) -> None:
        self.clock, self.ahead = Clock(), 0.0
        self.store, self.quotas = MemoryTaskStore(), TaskQuotas()
        self.dates = Dates(self.clock, lambda: self.clock.seconds() + self.ahead)
        self.ledger = Ledger(self.store, self.dates, self.quotas)
        self.moved: list[tuple[str, str]] = []
        self.ledger.observers.append(self)  # type: ignore[arg-type]
        self.ledger.load()

    def task_moved(self, moved: Any) -> None:
        """See L{ledger.ITaskObserver}."""
        self.moved.append((moved.task.task_id, moved.task.status))

    def dates_moved(self, seconds: float) -> None:
        """See L{ledger.ITaskObserver}."""

    def create(self, number: int = 1, **facts: Any) -> None:
        self.successResultOf(self.ledger.create(task(number, created=0.0, due=0.0, **facts), b"1", None))

    def sweep(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        self.dates.sweep()
        self.ledger.sweep()

    def test_many_at_once(self) -> None:
        """However many have waited too long, all are ended by one look; and a broken disk is asked once."""
        self.patch(ledger, "AT_ONCE", 1)
        for number in range(1, 1001):
            self.create(number, expires_at=10.0)
        self.store.broken = True
        self.sweep(20.0)
        self.assertEqual(self.ledger.ended["expired"], 0)
        self.store.broken = False
        self.sweep(1.0)
        self.assertEqual(self.ledger.ended["expired"], 1000)

    def test_counted(self) -> None:
        """What waits is counted by whom it waits for, until it is given out, or over."""
        for number in (1, 2, 3):
            self.create(number)
        self.assertEqual((dict(self.ledger.waiting), self.quotas.tasks), ({"capability:t": 3}, 3))
        self.ledger.move("task_1", assign())
        self.ledger.move("task_2", Cancel(now=1.0))
        self.assertEqual((dict(self.ledger.waiting), self.quotas.tasks), ({"capability:t": 1}, 2))
        self.assertEqual(self.moved[3:], [("task_1", "working"), ("task_2", "cancelled")])
        size = self.quotas.size
        self.ledger.load()
        self.assertEqual(
            (dict(self.ledger.waiting), self.quotas.tasks, self.quotas.size), ({"capability:t": 1}, 2, size)
        )

    def test_refused(self) -> None:
        """What could not be kept is not counted, and what is refused is told to nobody."""
        self.store.broken = True
        self.failureResultOf(self.ledger.create(task(), b"1", None), Unavailable)
        self.assertEqual((self.quotas.tasks, self.quotas.size, dict(self.ledger.waiting)), (0, 0, {}))
        self.store.broken = False
        self.failureResultOf(self.ledger.move("task_9", Cancel(now=1.0)), NotFound)
        self.assertEqual(self.moved, [])

    def test_expires(self) -> None:
        """What has waited for too long ends when that is so, however much it is."""
        self.patch(ledger, "AT_ONCE", 3)
        for number in range(10):
            self.create(number, expires_at=20.0)
        self.sweep(19.0)
        self.assertEqual(self.quotas.tasks, 10)
        self.sweep(1.0)
        self.assertEqual((self.quotas.tasks, self.ledger.ended["expired"]), (0, 10))

    def test_clock_set(self) -> None:
        """Setting the wall clock ends no task, and lets none wait for longer."""
        self.create(expires_at=20.0)
        self.sweep(10.0)
        self.ahead = 86_400.0
        self.sweep(5.0)
        self.assertEqual(self.quotas.tasks, 1)
        self.sweep(6.0)
        self.assertEqual(self.quotas.tasks, 0)

    def test_forgotten(self) -> None:
        """What has been over for long enough no longer takes anything."""
        self.create(keep=100.0)
        self.ledger.move("task_1", Cancel(now=1.0))
        self.sweep(90.0)
        self.assertGreater(self.quotas.size, 0)
        self.sweep(70.0)
        self.assertEqual(self.quotas.size, 0)

    def test_not_ready(self) -> None:
        """As long as the attempts of the process before can't be ended nothing is given out; it is tried again."""
        self.store.broken = True
        self.ledger.load()
        self.assertFalse(self.ledger.ready)
        self.sweep(1.0)
        self.store.broken = False
        self.sweep(1.0)
        self.assertTrue(self.ledger.ready)


class MemoryTests(SynchronousTestCase):
    """With a store on disk."""

    def test_waiting(self) -> None:
        """A task that waits takes less than a KiB of memory, however long it is."""
        reactor = QueueReactor()
        database = Database(Path(self.mktemp()), reactor)
        database.open()
        self.addCleanup(database.close)
        clock = Clock()
        kept = Ledger(
            SQLiteTaskStore(database, Room(database, 1 << 40, 1 << 30)), Dates(clock, clock.seconds), TaskQuotas()
        )

        def create(first: int, last: int) -> None:
            asked: list[Deferred[Any]] = [
                kept.create(task(number, target=f"w{number}"), b"x" * 5000, None) for number in range(first, last)
            ]
            while not all(deferred.called for deferred in asked):
                reactor.turn()

        create(0, 50)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        create(50, 550)
        create(550, 551)  # lets the thread forget what it wrote last
        self.assertLess((tracemalloc.get_traced_memory()[0] - before) / 500, 1024)
        self.assertEqual(sum(kept.waiting.values()), 551)
