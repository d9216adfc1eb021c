"""What channels retain in memory of what was published: numbered messages, bounded in number, age and size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from cell0gw.channels.budget import Budget
from cell0gw.channels.rules import ChannelRule

OVERHEAD: Final = 400
"""Approximate bytes that the objects around a message take."""

EMPTY: Final = 2000
"""Approximate bytes that a channel takes that retains no message."""


class HeldMessage(msgspec.Struct, gc=False):
    """One publication, and who has published it.

    C{time} is seconds of the monotonic clock; C{tick} counts the publications of all channels.
    """

    message: bytes
    time: float
    tick: int
    sender: str


class History:
    """The newest publications of one channel.

    @param owner: an entity; until something is published the channel counts as its own.
    @ivar newest: the offset of the newest publication, retained or not; 0: there was none.
    @ivar oldest: the offset of the oldest one retained; C{newest + 1}: none is.
    @ivar forgotten: the tick of the newest one that is no longer retained.
    @ivar size: bytes of the messages that are retained.
    @ivar tick: that of the newest publication, retained or not; 0: there was none in this process.
    """

    __slots__ = ("_budget", "_held", "_owner", "_size", "_ttl", "forgotten", "name", "newest", "oldest", "size", "tick")

    def __init__(self, name: str, rule: ChannelRule, budget: Budget, newest: int = 0, owner: str = "") -> None:
        self.name = name
        self.follow(rule)
        self._budget = budget
        self.size = 0
        self._held: dict[int, HeldMessage] = {}
        self.newest = newest
        self.oldest = newest + 1
        self.forgotten = self.tick = 0
        # Whose the channel itself is; None: nobody's, since it was evicted and is there for its subscribers alone.
        self._owner: str | None = owner
        budget.opened(self, owner, EMPTY)

    @property
    def released(self) -> bool:
        """Whether it counts for nothing, since it retains nothing and was evicted."""
        return self._owner is None

    def __len__(self) -> int:
        return len(self._held)

    def follow(self, rule: ChannelRule) -> None:
        """From now on retain as much as a rule says."""
        self._size = rule.history_size
        self._ttl = rule.history_ttl

    def add(self, message: bytes, now: float, tick: int, sender: str) -> None:
        """One more publication, the next after the newest.

        @param sender: who publishes, an entity id.
        """
        self.newest += 1
        self.tick = tick
        if not self._size:
            self.oldest, self.forgotten = self.newest + 1, tick
            return
        held = self._held
        held[self.newest] = HeldMessage(message, now, tick, sender)
        size = len(message) + OVERHEAD
        self.size += size
        if self._owner is None:
            self._owner = sender
            size += EMPTY
        self._budget.grown(self, sender, size)
        too_many = len(held) > self._size or self.size > self._budget.each
        if too_many or (held and held[self.oldest].time <= now - self._ttl):
            self.trim(now)

    def trim(self, now: float) -> None:
        """Forget what exceeds the rule in number, size or age."""
        held = self._held
        too_old = now - self._ttl
        while held and (len(held) > self._size or self.size > self._budget.each or held[self.oldest].time <= too_old):
            self._forget_oldest()

    def clear(self) -> None:
        """Forget everything but the number."""
        while self._held:
            self._forget_oldest()

    def evict(self) -> None:
        """Forget everything, and count for nothing until there is something again."""
        self.clear()
        self.release()

    def release(self) -> None:
        """Count for nothing: it retains nothing any more."""
        if self._owner is not None:
            self._budget.shrunk(self, self._owner, EMPTY)
            self._owner = None

    def expires_at(self) -> float | None:
        """When the oldest will be too old, in seconds of the clock; None when none is retained."""
        return self._held[self.oldest].time + self._ttl if self._held else None

    def after(self, offset: int) -> Iterator[tuple[int, HeldMessage]]:
        """Those with a greater offset, oldest first; the next one must be retained, or none be there."""
        for number in range(offset + 1, self.newest + 1):
            yield number, self._held[number]

    def before(self, offset: int) -> Iterator[tuple[int, HeldMessage]]:
        """Those that are retained and have a smaller offset, newest first."""
        for number in range(min(offset - 1, self.newest), self.oldest - 1, -1):
            yield number, self._held[number]

    def offset_at(self, tick: int) -> int | None:
        """The newest offset when C{tick} publications of all channels had been made; None if unknown."""
        if self.forgotten > tick:
            return None
        low, high = self.oldest, self.newest + 1
        while low < high:
            middle = (low + high) // 2
            if self._held[middle].tick > tick:
                high = middle
            else:
                low = middle + 1
        return low - 1

    def _forget_oldest(self) -> None:
        gone = self._held.pop(self.oldest)
        self.oldest += 1
        self.forgotten = gone.tick
        size = len(gone.message) + OVERHEAD
        self.size -= size
        self._budget.shrunk(self, gone.sender, size)
