"""A letter in memory, and what became of it."""

from __future__ import annotations

from cell0gw.agents.mail.store import Letter, Receipt
from cell0gw.protocol.keys import Key


class LetterRecord:
    """A letter and what became of it; C{settled}: since when it need not be delivered any more."""

    __slots__ = ("key", "letter", "numbers", "receipts", "settled")

    def __init__(self, letter: Letter) -> None:
        self.letter = letter
        self.key = letter.key
        self.settled: float | None = None
        self.receipts: list[Receipt] = []
        self.numbers: list[int] = []

    @property
    def status(self) -> str:
        return self.receipts[-1].status

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
