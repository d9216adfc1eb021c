"""Circles: calls that wait for each other, so that none of them can ever end.

An agent that makes a call for the sake of one that it has, which C{in_reply_to} of the new one names, waits for the
answer before it gives its own. So a call waits in vain if all that those have who could take it waits for it in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from cell0gw.agents.calls.call import Call
from cell0gw.agents.calls.pools import Pool, Worker

MOST: Final = 400
"""Maximum calls and pools that are looked at. What is not found by then is left to the clocks."""


class Circle(NamedTuple):
    """A call waits for itself; C{own}: by none but those for whose sake it is made, so that another try is in vain."""

    own: bool


def circle(pool: Pool, tried: Sequence[Worker | None], parent: Call) -> Circle | None:
    """Whether a call waits for itself that waits for a worker of a pool; None: it does not.

    @param tried: workers that don't get it.
    @param parent: the call for whose sake it is made.
    """
    if not _Search(parent).is_stuck(pool, tried):
        return None
    own, call = {parent}, parent
    while call.parent is not None:
        call = call.parent
        own.add(call)
    return Circle(all(call in own for worker in pool.accepting(tried) for call in worker.calls.values()))


class _Search:
    """What is looked at for one call. Whatever is being looked at is taken to be stuck until the contrary is seen."""

    def __init__(self, parent: Call) -> None:
        self._parent = parent
        self._stuck: set[Call | tuple[Pool, tuple[Worker | None, ...]]] = set()
        self._left = MOST

    def is_stuck(self, pool: Pool, tried: Sequence[Worker | None]) -> bool:
        """Whether no worker of a pool will have room, as all that they have waits."""
        key = (pool, tuple(tried))
        if key in self._stuck:
            return True
        if pool.expects or not self._may_look():
            return False
        self._stuck.add(key)
        somebody = False
        for worker in pool.accepting(tried):
            somebody = True
            if worker.available or worker.given_up:
                return False
            for call in worker.calls.values():
                if not self._waits(call):
                    return False
        return somebody

    def _waits(self, call: Call) -> bool:
        """Whether who has a call can't end it, since one that it has made for it is stuck."""
        if call is self._parent or call in self._stuck:
            return True
        if not call.children or not self._may_look():
            return False
        self._stuck.add(call)
        for child in call.children:
            before = self._stuck.copy()
            if self.is_stuck(child.pool, child.tried) if child.worker is None else self._waits(child):
                return True
            self._stuck = before
        return False

    def _may_look(self) -> bool:
        self._left -= 1
        return self._left >= 0
