"""The statements of undeliverable letters, in a transaction of a L{Database}."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

import msgspec

from cell0gw.agents.mail.store import DeadLetter, Letter, Transition, revived
from cell0gw.engines.sqlite.letters import LETTERS, RECEIPT, letter_of, read_slice

DEAD: Final = "settled IS NOT NULL AND message <> x''"
"""What tells them from others."""


def dead(
    connection: sqlite3.Connection,
    recipient: str | None,
    limit: int,
    shown: Callable[[str], bool] | None,
    before: str | None,
) -> tuple[list[DeadLetter], int] | None:
    """See L{IMailStore.dead}."""
    condition, values = (DEAD, ()) if recipient is None else (f"{DEAD} AND recipient = ?", (recipient,))
    if shown is not None:
        connection.create_function("shown", 1, shown)
        condition += " AND shown(recipient)"
    ((total,),) = connection.execute(f"SELECT COUNT(*) FROM letters WHERE {condition}", values)
    if before is not None:
        found = connection.execute("SELECT sequence FROM letters WHERE message_id = ?", (before,)).fetchone()
        if found is None:
            return None
        condition, values = f"{condition} AND sequence < ?", (*values, *found)
    rows = connection.execute(f"{LETTERS} WHERE {condition} ORDER BY sequence DESC LIMIT ?", (*values, limit))
    letters = read_slice(rows)
    return [_dead_letter(connection, letter) for letter in letters], total


def revive(
    connection: sqlite3.Connection, message_id: str, time: float, expires_at: float
) -> tuple[Letter, Transition] | None:
    """See L{IMailStore.revive}."""
    row = connection.execute(f"{LETTERS} WHERE message_id = ? AND {DEAD}", (message_id,)).fetchone()
    if row is None:
        return None
    connection.execute(
        "UPDATE letters SET settled = NULL, status = 'queued', failures = 0, expires_at = ? WHERE message_id = ?",
        (expires_at, message_id),
    )
    letter = msgspec.structs.replace(letter_of(row), expires_at=expires_at)
    told = None if letter.receipts else 0.0
    receipt = connection.execute(RECEIPT, (message_id, letter.sender, "queued", time, None, told)).lastrowid or 0
    return letter, revived(letter, time, receipt if letter.receipts else 0)


def discard(
    connection: sqlite3.Connection, message_id: str | None, recipient: str | None, limit: int
) -> list[tuple[str, int]]:
    """See L{IMailStore.discard}.

    @return: of each the sender, and the bytes of its text.
    """
    column, value = ("recipient", recipient) if message_id is None else ("message_id", message_id)
    query = f"SELECT sequence, sender, LENGTH(message) FROM letters WHERE {DEAD} AND {column} = ? LIMIT ?"
    found = connection.execute(query, (value, limit)).fetchall()
    forgetting = [(sequence,) for sequence, _, _ in found]
    connection.executemany("UPDATE letters SET message = x'' WHERE sequence = ?", forgetting)
    return [(sender, size) for _, sender, size in found]


def _dead_letter(connection: sqlite3.Connection, letter: Letter) -> DeadLetter:
    status, time, detail = connection.execute(
        "SELECT status, time, detail FROM receipts WHERE message_id = ? ORDER BY number DESC LIMIT 1",
        (letter.message_id,),
    ).fetchone()
    return DeadLetter(letter=letter, status=status, time=time, detail=detail)
