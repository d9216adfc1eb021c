"""What channels retain in memory of what was published: numbered messages, bounded in number, age and size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec
from zope.interface import Interface

from cell0gw.channels.rules import ChannelRule

OVERHEAD: Final = 400
"""Approximate bytes that the objects around a message take."""

EMPTY: Final = 2000
"""Approximate bytes that a channel takes that retains no message."""


class HeldMessage(msgspec.Struct, gc=False):
    """One publication.

    C{time} is seconds of the monotonic clock; C{tick} counts the publications of all channels.
    """

    message: bytes
    time: float
    tick: int


class IBudgetObserver(Interface):
    """Is notified of histories that take too much memory."""

    def history_emptied(name: str) -> None:
        """Called when the history of this channel was evicted, since another one has grown."""


class Budget:
    """How much memory histories may take.

    @param each: maximum bytes of one channel's.
    @param total: maximum bytes of all; beyond it the channels in which nothing was published for longest forget.
    @ivar observers: those that are notified of channels whose history was evicted.
    """

    def __init__(self, each: int, total: int) -> None:
        self.each = each
        self._total = total
        self.used = 0
        self.observers: list[IBudgetObserver] = []
        # In the order of their last publications; those evicted since are left out. The first is found at once, which
        # in a dict it is not when many before it are gone.
        self._histories: OrderedDict[History, None] = OrderedDict()

    def grown(self, history: History, size: int) -> None:
        """Charge a history for what it has grown."""
        self.used += size
        self._histories[history] = None
        self._histories.move_to_end(history)
        while self.used > self._total and self._histories:
            oldest = next(iter(self._histories))
            del self._histories[oldest]
            oldest.clear()
            if oldest is not history:
                for observer in self.observers:
                    observer.history_emptied(oldest.name)

    def shrunk(self, history: History, size: int) -> None:
        """Credit a history for what it has shrunk."""
        self.used -= size

    def released(self, history: History, size: int) -> None:
        """Release a history's share of the budget."""
        self.used -= size
        self._histories.pop(history, None)


class History:
    """The newest publications of one channel.

    @ivar newest: the offset of the newest publication, retained or not; 0: there was none.
    @ivar oldest: the offset of the oldest one retained; C{newest + 1}: none is.
    @ivar forgotten: the tick of the newest one that is no longer retained.
    """

    __slots__ = ("_budget", "_bytes", "_held", "_size", "_ttl", "forgotten", "name", "newest", "oldest")

    def __init__(self, name: str, rule: ChannelRule, budget: Budget, newest: int = 0) -> None:
        self.name = name
        self.follow(rule)
        self._budget = budget
        self._bytes = 0
        self._held: dict[int, HeldMessage] = {}
        self.newest = newest
        self.oldest = newest + 1
        self.forgotten = 0
        budget.grown(self, EMPTY)

    def __len__(self) -> int:
        return len(self._held)

    def follow(self, rule: ChannelRule) -> None:
        """From now on retain as much as a rule says."""
        self._size = rule.history_size
        self._ttl = rule.history_ttl

    def add(self, message: bytes, now: float, tick: int) -> None:
        """One more publication, the next after the newest."""
        self.newest += 1
        if not self._size:
            self.oldest, self.forgotten = self.newest + 1, tick
            return
        held = self._held
        held[self.newest] = HeldMessage(message, now, tick)
        size = len(message) + OVERHEAD
        self._bytes += size
        self._budget.grown(self, size)
        too_many = len(held) > self._size or self._bytes > self._budget.each
        if too_many or (held and held[self.oldest].time <= now - self._ttl):
            self.trim(now)

    def trim(self, now: float) -> None:
        """Forget what exceeds the rule in number, size or age."""
        held = self._held
        too_old = now - self._ttl
        while held and (len(held) > self._size or self._bytes > self._budget.each or held[self.oldest].time <= too_old):
            self._forget_oldest()

    def clear(self) -> None:
        """Forget everything but the number."""
        while self._held:
            self._forget_oldest()

    def release(self) -> None:
        """Release everything: it retains nothing any more."""
        self._budget.released(self, EMPTY)

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
        self._bytes -= size
        self._budget.shrunk(self, size)
