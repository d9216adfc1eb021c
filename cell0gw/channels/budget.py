"""How much memory histories may take together, and who forgets when that is too little: who has published most."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from typing import Final, Protocol

from zope.interface import Interface

SLACK: Final = 64
"""The part of all, one in this many, that becomes free when something must: to find out who has most takes a while."""


class _History(Protocol):
    """What is asked of a history."""

    name: str
    size: int

    def evict(self) -> None: ...


class IBudgetObserver(Interface):
    """Is notified of histories that take too much memory."""

    def history_emptied(name: str) -> None:
        """Called when the history of this channel was evicted, since others have grown."""


class _Share:
    """What one entity has published.

    @ivar size: its bytes, in all histories; C{histories}: in each, in the order of its last publications. The first is
        found at once, which in a dict it is not when many before it are gone.
    @ivar empty: those of them that it has opened and not published to, in order.
    """

    __slots__ = ("empty", "histories", "size")

    def __init__(self) -> None:
        self.size = 0
        self.histories: OrderedDict[_History, int] = OrderedDict()
        self.empty: OrderedDict[_History, None] = OrderedDict()

    def first(self) -> _History:
        """The history that goes first: one that is empty; of those that are the entity's for the most part the one that
        was silent for longest; if none is, the one where it has most.
        """
        while self.empty:
            history = next(iter(self.empty))
            if not history.size:
                return history
            del self.empty[history]  # others have published to it
        histories = self.histories
        for _ in range(len(histories)):
            history, size = next(iter(histories.items()))
            if 2 * size >= history.size:
                return history
            histories.move_to_end(history)
        return max(histories, key=histories.__getitem__)


class Budget:
    """How much memory histories may take.

    @param each: maximum bytes of one channel's.
    @param total: maximum bytes of all; beyond it the entity that has published most of them loses channels.
    @param alone: maximum bytes that one entity has published; None: half of all.
    @ivar used: the bytes of all.
    @ivar observers: those that are notified of channels whose history was evicted.
    """

    def __init__(self, each: int, total: int, alone: int | None = None) -> None:
        self.each = each
        self._total = total
        self._alone = total // 2 if alone is None else alone
        self.used = 0
        self.observers: list[IBudgetObserver] = []
        self._shares: dict[str, _Share] = {}

    def opened(self, history: _History, owner: str, size: int) -> None:
        """Charge an entity for a history that it has opened, and that has nothing yet."""
        self.grown(history, owner, size)
        share = self._shares.get(owner)
        if share is not None and history in share.histories:
            share.empty[history] = None

    def grown(self, history: _History, sender: str, size: int) -> None:
        """Charge an entity for what it has published to a history."""
        self.used += size
        share = self._shares.get(sender)
        if share is None:
            share = self._shares[sender] = _Share()
        share.size += size
        if share.empty:
            share.empty.pop(history, None)
        histories = share.histories
        histories[history] = histories.get(history, 0) + size
        histories.move_to_end(history)
        if self.used > self._total:
            self._evict(history)
        if share.size > self._alone:
            self._evict_of(share, history)

    def shrunk(self, history: _History, sender: str, size: int) -> None:
        """Credit it for what is gone."""
        self.used -= size
        share = self._shares[sender]
        share.size -= size
        left = share.histories[history] - size
        if left:
            share.histories[history] = left
        else:
            del share.histories[history]
            share.empty.pop(history, None)
            if not share.histories:
                del self._shares[sender]

    def _evict(self, growing: _History) -> None:
        """Have histories go until there is room, each time one of the entity that has most by then."""
        shares = [(-share.size, sender, share) for sender, share in self._shares.items()]
        heapq.heapify(shares)
        while self.used > self._total - self._total // SLACK and shares:
            size, sender, share = shares[0]
            if -size == share.size and share.size:
                self._evict_first(share, growing)
            if share.size:
                heapq.heapreplace(shares, (-share.size, sender, share))
            else:
                heapq.heappop(shares)

    def _evict_of(self, share: _Share, growing: _History) -> None:
        """Have histories go of an entity that has too much, until it has room."""
        while share.size > self._alone - self._alone // SLACK:
            self._evict_first(share, growing)

    def _evict_first(self, share: _Share, growing: _History) -> None:
        history = share.first()
        history.evict()
        if history is not growing:
            for observer in self.observers:
                observer.history_emptied(history.name)
