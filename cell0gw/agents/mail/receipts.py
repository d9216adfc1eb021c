"""Receipts: what becomes of messages is reported to their senders, now or when they are back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import UNSET
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.agents.mail.store import IMailStore, KeptLetter, Letter, Receipt, Transition
from cell0gw.presence.directory import Directory
from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol.errors import Unavailable
from cell0gw.protocol.notifications import AgentReceipt
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session

SLICE: Final = 100

SEND: Final = "agent.send"


@implementer(ISessionObserver, ISweeper)
class Receipts:
    """Reports to every session of a sender that is connected; when none is, to the next one. Nothing is left out, and
    only what a connection may have lost is reported twice.

    @param doubt: seconds before a connection broke in which what was reported on it may not have arrived.
    """

    log = Logger()

    def __init__(self, store: IMailStore, directory: Directory, clock: IReactorTime, doubt: float) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._doubt = doubt
        self._ahead = 0.0
        self._to_report: list[tuple[str, Receipt, int]] = []
        # Senders by the receipts that were reported to them, which the disk is to know; when each got its last one.
        self._reported: dict[int, str] = {}
        self._last_reports: dict[str, float] = {}
        # Senders that are getting what is on disk: what comes meanwhile is there, too, and has its turn.
        self._catching_up: set[str] = set()
        # Senders to whom something was not reported, as far as is known: only they are looked for on disk.
        self._unreported: set[str] = set()
        # Senders for whom the disk failed, and since when they may have missed something: tried again.
        self._failed_for: set[str] = set()
        self._missed: dict[str, float] = {}

    def load(self, unreported: set[str], newest: float) -> None:
        """Load what the store kept. A clock that has restarted since, as after a boot, goes on from there.

        @param unreported: the senders to whom not every receipt was reported.
        @param newest: when a receipt was reported last, in seconds of the clock then.
        """
        self._unreported |= unreported
        self._ahead = max(0.0, newest - self._clock.seconds())

    def queued(self, letter: Letter, kept: KeptLetter) -> None:
        """Called when a letter is stored."""
        if letter.receipts:
            receipt = Receipt(
                message_id=letter.message_id, recipient=letter.recipient, status="queued", time=letter.time
            )
            self._report(letter.sender, receipt, kept.receipt)

    def report(self, transitions: Iterable[Transition]) -> None:
        """Called when letters have another status."""
        for transition in transitions:
            if transition.receipt:
                self._report(transition.sender, transition.outcome, transition.receipt)

    def sweep(self) -> None:
        """See L{ISweeper}: write down what was reported, forget what was long ago, and try again where the disk
        failed.
        """
        self.flush()
        before = self._clock.seconds() - self._doubt
        while self._last_reports and next(iter(self._last_reports.values())) < before:
            del self._last_reports[next(iter(self._last_reports))]
        missed, self._missed = self._missed, {}
        for sender, since in missed.items():
            self._mark_unreported(sender, since)
        failed, self._failed_for = self._failed_for, set()
        for sender in failed:
            self._next(sender)

    def flush(self) -> None:
        """Write down what was reported, all at once: should that be lost, it is reported again."""
        if self._reported:
            reported, self._reported = self._reported, {}
            marking = self._store.mark_reported(list(reported), self._now())
            marking.addErrback(lambda failure: self._not_marked_reported(reported))

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""
        self._clock.callLater(0, self._catch_up, session)

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        if self._last_reports.pop(session.entity_id, None) is not None:
            self.flush()
            opened = session.connection.opened_at + self._ahead
            self._mark_unreported(session.entity_id, max(opened, self._now() - self._doubt))

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}: a clean close means that everything was read."""
        if ending.kind is EndingKind.GOODBYE:
            self.flush()
        elif not session.detached:
            self.session_detached(session, ending)

    def _now(self) -> float:
        """The time as it is written down: it never goes back, not over a restart either."""
        return self._clock.seconds() + self._ahead

    def _again(self, sender: str) -> None:
        for session in self._directory.live(sender):
            self._catch_up(session)

    def _report(self, sender: str, receipt: Receipt, number: int) -> None:
        """Report to a sender, in order, after the answers that are being given now: these have the message's id."""
        if sender in self._catching_up:
            return
        if not self._to_report:
            self._clock.callLater(0, self._report_all)
        self._to_report.append((sender, receipt, number))

    def _report_all(self) -> None:
        to_report, self._to_report = self._to_report, []
        for sender, receipt, number in to_report:
            if self._notify(self._directory.live(sender), receipt):
                self._reported[number] = sender
            else:
                self._unreported.add(sender)

    def _notify(self, sessions: Iterable[Session], receipt: Receipt) -> bool:
        """Notify the sessions that may know of the recipient.

        @return: whether there are any sessions: what they may not know is left out.
        """
        reported = False
        for session in sessions:
            reported = True
            if not session.sight.knows(SEND, receipt.recipient):
                continue
            session.connection.notify("agent.receipt", receipt_of(receipt))
            self._last_reports.pop(session.entity_id, None)
            self._last_reports[session.entity_id] = self._clock.seconds()
        return reported

    def _catch_up(self, session: Session) -> None:
        """Report to a sender that is back what was not reported to it."""
        unreported = session.entity_id in self._unreported or session.entity_id in self._missed
        if unreported and not session.detached and session.entity_id not in self._catching_up:
            self._catching_up.add(session.entity_id)
            self._to_report = [one for one in self._to_report if one[0] != session.entity_id]
            self.flush()
            since = self._missed.pop(session.entity_id, None)
            if since is not None:
                self._mark_unreported(session.entity_id, since)
            self._next(session.entity_id)

    def _next(self, sender: str) -> None:
        now = self._now()
        taking = self._store.take_unreported(sender, SLICE, now)
        taking.addCallbacks(self._took, self._not_taken, callbackArgs=(sender, now), errbackArgs=(sender,))

    def _took(self, receipts: list[Receipt], sender: str, since: float) -> None:
        sessions = self._directory.live(sender)
        for receipt in receipts:
            self._notify(sessions, receipt)
        if receipts and sessions:
            self._next(sender)
            return
        self._catching_up.discard(sender)
        if receipts:
            self._mark_unreported(sender, since)
        else:
            self._unreported.discard(sender)

    def _not_taken(self, failure: Failure, sender: str) -> None:
        self._failed_for.add(sender)
        self._failed(failure)

    def _mark_unreported(self, sender: str, since: float) -> None:
        """Report again what was reported to a sender since a moment: it may not have arrived."""
        marking = self._store.mark_unreported(sender, since)
        marking.addCallbacks(
            lambda done: self._marked_unreported(sender),
            lambda failure: self._not_marked_unreported(failure, sender, since),
        )

    def _marked_unreported(self, sender: str) -> None:
        self._unreported.add(sender)  # only now: what was read before is answered by then
        self._again(sender)

    def _not_marked_unreported(self, failure: Failure, sender: str, since: float) -> None:
        self._missed[sender] = min(since, self._missed.get(sender, since))
        self._failed(failure)

    def _not_marked_reported(self, reported: dict[int, str]) -> None:
        """Tried again, but for senders that may have missed it: to them it is reported again."""
        self._reported.update((number, sender) for number, sender in reported.items() if sender in self._last_reports)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(Unavailable):  # the store has told of that
            self.log.failure("receipts could not be reported", failure, event="mail.failed")


def receipt_of(receipt: Receipt) -> AgentReceipt:
    """A receipt as it stands on the wire, where dates are text."""
    return AgentReceipt(
        message_id=receipt.message_id,
        agent_id=receipt.recipient,
        status=receipt.status,
        timestamp=timestamp(receipt.time),
        detail=UNSET if receipt.detail is None else receipt.detail,
    )
