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
from cell0gw.engines.sqlite import letters
from cell0gw.engines.sqlite.database import Database
from cell0gw.protocol.errors import Conflict

_P = ParamSpec("_P")
_Result = TypeVar("_Result")
_Statement = Callable[Concatenate[sqlite3.Connection, _P], _Result]


@implementer(IMailStore)
class SQLiteMailStore:
    """Letters and receipts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> StoredMail:
        """See L{IMailStore}."""
        read = self._database.read
        read(letters.MARK_LAST_UNREPORTED)
        ((key,),) = read("SELECT value FROM secrets WHERE name = 'provenance'")
        boxes = read(
            "SELECT recipient, COUNT(*), SUM(LENGTH(message)) FROM letters WHERE settled IS NULL GROUP BY recipient"
        )
        ((newest_report,),) = read("SELECT MAX(told) FROM receipts")
        ((next_expiry,),) = read("SELECT MIN(expires_at) FROM letters WHERE settled IS NULL")
        return StoredMail(
            key=key,
            mailboxes=[StoredMailbox(recipient=box[0], messages=box[1], size=box[2]) for box in boxes],
            senders=dict(read("SELECT sender, COUNT(*) FROM letters WHERE settled IS NULL GROUP BY sender")),
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
        return self._database.write(lambda connection: [letters.advance(connection, outcome) for outcome in outcomes])

    def expire(self, now: float) -> Deferred[tuple[list[Transition], float | None]]:
        """See L{IMailStore}."""
        return self._write(letters.expire, now)

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

    def dead(self, recipient: str | None, limit: int) -> Deferred[tuple[list[DeadLetter], int]]:
        """See L{IMailStore}."""
        return self._look(letters.dead, recipient, limit)

    def purge(
        self, settled_before: float, dead_before: float, keep: int, holders_before: float, max_holders: int
    ) -> Deferred[None]:
        """See L{IMailStore}."""
        return self._write(letters.purge, settled_before, dead_before, keep, holders_before, max_holders)

    def saw(self, entity_id: str, time: float) -> Deferred[None]:
        """See L{IMailStore}."""
        return self._write(letters.saw, entity_id, time)

    def _write(self, statement: _Statement[_P, _Result], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_Result]:
        return self._database.write(lambda connection: statement(connection, *args, **kwargs))

    def _look(self, statement: _Statement[_P, _Result], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_Result]:
        return self._database.look(lambda connection: statement(connection, *args, **kwargs))


def _raise_conflict(outcome: _Result | Conflict) -> _Result | Failure:
    return Failure(outcome) if isinstance(outcome, Conflict) else outcome
