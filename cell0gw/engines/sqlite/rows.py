"""The statements of durable channels: each runs on the writer's thread, in a transaction of its L{Database}."""

from __future__ import annotations

import itertools
import sqlite3
from typing import Final

from cell0gw.channels.store import Position, Stored
from cell0gw.engines.sqlite.shares import CHANNEL
from cell0gw.protocol.errors import Conflict
from cell0gw.protocol.keys import Key

Row = tuple[int, float, str, bytes]
"""Position, time, sender and message."""

_ROWS: Final = (256, 64, 16, 4, 1)
"""Maximum rows that one statement inserts: for each statement the thread waits for its turn with the others."""

_COUNTS_AS: Final = "time + COALESCE((SELECT MAX(seconds) FROM redated WHERE time BETWEEN first AND last), 0)"
"""The time of a message where it is about its age, see L{cell0gw.channels.store.IMessageStore.redate}."""

HEADS: Final = f"""
SELECT channel_id, name, epoch, COALESCE(oldest, 1), COALESCE(newest, 0),
    (SELECT {_COUNTS_AS} FROM messages WHERE position = newest)
FROM (
    SELECT channel_id, name, epoch,
        (SELECT MIN(position) FROM messages
         WHERE position > channel_id * {CHANNEL} AND position < (channel_id + 1) * {CHANNEL}) AS oldest,
        (SELECT MAX(position) FROM messages
         WHERE position > channel_id * {CHANNEL} AND position < (channel_id + 1) * {CHANNEL}) AS newest
    FROM channels
)
"""
_ROW: Final = "SELECT position, time, sender, message FROM messages WHERE position"
AFTER: Final = f"{_ROW} > ?1 AND position > ?2 AND position < ?3 ORDER BY position LIMIT ?4"
BEFORE: Final = f"{_ROW} < ?1 AND position > ?2 AND position < ?3 ORDER BY position DESC LIMIT ?4"
FIRST_SINCE: Final = (
    f"SELECT position FROM messages WHERE position >= ? AND position <= ? AND {_COUNTS_AS} >= ? "
    "ORDER BY position LIMIT 1"
)


class Head:
    """What the writer knows of a channel. Offsets C{oldest} to C{newest} are kept."""

    __slots__ = ("base", "epoch", "newest", "oldest")

    def __init__(self, channel_id: int, epoch: str, oldest: int = 1, newest: int = 0) -> None:
        self.base = channel_id * CHANNEL
        self.epoch = epoch
        self.oldest = oldest
        self.newest = newest


_MAX_REDATED: Final = 100
"""Maximum spans of dates that count as younger: the clock was set that often."""


def redate(connection: sqlite3.Connection, first: float, last: float, seconds: float) -> None:
    """See L{cell0gw.channels.store.IMessageStore.redate}."""
    connection.execute("DELETE FROM redated WHERE first = ? AND last = ?", (first, last))
    if seconds > 0:
        connection.execute("INSERT INTO redated (first, last, seconds) VALUES (?, ?, ?)", (first, last, seconds))
    oldest = "SELECT rowid FROM redated ORDER BY rowid DESC LIMIT -1 OFFSET ?"
    connection.execute(f"DELETE FROM redated WHERE rowid IN ({oldest})", (_MAX_REDATED,))


def note(connection: sqlite3.Connection, date: float) -> None:
    """See L{cell0gw.channels.store.IMessageStore.note}."""
    connection.execute("INSERT OR REPLACE INTO dates (name, date) VALUES ('seen', ?)", (date,))


def begin(connection: sqlite3.Connection, channel: str, epoch: str) -> Head:
    """Store a channel, without messages yet."""
    channel_id = connection.execute("INSERT INTO channels (name, epoch) VALUES (?, ?)", (channel, epoch)).lastrowid
    assert channel_id is not None
    return Head(channel_id, epoch)


def insert(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """Store messages, in few statements."""
    start = 0
    for count in _ROWS:
        while len(rows) - start >= count:
            places = ", ".join(["(?, ?, ?, ?)"] * count)
            values = list(itertools.chain.from_iterable(rows[start : start + count]))
            connection.execute(f"INSERT INTO messages (position, time, sender, message) VALUES {places}", values)
            start += count


def remember(connection: sqlite3.Connection, key: Key, position: Position, time: float) -> None:
    """Store which message has a key."""
    values = (key.entity_id, key.method, key.key, key.digest, position.offset, position.epoch, time)
    connection.execute(
        "INSERT INTO keys (entity_id, method, key, digest, offset, epoch, time) VALUES (?, ?, ?, ?, ?, ?, ?)", values
    )


def known_by(connection: sqlite3.Connection, key: Key) -> Stored | Conflict | None:
    """What became of the first message with a key; None: there was none."""
    found = connection.execute(
        "SELECT digest, offset, epoch FROM keys WHERE entity_id = ? AND method = ? AND key = ?",
        (key.entity_id, key.method, key.key),
    ).fetchone()
    if found is None:
        return None
    digest, offset, epoch = found
    if digest != key.digest:
        return Conflict("The idempotency key was used with other params")
    return Stored(position=Position(offset, epoch), oldest=0, replayed=True)
