"""Shares of what all use: how many tasks may be open and how much they may take, and when whose are looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from cell0gw.protocol.errors import RateLimited
from cell0gw.protocol.limits import MIB, in_share
from cell0gw.tasks.store import Occupied

MAX_TASKS: Final = 250_000
"""Maximum tasks that are not over. An entity has a share of them."""

MAX_SIZE: Final = 4096 * MIB
"""Maximum bytes of all tasks that are kept, with their events. An entity has a share of them."""

RETRY_AFTER_MS: Final = 1000
"""Milliseconds after which what is refused for want of room may be tried again."""

MAX_UNWRITTEN: Final = 256 * MIB
"""Maximum bytes of answers that wait for the disk. An entity has a share of them."""


class Unwritten:
    """Counts the answers that wait for the disk, of each agent."""

    def __init__(self) -> None:
        self._sizes: Counter[str] = Counter()

    def add(self, entity_id: str, size: int) -> bool:
        """Count one more, if there is room for it.

        @return: whether there is.
        """
        if not in_share(self._sizes[entity_id], size, self._sizes.total(), MAX_UNWRITTEN):
            return False
        self._sizes[entity_id] += size
        return True

    def remove(self, entity_id: str, size: int) -> None:
        """Count one less."""
        self._sizes[entity_id] -= size
        if not self._sizes[entity_id]:
            del self._sizes[entity_id]


class TaskQuotas:
    """Counts the tasks of each creator.

    @ivar tasks: how many are not over, of all creators; C{size}: bytes of all that are kept.
    """

    def __init__(self) -> None:
        self.load([])

    def load(self, occupied: Iterable[Occupied]) -> None:
        """Count what there is, and nothing else."""
        self._tasks: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()
        self.tasks = self.size = 0
        for each in occupied:
            self.change(each.creator, each.tasks, each.size)

    def check(self, creator: str, size: int) -> None:
        """Whether one more task of that size may be kept.

        @raise RateLimited: it may not; C{error.data.limit} names the bound.
        """
        if not in_share(self._tasks[creator], 1, self.tasks, MAX_TASKS):
            held = f"{self.tasks} tasks are open, {self._tasks[creator]} of them yours"
            raise RateLimited(held, limit="tasks", retry_after_ms=RETRY_AFTER_MS)
        if not in_share(self._sizes[creator], size, self.size, MAX_SIZE):
            held = f"All tasks together take {self.size} bytes, {self._sizes[creator]} of them yours"
            raise RateLimited(held, limit="task_bytes", retry_after_ms=RETRY_AFTER_MS)

    def full(self) -> frozenset[str]:
        """The creators whose tasks take all that they may."""
        free = MAX_SIZE - self.size
        if free >= self.size:  # then everybody leaves as much as they have
            return frozenset()
        return frozenset(creator for creator, size in self._sizes.items() if size >= free)

    def change(self, creator: str, tasks: int, size: int) -> None:
        """Count more, or, if negative, less."""
        self.tasks += tasks
        self.size += size
        for counts, change in ((self._tasks, tasks), (self._sizes, size)):
            counts[creator] += change
            if not counts[creator]:
                del counts[creator]


class Turns:
    """Of each agent or capability, its target: one reads its tasks at a time.

    Dates of tasks on disk move when the wall clock is set. Those that are kept here move with them, by C{shift}.
    """

    def __init__(self) -> None:
        self._busy: set[str] = set()
        # Those that must be read once more when they are read.
        self._again: set[str] = set()
        # When the next task is due that nobody may have now; and of whom there is no other.
        self._due: dict[str, float] = {}
        self._idle: set[str] = set()
        self._stuck: set[str] = set()

    def __len__(self) -> int:
        return len(self._busy | self._due.keys() | self._stuck)

    def clear(self) -> None:
        """Forget all but who is being read."""
        for each in (self._due, self._idle, self._stuck):
            each.clear()

    def busy(self, target: str) -> bool:
        """Whether somebody reads its tasks; then they are read once more."""
        if target in self._busy:
            self._again.add(target)
            return True
        return False

    def idle(self, target: str, now: float) -> bool:
        """Whether no task of it is due yet."""
        return target in self._idle and self._due[target] > now

    def begin(self, target: str) -> None:
        """Its tasks are read from now on."""
        self._busy.add(target)

    def end(self, target: str) -> bool:
        """They are not any more.

        @return: whether they must be read once more.
        """
        self._busy.discard(target)
        again = target in self._again
        self._again.discard(target)
        return again

    def stick(self, target: str) -> None:
        """Look again soon: there are tasks, and nobody can have one now."""
        self._stuck.add(target)

    def rest(self, target: str, following: float | None, idle: bool) -> None:
        """All tasks of it that are due were read.

        @param following: when the next one is; None: there is none.
        @param idle: whether none of them is due. Else nobody who is here can take them, but others might.
        """
        self.rouse(target)
        if following is not None:
            self._due[target] = following
            if idle:
                self._idle.add(target)

    def rouse(self, target: str) -> None:
        """Tasks of it are due."""
        self._due.pop(target, None)
        self._idle.discard(target)

    def waits(self, target: str, due: float) -> None:
        """One more task of it waits."""
        if target in self._due:
            self._due[target] = min(self._due[target], due)

    def shift(self, seconds: float) -> None:
        """The dates of all tasks have moved."""
        self._due = {target: due + seconds for target, due in self._due.items()}

    def take(self, now: float) -> list[str]:
        """Those that are to be looked at now; each is named once."""
        found = [*self._stuck, *(target for target, due in self._due.items() if due <= now)]
        self._stuck.clear()
        for target in found:
            self.rouse(target)
        return found
