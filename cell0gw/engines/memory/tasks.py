"""Tasks that are forgotten with the process."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.protocol.errors import Conflict, RPCError, Unavailable
from cell0gw.protocol.keys import Key
from cell0gw.tasks.moves import Disconnect, Lapse, Move
from cell0gw.tasks.steps import check_room, created, unknown_task
from cell0gw.tasks.store import (
    FoundTask,
    ITaskStore,
    Lapsed,
    Moved,
    Occupied,
    Ready,
    StoredTasks,
    TaskFilter,
    TaskList,
)
from cell0gw.tasks.task import NewEvent, StoredEvent, Task, numbered, trimmed


@implementer(ITaskStore)
class MemoryTaskStore:
    """Tasks in a dict: as slow or as quick as a disk, at the test's will, and as forgetful as memory.

    @ivar held: while true, what is asked for waits for L{release}; C{broken}: whether it fails then.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._messages: dict[str, bytes] = {}
        self._events: dict[str, list[StoredEvent]] = {}
        self._keys: dict[tuple[str, str, str], tuple[bytes, str]] = {}
        self._count = 0
        self._waiting: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()
        self._busy = False
        self.held = False
        self.broken = False

    def load(self) -> StoredTasks:
        """See L{ITaskStore}."""
        sizes: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        for task in self._tasks.values():
            sizes[task.creator] += task.size
            counts[task.creator] += task.settled is None
        return StoredTasks(
            waiting=dict(Counter(task.target for task in self._tasks.values() if task.waits)),
            asked=dict(Counter(task.asked for task in self._tasks.values() if task.asked is not None)),
            occupied=[Occupied(creator=creator, tasks=counts[creator], size=sizes[creator]) for creator in counts],
            following=self._following(),
        )

    def disconnect(self, now: float) -> Deferred[list[Moved]]:
        """See L{ITaskStore}."""
        return self._ask(
            lambda: [
                self._apply(task, Disconnect(now=now, attempt=task.attempt))
                for task in list(self._tasks.values())
                if task.held
            ]
        )

    def create(self, task: Task, message: bytes, key: Key | None) -> Deferred[Moved]:
        """See L{ITaskStore}."""
        return self._ask(lambda: self._create(task, message, key))

    def known(self, creator: str, key: Key) -> Deferred[Moved | None]:
        """See L{ITaskStore}."""
        return self._ask(lambda: self._known(creator, key))

    def move(self, task_id: str, move: Move, full: frozenset[str] = frozenset()) -> Deferred[Moved]:
        """See L{ITaskStore}."""
        return self._ask(lambda: self._move(task_id, move, full))

    def get(self, task_id: str) -> Deferred[FoundTask | None]:
        """See L{ITaskStore}."""
        return self._ask(lambda: self._get(task_id))

    def ready(self, target: str, now: float, after: tuple[float, int], limit: int) -> Deferred[Ready]:
        """See L{ITaskStore}."""
        return self._ask(lambda: self._ready(target, now, after, limit))

    def find(self, filter: TaskFilter, limit: int) -> Deferred[TaskList]:
        """See L{ITaskStore}."""
        return self._ask(lambda: self._page(filter, limit))

    def asked(self, names: list[str], limit: int) -> Deferred[list[Task]]:
        """See L{ITaskStore}."""
        return self._ask(lambda: [task for task in self._tasks.values() if task.asked in names][:limit])

    def events(self, task_id: str, after: int, limit: int) -> Deferred[list[StoredEvent]]:
        """See L{ITaskStore}."""
        return self._ask(lambda: [each for each in self._events.get(task_id, []) if each.offset > after][:limit])

    def lapse(self, now: float, limit: int) -> Deferred[Lapsed]:
        """See L{ITaskStore}."""
        return self._ask(lambda: self._lapse(now, limit))

    def shift(self, seconds: float) -> Deferred[None]:
        """See L{ITaskStore}."""
        return self._ask(lambda: self._shift(seconds))

    def purge(self, now: float, limit: int) -> Deferred[list[Occupied]]:
        """See L{ITaskStore}."""
        return self._ask(lambda: list(self._purge(now, limit)))

    def release(self) -> None:
        """Let what waits be done, or be refused if the store is broken."""
        if self._busy:
            return  # what is asked for meanwhile comes after all that was
        self._busy = True
        while self._waiting:
            act, deferred = self._waiting.popleft()
            try:
                outcome = Failure(Unavailable("Storage is out of order")) if self.broken else act()
            except RPCError:
                outcome = Failure()
            deferred.callback(outcome)
        self._busy = False

    def _ask(self, act: Callable[[], Any]) -> Deferred[Any]:
        deferred: Deferred[Any] = Deferred()
        self._waiting.append((act, deferred))
        if not self.held:
            self.release()
        return deferred

    def _create(self, task: Task, message: bytes, key: Key | None) -> Moved:
        if key is not None and (known := self._known(task.creator, key)) is not None:
            return known
        self._count += 1
        new = replace(task, number=self._count, size=task.size + len(message))
        self._messages[task.task_id] = message
        self._events[task.task_id] = []
        if key is not None:
            self._keys[task.creator, key.method, key.key] = (key.digest, task.task_id)
        return replace(self._written(new, created(new)), before=None)

    def _known(self, creator: str, key: Key) -> Moved | None:
        digest, task_id = self._keys.get((creator, key.method, key.key), (b"", ""))
        known = self._tasks.get(task_id)
        if known is None:
            return None
        if digest != key.digest:
            raise Conflict("The idempotency key was used with other params")
        return Moved(before=known, task=known, events=[], replayed=True)

    def _move(self, task_id: str, move: Move, full: frozenset[str]) -> Moved:
        task = self._tasks.get(task_id)
        if task is None:
            raise unknown_task()
        return self._apply(task, move, full)

    def _apply(self, task: Task, move: Move, full: frozenset[str] = frozenset()) -> Moved:
        after, events = move.step(task)
        if after is task:
            return Moved(before=task, task=task, events=[])
        check_room(task, events, full)
        return replace(self._written(after, events), before=task)

    def _written(self, task: Task, events: list[NewEvent]) -> Moved:
        after, given = numbered(task, events)
        kept = self._events[task.task_id]
        kept.extend(given)
        after = trimmed(after, given, lambda: [event.size for event in kept])
        del kept[: after.oldest - kept[0].offset]
        self._tasks[task.task_id] = after
        return Moved(before=None, task=after, events=given)

    def _get(self, task_id: str) -> FoundTask | None:
        task = self._tasks.get(task_id)
        if task is None:
            return None
        events = {event.offset: event for event in self._events[task_id]}
        result, question = events.get(task.result), events.get(task.asked_at)
        return FoundTask(task=task, message=self._messages[task_id], result=result, question=question)

    def _ready(self, target: str, now: float, after: tuple[float, int], limit: int) -> Ready:
        waiting = sorted(
            (task for task in self._tasks.values() if task.waits and task.target == target and task.expires_at > now),
            key=lambda task: (task.due, task.number),
        )
        due = [task for task in waiting if task.due <= now and (task.due, task.number) > after][:limit]
        following = next((task.due for task in waiting if task.due > now), None)
        return Ready([(task, self._messages[task.task_id]) for task in due], following)

    def _page(self, filter: TaskFilter, limit: int) -> TaskList:
        found = list(itertools.islice(self._find(filter), limit + 1))
        return TaskList(found[:limit], found[limit - 1].task_id if len(found) > limit else None)

    def _find(self, filter: TaskFilter) -> Iterator[Task]:
        if filter.before is not None and filter.before not in self._tasks:
            raise unknown_task()
        asked = filter.asked
        for task in sorted(self._tasks.values(), key=lambda task: -task.number):
            if (
                (filter.of in (task.creator, task.worker) or task.asked in asked)
                and filter.status in (None, task.status)
                and filter.target in (None, task.target)
                and (filter.before is None or task.number < self._tasks[filter.before].number)
            ):
                yield task

    def _lapse(self, now: float, limit: int) -> Lapsed:
        due = [task for task in self._tasks.values() if task.wake is not None and task.wake <= now]
        moves = [self._apply(task, Lapse(now=now)) for task in sorted(due, key=lambda task: task.wake or 0.0)[:limit]]
        return Lapsed(moves, self._following())

    def _following(self) -> float | None:
        return min((task.wake for task in self._tasks.values() if task.wake is not None), default=None)

    def _shift(self, seconds: float) -> None:
        for task_id, task in self._tasks.items():
            if task.settled is None:
                self._tasks[task_id] = replace(
                    task,
                    expires_at=task.expires_at + seconds,
                    due=task.due + seconds,
                    until=None if task.until is None else task.until + seconds,
                    deadline=None if task.deadline is None else task.deadline + seconds,
                )

    def _purge(self, now: float, limit: int) -> Iterator[Occupied]:
        old = [task for task in self._tasks.values() if task.forgotten_at is not None and task.forgotten_at <= now]
        for task in old[:limit]:
            del self._tasks[task.task_id], self._messages[task.task_id], self._events[task.task_id]
            yield Occupied(creator=task.creator, tasks=0, size=task.size)
        self._keys = {slot: known for slot, known in self._keys.items() if known[1] in self._tasks}
