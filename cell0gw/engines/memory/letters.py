"""A letter in memory, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from cell0gw.agents.mail.store import DeadLetter, Delivery, Letter, Receipt
from cell0gw.protocol.keys import Key


class LetterRecord:
    """A letter and what became of it; C{settled}: since when it need not be delivered any more, C{failures}: how many
    attempts have failed.
    """

    __slots__ = ("failures", "key", "letter", "numbers", "receipts", "settled")

    def __init__(self, letter: Letter) -> None:
        self.letter = letter
        self.key = letter.key
        self.settled: float | None = None
        self.receipts: list[Receipt] = []
        self.numbers: list[int] = []
        self.failures = 0

    @property
    def status(self) -> str:
        return self.receipts[-1].status

    @property
    def dead(self) -> bool:
        """Whether it is undeliverable, and its text is still known."""
        return self.settled is not None and bool(self.letter.message)

    @property
    def delivery(self) -> Delivery:
        """All that is known of it."""
        letter = self.letter
        return Delivery(
            message_id=letter.message_id,
            recipient=letter.recipient,
            sender=letter.sender,
            status=self.status,
            expires_at=letter.expires_at,
            receipts=list(self.receipts),
        )

    def bring(self, brought: bool, until: float) -> None:
        """Count one more attempt, if it is brought, and let it wait until a date at least."""
        letter = self.letter
        attempts, ends = letter.attempts + brought, max(letter.expires_at, until)
        self.letter = msgspec.structs.replace(letter, attempts=attempts, expires_at=ends)

    def add(self, number: int, status: str, time: float, detail: str | None) -> None:
        letter = self.letter
        self.receipts.append(
            Receipt(message_id=letter.message_id, recipient=letter.recipient, status=status, time=time, detail=detail)
        )
        self.numbers.append(number)


def same(known: Key | None, key: Key | None) -> bool:
    """Whether two keys are one, whatever they stand for."""
    if known is None or key is None:
        return False
    return (known.entity_id, known.method, known.key) == (key.entity_id, key.method, key.key)


def dead(
    records: Mapping[str, LetterRecord],
    recipient: str | None,
    limit: int,
    shown: Callable[[str], bool] | None,
    before: str | None,
) -> tuple[list[DeadLetter], int] | None:
    """See L{cell0gw.agents.mail.store.IMailStore.dead}."""
    if before is not None and before not in records:
        return None
    there = [
        each
        for each in reversed(list(records.values()))
        if each.dead and recipient in (None, each.letter.recipient) and (shown is None or shown(each.letter.recipient))
    ]
    older = [each for each in there if before is None or each.letter.sequence < records[before].letter.sequence]
    found = [
        DeadLetter(letter=each.letter, status=each.status, time=each.receipts[-1].time, detail=each.receipts[-1].detail)
        for each in older[:limit]
    ]
    return found, len(there)


def discard(records: Mapping[str, LetterRecord], message_id: str | None, recipient: str | None, limit: int) -> int:
    """See L{cell0gw.agents.mail.store.IMailStore.discard}."""
    there = [
        each
        for each in records.values()
        if each.dead and (each.letter.message_id == message_id or each.letter.recipient == recipient)
    ]
    for each in there[:limit]:
        each.letter = msgspec.structs.replace(each.letter, message=b"")
    return len(there[:limit])
