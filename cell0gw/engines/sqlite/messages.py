"""Durable channels in a L{Database}: what is acknowledged is on disk, numbered there, and is read from there."""

from __future__ import annotations

import itertools
import sqlite3
from collections import deque
from typing import Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.channels.store import IMessageStore, NewMessage, Position, Stored, StoredChannel, StoredMessage
from cell0gw.engines.sqlite.database import Database
from cell0gw.protocol.errors import Conflict, Unavailable
from cell0gw.protocol.keys import Key

CHANNEL: Final = 1 << 40
"""Maximum offset of a channel. A message's row is its channel times this, plus its offset: a channel is contiguous."""

READ_BYTES: Final = 1024 * 1024
"""Approximate maximum bytes that are read at once; one message at least."""

SLACK: Final = 10
"""The part of a channel, one in this many, by which it grows before it is trimmed: trimming costs a statement."""

_Row = tuple[int, float, str, bytes]
"""Position, time, sender and message."""

_ROWS: Final = (256, 64, 16, 4, 1)
"""Maximum rows that one statement inserts: for each statement the thread waits for its turn with the others."""


class _Head:
    """What the writer knows of a channel. Offsets C{oldest} to C{newest} are kept."""

    __slots__ = ("base", "epoch", "newest", "oldest")

    def __init__(self, channel_id: int, epoch: str, oldest: int = 1, newest: int = 0) -> None:
        self.base = channel_id * CHANNEL
        self.epoch = epoch
        self.oldest = oldest
        self.newest = newest


