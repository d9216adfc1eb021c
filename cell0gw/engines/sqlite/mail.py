"""Mailboxes in a L{Database}: what is acknowledged is on disk, and so is what became of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.agents.mail.store import (
    DeadLetter,
    Delivery,
    IMailStore,
    KeptLetter,
    Letter,
    Outcome,
    Receipt,
    StoredMail,
    StoredMailbox,
    Transition,
)
from cell0gw.engines.sqlite import dead_letters, letters
from cell0gw.engines.sqlite.database import Database
from cell0gw.engines.sqlite.room import Room
from cell0gw.protocol.errors import Conflict

_P = ParamSpec("_P")
_Result = TypeVar("_Result")
_Statement = Callable[Concatenate[sqlite3.Connection, _P], _Result]


@implementer(IMailStore)
class SQLiteMailStore:
    """Letters and receipts.

    @param room: the room in the file, of which dead letters have a part.
    """

    def __init__(self, database: Database, room: Room) -> None:
        self._database = database
        self._room = room

    def load(self) -> StoredMail:
        """See L{IMailStore}."""
        read = self._database.read
        read(letters.MARK_LAST_UNREPORTED)
        ((key,),) = read("SELECT value FROM secrets WHERE name = 'provenance'")
        boxes = read(
            "SELECT recipient, sender, COUNT(*), SUM(LENGTH(message)) FROM letters WHERE settled IS NULL GROUP BY 1, 2"
        )
        ((newest_report,),) = read("SELECT MAX(told) FROM receipts")
        ((next_expiry,),) = read("SELECT MIN(expires_at) FROM letters WHERE settled IS NULL")
        return StoredMail(
            key=key,
            mailboxes=[StoredMailbox(**dict(zip(StoredMailbox.__struct_fields__, box, strict=True))) for box in boxes],
            holders=dict(read("SELECT entity_id, time FROM holders ORDER BY time")),
            unreported={sender for (sender,) in read("SELECT DISTINCT sender FROM receipts WHERE told IS NULL")},
            newest_report=newest_report or 0.0,
            next_expiry=next_expiry,
        )

    def put(self, letter: Letter, keys_since: float) -> Deferred[KeptLetter]:
        """See L{IMailStore}."""
        return self._write(letters.put, letter, keys_since).addCallback(_raise_conflict)

    def find(self, letter: Letter, keys_since: float) -> Deferred[KeptLetter | None]:
        """See L{IMailStore}."""
        return self._write(letters.find, letter, keys_since).addCallback(_raise_conflict)

    def waiting(self, recipient: str, after: int, limit: int, now: float) -> Deferred[list[Letter]]:
        """See L{IMailStore}."""
        return self._look(letters.waiting, recipient, after, limit, now)

    def letters(self, message_ids: list[str]) -> Deferred[list[Letter]]:
        """See L{IMailStore}."""
        return self._look(letters.letters, message_ids)

    def record(self, outcomes: list[Outcome]) -> Deferred[list[Transition]]:
        """See L{IMailStore}."""
        return self._database.write(lambda connection: self._record(connection, outcomes))

    def expire(self, now: float) -> Deferred[tuple[list[Transition], float | None]]:
        """See L{IMailStore}."""
        return self._database.write(lambda connection: self._expire(connection, now))

    def shift(self, seconds: float) -> Deferred[None]:
        """See L{IMailStore}."""
        return self._write(letters.shift, seconds)

    def delivery(self, message_id: str) -> Deferred[Delivery | None]:
        """See L{IMailStore}."""
        return self._look(letters.delivery, message_id)

    def take_unreported(self, sender: str, limit: int, now: float) -> Deferred[list[Receipt]]:
        """See L{IMailStore}."""
        return self._write(letters.take_unreported, sender, limit, now)

    def mark_reported(self, receipts: list[int], now: float) -> Deferred[None]:
        """See L{IMailStore}."""
        return self._write(letters.mark_reported, receipts, now)

    def mark_unreported(self, sender: str, since: float) -> Deferred[None]:
        """See L{IMailStore}."""
        return self._write(letters.mark_unreported, sender, since)

    def dead(
        self,
        recipient: str | None,
        limit: int,
        shown: Callable[[str], bool] | None = None,
        before: str | None = None,
    ) -> Deferred[tuple[list[DeadLetter], int] | None]:
        """See L{IMailStore}."""
        return self._look(dead_letters.dead, recipient, limit, shown, before)

    def revive(self, message_id: str, time: float, expires_at: float) -> Deferred[tuple[Letter, Transition] | None]:
        """See L{IMailStore}."""
        return self._database.write(lambda connection: self._revive(connection, message_id, time, expires_at))

    def discard(self, message_id: str | None, recipient: str | None, limit: int) -> Deferred[int]:
        """See L{IMailStore}."""
        return self._database.write(lambda connection: self._discard(connection, message_id, recipient, limit))

    def purge(
        self, settled_before: float, dead_before: float, keep: int, holders_before: float, max_holders: int
    ) -> Deferred[None]:
        """See L{IMailStore}."""
        bounds = (settled_before, dead_before, keep, holders_before, max_holders)
        return self._database.write(lambda connection: self._purge(connection, *bounds))

    def saw(self, entity_id: str, time: float) -> Deferred[None]:
        """See L{IMailStore}."""
        return self._write(letters.saw, entity_id, time)

    def _record(self, connection: sqlite3.Connection, outcomes: list[Outcome]) -> list[Transition]:
        self._room.look(connection)
        return self._bury(connection, [letters.advance(connection, outcome) for outcome in outcomes])

    def _expire(self, connection: sqlite3.Connection, now: float) -> tuple[list[Transition], float | None]:
        self._room.look(connection)
        transitions, following = letters.expire(connection, now)
        return self._bury(connection, transitions), following

    def _revive(
        self, connection: sqlite3.Connection, message_id: str, time: float, expires_at: float
    ) -> tuple[Letter, Transition] | None:
        self._room.look(connection)
        found = dead_letters.revive(connection, message_id, time, expires_at)
        if found is not None:
            self._room.died(found[0].sender, -len(found[0].message))
        return found

    def _discard(
        self, connection: sqlite3.Connection, message_id: str | None, recipient: str | None, limit: int
    ) -> int:
        self._room.look(connection)
        forgotten = dead_letters.discard(connection, message_id, recipient, limit)
        for sender, size in forgotten:
            self._room.died(sender, -size)
        return len(forgotten)

    def _bury(self, connection: sqlite3.Connection, transitions: list[Transition]) -> list[Transition]:
        """Count the letters that are dead now, and what receipts say; forget others if there are too many."""
        before = self._room.kept
        for each in transitions:
            if each.taken and each.outcome.detail:
                self._room.died(each.sender, len(each.outcome.detail.encode()))
            if each.settled and each.taken and each.status in ("expired", "failed"):
                self._room.died(each.sender, each.size)
        if self._room.kept != before:
            self._room.clear(connection)
        return transitions

    def _purge(
        self,
        connection: sqlite3.Connection,
        settled_before: float,
        dead_before: float,
        keep: int,
        holders_before: float,
        max_holders: int,
    ) -> None:
        self._room.look(connection)
        for sender, size in letters.purge(connection, settled_before, dead_before, keep, holders_before, max_holders):
            self._room.died(sender, -size)
        self._room.clear(connection)

    def _write(self, statement: _Statement[_P, _Result], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_Result]:
        return self._database.write(lambda connection: statement(connection, *args, **kwargs))

    def _look(self, statement: _Statement[_P, _Result], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_Result]:
        return self._database.look(lambda connection: statement(connection, *args, **kwargs))


def _raise_conflict(outcome: _Result | Conflict) -> _Result | Failure:
    return Failure(outcome) if isinstance(outcome, Conflict) else outcome
