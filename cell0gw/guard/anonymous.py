"""What those who have not authenticated may send, and how long it may take to handle that: a budget by address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from zope.interface import implementer

from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol.buckets import Bucket, Rate
from cell0gw.protocol.limits import MIB

BYTES: Final = Rate(1 * MIB, 16 * MIB)
"""Maximum rate of the bytes, after decompression, of messages of an address that did not authenticate anybody."""

MILLISECONDS: Final = Rate(100, 2000)
"""Maximum rate of the milliseconds that the same messages take: a tenth of a processor."""

_BUDGETS: Final = (("unauthenticated_bytes", BYTES), ("unauthenticated_time", MILLISECONDS))


class IAnonymous(Protocol):
    """A connection, as far as it is judged here."""

    address: str

    def refuse(self, reason: str) -> None:
        """See L{cell0gw.guard.arrivals.IReceiver}."""


@implementer(ISweeper)
class AnonymousBudgets:
    """Counts what connections cost before they are authenticated.

    @param seconds: tells the time.
    @param limit_exceeded: called with the name of a limit that was exceeded, and by whom.
    """

    def __init__(self, seconds: Callable[[], float], limit_exceeded: Callable[[str, str], None]) -> None:
        self._seconds = seconds
        self._limit_exceeded = limit_exceeded
        self._of_address: dict[str, tuple[Bucket, Bucket]] = {}

    def spent(self, connection: IAnonymous, size: int, seconds: float) -> None:
        """Called after each message that does not authenticate its sender. Beyond the budget the connection is closed.

        @param size: its bytes after decompression.
        @param seconds: how long was worked for it.
        """
        now, address = self._seconds(), connection.address
        buckets = self._of_address.get(address)
        if buckets is None:
            buckets = self._of_address[address] = (Bucket(now), Bucket(now))
        for bucket, count, (limit, rate) in zip(buckets, (size, 1000 * seconds), _BUDGETS, strict=True):
            bucket.owe(count, now, rate.per_second)
            if bucket.debt(*rate):
                bucket.give_back(count)  # so that nobody can keep others from this address out for long
                self._limit_exceeded(limit, address)
                connection.refuse("too much from this address before authentication")
                return

    def sweep(self) -> None:
        """See L{ISweeper}: forget addresses that have not used anything of their budget lately."""
        now = self._seconds()
        for address, buckets in list(self._of_address.items()):
            if all(bucket.is_full(now, rate.per_second) for bucket, (_, rate) in zip(buckets, _BUDGETS, strict=True)):
                del self._of_address[address]
