"""Idempotency keys: a call that is made again is answered again, and done once."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol.errors import Conflict, RateLimited
from cell0gw.protocol.keys import Key

MAX_KEYS: Final = 500_000
MAX_KEYS_OF_ENTITY: Final = 100_000

Result = TypeVar("Result")


class _Call(Generic[Result]):
    """A call that was made under a key."""

    __slots__ = ("digest", "done", "result", "until", "waiting")

    def __init__(self, digest: bytes, until: float) -> None:
        self.digest = digest
        self.until = until
        self.done = False
        self.result: Any = None
        self.waiting: list[Deferred[Result]] = []


@implementer(ISweeper)
class Idempotency:
    """The calls of the last while that had keys.

    @param window: seconds for which a key stands for its call.
    """

    def __init__(self, clock: IReactorTime, window: float) -> None:
        self._clock = clock
        self.window = window
        self._calls: OrderedDict[tuple[str, str, str], _Call[Any]] = OrderedDict()
        self._of_entity: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._calls)

    def once(
        self, key: Key, act: Callable[[], Result | Deferred[Result]], again: Callable[[Result], Result]
    ) -> Result | Deferred[Result]:
        """Do something, unless it was done under this key; then, or while it is being done, give the same result.

        What fails is forgotten: it may be tried again under its key.

        @param again: makes of a result the one that is given to those who come later.
        @raise Conflict: the key stands for other params.
        @raise RateLimited: there are too many keys.
        """
        slot = (key.entity_id, key.method, key.key)
        call = self._calls.get(slot)
        if call is not None:
            if call.digest != key.digest:
                raise Conflict("The idempotency key was used with other params")
            if call.done:
                return again(call.result)
            waiting: Deferred[Result] = Deferred()
            call.waiting.append(waiting)
            return waiting.addCallback(again)
        if self._of_entity[key.entity_id] >= MAX_KEYS_OF_ENTITY or len(self._calls) >= MAX_KEYS:
            raise RateLimited("Too many idempotency keys at once", retry_after_ms=int(self.window * 1000))
        call = self._calls[slot] = _Call(key.digest, self._clock.seconds() + self.window)
        self._of_entity[key.entity_id] += 1
        try:
            result = act()
        except BaseException:
            self._forget(slot)
            raise
        if isinstance(result, Deferred):
            return result.addCallbacks(self._done, self._failed, (call,), {}, (call, slot))
        call.done, call.result = True, result
        return result

    def sweep(self) -> None:
        """See L{ISweeper}: forget what is too old. A call that is being made still is not."""
        now = self._clock.seconds()
        while self._calls:
            slot, call = next(iter(self._calls.items()))
            if call.until > now or not call.done:
                break
            self._forget(slot)

    def _done(self, result: Result, call: _Call[Result]) -> Result:
        call.done, call.result = True, result
        waiting, call.waiting = call.waiting, []
        for deferred in waiting:
            deferred.callback(result)
        return result

    def _failed(self, failure: Failure, call: _Call[Any], slot: tuple[str, str, str]) -> Failure:
        self._forget(slot)
        waiting, call.waiting = call.waiting, []
        for deferred in waiting:
            deferred.errback(failure)
        return failure

    def _forget(self, slot: tuple[str, str, str]) -> None:
        del self._calls[slot]
        self._of_entity[slot[0]] -= 1
        if not self._of_entity[slot[0]]:
            del self._of_entity[slot[0]]
