"""Where tasks are kept: what a store takes and gives, and what it must be able to do."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import Interface

from cell0gw.protocol.keys import Key
from cell0gw.protocol.subjects import covering
from cell0gw.tasks.moves import Move
from cell0gw.tasks.task import StoredEvent, Task


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What a step has changed.

    @ivar before: the task as it was; None: it is new.
    @ivar events: what says so, in order.
    @ivar replayed: whether it was there already, under its key.
    """

    before: Task | None
    task: Task
    events: list[StoredEvent]
    replayed: bool = False


class FoundTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it stands; C{result} and C{question}: the events that have them, None: there is none."""

    task: Task
    message: bytes
    result: StoredEvent | None = None
    question: StoredEvent | None = None


class Ready(NamedTuple):
    """Tasks that wait for an agent, with their messages, in the order in which they came.

    @ivar following: when the next one that waits may be given to an agent; None: no other one waits.
    """

    tasks: list[tuple[Task, bytes]]
    following: float | None


class Lapsed(NamedTuple):
    """What has become of tasks by themselves, and when the next may; None: of none."""

    moves: list[Moved]
    following: float | None


class Occupied(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks of a creator are not over, and how many bytes all that are kept take."""

    creator: str
    tasks: int
    size: int


class StoredTasks(msgspec.Struct, frozen=True, kw_only=True):
    """What a store has when the gateway starts.

    @ivar waiting: how many tasks wait for which agent or capability; C{asked}: how many for an answer of whom.
    """

    waiting: dict[str, int]
    asked: dict[str, int]
    occupied: list[Occupied]
    following: float | None


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks are listed; None: no matter.

    @ivar of: whose they are: that one has made them, had them last, or is asked something, alone or with others.
    @ivar before: the id of the task that they are older than.
    """

    of: str
    status: str | None = None
    target: str | None = None
    before: str | None = None

    @property
    def asked(self) -> list[str]:
        """Whom agents ask, when they ask that one."""
        return covering(self.of)


class TaskList(NamedTuple):
    """Tasks, newest first.

    @ivar following: the id of the task that those of the next page are older than; None: there is no next page.
    """

    tasks: list[Task]
    following: str | None


class ITaskStore(Interface):
    """Where tasks are, and their events. A step and its events are written together.

    Every Deferred fires once it is safe, those of a task in the order of the calls; with L{Unavailable} when it can't
    be done.
    """

    def load() -> StoredTasks:
        """What there is; called once, before anything else."""

    def disconnect(now: float) -> Deferred[list[Moved]]:
        """No agent is connected: what had not begun waits again, and who had begun may come back, see
        L{cell0gw.tasks.moves.Disconnect}.
        """

    def create(task: Task, message: bytes, key: Key | None) -> Deferred[Moved]:
        """Keep a task.

        @param key: if a task of its creator was kept under it, and is still known, it is that one.
        @raise Conflict: by the Deferred, when the key stands for something else.
        """

    def known(creator: str, key: Key) -> Deferred[Moved | None]:
        """The task of an entity that was kept under a key; None: there is none, or it is long over.

        @raise Conflict: by the Deferred, when the key stands for something else.
        """

    def move(task_id: str, move: Move, full: frozenset[str] = frozenset()) -> Deferred[Moved]:
        """Take a step.

        @param full: the creators whose tasks take all that they may, see L{cell0gw.tasks.steps.check_room}.
        @raise NotFound: by the Deferred: there is no such task.
        @raise RPCError: by the Deferred: what the step raised.
        """

    def get(task_id: str) -> Deferred[FoundTask | None]:
        """A task; None: there is no such task."""

    def ready(target: str, now: float, after: tuple[float, int], limit: int) -> Deferred[Ready]:
        """Tasks that wait for an agent or a capability, and may be given out now.

        @param after: L{Task.due} and the number of the task that they come after; C{(0, 0)}: of none.
        @return: at most C{limit}, fewer if they are long, one at least if there is one.
        """

    def find(filter: TaskFilter, limit: int) -> Deferred[TaskList]:
        """Tasks, newest first: at most C{limit}, fewer if many have to be looked at for it.

        @raise NotFound: by the Deferred: there is no such task as C{before}.
        """

    def asked(names: list[str], limit: int) -> Deferred[list[Task]]:
        """Tasks that wait for an answer of one of these, entities or patterns, oldest first; at most C{limit}."""

    def events(task_id: str, after: int, limit: int) -> Deferred[list[StoredEvent]]:
        """The events of a task that follow an offset, in order; fewer than C{limit} if they are long, one at least."""

    def lapse(now: float, limit: int) -> Deferred[Lapsed]:
        """Do what is due by now, of C{limit} tasks at most."""

    def shift(seconds: float) -> Deferred[None]:
        """Move all dates of what is not over: the wall clock was set."""

    def purge(now: float, limit: int) -> Deferred[list[Occupied]]:
        """Forget what has been over for so long, C{limit} tasks at most.

        @return: what is gone.
        """
