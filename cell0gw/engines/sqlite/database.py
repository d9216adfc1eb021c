"""The disk of the single process: one SQLite file, written by one thread.

Every write waits for its transaction to be on disk (WAL, ``synchronous=FULL``). The writes that gather while the
thread is busy share the next transaction. When the disk fails they are refused, what is there can still be read, and
the thread tries again by itself; a file whose disk had errors is reopened and checked first.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from cell0gw.engines.interfaces import EngineError
from cell0gw.engines.sqlite.file import PATIENCE, check, connect, has_space, identify, shorten_log, try_out
from cell0gw.engines.sqlite.jobs import Job, Outcome, Result, Work, deliver
from cell0gw.engines.sqlite.outage import SAME_FILE, Outage, advice, cause_of
from cell0gw.protocol.errors import Unavailable

_MAX_GROUP: Final = 1000

CHECK: Final = 2.0
"""Maximum seconds for which a file whose disk had errors is checked for damage."""

SLOW: Final = 10.0
"""Seconds after which a transaction that has not ended is reported."""

MAX_CHECKPOINTS: Final = 5
"""Maximum checkpoints that are tried before the file is reopened without the write-ahead log."""


class Database:
    """One SQLite file and the thread that writes it.

    @param path: the file; made, with mode 0600, when there is none.
    @param reactor: the results come back on its thread.
    @param seconds: tells the time, on any thread.
    @param tell: called, on the reactor's thread, with the cause when the file can't be written, see L{CAUSES}, and with
        None when it can again.
    @ivar rollbacks: how many transactions, or parts of them, were rolled back; changed by the writer's thread alone.
    """

    log = Logger()

    def __init__(
        self,
        path: Path,
        reactor: IReactorFromThreads,
        seconds: Callable[[], float] = time.monotonic,
        tell: Callable[[str | None], object] = lambda cause: None,
    ) -> None:
        self._path = path
        self._reactor = reactor
        self._seconds = seconds
        self._tell = tell
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._busy_since: float | None = None
        self._slow = False
        self._outage = Outage(path, seconds, lambda cause: reactor.callFromThread(tell, cause))
        self._checkpoints = self.rollbacks = 0

    def open(self) -> None:
        """Open the file and bring its schema up to date. No process may fork before it is closed again.

        @raise SchemaTooNew: the file is of a later release.
        @raise sqlite3.Error: the file can't be opened, read or written.
        @raise OSError: the file can't be made, or not be written.
        """
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        self._connection = connect(self._path)
        self._inode = self._path.stat().st_ino

    def check(self, seconds: float) -> None:
        """Check for damage before the first write, for C{seconds} at most.

        @raise Damaged: there is some.
        """
        assert self._connection is not None
        check(self._connection, seconds)

    def read(self, query: str) -> list[Any]:
        """The rows of a query, at once: for the time before the first write.

        @raise EngineError: the file can't be read, or not be written where that is asked for.
        """
        assert self._connection is not None
        try:
            return self._connection.execute(query).fetchall()
        except sqlite3.Error as problem:
            raise EngineError(advice(self._path, problem, has_space(self._path))) from None

    def write(self, work: Work[Result]) -> Deferred[Result]:
        """Do something in a transaction.

        @param work: called with the connection, on the writer's thread.
        @return: fires with what that returned once it is on disk; fails with L{Unavailable} when it could not be
            written.
        """
        return self._ask(work, False)

    def look(self, work: Work[Result]) -> Deferred[Result]:
        """Do something that only reads, after what was asked for before; it may be possible when no write is.

        @param work: called with the connection, on the writer's thread, and called again should a write fail.
        @return: fires with what that returned; fails with L{Unavailable} when it could not be read.
        """
        return self._ask(work, True)

    def close(self) -> None:
        """Finish what was asked for, then close the file. Its last results are delivered in a later reactor turn."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, work: Work[Result], reads: bool) -> Deferred[Result]:
        if self._connection is None:
            return fail(Unavailable("Storage is closed"))
        if self._thread is None:
            self._thread = Thread(target=self._work, name="cell0gw-sqlite", daemon=True)
            self._thread.start()
        busy_since = self._busy_since
        if busy_since is not None and self._seconds() - busy_since > SLOW and not self._slow:
            self._slow = True
            self._tell("slow")
        deferred: Deferred[Result] = Deferred()
        self._jobs.put(Job(work, deferred, reads))
        return deferred

    # From here on: on the writer's thread.

    def _work(self) -> None:
        """The thread: take all that waits, write it in one transaction, tell."""
        while True:
            group = self._gather()
            jobs = [entry for entry in group if entry is not None]
            self._busy_since = self._seconds() if jobs else None
            outcomes = self._guarded(jobs or [Job(try_out, Deferred(), False)]) if jobs or not group else []
            if jobs:
                self._reactor.callFromThread(deliver, outcomes)
            if self._connection is not None and self._outage.cause is None:
                shorten_log(self._connection, self._path)
            self._busy_since = None
            if len(jobs) < len(group):
                return

    def _guarded(self, jobs: list[Job]) -> list[Outcome]:
        """Carry out jobs. Whatever goes wrong, the thread goes on: without it every later write would wait for ever."""
        try:
            return self._carry_out(jobs)
        except Exception as error:
            self.rollbacks += 1
            self._outage.failed("failing", error)
            self.log.failure("the writer of {path} failed", event="storage.failed", path=str(self._path))
            return [(job.deferred, Failure(self._outage.refusal())) for job in jobs]

    def _gather(self) -> list[Job | None]:
        """All that waits; nothing when it is time to try what has failed."""
        try:
            group = [self._jobs.get(timeout=self._outage.wait)]
        except Empty:
            return []
        while not self._jobs.empty() and len(group) < _MAX_GROUP and group[-1] is not None:
            group.append(self._jobs.get())
        return group

    def _carry_out(self, jobs: list[Job]) -> list[Outcome]:
        if all(job.reads for job in jobs) or self._outage.wait or not self._fit():
            return [self._without_writing(job) for job in jobs]
        try:
            outcomes = self._commit(jobs)
        except Exception as error:
            self._failed(error)
            return [self._without_writing(job) for job in jobs]
        self._in_order()
        return outcomes

    def _commit(self, jobs: list[Job]) -> list[Outcome]:
        """One transaction for all; a job that fails takes back only its own part."""
        connection = self._connection
        assert connection is not None
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [(job.deferred, self._attempt(connection, job.work)) for job in jobs]
        connection.execute("COMMIT")
        return outcomes

    def _attempt(self, connection: sqlite3.Connection, work: Work[object]) -> object:
        connection.execute("SAVEPOINT job")
        try:
            outcome: object = work(connection)
        except Exception as error:
            if cause_of(error) is not None or not connection.in_transaction:
                raise
            outcome = Failure() if isinstance(error, sqlite3.IntegrityError) else self._defect()
            self.rollbacks += 1
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
        return outcome

    def _without_writing(self, job: Job) -> Outcome:
        """What only reads is done still; the rest is refused."""
        if not job.reads:
            return job.deferred, Failure(self._outage.refusal())
        try:
            return job.deferred, job.work(self._connection)  # type: ignore[arg-type]
        except Exception as error:
            if cause_of(error) is None:
                return job.deferred, self._defect()
            if self._outage.cause is None:
                self._failed(error)
            return job.deferred, Failure(Unavailable("Storage can't be read"))

    def _fit(self) -> bool:
        """Whether the file may be written, for all that is known; after an error of its disk it is reopened."""
        cause = self._outage.cause
        try:
            identify(self._path, self._inode)
            if cause is not None and cause not in SAME_FILE:
                self._open_anew()
        except Exception as error:
            self._failed(error, cause or "failing")
            return False
        if cause == "full" and not has_space(self._path):
            self._outage.failed(cause, "there is still no room")
            return False
        return True

    def _open_anew(self) -> None:
        """Put another connection in the place of this one, if the file is whole.

        What is in the write-ahead log is saved into the file first: what was refused is behind it, and must not come
        back with the log.
        """
        assert self._connection is not None
        self._checkpoints += 1
        if self._checkpoints < MAX_CHECKPOINTS:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection = connect(self._path)
        try:
            check(connection, CHECK)
        except BaseException:
            connection.close()
            raise
        self._connection.close()
        self._connection = connection
        self.rollbacks += 1

    def _failed(self, error: Exception, otherwise: str | None = None) -> None:
        """A transaction has failed.

        @param otherwise: the cause, if the error doesn't say; None: it was not the disk.
        """
        self.rollbacks += 1
        assert self._connection is not None
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            otherwise = "failing"
        cause = cause_of(error) or otherwise
        if cause is None:
            self.log.failure("could not write to {path}", event="storage.failed", path=str(self._path))
            return
        self._outage.failed(cause, error)
        if cause == "locked":
            self._connection.execute("PRAGMA busy_timeout = 100")  # it was waited for already

    def _in_order(self) -> None:
        """A transaction is on disk."""
        if self._outage.cause is not None:
            assert self._connection is not None
            self._connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE * 1000)}")
            self._checkpoints = 0
            self._outage.over()
        elif self._slow:
            self._slow = False
            self._reactor.callFromThread(self._tell, None)

    def _defect(self) -> Failure:
        self.log.failure("a job of the database failed", event="storage.failed")
        return Failure(Unavailable("Storage is out of order"))
