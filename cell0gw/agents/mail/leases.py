"""Letters that were brought and are to be acknowledged: who has them, and when they are brought again."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from cell0gw.agents.mail.mailbox import Mailbox
from cell0gw.agents.mail.recording import Recording
from cell0gw.agents.mail.refusals import Refusals
from cell0gw.agents.mail.status import BEGUN, Acknowledged, Acknowledgement, acknowledged
from cell0gw.agents.mail.store import IMailStore, Letter, Outcome, Transition
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import NotFound
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.session import Session

GRACE: Final = 60.0
"""Seconds beyond its lease for which a letter may wait at least, for somebody to see that its holder is silent."""

SPARE: Final = 64
"""How many dates may be kept of letters that are no longer due then, beside as many as are."""


class Leases:
    """The leases of all mailboxes. One ends with an acknowledgement, with its holder, or when that is silent too long.

    @param boxes: the mailboxes that hold something, by recipient.
    @param now: gives the date by which letters are judged.
    @param max_attempts: see L{Refusals}.
    @param pump: called with a mailbox that may have something to be brought.
    @ivar refusals: what failed attempts come to.
    """

    def __init__(
        self,
        store: IMailStore,
        recording: Recording,
        boxes: Mapping[str, Mailbox],
        now: Callable[[], float],
        runtime: Runtime,
        max_attempts: int,
        pump: Callable[[Mailbox], object],
    ) -> None:
        self._store = store
        self._boxes = boxes
        self._now = now
        self._wall = runtime.wall
        self._recording = recording
        self._pump = pump
        self._resends = Resends(runtime.clock)
        self.refusals = Refusals(max_attempts, runtime.wall)
        self.hasten = self._resends.hasten

    def __len__(self) -> int:
        return len(self._resends)

    def sent(self, box: Mailbox, letter: Letter, session: Session) -> None:
        """A letter was sent, for the first time or again."""
        if session.acknowledges:
            self._resends.sent(letter.message_id, box, session.mail.ack_wait)

    def acknowledge(
        self, session: Session, message_id: str, status: Acknowledgement, detail: str | None
    ) -> Deferred[Acknowledged]:
        """Called when the recipient acknowledges a message, or says that it is at it, which keeps it.

        @return: fires with where the message stands then, once that is on disk.
        @raise NotFound: by the Deferred: it was sent no such message, or the message has been purged.
        """
        begun = status in BEGUN
        outcome = Outcome(
            message_id=message_id,
            recipient=session.entity_id,
            status="started" if begun else status,
            time=self._wall(),
            detail=detail,
            settles=not begun,
            until=self._now() + session.mail.ack_wait + GRACE if begun else 0.0,
        )
        recording = self._store.record([outcome]).addCallback(self._recording.recorded)
        if begun:
            recording.addCallback(self._begun, session)
        return recording.addCallback(acknowledged)

    def pull(self, box: Mailbox, message_id: str, sequence: int, size: int, seconds: float) -> None:
        """A letter is with one who has asked for it, and who may be gone and come back meanwhile."""
        box.pull(message_id, sequence, size, seconds)
        self._resends.sent(message_id, box, seconds)

    def lost(self, box: Mailbox, session: Session, ending: Ending, for_good: bool) -> None:
        """The connection of a session is gone: its letters are brought to the next one, but for what it has begun.

        @param for_good: whether the session is gone as well. Then that goes on by the one that has resumed it, or is
            brought again, too.
        """
        if for_good and ending.kind is EndingKind.RESUMED:
            box.pass_on(session)
        failed = self.refusals.lost(box, session, ending, for_good)
        self._give_back(box, [name for name, lease in box.of(session).items() if for_good or not lease.begun], failed)

    def release(self, recipient: str, message_id: str, delay: float) -> None:
        """A letter is not to be worked on now: after some seconds it waits for the next session that can take it.

        @raise NotFound: nobody has it.
        """
        box = self._boxes.get(recipient)
        lease = None if box is None else box.leases.get(message_id)
        if box is None or lease is None:
            raise NotFound("Nobody of you has this message: it went the fast way, waits, or is over")
        box.hold(message_id, lease, None)
        self._resends.sent(message_id, box, delay)

    def due(self) -> dict[Mailbox, list[str]]:
        """What is to be sent again, since nothing was heard of it.

        If its work had begun, that attempt has failed, and it waits for the next session that can take it; so does what
        was released.
        """
        again = {}
        for box, message_ids in self._resends.due().items():
            silent = [name for name in message_ids if box.leases[name].begun]
            unheard = [name for name in message_ids if name not in silent and box.leases[name].holder is not None]
            if unheard:
                again[box] = unheard
            back = [name for name in message_ids if name not in unheard]
            self._give_back(box, back, self.refusals.failed(box, silent))
        return again

    def forget(self, box: Mailbox, message_id: str) -> None:
        """A letter is no longer to be brought."""
        if box.forget(message_id):
            self._resends.forget(message_id)
        self.refusals.forget(message_id)

    def _begun(self, transitions: list[Transition], session: Session) -> list[Transition]:
        """A session is at the work of a letter: if that waits still, it is its own until it falls silent."""
        (transition,), box = transitions, self._boxes.get(session.entity_id)
        if box is not None and transition.waits:
            message_id, wait = transition.outcome.message_id, session.mail.ack_wait
            lease = box.leases.get(message_id)
            if session.mail.pull:
                wait = (lease and lease.pulled) or wait
                self.pull(box, message_id, 0, 0, wait)
            else:
                box.begin(message_id, session)
                self._resends.sent(message_id, box, wait)
        return transitions

    def _give_back(self, box: Mailbox, message_ids: list[str], failed: list[Outcome]) -> None:
        """Letters wait for the next who can take them, unless one attempt too many has failed."""
        box.give_back(message_ids)
        for message_id in message_ids:
            self._resends.forget(message_id)
        if failed:
            self._recording.record(failed)  # the disk does that first, and reads then
        if message_ids:
            self._pump(box)


class _Due:
    """When a letter is due, C{at}, and again every C{wait} seconds; C{ticket} names the date that is kept of it."""

    __slots__ = ("at", "box", "ticket", "wait")

    def __init__(self, box: Mailbox, at: float, wait: float, ticket: int) -> None:
        self.box = box
        self.at = at
        self.wait = wait
        self.ticket = ticket


class Resends:
    """Letters of all mailboxes, those that are due first at the front."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._due: dict[str, _Due] = {}
        self._dates: list[tuple[float, int, str]] = []
        self._tickets = itertools.count()

    def __len__(self) -> int:
        return len(self._due)

    def sent(self, message_id: str, box: Mailbox, wait: float) -> None:
        """Note that a letter was sent now, or that its recipient is at it.

        @param wait: seconds after which it is due.
        """
        at, known = self._clock.seconds() + wait, self._due.get(message_id)
        if known is None or at < known.at:
            self._keep(message_id, box, at, wait)
        else:  # its date is moved once it comes: who renews does so for nothing
            known.at, known.wait = at, wait

    def forget(self, message_id: str) -> None:
        """Forget a letter that is no longer to be looked after."""
        del self._due[message_id]
        if len(self._dates) > 2 * len(self._due) + SPARE:
            self._dates = [date for date in self._dates if self._is_of(date)]
            heapq.heapify(self._dates)

    def due(self) -> dict[Mailbox, list[str]]:
        """What is due now, in the order of the dates; it counts as sent."""
        now = self._clock.seconds()
        dates = []
        while self._dates and self._dates[0][0] <= now:
            date = heapq.heappop(self._dates)
            if self._is_of(date):
                dates.append(date)
        found: dict[Mailbox, list[str]] = {}
        for _, _, message_id in dates:
            due = self._due[message_id]
            if due.at <= now:
                found.setdefault(due.box, []).append(message_id)
                due.at = now + due.wait
            self._keep(message_id, due.box, due.at, due.wait)
        return found

    def hasten(self, message_ids: Iterable[str]) -> None:
        """Make letters due next that were not sent after all."""
        for message_id in message_ids:
            if (due := self._due.get(message_id)) is not None:
                self._keep(message_id, due.box, -math.inf, due.wait)

    def _keep(self, message_id: str, box: Mailbox, at: float, wait: float) -> None:
        ticket = next(self._tickets)
        self._due[message_id] = _Due(box, at, wait, ticket)
        heapq.heappush(self._dates, (at, ticket, message_id))

    def _is_of(self, date: tuple[float, int, str]) -> bool:
        """Whether a date is the one that is kept of its letter."""
        due = self._due.get(date[2])
        return due is not None and due.ticket == date[1]
