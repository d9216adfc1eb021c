"""The engine of a single process: numbering in memory."""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from cell0gw.engines import Position
from cell0gw.interfaces import IBroker


@implementer(IBroker)
class LocalBroker:
    """Numbers the publications of this process.

    @param new_id: makes an id from a prefix; an epoch must never come back, not in another process either.
    """

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self._new_id = new_id
        self._positions: dict[str, Position] = {}

    def position(self, channel: str) -> Position:
        """See L{IBroker}."""
        position = self._positions.get(channel)
        if position is None:
            position = self._positions[channel] = Position(0, self._new_id("epoch"))
        return position

    def publish(self, channel: str) -> Position:
        """See L{IBroker}."""
        offset, epoch = self.position(channel)
        position = self._positions[channel] = Position(offset + 1, epoch)
        return position

    def forget(self, channel: str) -> None:
        """See L{IBroker}."""
        self._positions.pop(channel, None)
