"""Token buckets: a rate that holds in the long run, and a burst that may come at once."""

from __future__ import annotations

from typing import NamedTuple


class Rate(NamedTuple):
    """Maximum events per second, and maximum at once after a silence."""

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
        @param now: seconds of a monotonic clock.
        """
        self._since = now
        self._taken = 0.0

    def take(self, wanted: int, now: float, rate: float, burst: int) -> int:
        """Take as many tokens as there are, at most C{wanted}.

        @param rate: tokens that come back per second.
        @param burst: tokens that a full bucket holds.
        @return: the tokens it gave; 0: there was none.
        """
        self._taken = max(0.0, self._taken - (now - self._since) * rate)
        self._since = now
        given = max(0, min(wanted, int(burst - self._taken)))
        self._taken += given
        return given

    def owe(self, count: float, now: float, rate: float) -> None:
        """Take tokens, whether there are as many or not."""
        self._taken = max(0.0, self._taken - (now - self._since) * rate) + count
        self._since = now

    def debt(self, rate: float, burst: int) -> float:
        """Seconds, counted from the last L{take} or L{owe}, until no more is taken than there was."""
        return max(0.0, (self._taken - burst) / rate)

    def wait(self, rate: float, burst: int) -> float:
        """Seconds, counted from the last L{take}, until there will be a token."""
        return max(0.0, (self._taken - burst + 1) / rate)

    def is_full(self, now: float, rate: float) -> bool:
        """Whether all that was taken has come back."""
        return self._taken <= (now - self._since) * rate

    def give_back(self, count: float) -> None:
        """Put back what was taken and is not needed."""
        self._taken -= count
