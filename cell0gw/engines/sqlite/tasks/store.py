"""Tasks in a L{Database}: a step and its events are on disk, together, before anybody is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.engines.sqlite.database import Database
from cell0gw.engines.sqlite.jobs import Gathered
from cell0gw.engines.sqlite.room import Room
from cell0gw.engines.sqlite.tasks import rows
from cell0gw.protocol.errors import RPCError
from cell0gw.protocol.keys import Key
from cell0gw.tasks.moves import Move
from cell0gw.tasks.store import FoundTask, ITaskStore, Lapsed, Moved, Occupied, Ready, StoredTasks, TaskFilter, TaskList
from cell0gw.tasks.task import StoredEvent, Task

_P = ParamSpec("_P")
_Result = TypeVar("_Result")
_Statement = Callable[Concatenate[sqlite3.Connection, _P], _Result]


@implementer(ITaskStore)
class SQLiteTaskStore:
    """Tasks and their events.

    All that are created while the disk is busy are written by one job, in few statements.

    @param room: the room in the file, for which dead letters make way.
    """

    def __init__(self, database: Database, room: Room) -> None:
        self._database = database
        self._room = room
        self._creating = Gathered(database.write, self._look_for_room(rows.create))

    def load(self) -> StoredTasks:
        """See L{ITaskStore}."""
        read = self._database.read
        ((following,),) = read("SELECT MIN(wake) FROM tasks WHERE wake IS NOT NULL")
        occupied = read("SELECT creator, SUM(settled IS NULL), SUM(size) FROM tasks GROUP BY creator")
        return StoredTasks(
            waiting=dict(read("SELECT target, COUNT(*) FROM tasks WHERE settled IS NULL AND held = 0 GROUP BY target")),
            asked=dict(read("SELECT asked, COUNT(*) FROM tasks WHERE asked IS NOT NULL GROUP BY asked")),
            occupied=[Occupied(creator=creator, tasks=tasks, size=size) for creator, tasks, size in occupied],
            following=following,
        )

    def disconnect(self, now: float) -> Deferred[list[Moved]]:
        """See L{ITaskStore}."""
        return self._write(rows.disconnect, now)

    def create(self, task: Task, message: bytes, key: Key | None) -> Deferred[Moved]:
        """See L{ITaskStore}."""
        return self._creating.add((task, message, key))

    def known(self, creator: str, key: Key) -> Deferred[Moved | None]:
        """See L{ITaskStore}."""
        return self._look(rows.known, creator, key)

    def move(self, task_id: str, move: Move, full: frozenset[str] = frozenset()) -> Deferred[Moved]:
        """See L{ITaskStore}."""
        return self._write(self._look_for_room(rows.move), task_id, move, full)

    def get(self, task_id: str) -> Deferred[FoundTask | None]:
        """See L{ITaskStore}."""
        return self._look(rows.get, task_id)

    def ready(self, target: str, now: float, after: tuple[float, int], limit: int) -> Deferred[Ready]:
        """See L{ITaskStore}."""
        return self._look(rows.ready, target, now, after, limit)

    def find(self, filter: TaskFilter, limit: int) -> Deferred[TaskList]:
        """See L{ITaskStore}."""
        return self._look(rows.find, filter, limit)

    def asked(self, names: list[str], limit: int) -> Deferred[list[Task]]:
        """See L{ITaskStore}."""
        return self._look(rows.asked, names, limit)

    def events(self, task_id: str, after: int, limit: int) -> Deferred[list[StoredEvent]]:
        """See L{ITaskStore}."""
        return self._look(rows.events, task_id, after, limit)

    def lapse(self, now: float, limit: int) -> Deferred[Lapsed]:
        """See L{ITaskStore}."""
        return self._write(rows.lapse, now, limit)

    def shift(self, seconds: float) -> Deferred[None]:
        """See L{ITaskStore}."""
        return self._write(rows.shift, seconds)

    def purge(self, now: float, limit: int) -> Deferred[list[Occupied]]:
        """See L{ITaskStore}."""
        return self._write(rows.purge, now, limit)

    def _look_for_room(self, statement: _Statement[_P, _Result]) -> _Statement[_P, _Result]:
        """The same, with room made for it where dead letters have it."""

        def within_room(connection: sqlite3.Connection, /, *args: _P.args, **kwargs: _P.kwargs) -> _Result:
            self._room.look(connection)
            return statement(connection, *args, **kwargs)

        return within_room

    def _write(self, statement: _Statement[_P, _Result], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_Result]:
        return self._database.write(_attempt(statement, *args, **kwargs)).addCallback(_raise)

    def _look(self, statement: _Statement[_P, _Result], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_Result]:
        return self._database.look(_attempt(statement, *args, **kwargs)).addCallback(_raise)


def _attempt(
    statement: _Statement[_P, _Result], *args: _P.args, **kwargs: _P.kwargs
) -> Callable[[sqlite3.Connection], _Result | RPCError]:
    """What a statement refuses has changed nothing: that comes back as a value."""

    def attempt(connection: sqlite3.Connection) -> _Result | RPCError:
        try:
            return statement(connection, *args, **kwargs)
        except RPCError as refusal:
            return refusal

    return attempt


def _raise(outcome: _Result | RPCError) -> _Result | Failure:
    return Failure(outcome) if isinstance(outcome, RPCError) else outcome
