"""Renewals of tokens, counted by entity: each leaves a record behind, and anybody may renew."""

from __future__ import annotations

import math
from collections.abc import Callable

from zope.interface import implementer

from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol.buckets import Bucket
from cell0gw.protocol.errors import RateLimited
from cell0gw.protocol.limits import RENEWAL_RATE


@implementer(ISweeper)
class Renewals:
    """Rate-limits entities that renew their tokens.

    @param seconds: tells the time.
    @param limit_exceeded: called with the name of a limit that was exceeded, and by whom.
    """

    def __init__(self, seconds: Callable[[], float], limit_exceeded: Callable[[str, str], None]) -> None:
        self._seconds = seconds
        self._limit_exceeded = limit_exceeded
        self._by_entity: dict[str, Bucket] = {}

    def count(self, entity_id: str) -> None:
        """An entity renews a token.

        @raise RateLimited: it has renewed too many.
        """
        now = self._seconds()
        bucket = self._by_entity.pop(entity_id, None) or Bucket(now)
        self._by_entity[entity_id] = bucket
        if not bucket.take(1, now, *RENEWAL_RATE):
            self._limit_exceeded("renewals", entity_id)
            wait = math.ceil(bucket.wait(*RENEWAL_RATE) * 1000) + 1
            raise RateLimited("Too many renewals", retry_after_ms=wait)

    def sweep(self) -> None:
        """See L{ISweeper}: forget entities that have not renewed for so long that they may renew as many as any."""
        now = self._seconds()
        while self._by_entity:
            entity_id, bucket = next(iter(self._by_entity.items()))
            if not bucket.is_full(now, RENEWAL_RATE.per_second):
                break
            del self._by_entity[entity_id]