@implementer(IMessageStore)
class SQLiteMessageStore:
    """Messages of durable channels.

    All that is published while the disk is busy is written by one job, in few statements.

    @param max_size: approximate maximum bytes of the file; beyond it the longest channels lose their oldest messages.
    """

    def __init__(self, database: Database, max_size: int) -> None:
        self._database = database
        self._max_size = max_size
        # The writer's, on its thread; rebuilt from the file when a transaction was rolled back.
        self._heads: dict[str, _Head] = {}
        self._as_of: int | None = None
        self._unwritten: deque[tuple[NewMessage, Deferred[Stored]]] = deque()
        self._asked = False

    def load(self) -> list[StoredChannel]:
        """See L{IMessageStore}."""
        rows = self._database.read(_HEADS)
        return [
            StoredChannel(name=name, epoch=epoch, oldest=oldest % CHANNEL, newest=newest % CHANNEL, time=time)
            for _, name, epoch, oldest, newest, time in rows
            if newest is not None
        ]

    def append(self, message: NewMessage) -> Deferred[Stored]:
        """See L{IMessageStore}."""
        deferred: Deferred[Stored] = Deferred()
        self._unwritten.append((message, deferred))
        if not self._asked:
            self._asked = True
            taken: list[tuple[NewMessage, Deferred[Stored]]] = []
            self._database.write(lambda connection: self._append(connection, taken)).addCallbacks(
                self._appended, self._failed, callbackArgs=(taken,), errbackArgs=(taken,)
            )
        return deferred

    def read(self, channel: str, after: int, limit: int) -> Deferred[list[StoredMessage]]:
        """See L{IMessageStore}."""
        return self._database.look(lambda connection: self._read(connection, channel, after, limit, forward=True))

    def read_before(self, channel: str, before: int, limit: int) -> Deferred[list[StoredMessage]]:
        """See L{IMessageStore}."""
        return self._database.look(lambda connection: self._read(connection, channel, before, limit, forward=False))

    def purge(self, too_old: dict[str, float], keys_before: float) -> Deferred[dict[str, int]]:
        """See L{IMessageStore}."""
        return self._database.write(lambda connection: self._purge(connection, too_old, keys_before))

    def drop(self, channel: str, newest: int) -> Deferred[bool]:
        """See L{IMessageStore}."""
        return self._database.write(lambda connection: self._drop(connection, channel, newest))

    def _appended(self, outcomes: list[Stored | Conflict], taken: list[tuple[NewMessage, Deferred[Stored]]]) -> None:
        for outcome, (_, deferred) in zip(outcomes, taken, strict=True):
            if isinstance(outcome, Conflict):
                deferred.errback(Failure(outcome))
            else:
                deferred.callback(outcome)

    def _failed(self, failure: Failure, taken: list[tuple[NewMessage, Deferred[Stored]]]) -> None:
        if not taken:  # the job was never begun
            self._asked = False
            taken.extend(self._unwritten)
            self._unwritten.clear()
        if not failure.check(Unavailable):
            failure = Failure(Unavailable("Storage is out of order"))
        for _, deferred in taken:
            deferred.errback(failure)

    # From here on: on the writer's thread.

    def _current_heads(self, connection: sqlite3.Connection) -> dict[str, _Head]:
        if self._as_of != self._database.rollbacks:
            self._as_of = self._database.rollbacks
            self._heads = {
                name: _Head(channel_id, epoch, (oldest or 1) % CHANNEL, (newest or 0) % CHANNEL)
                for channel_id, name, epoch, oldest, newest, _ in connection.execute(_HEADS)
            }
        return self._heads

    def _append(
        self, connection: sqlite3.Connection, taken: list[tuple[NewMessage, Deferred[Stored]]]
    ) -> list[Stored | Conflict]:
        self._asked = False
        while self._unwritten:
            taken.append(self._unwritten.popleft())
        heads = self._current_heads(connection)
        rows: list[_Row] = []
        outcomes: list[Stored | Conflict | tuple[_Head, int]] = []
        keep: dict[_Head, int] = {}
        for message, _ in taken:
            known = None if message.key is None else self._known(connection, message.key)
            if known is not None:
                outcomes.append(known)
                continue
            head = heads.get(message.channel)
            if head is None:
                head = heads[message.channel] = self._begin(connection, message)
            head.newest += 1
            rows.append((head.base + head.newest, message.time, message.sender, message.message))
            keep[head] = message.keep
            if message.key is not None:
                _remember(connection, message.key, Position(head.newest, head.epoch), message.time)
            outcomes.append((head, head.newest))
        _insert(connection, rows)
        for head, count in keep.items():
            if head.newest - head.oldest + 1 > count + count // SLACK:
                self._forget(connection, head, head.newest - count + 1)
        return [
            Stored(position=Position(outcome[1], outcome[0].epoch), oldest=outcome[0].oldest)
            if isinstance(outcome, tuple)
            else outcome
            for outcome in outcomes
        ]

    def _begin(self, connection: sqlite3.Connection, message: NewMessage) -> _Head:
        row = (message.channel, message.epoch)
        channel_id = connection.execute("INSERT INTO channels (name, epoch) VALUES (?, ?)", row).lastrowid
        assert channel_id is not None
        return _Head(channel_id, message.epoch)

    def _known(self, connection: sqlite3.Connection, key: Key) -> Stored | Conflict | None:
        """What became of the first one with this key."""
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

    def _read(
        self, connection: sqlite3.Connection, channel: str, bound: int, limit: int, forward: bool
    ) -> list[StoredMessage]:
        head = self._current_heads(connection).get(channel)
        if head is None:
            return []
        query = _AFTER if forward else _BEFORE
        # No offset is beyond CHANNEL; a number that is may be more than SQLite takes.
        bounds = (head.base + min(bound, CHANNEL), head.base, head.base + CHANNEL, limit)
        cursor = connection.execute(query, bounds)
        messages, size = [], 0
        for position, time, sender, message in cursor:
            messages.append(StoredMessage(offset=position - head.base, time=time, sender=sender, message=message))
            size += len(message)
            if size > READ_BYTES:
                break
        cursor.close()
        return messages

    def _purge(self, connection: sqlite3.Connection, too_old: dict[str, float], keys_before: float) -> dict[str, int]:
        connection.execute("DELETE FROM keys WHERE time < ?", (keys_before,))
        heads = self._current_heads(connection)
        changed: dict[str, int] = {}
        for name, before in too_old.items():
            head = heads.get(name)
            if head is None:
                continue
            # The newest stays whatever its age: it says where the numbering goes on.
            first, last = head.base + head.oldest, head.base + head.newest
            row = connection.execute(_FIRST_SINCE, (first, last, before)).fetchone()
            since = head.newest if row is None else row[0] - head.base
            if since > head.oldest:
                self._forget(connection, head, since)
                changed[name] = head.oldest
        while self._size(connection) > self._max_size:
            name, head = max(heads.items(), key=lambda item: item[1].newest - item[1].oldest, default=("", None))
            if head is None or head.newest - head.oldest < 1:
                break
            self._forget(connection, head, head.oldest + (head.newest - head.oldest + 1) // 2)
            changed[name] = head.oldest
        return changed

    def _drop(self, connection: sqlite3.Connection, channel: str, newest: int) -> bool:
        head = self._current_heads(connection).get(channel)
        if head is None or head.newest != newest:
            return head is None
        self._forget(connection, head, head.newest + 1)
        connection.execute("DELETE FROM channels WHERE channel_id = ?", (head.base // CHANNEL,))
        del self._heads[channel]
        return True

    def _forget(self, connection: sqlite3.Connection, head: _Head, oldest: int) -> None:
        """Delete what is older than an offset."""
        span = (head.base + head.oldest, head.base + oldest)
        connection.execute("DELETE FROM messages WHERE position >= ? AND position < ?", span)
        head.oldest = oldest

    def _size(self, connection: sqlite3.Connection) -> int:
        """How many bytes of the file are in use."""
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)


_HEADS: Final = f"""
SELECT channel_id, name, epoch, oldest, newest, (SELECT time FROM messages WHERE position = newest) FROM (
    SELECT channel_id, name, epoch,
        (SELECT MIN(position) FROM messages
         WHERE position > channel_id * {CHANNEL} AND position < (channel_id + 1) * {CHANNEL}) AS oldest,
        (SELECT MAX(position) FROM messages
         WHERE position > channel_id * {CHANNEL} AND position < (channel_id + 1) * {CHANNEL}) AS newest
    FROM channels
)
"""
_ROW: Final = "SELECT position, time, sender, message FROM messages WHERE position"
_AFTER: Final = f"{_ROW} > ?1 AND position > ?2 AND position < ?3 ORDER BY position LIMIT ?4"
_BEFORE: Final = f"{_ROW} < ?1 AND position > ?2 AND position < ?3 ORDER BY position DESC LIMIT ?4"
_FIRST_SINCE: Final = (
    "SELECT position FROM messages WHERE position >= ? AND position <= ? AND time >= ? ORDER BY position LIMIT 1"
)


def _insert(connection: sqlite3.Connection, rows: list[_Row]) -> None:
    start = 0
    for count in _ROWS:
        while len(rows) - start >= count:
            places = ", ".join(["(?, ?, ?, ?)"] * count)
            values = list(itertools.chain.from_iterable(rows[start : start + count]))
            connection.execute(f"INSERT INTO messages (position, time, sender, message) VALUES {places}", values)
            start += count


def _remember(connection: sqlite3.Connection, key: Key, position: Position, time: float) -> None:
    values = (key.entity_id, key.method, key.key, key.digest, position.offset, position.epoch, time)
    connection.execute(
        "INSERT INTO keys (entity_id, method, key, digest, offset, epoch, time) VALUES (?, ?, ?, ?, ?, ?, ?)", values
    )
