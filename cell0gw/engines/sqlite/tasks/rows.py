"""The statements of tasks: each runs on the writer's thread, in a transaction of its L{Database}."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from cell0gw.engines.sqlite.shares import MAX_ROWS
from cell0gw.protocol.errors import Conflict, RPCError
from cell0gw.protocol.keys import Key
from cell0gw.tasks.moves import Disconnect, Lapse, Move
from cell0gw.tasks.steps import check_room, created, unknown_task
from cell0gw.tasks.store import FoundTask, Lapsed, Moved, Occupied, Ready, TaskFilter, TaskList
from cell0gw.tasks.task import EVENT_ROW, StoredEvent, Task, numbered, trimmed

READ_BYTES: Final = 1024 * 1024
"""Approximate maximum bytes that are read at once; one task or event at least."""

MAX_LOOKED: Final = 2000
"""Maximum tasks of an entity that are compared with what is asked for, for one page of a list."""

EVENTS: Final = 1 << 24
"""Maximum offset of an event. An event's row is its task's number times this, plus its offset."""

BEYOND: Final = EVENTS << 24
"""More than the number of any task."""

NewTask = tuple[Task, bytes, Key | None]
"""A task that is to be kept, with its message and its key."""

_FIELDS: Final = tuple(name for name in Task.__struct_fields__ if name != "number")
_COLUMNS: Final = ", ".join(("number", *_FIELDS))
_FIXED: Final = frozenset(
    ("task_id", "epoch", "creator", "creator_type", "target", "root", "hops", "in_reply_to", "policy", "sticky",
     "timeout", "idle", "max_attempts", "keep", "created")
)  # fmt: skip
_CHANGING: Final = tuple(name for name in _FIELDS if name not in _FIXED)

_TASK: Final = f"SELECT {_COLUMNS} FROM tasks WHERE"
_INSERT: Final = f"INSERT INTO tasks ({_COLUMNS}, wake, forgotten_at, message, method, key, digest)"
_UPDATE: Final = (
    f"UPDATE tasks SET {', '.join(f'{n} = ?' for n in _CHANGING)}, wake = ?, forgotten_at = ? WHERE number = ?"
)
_INSERT_EVENT: Final = "INSERT INTO task_events (position, type, attempt, data, time)"
_EVENTS: Final = "SELECT position, type, attempt, data, time FROM task_events WHERE position > ? AND position < ?"
_WAITING: Final = "target = ? AND settled IS NULL AND held = 0"


def create(connection: sqlite3.Connection, asked: list[NewTask]) -> list[Moved | RPCError]:
    """See L{ITaskStore.create}: of all at once, in few statements: for each the thread waits for its turn.

    @return: what came of each.
    """
    ((number,),) = connection.execute("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'tasks'")
    outcomes: list[Moved | RPCError] = []
    fresh: dict[tuple[str, str, str], tuple[bytes, Task]] = {}
    rows: list[tuple[Any, ...]] = []
    events: list[tuple[Any, ...]] = []
    for task, message, key in asked:
        slot = ("", "", "") if key is None else (task.creator, key.method, key.key)
        known = None if key is None else fresh.get(slot) or _known(connection, slot)
        if key is not None and known is not None:
            outcomes.append(_attached(key, *known))
            continue
        number += 1
        new, given = numbered(replace(task, number=number, size=task.size + len(message)), created(task))
        stored = (None, None, None) if key is None else (key.method, key.key, key.digest)
        facts = (getattr(new, name) for name in _FIELDS)
        rows.append((number, *facts, new.wake, new.forgotten_at, message, *stored))
        events += ((number * EVENTS + e.offset, e.type, e.attempt, e.data, e.time) for e in given)
        if key is not None:
            fresh[slot] = key.digest, new
        outcomes.append(Moved(before=None, task=new, events=given))
    _insert(connection, _INSERT, rows)
    _insert(connection, _INSERT_EVENT, events)
    return outcomes


def known(connection: sqlite3.Connection, creator: str, key: Key) -> Moved | None:
    """See L{ITaskStore.known}."""
    there = _known(connection, (creator, key.method, key.key))
    outcome = None if there is None else _attached(key, *there)
    if isinstance(outcome, RPCError):
        raise outcome
    return outcome


def move(connection: sqlite3.Connection, task_id: str, move: Move, full: frozenset[str]) -> Moved:
    """See L{ITaskStore.move}."""
    row = connection.execute(f"{_TASK} task_id = ?", (task_id,)).fetchone()
    if row is None:
        raise unknown_task()
    return _apply(connection, _task(row), move, full)


def get(connection: sqlite3.Connection, task_id: str) -> FoundTask | None:
    """See L{ITaskStore.get}."""
    row = connection.execute(f"SELECT message, {_COLUMNS} FROM tasks WHERE task_id = ?", (task_id,)).fetchone()
    if row is None:
        return None
    task = _task(row[1:])
    return FoundTask(
        task=task,
        message=row[0],
        result=_event(connection, task, task.result),
        question=_event(connection, task, task.asked_at),
    )


def ready(connection: sqlite3.Connection, target: str, now: float, after: tuple[float, int], limit: int) -> Ready:
    """See L{ITaskStore.ready}."""
    rows = connection.execute(
        f"SELECT message, {_COLUMNS} FROM tasks WHERE {_WAITING} AND due <= ? AND (due, number) > (?, ?) "
        "AND expires_at > ? ORDER BY due, number LIMIT ?",
        (target, now, *after, now, limit),
    )
    tasks = [(_task(row[1:]), row[0]) for row in _bounded(rows, 0)]
    ((following,),) = connection.execute(
        f"SELECT MIN(due) FROM tasks WHERE {_WAITING} AND due > ?", (target, now)
    ).fetchall()
    return Ready(tasks, following)


def find(connection: sqlite3.Connection, filter: TaskFilter, limit: int) -> TaskList:
    """See L{ITaskStore.find}."""
    before = BEYOND
    if filter.before is not None:
        row = connection.execute("SELECT number FROM tasks WHERE task_id = ?", (filter.before,)).fetchone()
        if row is None:
            raise unknown_task()
        before = row[0]
    looked = limit + 1 if filter.status is None and filter.target is None else max(MAX_LOOKED, limit + 1)
    found: set[int] = set()
    floor = 0  # below it not all were looked at
    whose_are = [("creator", filter.of), ("worker", filter.of), *(("asked", name) for name in filter.asked)]
    for whose, name in whose_are:  # each by its own index
        query = (
            f"SELECT number, status, target FROM tasks WHERE {whose} = ? AND number < ? ORDER BY number DESC LIMIT ?"
        )
        rows = connection.execute(query, (name, before, looked)).fetchall()
        if len(rows) == looked:
            floor = max(floor, rows[-1][0])
        found.update(
            number
            for number, status, target in rows
            if filter.status in (None, status) and filter.target in (None, target)
        )
    page = sorted((number for number in found if number >= floor), reverse=True)
    last = page[limit - 1] if len(page) > limit else floor
    places = ", ".join("?" * len(page[:limit]))
    tasks = connection.execute(f"{_TASK} number IN ({places}) ORDER BY number DESC", page[:limit]).fetchall()
    following = connection.execute("SELECT task_id FROM tasks WHERE number = ?", (last,)).fetchone()
    return TaskList(list(map(_task, tasks)), None if following is None else following[0])


def asked(connection: sqlite3.Connection, names: list[str], limit: int) -> list[Task]:
    """See L{ITaskStore.asked}."""
    found: list[Task] = []
    for name in names:
        rows = connection.execute(f"{_TASK} asked = ? ORDER BY number LIMIT ?", (name, limit))
        found += map(_task, rows.fetchall())
    return sorted(found, key=lambda task: task.number)[:limit]


def events(connection: sqlite3.Connection, task_id: str, after: int, limit: int) -> list[StoredEvent]:
    """See L{ITaskStore.events}."""
    found = connection.execute("SELECT number FROM tasks WHERE task_id = ?", (task_id,)).fetchone()
    if found is None:
        return []
    base = found[0] * EVENTS
    rows = connection.execute(f"{_EVENTS} ORDER BY position LIMIT ?", (base + after, base + EVENTS, limit))
    return [_task_event(row) for row in _bounded(rows, 3)]


def lapse(connection: sqlite3.Connection, now: float, limit: int) -> Lapsed:
    """See L{ITaskStore.lapse}."""
    rows = connection.execute(f"{_TASK} wake <= ? ORDER BY wake LIMIT ?", (now, limit)).fetchall()
    moves = [_apply(connection, _task(row), Lapse(now=now)) for row in rows]
    ((following,),) = connection.execute("SELECT MIN(wake) FROM tasks WHERE wake IS NOT NULL").fetchall()
    return Lapsed(moves, following)


def disconnect(connection: sqlite3.Connection, now: float) -> list[Moved]:
    """See L{ITaskStore.disconnect}."""
    held = map(_task, connection.execute(f"{_TASK} held = 1").fetchall())
    return [_apply(connection, task, Disconnect(now=now, attempt=task.attempt)) for task in held]


def shift(connection: sqlite3.Connection, seconds: float) -> None:
    """See L{ITaskStore.shift}."""
    moved = ", ".join(f"{name} = {name} + ?1" for name in ("expires_at", "due", "until", "deadline", "wake"))
    connection.execute(f"UPDATE tasks SET {moved} WHERE settled IS NULL", (seconds,))


def purge(connection: sqlite3.Connection, now: float, limit: int) -> list[Occupied]:
    """See L{ITaskStore.purge}."""
    old = "SELECT number FROM tasks WHERE forgotten_at <= ? ORDER BY forgotten_at LIMIT ?"
    deleting = f"DELETE FROM tasks WHERE number IN ({old}) RETURNING number, creator, size"
    gone = connection.execute(deleting, (now, limit)).fetchall()
    for number, _, _ in gone:
        bounds = (number * EVENTS, (number + 1) * EVENTS)
        connection.execute("DELETE FROM task_events WHERE position >= ? AND position < ?", bounds)
    return [Occupied(creator=creator, tasks=0, size=size) for _, creator, size in gone]


def _known(connection: sqlite3.Connection, slot: tuple[str, str, str]) -> tuple[bytes, Task] | None:
    query = f"SELECT digest, {_COLUMNS} FROM tasks WHERE creator = ? AND method = ? AND key = ?"
    row = connection.execute(query, slot).fetchone()
    return None if row is None else (row[0], _task(row[1:]))


def _attached(key: Key, digest: bytes, known: Task) -> Moved | RPCError:
    """What is said of a task under a key that another one has."""
    if digest != key.digest:
        return Conflict("The idempotency key was used with other params")
    return Moved(before=known, task=known, events=[], replayed=True)


def _insert(connection: sqlite3.Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
    for start in range(0, len(rows), MAX_ROWS):
        some = rows[start : start + MAX_ROWS]
        places = ", ".join([f"({', '.join('?' * len(some[0]))})"] * len(some))
        connection.execute(f"{statement} VALUES {places}", list(itertools.chain.from_iterable(some)))


def _apply(connection: sqlite3.Connection, task: Task, move: Move, full: frozenset[str] = frozenset()) -> Moved:
    after, new = move.step(task)
    if after is task:
        return Moved(before=task, task=task, events=[])
    check_room(task, new, full)
    after, given = numbered(after, new)
    _add(connection, after, given)
    after = trimmed(after, given, lambda: _sizes(connection, after))
    if after.oldest != task.oldest:
        base = task.number * EVENTS
        connection.execute("DELETE FROM task_events WHERE position >= ? AND position < ?", (base, base + after.oldest))
    values = (*(getattr(after, name) for name in _CHANGING), after.wake, after.forgotten_at, task.number)
    connection.execute(_UPDATE, values)
    return Moved(before=task, task=after, events=given)


def _add(connection: sqlite3.Connection, task: Task, given: list[StoredEvent]) -> None:
    base = task.number * EVENTS
    _insert(connection, _INSERT_EVENT, [(base + e.offset, e.type, e.attempt, e.data, e.time) for e in given])


def _sizes(connection: sqlite3.Connection, task: Task) -> list[int]:
    base = task.number * EVENTS
    query = "SELECT LENGTH(data) FROM task_events WHERE position >= ? AND position < ? ORDER BY position"
    return [size + EVENT_ROW for (size,) in connection.execute(query, (base, base + EVENTS))]


def _event(connection: sqlite3.Connection, task: Task, offset: int) -> StoredEvent | None:
    if not offset:
        return None
    position = task.number * EVENTS + offset
    row = connection.execute(f"{_EVENTS}", (position - 1, position + 1)).fetchone()
    return None if row is None else _task_event(row)


def _bounded(rows: Iterable[tuple[Any, ...]], long: int) -> Iterator[tuple[Any, ...]]:
    """As many rows as may be read at once.

    @param long: the column that makes them long.
    """
    size = 0
    for row in rows:
        yield row
        size += len(row[long])
        if size > READ_BYTES:
            break


def _task(row: tuple[Any, ...]) -> Task:
    return msgspec.convert(dict(zip(("number", *_FIELDS), row, strict=True)), Task, strict=False)


def _task_event(row: tuple[Any, ...]) -> StoredEvent:
    return StoredEvent(offset=row[0] % EVENTS, type=row[1], attempt=row[2], data=row[3], time=row[4])
