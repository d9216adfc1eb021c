"""How much room there is in the file, and the dead letters, which go first when there is none."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Final, Protocol

from cell0gw.protocol.limits import MIB

BATCH: Final = 100
"""Maximum dead letters, or receipts, of one sender that are looked at at a time."""

LOOK_EVERY: Final = 16
"""How often the file is looked at when there is ample room: once in this many times."""

AMPLE: Final = 64 * MIB
"""Bytes that are ample room, beside four times what is needed."""

_DEAD: Final = "settled IS NOT NULL AND message <> x''"
_DETAIL: Final = "LENGTH(CAST(detail AS BLOB))"
_SIZES: Final = f"""
SELECT sender, SUM(size) FROM (
    SELECT sender, LENGTH(message) AS size FROM letters WHERE {_DEAD}
    UNION ALL SELECT sender, {_DETAIL} FROM receipts WHERE detail IS NOT NULL
) GROUP BY sender
"""
_OLDEST: Final = (
    f"SELECT sequence, LENGTH(message) FROM letters WHERE {_DEAD} AND sender = ? ORDER BY sequence LIMIT {BATCH}"
)
_FORGET: Final = "UPDATE letters SET message = x'' WHERE sequence = ?"
_OLDEST_DETAILS: Final = (
    f"SELECT number, {_DETAIL} FROM receipts WHERE sender = ? AND detail IS NOT NULL ORDER BY number LIMIT {BATCH}"
)
_FORGET_DETAIL: Final = "UPDATE receipts SET detail = NULL WHERE number = ?"


class _Database(Protocol):
    """What is asked of the database."""

    @property
    def rollbacks(self) -> int: ...


class Room:
    """The room in the file; on the writer's thread.

    @param max_size: bytes that durable channels may fill the file to.
    @param max_dead: maximum bytes of dead letters.
    """

    def __init__(self, database: _Database, max_size: int, max_dead: int) -> None:
        self._database = database
        self._max_size = max_size
        self._max_dead = max_dead
        # The bytes of dead letters, and of what receipts say, by sender, and of all; read from the file when a
        # transaction was rolled back.
        self._dead: Counter[str] = Counter()
        self._total = 0
        self._free = self._looks = 0
        self._as_of: int | None = None

    @property
    def kept(self) -> int:
        """The bytes of dead letters and of what receipts say."""
        return self._total

    def look(self, connection: sqlite3.Connection) -> None:
        """See what is in the file, if that is not known: to be called before letters die."""
        if self._as_of != self._database.rollbacks:
            self._as_of = self._database.rollbacks
            self._dead = Counter(dict(connection.execute(_SIZES)))
            self._total = self._dead.total()

    def free(self, connection: sqlite3.Connection, needed: int | None = None) -> int:
        """Bytes that durable messages may have still; below 0: too many are in use. Dead letters count as free.

        @param needed: where there was far more than that a moment ago, it is not looked at again. None: look.
        """
        self._looks += 1
        if needed is None or self._looks % LOOK_EVERY == 0 or self._free < 4 * needed + AMPLE:
            self.look(connection)
            self._free = self._max_size - used(connection) + self._total
        return self._free

    def died(self, sender: str, size: int) -> None:
        """Called when a letter is dead or a receipt says something; when that is forgotten, with a negative size."""
        self._total += size
        self._dead[sender] += size
        if not self._dead[sender]:
            del self._dead[sender]

    def clear(self, connection: sqlite3.Connection) -> None:
        """Have dead letters go, and then what receipts say, those of the sender with most bytes first, as far as they
        or the file are too large. What became of the letters is known still; the texts are gone.
        """
        self.look(connection)
        excess = max(self._total - self._max_dead, used(connection) - self._max_size)
        while excess > 0 and self._dead:
            ((sender, left),) = self._dead.most_common(1)
            oldest, forget = connection.execute(_OLDEST, (sender,)).fetchall(), _FORGET
            if not oldest:
                oldest, forget = connection.execute(_OLDEST_DETAILS, (sender,)).fetchall(), _FORGET_DETAIL
            for number, size in oldest or [(0, left)]:
                connection.execute(forget, (number,))
                self.died(sender, -size)
                excess -= size
                if excess <= 0:
                    break

    def needs_clearing(self, free: int) -> bool:
        """Whether dead letters are in the way.

        @param free: what L{free} has told, less what was written since.
        """
        return free < self._total


def used(connection: sqlite3.Connection) -> int:
    """How many bytes of the file are in use."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
