"""What is asked of a database, and how those are told who asked."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cell0gw.protocol.errors import RPCError, Unavailable

Result = TypeVar("Result")
New = TypeVar("New")
Kept = TypeVar("Kept")

Work = Callable[[sqlite3.Connection], Result]
"""Something to do with the file, on the writer's thread."""


class Job(NamedTuple):
    """Something to do with the file; C{reads}: and it changes nothing."""

    work: Work[object]
    deferred: Deferred[Any]
    reads: bool


Outcome = tuple[Deferred[Any], object]
"""The outcome of a job, and the Deferred that waits for it."""


def deliver(outcomes: list[Outcome]) -> None:
    """Tell all who wait, on their own thread."""
    for deferred, outcome in outcomes:
        deferred.callback(outcome)  # a Failure takes the errback path


class Gathered(Generic[New, Kept]):
    """Things of a kind that are to be written: all that come while the disk is busy are written by one job.

    @param ask: has the database do something with the file.
    @param write: writes things, on the writer's thread; gives for each what was kept, or why it was not.
    """

    def __init__(
        self,
        ask: Callable[[Work[list[Kept | RPCError]]], Deferred[list[Kept | RPCError]]],
        write: Callable[[sqlite3.Connection, list[New]], list[Kept | RPCError]],
    ) -> None:
        self._ask = ask
        self._write = write
        self._unwritten: deque[tuple[New, Deferred[Kept]]] = deque()
        self._asked = False

    def add(self, new: New) -> Deferred[Kept]:
        """Have one more written.

        @return: fires with what was kept, once that is on disk.
        @raise RPCError: by the Deferred: it was refused, or the disk failed.
        """
        deferred: Deferred[Kept] = Deferred()
        self._unwritten.append((new, deferred))
        if not self._asked:
            self._asked = True
            taken: list[tuple[New, Deferred[Kept]]] = []
            self._ask(lambda connection: self._write_all(connection, taken)).addCallbacks(
                self._written, self._failed, callbackArgs=(taken,), errbackArgs=(taken,)
            )
        return deferred

    def _write_all(
        self, connection: sqlite3.Connection, taken: list[tuple[New, Deferred[Kept]]]
    ) -> list[Kept | RPCError]:
        """On the writer's thread: take all that wait."""
        self._asked = False
        while self._unwritten:
            taken.append(self._unwritten.popleft())
        return self._write(connection, [new for new, _ in taken])

    def _written(self, outcomes: list[Kept | RPCError], taken: list[tuple[New, Deferred[Kept]]]) -> None:
        for outcome, (_, deferred) in zip(outcomes, taken, strict=True):
            if isinstance(outcome, RPCError):
                deferred.errback(Failure(outcome))
            else:
                deferred.callback(outcome)

    def _failed(self, failure: Failure, taken: list[tuple[New, Deferred[Kept]]]) -> None:
        if not taken:  # the job was never begun
            self._asked = False
            taken.extend(self._unwritten)
            self._unwritten.clear()
        if not failure.check(Unavailable):
            failure = Failure(Unavailable("Storage is out of order"))
        for _, deferred in taken:
            deferred.errback(failure)
