"""How much of the file each publisher and each channel has: counted on the writer's thread, kept in the file itself."""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter
from typing import Final

ROW: Final = 64
"""Bytes that a message counts for beside its length: what else is in its row."""

CHANNEL: Final = 1 << 40
"""Maximum offset of a channel. A message's row is its channel times this, plus its offset: a channel is contiguous."""

MAX_ROWS: Final = 64
"""Maximum rows that one statement writes: for each statement the thread waits for its turn with the others."""

_FORGET: Final = f"""
SELECT sender, SUM(LENGTH(message) + {ROW}) FROM messages WHERE position >= ? AND position < ? GROUP BY sender
"""


class Shares:
    """The bytes of durable messages, by who published them and by channel.

    What L{add} and L{forget} have changed is in the file after L{write}.

    @ivar total: the bytes of all.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._of_pair: dict[tuple[int, str], int] = {}
        self._of_channel: Counter[int] = Counter()
        self._of_sender: Counter[str] = Counter()
        self._changed: set[tuple[int, str]] = set()
        self.total = 0
        for channel_id, sender, size in connection.execute("SELECT channel_id, sender, bytes FROM shares"):
            self.add(channel_id, sender, size)
        self._changed.clear()

    def of_sender(self, sender: str) -> int:
        """The bytes of one publisher, in all channels."""
        return self._of_sender[sender]

    def of_channel(self, channel_id: int) -> int:
        """The bytes of one channel, of all publishers."""
        return self._of_channel[channel_id]

    def add(self, channel_id: int, sender: str, size: int) -> None:
        """Count what was published, or, if negative, what is gone."""
        pair = (channel_id, sender)
        self._of_pair[pair] = self._of_pair.get(pair, 0) + size
        self._of_channel[channel_id] += size
        self._of_sender[sender] += size
        self.total += size
        self._changed.add(pair)

    def forget(self, connection: sqlite3.Connection, first: int, end: int) -> None:
        """Count no longer what is about to be deleted of a channel, from one position to before another."""
        for sender, size in connection.execute(_FORGET, (first, end)).fetchall():
            self.add(first // CHANNEL, sender, -size)

    def write(self, connection: sqlite3.Connection) -> None:
        """Have the file know what has changed."""
        rows = []
        for pair in self._changed:
            size = self._of_pair[pair]
            if size > 0:
                rows.append((*pair, size))
            else:
                self._drop(connection, pair)
        self._changed.clear()
        for start in range(0, len(rows), MAX_ROWS):
            some = rows[start : start + MAX_ROWS]
            places = ", ".join(["(?, ?, ?)"] * len(some))
            statement = f"INSERT OR REPLACE INTO shares (channel_id, sender, bytes) VALUES {places}"
            connection.execute(statement, list(itertools.chain.from_iterable(some)))

    def _drop(self, connection: sqlite3.Connection, pair: tuple[int, str]) -> None:
        del self._of_pair[pair]
        channel_id, sender = pair
        if not self._of_channel[channel_id]:
            del self._of_channel[channel_id]
        if not self._of_sender[sender]:
            del self._of_sender[sender]
        connection.execute("DELETE FROM shares WHERE channel_id = ? AND sender = ?", pair)
