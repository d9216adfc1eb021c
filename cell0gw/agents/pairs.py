"""Pairs: who writes to whom, and how often.

Two that answer each other for ever are stopped by what their messages reply to. If one of them does not say that, each
of its messages begins a conversation; then only the two can be seen.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from twisted.internet.interfaces import IReactorTime

from cell0gw.protocol.limits import in_share

WINDOW: Final = 60.0
"""Seconds after which the messages are counted anew."""

MAX_PAIRS: Final = 100_000
"""Maximum directions that are counted at once: of a sender no more than it leaves to others. Others are not counted."""


FEW: Final = 3
"""Conversations that two may begin in any case."""


class _Count:
    """How many messages went one way, how many of them began a conversation, and whether the loop was told of."""

    __slots__ = ("began", "messages", "told")

    def __init__(self) -> None:
        self.messages = self.began = 0
        self.told = False


class Pairs:
    """Counts the messages between any two.

    @param rate: how many are too many, in L{WINDOW} seconds.
    """

    def __init__(self, clock: IReactorTime, rate: int) -> None:
        self._clock = clock
        self._rate = rate
        self._begin()

    def __len__(self) -> int:
        return len(self._counts)

    def wrote(self, sender: str, recipient: str, begins: bool) -> bool:
        """Count a message.

        @param begins: whether it begins a conversation.
        @return: whether these two are in a loop that is none of a conversation, which was not told of yet: too many
            messages went both ways, and half of them began one.
        """
        count = self._counts.get((sender, recipient))
        if count is None:
            count = self._counted_from_now_on(sender, recipient)
            if count is None:
                return False
        count.messages += 1
        count.began += begins
        if count.told or 4 * count.messages <= self._rate:
            return False
        back = self._counts.get((recipient, sender))
        if back is None:
            return False
        messages, began = count.messages + back.messages, count.began + back.began
        each = min(count.messages, back.messages)
        if messages <= self._rate or 4 * each < messages or began < FEW or 3 * began < messages:
            return False
        count.told = back.told = True
        return True

    def sweep(self) -> None:
        """Called now and then: what is over is forgotten."""
        if self._counts and self._since <= self._clock.seconds() - WINDOW:
            self._begin()

    def _begin(self) -> None:
        self._since = self._clock.seconds()
        self._counts: dict[tuple[str, str], _Count] = {}
        self._of_sender: Counter[str] = Counter()

    def _counted_from_now_on(self, sender: str, recipient: str) -> _Count | None:
        if self._since <= self._clock.seconds() - WINDOW:
            self._begin()
        if not in_share(self._of_sender[sender], 1, len(self._counts), MAX_PAIRS):
            return None
        self._of_sender[sender] += 1
        count = self._counts[sender, recipient] = _Count()
        return count
