"""How many tasks may be open, and how much all that are kept may take: of one creator, and in all."""

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
