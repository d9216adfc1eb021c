"""Failed authentications, counted by address. Only the sender is rate-limited; valid tokens are never affected."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from cell0gw.protocol.buckets import Bucket
from cell0gw.protocol.errors import RateLimited
from cell0gw.protocol.limits import ALL_BAD_TOKENS_A_MINUTE, BAD_TOKENS_A_MINUTE

MAX_ADDRESSES: Final = 10_000
"""Maximum addresses that are remembered; beyond it the one that has been quiet for longest is forgotten."""


class BadTokens:
    """Rate-limits clients that send wrong tokens: they are told to wait, and no longer whether a token is wrong.

    A valid token is never asked about here: nobody can lock its bearer out.

    @param seconds: tells the time.
    @param limit_exceeded: called with the name of a limit that was exceeded, and by whom.
    """

    def __init__(self, seconds: Callable[[], float], limit_exceeded: Callable[[str, str], None]) -> None:
        self._seconds = seconds
        self._limit_exceeded = limit_exceeded
        self._all = Bucket(seconds())
        self._by_address: OrderedDict[str, Bucket] = OrderedDict()

    def wrong(self, address: str) -> None:
        """Called when a token was wrong.

        @param address: see L{cell0gw.guard.addresses.source}.
        @raise RateLimited: one too many.
        """
        now = self._seconds()
        bucket = self._by_address.pop(address, None) or Bucket(now)
        self._by_address[address] = bucket
        if len(self._by_address) > MAX_ADDRESSES:
            self._by_address.popitem(last=False)
        self._take(bucket, BAD_TOKENS_A_MINUTE, now, "wrong tokens from an address", address)
        self._take(self._all, ALL_BAD_TOKENS_A_MINUTE, now, "wrong tokens in all", address)

    def _take(self, bucket: Bucket, a_minute: int, now: float, limit: str, address: str) -> None:
        rate = a_minute / 60
        if not bucket.take(1, now, rate, a_minute):
            self._limit_exceeded(limit, address)
            wait = math.ceil(bucket.wait(rate, a_minute) * 1000) + 1
            raise RateLimited("Too many wrong tokens", retry_after_ms=wait)
