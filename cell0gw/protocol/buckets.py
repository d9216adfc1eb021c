"""Token buckets: how fast something may go on, and how much of it may come at once."""

from __future__ import annotations

from typing import NamedTuple


class Rate(NamedTuple):
    """How many a second, and how many at once after a silence."""

    per_second: float
    burst: int


class Bucket:
    """A bucket that starts full, and fills again by itself.

    What it holds is not kept, but what was taken and has not come back yet: so the rate and the burst may change, and
    an untouched bucket is as full as one of any size.
    """

    __slots__ = ("_since", "_taken")

    def __init__(self, now: float) -> None:
        """
        @param now: seconds of a clock that never goes back.
        """
        self._since = now
        self._taken = 0.0

    def take(self, wanted: int, now: float, rate: float, burst: int) -> int:
        """Take as many as there are, at most those that are wanted.

        @param rate: how many come back in a second.
        @param burst: how many there are when nothing was taken.
        @return: how many it gave; 0: there was none.
        """
        self._taken = max(0.0, self._taken - (now - self._since) * rate)
        self._since = now
        given = max(0, min(wanted, int(burst - self._taken)))
        self._taken += given
        return given

    def wait(self, rate: float, burst: int) -> float:
        """In how many seconds, counted from the last L{take}, there will be one."""
        return max(0.0, (self._taken - burst + 1) / rate)

    def is_full(self, now: float, rate: float) -> bool:
        """Whether all that was taken has come back."""
        return self._taken <= (now - self._since) * rate

    def give_back(self, count: int) -> None:
        """Put back what was taken and is not needed."""
        self._taken -= count
