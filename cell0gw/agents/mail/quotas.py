"""How much mail may wait: for one recipient, of one sender, and in all."""

from __future__ import annotations

from collections import Counter

import msgspec

from cell0gw.protocol.errors import RateLimited
from cell0gw.protocol.limits import MailLimits

RETRY_AFTER_MS = 1000


class Occupancy(msgspec.Struct):
    """A number of messages, and their bytes."""

    messages: int = 0
    size: int = 0


class Quotas:
    """Counts what waits.

    @ivar total: what waits in all mailboxes together.
    """

    def __init__(self, limits: MailLimits) -> None:
        self._limits = limits
        self._of_recipient: dict[str, Occupancy] = {}
        self._of_sender: Counter[str] = Counter()
        self.total = Occupancy()

    def check(self, sender: str, recipient: str, size: int) -> None:
        """Whether one more message of that size may wait. One that is larger than a mailbox fits into an empty one.

        @raise RateLimited: it may not; C{error.data.limit} names the bound.
        """
        limits, waiting = self._limits, self._of_recipient.get(recipient)
        if waiting is not None:
            if waiting.messages >= limits.mailbox_messages:
                raise _full(f"The mailbox of {recipient} holds {waiting.messages} messages", "mailbox_messages")
            if waiting.size + size > limits.mailbox_bytes:
                raise _full(f"The mailbox of {recipient} holds {waiting.size} bytes", "mailbox_bytes")
        if self._of_sender[sender] >= limits.sender_messages:
            raise _full(f"{self._of_sender[sender]} of your messages wait", "sender_messages")
        if self.total.messages and self.total.size + size > limits.total_mailbox_bytes:
            raise _full(f"All mailboxes together hold {self.total.size} bytes", "total_mailbox_bytes")

    def load(self, recipients: dict[str, Occupancy], senders: dict[str, int]) -> None:
        """Count what waits already."""
        self._of_recipient.update(recipients)
        self._of_sender.update(senders)
        for waiting in recipients.values():
            self.total.messages += waiting.messages
            self.total.size += waiting.size

    def add(self, sender: str, recipient: str, size: int) -> None:
        """Count one more letter."""
        self._change(sender, recipient, 1, size)

    def remove(self, sender: str, recipient: str, size: int) -> bool:
        """Count one letter less.

        @return: whether it was the recipient's last.
        """
        return self._change(sender, recipient, -1, -size)

    def _change(self, sender: str, recipient: str, messages: int, size: int) -> bool:
        waiting = self._of_recipient.setdefault(recipient, Occupancy())
        for occupancy in (waiting, self.total):
            occupancy.messages += messages
            occupancy.size += size
        self._of_sender[sender] += messages
        if not self._of_sender[sender]:
            del self._of_sender[sender]
        if not waiting.messages:
            del self._of_recipient[recipient]
        return not waiting.messages


def _full(message: str, limit: str) -> RateLimited:
    return RateLimited(message, limit=limit, retry_after_ms=RETRY_AFTER_MS)
