"""Idempotency keys: a call that is made again is answered again, and done once."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.process.interfaces import ISweeper
from cell0gw.process.shares import Counts
from cell0gw.protocol.errors import Conflict, RateLimited
from cell0gw.protocol.keys import Key, digest_of

MAX_KEYS: Final = 500_000
"""Maximum keys of all entities; beyond it the entity that has most loses its oldest, as long as others have fewer."""

MAX_KEYS_OF_ENTITY: Final = 100_000
"""Maximum keys of an entity."""

Result = TypeVar("Result")


class _Call(Generic[Result]):
    """A call that was made under a key; C{waiting}: those who wait for its result, None: nobody."""

    __slots__ = ("digest", "done", "result", "until", "waiting")

    def __init__(self, digest: bytes, until: float) -> None:
        self.digest = digest
        self.until = until
        self.done = False
        self.result: Any = None
        self.waiting: list[Deferred[Result]] | None = None


@implementer(ISweeper)
class Idempotency:
    """The calls of the last while that had keys.

    @param window: seconds for which a key stands for its call.
    """

    def __init__(self, clock: IReactorTime, window: float) -> None:
        self._clock = clock
        self.window = window
        # By entity, oldest first, under digests of their keys: so those that are long take no more.
        self._of_entity: dict[str, OrderedDict[bytes, _Call[Any]]] = {}
        self._counts = Counts()
        # When the oldest key of each entity is too old, and of whom that is noted.
        self._due: list[tuple[float, str]] = []
        self._scheduled: set[str] = set()

    def __len__(self) -> int:
        return self._counts.total

    def once(
        self, key: Key, act: Callable[[], Result | Deferred[Result]], again: Callable[[Result], Result]
    ) -> Result | Deferred[Result]:
        """Do something, unless it was done under this key; then, or while it is being done, give the same result.

        What fails is forgotten: it may be tried again under its key.

        @param again: makes of a result the one that is given to those who come later.
        @raise Conflict: the key stands for other params.
        @raise RateLimited: there are too many keys.
        """
        entity_id, slot = key.entity_id, digest_of(key.method, key.key)[:16]
        own = self._of_entity.get(entity_id)
        call = None if own is None else own.get(slot)
        if call is not None:
            if call.digest != key.digest:
                raise Conflict("The idempotency key was used with other params")
            if call.done:
                return again(call.result)
            waiting: Deferred[Result] = Deferred()
            call.waiting = call.waiting or []
            call.waiting.append(waiting)
            return waiting.addCallback(again)
        if self._counts[entity_id] >= MAX_KEYS_OF_ENTITY or not self._room(entity_id):
            raise RateLimited("Too many idempotency keys at once", retry_after_ms=int(self.window * 1000))
        call = _Call(key.digest, self._clock.seconds() + self.window)
        self._add(entity_id, slot, call)
        try:
            result = act()
        except BaseException:
            self._forget(entity_id, slot)
            raise
        if isinstance(result, Deferred):
            return result.addCallbacks(self._done, self._failed, (call,), {}, (call, entity_id, slot))
        call.done, call.result = True, result
        return result

    def sweep(self) -> None:
        """See L{ISweeper}: forget what is too old. A call that is being made still is not."""
        now = self._clock.seconds()
        unfinished: list[str] = []
        while self._due and self._due[0][0] <= now:
            entity_id = heapq.heappop(self._due)[1]
            self._scheduled.discard(entity_id)
            for slot, call in list(self._of_entity.get(entity_id, {}).items()):
                if call.until > now or not call.done:
                    unfinished.append(entity_id)
                    break
                self._forget(entity_id, slot)
        for entity_id in unfinished:
            self._schedule(entity_id)

    def _schedule(self, entity_id: str) -> None:
        """Look at the keys of an entity when the oldest is too old."""
        if entity_id not in self._scheduled:
            self._scheduled.add(entity_id)
            oldest = next(iter(self._of_entity[entity_id].values()))
            heapq.heappush(self._due, (oldest.until, entity_id))

    def _room(self, entity_id: str) -> bool:
        """Whether there is room for one more key of an entity, or room was made: who has most, and more, loses one."""
        if self._counts.total < MAX_KEYS:
            return True
        most = self._counts.most()
        if self._counts[most] <= self._counts[entity_id] + 1:
            return False
        slot = next((slot for slot, call in self._of_entity[most].items() if call.done), None)
        if slot is None:
            return False
        self._forget(most, slot)
        return True

    def _add(self, entity_id: str, slot: bytes, call: _Call[Any]) -> None:
        self._of_entity.setdefault(entity_id, OrderedDict())[slot] = call
        self._counts.add(entity_id)
        self._schedule(entity_id)

    def _done(self, result: Result, call: _Call[Result]) -> Result:
        call.done, call.result = True, result
        waiting, call.waiting = call.waiting, None
        for deferred in waiting or ():
            deferred.callback(result)
        return result

    def _failed(self, failure: Failure, call: _Call[Any], entity_id: str, slot: bytes) -> Failure:
        self._forget(entity_id, slot)
        waiting, call.waiting = call.waiting, None
        for deferred in waiting or ():
            deferred.errback(failure)
        return failure

    def _forget(self, entity_id: str, slot: bytes) -> None:
        own = self._of_entity[entity_id]
        del own[slot]
        if not own:
            del self._of_entity[entity_id]
        self._counts.remove(entity_id)
