"""Mailboxes that forget with the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.agents.mail.status import advances
from cell0gw.agents.mail.store import (
    LAST_REPORTS,
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
    expired,
    revived,
)
from cell0gw.engines.memory.letters import LetterRecord, dead, discard, same
from cell0gw.protocol.errors import Conflict, RPCError, Unavailable

_Result = TypeVar("_Result")


@implementer(IMailStore)
class MemoryMailStore:
    """Letters in a dictionary: as slow or as quick as a disk, at the test's will.

    @ivar held: while true, everything that is asked for waits for L{release}.
    @ivar broken: while true, nothing can be done.
    """

    def __init__(self) -> None:
        self._records: dict[str, LetterRecord] = {}
        self._holders: dict[str, float] = {}
        self._sequence = self._receipts = 0
        self._unreported: set[int] = set()
        self._reported: dict[int, float] = {}
        self._waiting: list[tuple[Callable[[], object], Deferred[Any]]] = []
        self._releasing = False
        self.held = False
        self.broken = False

    def load(self) -> StoredMail:
        """See L{IMailStore}."""
        last = max(self._reported.values(), default=0.0)
        self._unreported.update(number for number, time in self._reported.items() if time >= last - LAST_REPORTS)
        boxes: dict[tuple[str, str], list[int]] = {}
        for letter in self._unsettled():
            boxes.setdefault((letter.recipient, letter.sender), []).append(len(letter.message))
        return StoredMail(
            key=bytes(32),
            mailboxes=[
                StoredMailbox(recipient=recipient, sender=sender, messages=len(sizes), size=sum(sizes))
                for (recipient, sender), sizes in boxes.items()
            ],
            unreported={e.letter.sender for e in self._records.values() if not self._unreported.isdisjoint(e.numbers)},
            newest_report=last,
            holders=dict(sorted(self._holders.items(), key=lambda item: item[1])),
            next_expiry=min((letter.expires_at for letter in self._unsettled()), default=None),
        )

    def put(self, letter: Letter, keys_since: float) -> Deferred[KeptLetter]:
        """See L{IMailStore}."""
        return self._soon(lambda: self._put(letter, keys_since))

    def find(self, letter: Letter, keys_since: float) -> Deferred[KeptLetter | None]:
        """See L{IMailStore}."""
        return self._soon(lambda: self._find(letter, keys_since))

    def waiting(self, recipient: str, after: int, limit: int, now: float) -> Deferred[list[Letter]]:
        """See L{IMailStore}."""
        return self._soon(
            lambda: [
                letter
                for letter in self._unsettled()
                if letter.recipient == recipient and letter.sequence > after and letter.expires_at > now
            ][:limit]
        )

    def letters(self, message_ids: list[str]) -> Deferred[list[Letter]]:
        """See L{IMailStore}."""
        return self._soon(lambda: [letter for letter in self._unsettled() if letter.message_id in message_ids])

    def record(self, outcomes: list[Outcome]) -> Deferred[list[Transition]]:
        """See L{IMailStore}."""
        return self._soon(lambda: [self._advance(outcome) for outcome in outcomes])

    def expire(self, now: float) -> Deferred[tuple[list[Transition], float | None]]:
        """See L{IMailStore}."""
        return self._soon(lambda: self._expire(now))

    def shift(self, seconds: float) -> Deferred[None]:
        """See L{IMailStore}."""
        return self._soon(lambda: self._shift(seconds))

    def delivery(self, message_id: str) -> Deferred[Delivery | None]:
        """See L{IMailStore}."""
        record = self._records.get
        return self._soon(lambda: None if (found := record(message_id)) is None else found.delivery)

    def take_unreported(self, sender: str, limit: int, now: float) -> Deferred[list[Receipt]]:
        """See L{IMailStore}."""
        return self._soon(lambda: self._take_unreported(sender, limit, now))

    def mark_reported(self, receipts: list[int], now: float) -> Deferred[None]:
        """See L{IMailStore}."""
        return self._soon(lambda: self._mark_reported(receipts, now))

    def mark_unreported(self, sender: str, since: float) -> Deferred[None]:
        """See L{IMailStore}."""
        return self._soon(lambda: self._mark_unreported(sender, since))

    def dead(
        self,
        recipient: str | None,
        limit: int,
        shown: Callable[[str], bool] | None = None,
        before: str | None = None,
    ) -> Deferred[tuple[list[DeadLetter], int] | None]:
        """See L{IMailStore}."""
        return self._soon(lambda: dead(self._records, recipient, limit, shown, before))

    def revive(self, message_id: str, time: float, expires_at: float) -> Deferred[tuple[Letter, Transition] | None]:
        """See L{IMailStore}."""
        return self._soon(lambda: self._revive(message_id, time, expires_at))

    def discard(self, message_id: str | None, recipient: str | None, limit: int) -> Deferred[int]:
        """See L{IMailStore}."""
        return self._soon(lambda: discard(self._records, message_id, recipient, limit))

    def purge(
        self, settled_before: float, dead_before: float, keep: int, holders_before: float, max_holders: int
    ) -> Deferred[None]:
        """See L{IMailStore}."""
        return self._soon(lambda: self._purge(settled_before, dead_before, keep, holders_before, max_holders))

    def saw(self, entity_id: str, time: float) -> Deferred[None]:
        """See L{IMailStore}."""
        return self._soon(lambda: self._holders.update({entity_id: time}))

    def release(self) -> None:
        """Let what waits be done, in order; or be refused, if the store is broken."""
        if self._releasing:
            return
        self._releasing = True
        while self._waiting:
            # As with a disk: what is asked for while results are given comes after all of them.
            waiting, self._waiting = self._waiting, []
            outcomes = [(deferred, self._attempt(job)) for job, deferred in waiting]
            for deferred, outcome in outcomes:
                deferred.callback(outcome)  # a Failure takes the errback path
            if self.held:
                break
        self._releasing = False

    def _soon(self, job: Callable[[], _Result]) -> Deferred[_Result]:
        deferred: Deferred[_Result] = Deferred()
        self._waiting.append((job, deferred))
        if not self.held:
            self.release()
        return deferred

    def _attempt(self, job: Callable[[], object]) -> object:
        if self.broken:
            return Failure(Unavailable("Storage is out of order"))
        try:
            return job()
        except RPCError:
            return Failure()

    def _unsettled(self) -> list[Letter]:
        return [record.letter for record in self._records.values() if record.settled is None]

    def _find(self, letter: Letter, keys_since: float) -> KeptLetter | None:
        known = next((record for record in self._records.values() if same(record.key, letter.key)), None)
        if known is None:
            return None
        if known.letter.time < keys_since:
            known.key = None
            return None
        if known.key != letter.key:
            raise Conflict("The idempotency key was used with other params")
        first = known.letter
        return KeptLetter(sequence=first.sequence, message_id=first.message_id, status=known.status, replayed=True)

    def _put(self, letter: Letter, keys_since: float) -> KeptLetter:
        known = self._find(letter, keys_since)
        if known is not None:
            return known
        self._sequence += 1
        kept = msgspec.structs.replace(letter, sequence=self._sequence)
        record = self._records[letter.message_id] = LetterRecord(kept)
        receipt = self._add(record, "queued", letter.time, None)
        return KeptLetter(sequence=self._sequence, message_id=letter.message_id, receipt=receipt)

    def _add(self, record: LetterRecord, status: str, time: float, detail: str | None) -> int:
        self._receipts += 1
        record.add(self._receipts, status, time, detail)
        if record.letter.receipts:
            self._unreported.add(self._receipts)
        return self._receipts

    def _advance(self, outcome: Outcome) -> Transition:
        record = self._records.get(outcome.message_id)
        if record is None or record.letter.recipient != outcome.recipient:
            return Transition(outcome=outcome, status=None, taken=False)
        waits = record.settled is None
        if outcome.after:
            record.failures += 1
            if not waits or record.failures < outcome.after:
                return Transition(outcome=outcome, status=record.status, taken=False, waits=waits)
        if waits:
            record.bring(outcome.brought, outcome.until)
        letter = record.letter
        taken = advances(record.status, outcome.status)
        settles = outcome.settles and waits and (taken or outcome.status != "recalled")
        receipt = self._add(record, outcome.status, outcome.time, outcome.detail) if taken else 0
        if settles:
            record.settled = outcome.time
            if not (taken and outcome.status in ("expired", "failed")):
                record.letter = msgspec.structs.replace(letter, message=b"")
        return Transition(
            outcome=outcome,
            status=record.status,
            taken=taken,
            settled=settles,
            waits=waits and not settles,
            sender=letter.sender,
            receipt=receipt if letter.receipts else 0,
            size=len(letter.message),
        )

    def _expire(self, now: float) -> tuple[list[Transition], float | None]:
        transition = [
            self._advance(expired(letter.message_id, letter.recipient, now))
            for letter in self._unsettled()
            if letter.expires_at <= now
        ]
        return transition, min((letter.expires_at for letter in self._unsettled()), default=None)

    def _shift(self, seconds: float) -> None:
        for record in self._records.values():
            record.letter = msgspec.structs.replace(record.letter, expires_at=record.letter.expires_at + seconds)

    def _take_unreported(self, sender: str, limit: int, now: float) -> list[Receipt]:
        unreported = sorted(
            (number, receipt)
            for record in self._records.values()
            if record.letter.sender == sender
            for number, receipt in zip(record.numbers, record.receipts, strict=True)
            if number in self._unreported
        )[:limit]
        self._mark_reported([number for number, _ in unreported], now)
        return [receipt for _, receipt in unreported]

    def _mark_unreported(self, sender: str, since: float) -> None:
        for record in self._records.values():
            if record.letter.sender == sender and record.letter.receipts:
                self._unreported.update(number for number in record.numbers if self._reported.get(number, 0.0) >= since)

    def _mark_reported(self, receipts: list[int], now: float) -> None:
        self._unreported.difference_update(receipts)
        self._reported.update(dict.fromkeys(receipts, now))

    def _revive(self, message_id: str, time: float, expires_at: float) -> tuple[Letter, Transition] | None:
        record = self._records.get(message_id)
        if record is None or not record.dead:
            return None
        record.letter = msgspec.structs.replace(record.letter, expires_at=expires_at)
        record.settled, record.failures = None, 0
        receipt = self._add(record, "queued", time, None)
        return record.letter, revived(record.letter, time, receipt if record.letter.receipts else 0)

    def _purge(
        self, settled_before: float, dead_before: float, keep: int, holders_before: float, max_holders: int
    ) -> None:
        records = self._records.items()
        over = [(e.settled, e.letter.sequence, name) for name, e in records if e.settled is not None]
        for rank, (settled, _, name) in enumerate(sorted(over, reverse=True)):
            before = dead_before if self._records[name].letter.message else settled_before
            if settled < before or rank >= keep:
                del self._records[name]
        latest = sorted(self._holders.items(), key=lambda item: -item[1])[:max_holders]
        self._holders = {entity_id: time for entity_id, time in latest if time >= holders_before}
