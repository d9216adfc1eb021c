"""The statements of mailboxes: each runs on the writer's thread, in a transaction of its L{Database}."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from cell0gw.agents.mail.status import advances
from cell0gw.agents.mail.store import (
    LAST_REPORTS,
    Delivery,
    KeptLetter,
    Letter,
    Outcome,
    Receipt,
    Transition,
    expired,
)
from cell0gw.protocol.errors import Conflict

READ_BYTES: Final = 1024 * 1024
"""Approximate maximum bytes that are read at once; one letter at least."""

_FIELDS: Final = (
    "message_id", "recipient", "sender", "sender_type", "conversation_id", "in_reply_to", "hops", "message", "time",
    "expires_at", "receipts",
)  # fmt: skip
_COLUMNS: Final = ", ".join(("sequence", *_FIELDS, "attempts"))

LETTERS: Final = f"SELECT {_COLUMNS} FROM letters"
"""Begins the query for letters that L{letter_of} reads."""
_WAITING: Final = (
    f"{LETTERS} WHERE settled IS NULL AND recipient = ? AND sequence > ? AND expires_at > ? ORDER BY sequence LIMIT ?"
)
_MARK_UNREPORTED: Final = """
UPDATE receipts SET told = NULL WHERE sender = ? AND told >= ?
AND message_id IN (SELECT message_id FROM letters WHERE letters.message_id = receipts.message_id AND receipts = 1)
"""
MARK_LAST_UNREPORTED: Final = f"""
UPDATE receipts SET told = NULL WHERE told >= (SELECT MAX(told) FROM receipts) - {LAST_REPORTS}
AND message_id IN (SELECT message_id FROM letters WHERE letters.message_id = receipts.message_id AND receipts = 1)
"""
"""See L{LAST_REPORTS}."""
_INSERT: Final = (
    f"INSERT INTO letters ({', '.join(_FIELDS)}, method, key, digest, status) "
    f"VALUES ({', '.join('?' * len(_FIELDS))}, ?, ?, ?, 'queued')"
)
RECEIPT: Final = "INSERT INTO receipts (message_id, sender, status, time, detail, told) VALUES (?, ?, ?, ?, ?, ?)"


def put(connection: sqlite3.Connection, letter: Letter, keys_since: float) -> KeptLetter | Conflict:
    """See L{IMailStore.put}."""
    key = letter.key
    known = find(connection, letter, keys_since)
    if known is not None:
        return known
    slot = (None, None, None) if key is None else (key.method, key.key, key.digest)
    values = (*(getattr(letter, name) for name in _FIELDS), *slot)
    sequence = connection.execute(_INSERT, values).lastrowid
    assert sequence is not None
    row = (letter.message_id, letter.sender, "queued", letter.time, None, None if letter.receipts else 0.0)
    receipt = connection.execute(RECEIPT, row).lastrowid or 0
    return KeptLetter(sequence=sequence, message_id=letter.message_id, receipt=receipt)


def find(connection: sqlite3.Connection, letter: Letter, keys_since: float) -> KeptLetter | Conflict | None:
    """See L{IMailStore.find}."""
    key = letter.key
    if key is None:
        return None
    found = connection.execute(
        "SELECT sequence, message_id, status, digest, time FROM letters WHERE sender = ? AND method = ? AND key = ?",
        (letter.sender, key.method, key.key),
    ).fetchone()
    if found is None:
        return None
    sequence, message_id, status, digest, time = found
    if time < keys_since:
        connection.execute("UPDATE letters SET key = NULL WHERE sequence = ?", (sequence,))
        return None
    if digest != key.digest:
        return Conflict("The idempotency key was used with other params")
    return KeptLetter(sequence=sequence, message_id=message_id, status=status, replayed=True)


def waiting(connection: sqlite3.Connection, recipient: str, after: int, limit: int, now: float) -> list[Letter]:
    """See L{IMailStore.waiting}."""
    return read_slice(connection.execute(_WAITING, (recipient, after, now, limit)))


def letters(connection: sqlite3.Connection, message_ids: list[str]) -> list[Letter]:
    """See L{IMailStore.letters}."""
    places = ", ".join("?" * len(message_ids))
    query = f"{LETTERS} WHERE settled IS NULL AND message_id IN ({places}) ORDER BY sequence"
    return read_slice(connection.execute(query, message_ids))


def read_slice(cursor: sqlite3.Cursor) -> list[Letter]:
    """The first letters of an answer, about L{READ_BYTES}, one at least."""
    letters, size = [], 0
    for row in cursor:
        letters.append(letter_of(row))
        size += len(letters[-1].message)
        if size > READ_BYTES:
            break
    cursor.close()
    return letters


def letter_of(row: tuple[Any, ...]) -> Letter:
    """A letter from its columns."""
    sequence, *rest, attempts = row
    facts = dict(zip(_FIELDS, rest, strict=True))
    facts["receipts"] = bool(facts["receipts"])
    return Letter(sequence=sequence, attempts=attempts, **facts)


def advance(connection: sqlite3.Connection, outcome: Outcome) -> Transition:
    """See L{IMailStore.record}."""
    found = connection.execute(
        "SELECT sender, status, settled, receipts, LENGTH(message), failures FROM letters "
        "WHERE message_id = ? AND recipient = ?",
        (outcome.message_id, outcome.recipient),
    ).fetchone()
    if found is None:
        return Transition(outcome=outcome, status=None, taken=False)
    sender, status, settled, receipts, size, failures = found
    if outcome.after and (settled is not None or failures + 1 < outcome.after):
        query = "UPDATE letters SET failures = failures + 1 WHERE message_id = ?"
        connection.execute(query, (outcome.message_id,))
        return Transition(outcome=outcome, status=status, taken=False, waits=settled is None)
    taken = advances(status, outcome.status)
    settles = outcome.settles and settled is None and (taken or outcome.status != "recalled")
    receipt = 0
    if taken:
        row = (outcome.message_id, sender, outcome.status, outcome.time, outcome.detail, None if receipts else 0.0)
        receipt = connection.execute(RECEIPT, row).lastrowid or 0
        status = outcome.status
    if taken or outcome.brought:
        query = "UPDATE letters SET status = ?, attempts = attempts + ? WHERE message_id = ?"
        connection.execute(query, (status, outcome.brought, outcome.message_id))
    if outcome.until and settled is None:
        query = "UPDATE letters SET expires_at = MAX(expires_at, ?) WHERE message_id = ?"
        connection.execute(query, (outcome.until, outcome.message_id))
    if settles:
        kept = "message" if taken and outcome.status in ("expired", "failed") else "x''"
        connection.execute(
            f"UPDATE letters SET settled = ?, message = {kept} WHERE message_id = ?", (outcome.time, outcome.message_id)
        )
    return Transition(
        outcome=outcome,
        status=status,
        taken=taken,
        settled=settles,
        waits=settled is None and not settles,
        sender=sender,
        receipt=receipt if receipts else 0,
        size=size,
    )


def expire(connection: sqlite3.Connection, now: float) -> tuple[list[Transition], float | None]:
    """See L{IMailStore.expire}."""
    query = "SELECT message_id, recipient FROM letters WHERE settled IS NULL AND expires_at <= ? LIMIT 1000"
    transition = [
        advance(connection, expired(message_id, recipient, now))
        for message_id, recipient in connection.execute(query, (now,)).fetchall()
    ]
    return transition, connection.execute("SELECT MIN(expires_at) FROM letters WHERE settled IS NULL").fetchone()[0]


def shift(connection: sqlite3.Connection, seconds: float) -> None:
    """See L{IMailStore.shift}."""
    connection.execute("UPDATE letters SET expires_at = expires_at + ? WHERE settled IS NULL", (seconds,))


def delivery(connection: sqlite3.Connection, message_id: str) -> Delivery | None:
    """See L{IMailStore.delivery}."""
    found = connection.execute(
        "SELECT recipient, sender, status, expires_at FROM letters WHERE message_id = ?", (message_id,)
    ).fetchone()
    if found is None:
        return None
    recipient, sender, status, expires_at = found
    statuses = connection.execute(
        "SELECT status, time, detail FROM receipts WHERE message_id = ? ORDER BY number", (message_id,)
    )
    receipts = [
        Receipt(message_id=message_id, recipient=recipient, status=status, time=time, detail=detail)
        for status, time, detail in statuses
    ]
    return Delivery(
        message_id=message_id,
        recipient=recipient,
        sender=sender,
        status=status,
        expires_at=expires_at,
        receipts=receipts,
    )


def take_unreported(connection: sqlite3.Connection, sender: str, limit: int, now: float) -> list[Receipt]:
    """See L{IMailStore.take_unreported}."""
    rows = connection.execute(
        "SELECT number, receipts.message_id, recipient, receipts.status, receipts.time, detail "
        "FROM receipts JOIN letters ON letters.message_id = receipts.message_id "
        "WHERE receipts.sender = ? AND told IS NULL ORDER BY number LIMIT ?",
        (sender, limit),
    ).fetchall()
    mark_reported(connection, [row[0] for row in rows], now)
    return [
        Receipt(message_id=message_id, recipient=recipient, status=status, time=time, detail=detail)
        for _, message_id, recipient, status, time, detail in rows
    ]


def mark_reported(connection: sqlite3.Connection, receipts: list[int], now: float) -> None:
    """See L{IMailStore.mark_reported}."""
    connection.executemany("UPDATE receipts SET told = ? WHERE number = ?", [(now, number) for number in receipts])


def mark_unreported(connection: sqlite3.Connection, sender: str, since: float) -> None:
    """See L{IMailStore.mark_unreported}."""
    connection.execute(_MARK_UNREPORTED, (sender, since))


def saw(connection: sqlite3.Connection, entity_id: str, time: float) -> None:
    """See L{IMailStore.saw}."""
    connection.execute("INSERT OR REPLACE INTO holders VALUES (?, ?)", (entity_id, time))


def purge(
    connection: sqlite3.Connection,
    settled_before: float,
    dead_before: float,
    keep: int,
    holders_before: float,
    max_holders: int,
) -> list[tuple[str, int]]:
    """See L{IMailStore.purge}.

    @return: of each letter and receipt that is gone the sender, and the bytes of its text.
    """
    gone = (
        "SELECT message_id FROM letters WHERE settled IS NOT NULL AND (settled < ? AND (message = x'' OR settled < ?) "
        "OR sequence IN (SELECT sequence FROM letters WHERE settled IS NOT NULL ORDER BY settled DESC, sequence DESC "
        "LIMIT -1 OFFSET ?))"
    )
    values = (settled_before, dead_before, keep)
    said = "RETURNING sender, COALESCE(LENGTH(CAST(detail AS BLOB)), 0)"
    deleted = connection.execute(f"DELETE FROM receipts WHERE message_id IN ({gone}) {said}", values).fetchall()
    deleting = f"DELETE FROM letters WHERE message_id IN ({gone}) RETURNING sender, LENGTH(message)"
    deleted += connection.execute(deleting, values).fetchall()
    connection.execute("DELETE FROM holders WHERE time < ?", (holders_before,))
    connection.execute(
        "DELETE FROM holders WHERE entity_id IN (SELECT entity_id FROM holders ORDER BY time DESC LIMIT -1 OFFSET ?)",
        (max_holders,),
    )
    return deleted
