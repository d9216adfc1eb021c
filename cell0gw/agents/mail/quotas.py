"""How much mail may wait: for one recipient, of one sender, and in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from cell0gw.agents.mail.store import StoredMailbox
from cell0gw.protocol.errors import RateLimited
from cell0gw.protocol.limits import MailLimits, in_share

RETRY_AFTER_MS = 1000

MAX_BOXES: Final = 100_000
"""Maximum mailboxes that hold something, each counted once for each sender: they take memory."""


class Occupancy(msgspec.Struct):
    """A number of messages, and their bytes."""

    messages: int = 0
    size: int = 0


NOTHING: Final = Occupancy()


class _Box:
    """What waits for one recipient.

    @ivar of_sender: of whom how much.
    @ivar counted: its bytes, where those of a sender count for half of what a mailbox holds at most.
    """

    __slots__ = ("counted", "messages", "of_sender", "size")

    def __init__(self) -> None:
        self.messages = self.size = self.counted = 0
        self.of_sender: dict[str, Occupancy] = {}


class Quotas:
    """Counts what waits.

    @ivar total: what waits in all mailboxes together.
    @ivar boxes: to how many recipients something waits of each sender; added up, of all.
    """

    def __init__(self, limits: MailLimits) -> None:
        self._limits = limits
        self._of_recipient: dict[str, _Box] = {}
        self._of_sender: dict[str, Occupancy] = {}
        self.total = Occupancy()
        self.boxes: Counter[str] = Counter()
        self._pairs = 0

    def check(self, sender: str, recipient: str, size: int) -> None:
        """Whether one more message of that size may wait. One that is larger than a mailbox fits into an empty one.

        Of a mailbox, and of all together, a sender has a share, see L{in_share}.

        @raise RateLimited: it may not; C{error.data.limit} names the bound.
        """
        limits, box, own = self._limits, self._of_recipient.get(recipient), self._of_sender.get(sender, NOTHING)
        if box is not None:
            there = box.of_sender.get(sender, NOTHING)
            if not in_share(there.messages, 1, box.messages, limits.mailbox_messages):
                held = f"{box.messages} messages, {there.messages} of them yours"
                raise _full(f"The mailbox of {recipient} holds {held}", "mailbox_messages")
            if not in_share(there.size, size, box.counted, limits.mailbox_bytes):
                held = f"{box.size} bytes, {there.size} of them yours"
                raise _full(f"The mailbox of {recipient} holds {held}", "mailbox_bytes")
        if (box is None or sender not in box.of_sender) and not in_share(self.boxes[sender], 1, self._pairs, MAX_BOXES):
            held = f"something waits to {self._pairs} recipients, of yours to {self.boxes[sender]}"
            raise _full(f"There are too many mailboxes: {held}", "mailboxes")
        if own.messages >= limits.sender_messages:
            raise _full(f"{own.messages} of your messages wait", "sender_messages")
        if self.total.messages and not in_share(own.size, size, self.total.size, limits.total_mailbox_bytes):
            held = f"{self.total.size} bytes, {own.size} of them yours"
            raise _full(f"All mailboxes together hold {held}", "total_mailbox_bytes")

    def load(self, mailboxes: Iterable[StoredMailbox]) -> None:
        """Count what waits already."""
        for stored in mailboxes:
            self._change(stored.sender, stored.recipient, stored.messages, stored.size)

    def add(self, sender: str, recipient: str, size: int) -> None:
        """Count one more letter."""
        self._change(sender, recipient, 1, size)

    def remove(self, sender: str, recipient: str, size: int) -> bool:
        """Count one letter less.

        @return: whether it was the recipient's last.
        """
        return self._change(sender, recipient, -1, -size)

    def _change(self, sender: str, recipient: str, messages: int, size: int) -> bool:
        box = self._of_recipient.setdefault(recipient, _Box())
        if sender not in box.of_sender:
            self.boxes[sender] += 1
            self._pairs += 1
        there = box.of_sender.setdefault(sender, Occupancy())
        own = self._of_sender.setdefault(sender, Occupancy())
        most = self._limits.mailbox_bytes // 2
        box.counted += min(there.size + size, most) - min(there.size, most)
        box.messages += messages
        box.size += size
        for occupancy in (there, own, self.total):
            occupancy.messages += messages
            occupancy.size += size
        if not there.messages:
            del box.of_sender[sender]
            self._pairs -= 1
            self.boxes[sender] -= 1
            if not self.boxes[sender]:
                del self.boxes[sender]
        if not own.messages:
            del self._of_sender[sender]
        if not box.messages:
            del self._of_recipient[recipient]
        return not box.messages


def _full(message: str, limit: str) -> RateLimited:
    return RateLimited(message, limit=limit, retry_after_ms=RETRY_AFTER_MS)
