"""Resends: what was sent and is to be acknowledged, by when it is to be sent again."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from cell0gw.mailbox import Mailbox

RESEND_AFTER: Final = 30.0
"""After so many seconds a message that was not acknowledged is sent again."""


class Resends:
    """Messages of all mailboxes, those that were sent longest ago first."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._sent: OrderedDict[str, tuple[Mailbox, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sent)

    def sent(self, message_id: str, box: Mailbox) -> None:
        """A message was sent now."""
        self._sent[message_id] = (box, self._clock.seconds())
        self._sent.move_to_end(message_id)

    def forget(self, message_id: str) -> None:
        """It needs not be sent again."""
        del self._sent[message_id]

    def due(self) -> dict[Mailbox, list[str]]:
        """What is to be sent again now, in the order in which it was sent; it counts as sent."""
        before = self._clock.seconds() - RESEND_AFTER
        found: dict[Mailbox, list[str]] = {}
        while self._sent:
            message_id, (box, sent) = next(iter(self._sent.items()))
            if sent > before:
                break
            self.sent(message_id, box)
            found.setdefault(box, []).append(message_id)
        return found

    def hasten(self, message_ids: Iterable[str]) -> None:
        """These were not sent after all: they are due next."""
        for message_id in reversed([name for name in message_ids if name in self._sent]):
            self._sent[message_id] = (self._sent[message_id][0], -math.inf)
            self._sent.move_to_end(message_id, last=False)
