"""Durable channels in a L{Database}: what is acknowledged is on disk, numbered there, and is read from there."""

from __future__ import annotations

import sqlite3
from typing import Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cell0gw.channels.store import IMessageStore, NewMessage, Position, Stored, StoredChannel, StoredMessage
from cell0gw.engines.sqlite.database import Database
from cell0gw.engines.sqlite.jobs import Gathered
from cell0gw.engines.sqlite.room import Room
from cell0gw.engines.sqlite.rows import (
    AFTER,
    BEFORE,
    FIRST_SINCE,
    HEADS,
    Head,
    Row,
    begin,
    insert,
    known_by,
    note,
    redate,
    remember,
)
from cell0gw.engines.sqlite.shares import CHANNEL, ROW, Shares
from cell0gw.protocol.errors import RateLimited, RPCError
from cell0gw.protocol.limits import in_share

READ_BYTES: Final = 1024 * 1024
"""Approximate maximum bytes that are read at once; one message at least."""

SLACK: Final = 10
"""The part of a channel, one in this many, by which it grows before it is trimmed: trimming costs a statement."""

RETRY_AFTER_MS: Final = 60_000
"""Milliseconds after which what had no room may have some: so often the store is asked to forget what is too old."""


@implementer(IMessageStore)
class SQLiteMessageStore:
    """Messages of durable channels.

    All that is published while the disk is busy is written by one job, in few statements.

    @param room: the room in the file. A publisher and a channel have a share of it; what is beyond is refused.
    """

    def __init__(self, database: Database, room: Room) -> None:
        self._database = database
        self._room = room
        # The writer's, on its thread; rebuilt from the file when a transaction was rolled back.
        self._heads: dict[str, Head] = {}
        self._shares: Shares
        self._as_of: int | None = None
        self._appending = Gathered(database.write, self._append)

    def load(self) -> list[StoredChannel]:
        """See L{IMessageStore}."""
        return [
            StoredChannel(name=name, epoch=epoch, oldest=oldest % CHANNEL, newest=newest % CHANNEL, time=time)
            for _, name, epoch, oldest, newest, time in self._database.read(HEADS)
        ]

    def begin(self, channel: str, epoch: str, opener: str) -> Deferred[bool]:
        """See L{IMessageStore}."""
        return self._database.write(lambda connection: self._keep_epoch(connection, channel, epoch, opener))

    def append(self, message: NewMessage) -> Deferred[Stored]:
        """See L{IMessageStore}."""
        return self._appending.add(message)

    def read(self, channel: str, after: int, limit: int) -> Deferred[list[StoredMessage]]:
        """See L{IMessageStore}."""
        return self._database.look(lambda connection: self._read(connection, channel, after, limit, forward=True))

    def read_before(self, channel: str, before: int, limit: int) -> Deferred[list[StoredMessage]]:
        """See L{IMessageStore}."""
        return self._database.look(lambda connection: self._read(connection, channel, before, limit, forward=False))

    def purge(self, too_old: dict[str, float], keys_before: float) -> Deferred[dict[str, int]]:
        """See L{IMessageStore}."""
        return self._database.write(lambda connection: self._purge(connection, too_old, keys_before))

    def seen(self) -> float | None:
        """See L{IMessageStore}."""
        rows = self._database.read("SELECT date FROM dates WHERE name = 'seen'")
        return rows[0][0] if rows else None

    def note(self, date: float) -> Deferred[None]:
        """See L{IMessageStore}."""
        return self._database.write(lambda connection: note(connection, date))

    def redate(self, first: float, last: float, seconds: float) -> Deferred[None]:
        """See L{IMessageStore}."""
        return self._database.write(lambda connection: redate(connection, first, last, seconds))

    def drop(self, channel: str, newest: int) -> Deferred[bool]:
        """See L{IMessageStore}."""
        return self._database.write(lambda connection: self._drop(connection, channel, newest))

    # From here on: on the writer's thread.

    def _current_heads(self, connection: sqlite3.Connection) -> dict[str, Head]:
        if self._as_of != self._database.rollbacks:
            self._as_of = self._database.rollbacks
            self._heads = {
                name: Head(channel_id, epoch, oldest % CHANNEL, newest % CHANNEL)
                for channel_id, name, epoch, oldest, newest, _ in connection.execute(HEADS)
            }
            self._shares = Shares(connection)
        return self._heads

    def _append(self, connection: sqlite3.Connection, messages: list[NewMessage]) -> list[Stored | RPCError]:
        heads, shares = self._current_heads(connection), self._shares
        free = self._room.free(connection, shares.total)
        rows: list[Row] = []
        outcomes: list[Stored | RPCError | tuple[Head, int]] = []
        keep: dict[Head, int] = {}
        added: dict[tuple[Head, str], int] = {}
        # As long as all together have less than is free, everybody has.
        plenty, narrow = free - shares.total, False
        for message in messages:
            known = None if message.key is None else known_by(connection, message.key)
            if known is not None:
                outcomes.append(known)
                continue
            head, size = heads.get(message.channel), len(message.message) + ROW
            plenty -= 2 * size
            if plenty < 0:
                if not narrow:
                    narrow = True
                    free = self._measured(connection, rows)
                self._count(added)
                refusal = self._refusal(head, message.sender, size, free)
                if refusal is not None and head is not None and head.newest - head.oldest >= message.keep:
                    # By its own rule the channel has a few too many.
                    free = self._measured(connection, rows, head, message.keep)
                    refusal = self._refusal(head, message.sender, size, free)
                if refusal is not None:
                    outcomes.append(refusal)
                    continue
            free -= size
            if head is None:
                head = heads[message.channel] = begin(connection, message.channel, message.epoch)
            head.newest += 1
            rows.append((head.base + head.newest, message.time, message.sender, message.message))
            whose = (head, message.sender)
            added[whose] = added.get(whose, 0) + size
            keep[head] = message.keep
            if message.key is not None:
                remember(connection, message.key, Position(head.newest, head.epoch), message.time)
            outcomes.append((head, head.newest))
        insert(connection, rows)
        self._count(added)
        for head, count in keep.items():
            if head.newest - head.oldest + 1 > count + count // SLACK:
                self._forget(connection, head, head.newest - count + 1)
        shares.write(connection)
        if narrow or self._room.needs_clearing(free):
            self._room.clear(connection)
        return [
            Stored(position=Position(outcome[1], outcome[0].epoch), oldest=outcome[0].oldest)
            if isinstance(outcome, tuple)
            else outcome
            for outcome in outcomes
        ]

    def _measured(
        self, connection: sqlite3.Connection, rows: list[Row], head: Head | None = None, keep: int = 0
    ) -> int:
        """How much is free once rows are in the file, and a channel has no more messages than it is to keep."""
        insert(connection, rows)
        rows.clear()
        if head is not None:
            self._forget(connection, head, head.newest - keep + 1)
        return self._room.free(connection)

    def _count(self, added: dict[tuple[Head, str], int]) -> None:
        for (head, sender), size in added.items():
            self._shares.add(head.base // CHANNEL, sender, size)
        added.clear()

    def _refusal(self, head: Head | None, sender: str, size: int, free: int) -> RateLimited | None:
        """What is said of a message for which there is no room; None: there is.

        @param free: bytes, see L{Room.free}: what is used is left out on both sides, as the limit is.
        """
        of_sender = self._shares.of_sender(sender)
        of_channel = 0 if head is None else self._shares.of_channel(head.base // CHANNEL)
        if in_share(max(of_sender, of_channel), size, 0, free):
            return None
        whose = "yours" if of_sender >= of_channel else "those on this channel"
        return RateLimited(
            f"Durable messages have {max(free, 0)} bytes left, and {whose} take {max(of_sender, of_channel)} already",
            limit="max_database_size",
            retry_after_ms=RETRY_AFTER_MS,
        )

    def _keep_epoch(self, connection: sqlite3.Connection, channel: str, epoch: str, opener: str) -> bool:
        if channel not in self._current_heads(connection):
            # How many there are is bounded in memory, by the budget of histories.
            size = 2 * len(channel) + len(epoch) + ROW  # the name is in the index as well
            if self._refusal(None, opener, size, self._room.free(connection, size)) is not None:
                return False
            self._heads[channel] = begin(connection, channel, epoch)
        return True

    def _read(
        self, connection: sqlite3.Connection, channel: str, bound: int, limit: int, forward: bool
    ) -> list[StoredMessage]:
        head = self._current_heads(connection).get(channel)
        if head is None:
            return []
        query = AFTER if forward else BEFORE
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
            if head is None or not head.newest:
                continue
            # The newest stays whatever its age: it says where the numbering goes on.
            first, last = head.base + head.oldest, head.base + head.newest
            row = connection.execute(FIRST_SINCE, (first, last, before)).fetchone()
            since = head.newest if row is None else row[0] - head.base
            if since > head.oldest:
                self._forget(connection, head, since)
                changed[name] = head.oldest
        self._shares.write(connection)
        self._room.clear(connection)
        return changed

    def _drop(self, connection: sqlite3.Connection, channel: str, newest: int) -> bool:
        head = self._current_heads(connection).get(channel)
        if head is None or head.newest != newest:
            return head is None
        self._forget(connection, head, head.newest + 1)
        connection.execute("DELETE FROM channels WHERE channel_id = ?", (head.base // CHANNEL,))
        self._shares.write(connection)
        del self._heads[channel]
        return True

    def _forget(self, connection: sqlite3.Connection, head: Head, oldest: int) -> None:
        """Delete what is older than an offset."""
        span = (head.base + head.oldest, head.base + oldest)
        self._shares.forget(connection, *span)
        connection.execute("DELETE FROM messages WHERE position >= ? AND position < ?", span)
        head.oldest = oldest
