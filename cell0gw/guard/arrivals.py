"""Messages that are still coming: what is kept of them, for all connections together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from cell0gw.protocol.limits import KIB, Limits

NOTED: Final = 4 * KIB
"""Minimum bytes that are counted. Less is kept of most connections whose frames come in parts, for a moment."""


class IReceiver(Protocol):
    """A connection, as far as it is judged here."""

    address: str

    def refuse(self, reason: str) -> None:
        """Let go of what is kept of a message, read no more, and close the connection with 4013."""


class Arrivals:
    """Counts what is kept of unfinished messages. When that is too much, those go of which most is kept.

    @param limits: C{total_inbound_limit}: maximum bytes; 0: unlimited.
    @param limit_exceeded: called with the name of a limit that was exceeded, and by whom.
    @ivar total: how many bytes are kept.
    """

    def __init__(self, limits: Limits, limit_exceeded: Callable[[str, str], None]) -> None:
        self._limits = limits
        self._limit_exceeded = limit_exceeded
        self._kept: dict[IReceiver, int] = {}
        self.total = 0

    def keeps(self, connection: IReceiver, size: int) -> None:
        """Called when more or less is kept of a connection's message.

        @param size: bytes of it, compressed as they came.
        """
        before = self._kept.pop(connection, 0)
        if size < NOTED:
            size = 0
        else:
            self._kept[connection] = size
        self.total += size - before
        if size > before and 0 < self._limits.total_inbound_limit < self.total:
            self._relieve()

    def _relieve(self) -> None:
        while self.total > self._limits.total_inbound_limit:
            greatest = max(self._kept, key=self._kept.__getitem__)
            self.total -= self._kept.pop(greatest)
            self._limit_exceeded("total_inbound_limit", greatest.address)
            greatest.refuse("too many unfinished messages, of all together")
