"""Tasks as their store has them: all that becomes of one goes through here, is counted, and then told."""

from __future__ import annotations

from collections import Counter
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from cell0gw.process.clocks import Dates
from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol.errors import Unavailable
from cell0gw.protocol.keys import Key
from cell0gw.tasks.moves import Move
from cell0gw.tasks.quotas import TaskQuotas
from cell0gw.tasks.store import ITaskStore, Lapsed, Moved, Occupied
from cell0gw.tasks.task import Task

AT_ONCE: Final = 100
"""Maximum tasks that are ended, or forgotten, in one transaction because time has passed."""

PURGE_EVERY: Final = 60.0
"""Seconds between two looks for what is to be forgotten."""


class ITaskObserver(Interface):
    """Is notified of what becomes of tasks."""

    def task_moved(moved: Moved) -> None:
        """Called once a step, and the events of it, are on disk, in the order of the steps."""

    def dates_moved(seconds: float) -> None:
        """Called when the dates of all that is not over move, as the wall clock was set; negative: back."""


@implementer(ISweeper)
class Ledger:
    """All tasks.

    @ivar waiting: how many wait for which agent or capability; C{asked}: how many for an answer of whom.
    @ivar ready: whether the attempts of the process before are known to be that: until then nothing is given out.
    @ivar created: how many there were; C{ended}: how many came to which end.
    """

    log = Logger()

    def __init__(self, store: ITaskStore, dates: Dates, quotas: TaskQuotas) -> None:
        self._store = store
        self._dates = dates
        self._quotas = quotas
        self._next: float | None = None
        self._lapsing = self._more = False
        self._owed = 0.0
        self._busy = False
        self._purge_at = 0.0
        self.observers: list[ITaskObserver] = []
        self.waiting: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.ready = False
        self.created = 0
        self.ended: Counter[str] = Counter()
        dates.stepped.append(self._stepped)

    def load(self) -> None:
        """Load what the store kept."""
        stored = self._store.load()
        self.waiting, self.asked = Counter(stored.waiting), Counter(stored.asked)
        self._quotas.load(stored.occupied)
        self._next = stored.following
        self._owed = 0.0
        self.ready = False
        self._disconnect()

    def now(self) -> float:
        """The date by which tasks are judged: as long as those on disk have not moved, it has not either."""
        return self._dates.lasting() - self._owed

    def create(self, task: Task, message: bytes, key: Key | None) -> Deferred[Moved]:
        """Keep a task.

        @return: fires once it is on disk; or was, under its key.
        @raise RateLimited: too many are open already, or too much is kept.
        """
        creator, size = task.creator, task.size + len(message)
        self._quotas.check(creator, size)
        self._quotas.change(creator, 1, size)  # several may be on their way to the disk
        return self._store.create(task, message, key).addBoth(self._created, creator, size)

    def move(self, task_id: str, move: Move) -> Deferred[Moved]:
        """Take a step.

        @return: fires once it is on disk, and all observers were notified.
        @raise RPCError: by the Deferred: it can't be taken.
        """
        return self._store.move(task_id, move, self._quotas.full()).addCallback(self._moved)

    def sweep(self) -> None:
        """See L{ISweeper}: do what is due, and forget what is old."""
        if not self.ready:
            self._disconnect()
            return
        if self._owed:
            self._shift(self._owed)
        self._lapse()
        now = self.now()
        if self._purge_at <= now:
            self._purge_at = now + PURGE_EVERY
            # A clock that is ahead at the start makes nothing old.
            before = min(now, self._dates.trusted())
            self._store.purge(before, AT_ONCE).addCallbacks(self._purged, self._failed, errbackArgs=(None,))

    def _lapse(self) -> None:
        """Do what is due, one part after the other; a store that answers at once is asked in turn."""
        self._more = True
        if self._lapsing:
            return
        self._lapsing, now = True, self.now()
        while self._more and self._next is not None and self._next <= now:
            self._more, self._next = False, None
            self._store.lapse(now, AT_ONCE).addCallbacks(self._lapsed, self._failed, errbackArgs=(now,))
        self._lapsing = False

    def _disconnect(self) -> None:
        if not self._busy:
            self._busy = True
            self._store.disconnect(self.now()).addCallbacks(self._disconnected, self._failed, errbackArgs=(None,))

    def _disconnected(self, moves: list[Moved]) -> None:
        self._busy = False
        self.ready = True
        for moved in moves:
            self._moved(moved)

    def _created(self, outcome: Moved | Failure, creator: str, size: int) -> Moved | Failure:
        if isinstance(outcome, Failure) or outcome.replayed:
            self._quotas.change(creator, -1, -size)
            return outcome
        self.created += 1
        self._quotas.change(creator, 0, outcome.task.size - size)
        return self._tell(outcome)

    def _moved(self, moved: Moved) -> Moved:
        before, task = moved.before, moved.task
        assert before is not None
        over = task.settled is not None and before.settled is None
        self._quotas.change(task.creator, -over, task.size - before.size)
        if over:
            self.ended[task.code or task.status] += 1
        return self._tell(moved)

    def _tell(self, moved: Moved) -> Moved:
        before, task = moved.before, moved.task
        if before is not None and before.waits:
            _count(self.waiting, task.target, -1)
        if task.waits:
            _count(self.waiting, task.target, 1)
        if before is not None and before.asked is not None:
            _count(self.asked, before.asked, -1)
        if task.asked is not None:
            _count(self.asked, task.asked, 1)
        self._note(task.wake)
        if before is not task:
            for observer in self.observers:
                observer.task_moved(moved)
        return moved

    def _lapsed(self, lapsed: Lapsed) -> None:
        for moved in lapsed.moves:
            self._moved(moved)
        self._note(lapsed.following)
        if len(lapsed.moves) == AT_ONCE:
            self._lapse()

    def _purged(self, gone: list[Occupied]) -> None:
        for each in gone:
            self._quotas.change(each.creator, -each.tasks, -each.size)
        if len(gone) == AT_ONCE:
            self._purge_at = 0.0

    def _stepped(self, seconds: float) -> None:
        self._owed += seconds

    def _shift(self, seconds: float) -> None:
        self._owed = 0.0
        if self._next is not None:
            self._next += seconds
        for observer in self.observers:
            observer.dates_moved(seconds)
        self._store.shift(seconds).addErrback(self._not_shifted, seconds)

    def _not_shifted(self, failure: Failure, seconds: float) -> None:
        self._owed += seconds
        for observer in self.observers:
            observer.dates_moved(-seconds)
        self._failed(failure, self._next if self._next is None else self._next - seconds)

    def _note(self, date: float | None) -> None:
        if date is not None and (self._next is None or date < self._next):
            self._next = date

    def _failed(self, failure: Failure, due: float | None) -> None:
        self._busy = False
        self._note(due)
        if not failure.check(Unavailable):  # the store has told of that
            self.log.failure("tasks could not be ended or forgotten", failure, event="tasks.failed")


def _count(counts: Counter[str], name: str, change: int) -> None:
    counts[name] += change
    if not counts[name]:
        del counts[name]
