"""Receipts: senders are told what becomes of their messages, now or when they are back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cell0gw.agents.mail.store import IMailStore, Kept, Letter, Receipt, Transition
from cell0gw.presence.directory import Directory
from cell0gw.process.sweeping import ISweeper
from cell0gw.protocol.errors import Unavailable
from cell0gw.protocol.notifications import AgentReceipt
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.interfaces import ISessionObserver
from cell0gw.sessions.session import Session

GOODBYES: Final = frozenset({"1000", "1005"})

SLICE: Final = 100


@implementer(ISessionObserver, ISweeper)
class Receipts:
    """Tells every session of a sender that is connected; when none is, the next one. Nothing is left out, and only
    what a connection may have lost is told twice.

    @param doubt: what a connection was told in so many seconds before it broke may not have arrived.
    """

    log = Logger()

    def __init__(self, store: IMailStore, directory: Directory, clock: IReactorTime, doubt: float) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._doubt = doubt
        self._ahead = 0.0
        self._to_tell: list[tuple[str, Receipt, int]] = []
        # Who was told of what: the disk is to know. And when each was told last.
        self._told: dict[int, str] = {}
        self._lately: dict[str, float] = {}
        # Who is being told what is on disk: what comes meanwhile is there, too, and has its turn.
        self._catching_up: set[str] = set()
        # Who has not been told of something, as far as is known: only they are looked for on disk.
        self._owed: set[str] = set()
        # Whom the disk failed, and since when they may have missed something: tried again.
        self._failed_for: set[str] = set()
        self._missed: dict[str, float] = {}

    def load(self, untold: set[str], newest: float) -> None:
        """Take up who has not been told of everything, and when somebody was told last, in seconds of the clock then.

        A clock that has begun anew since, as after a boot, goes on from there.
        """
        self._owed |= untold
        self._ahead = max(0.0, newest - self._clock.seconds())

    def queued(self, letter: Letter, kept: Kept) -> None:
        """A letter is kept."""
        if letter.receipts:
            receipt = Receipt(
                message_id=letter.message_id, recipient=letter.recipient, status="queued", time=letter.time, detail=None
            )
            self._tell(letter.sender, receipt, kept.receipt)

    def tell(self, outcomes: Iterable[Transition]) -> None:
        """Letters have climbed."""
        for transition in outcomes:
            if transition.receipt:
                outcome = transition.outcome
                receipt = Receipt(
                    message_id=outcome.message_id,
                    recipient=outcome.recipient,
                    status=outcome.status,
                    time=outcome.time,
                    detail=outcome.detail,
                )
                self._tell(transition.sender, receipt, transition.receipt)

    def sweep(self) -> None:
        """See L{ISweeper}: write down who was told, forget who was told long ago, and try again where the disk
        failed.
        """
        self.flush()
        before = self._clock.seconds() - self._doubt
        while self._lately and next(iter(self._lately.values())) < before:
            del self._lately[next(iter(self._lately))]
        missed, self._missed = self._missed, {}
        for sender, since in missed.items():
            self._untell(sender, since)
        failed, self._failed_for = self._failed_for, set()
        for sender in failed:
            self._next(sender)

    def flush(self) -> None:
        """Write down who was told of what, all at once: should that be lost, they are told again."""
        if self._told:
            told, self._told = self._told, {}
            self._store.told(list(told), self._now()).addErrback(lambda failure: self._not_taken_down(told))

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""
        self._clock.callLater(0, self._catch_up, session)

    def session_detached(self, session: Session, reason: str) -> None:
        """See L{ISessionObserver}."""
        if self._lately.pop(session.entity_id, None) is not None:
            self.flush()
            opened = session.connection.opened_at + self._ahead
            self._untell(session.entity_id, max(opened, self._now() - self._doubt))

    def session_closed(self, session: Session, reason: str) -> None:
        """See L{ISessionObserver}: who says goodbye has read all."""
        if reason in GOODBYES:
            self.flush()
        elif not session.detached:
            self.session_detached(session, reason)

    def _now(self) -> float:
        """The time as it is written down: it never goes back, not over a restart either."""
        return self._clock.seconds() + self._ahead

    def _again(self, sender: str) -> None:
        for session in self._directory.live(sender):
            self._catch_up(session)

    def _tell(self, sender: str, receipt: Receipt, number: int) -> None:
        """Tell a sender, in order, after the answers that are being given now: they bring the message's id."""
        if sender in self._catching_up:
            return
        if not self._to_tell:
            self._clock.callLater(0, self._tell_all)
        self._to_tell.append((sender, receipt, number))

    def _tell_all(self) -> None:
        to_tell, self._to_tell = self._to_tell, []
        for sender, receipt, number in to_tell:
            if self._notify(self._directory.live(sender), receipt):
                self._told[number] = sender
            else:
                self._owed.add(sender)

    def _notify(self, sessions: Iterable[Session], receipt: Receipt) -> bool:
        told = False
        for session in sessions:
            session.connection.notify("agent.receipt", receipt_of(receipt))
            self._lately.pop(session.entity_id, None)
            self._lately[session.entity_id] = self._clock.seconds()
            told = True
        return told

    def _catch_up(self, session: Session) -> None:
        """Tell a sender that is back what it has not been told."""
        owed = session.entity_id in self._owed or session.entity_id in self._missed
        if owed and not session.detached and session.entity_id not in self._catching_up:
            self._catching_up.add(session.entity_id)
            self._to_tell = [one for one in self._to_tell if one[0] != session.entity_id]
            self.flush()
            since = self._missed.pop(session.entity_id, None)
            if since is not None:
                self._untell(session.entity_id, since)
            self._next(session.entity_id)

    def _next(self, sender: str) -> None:
        now = self._now()
        taking = self._store.take_untold(sender, SLICE, now)
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
            self._untell(sender, since)
        else:
            self._owed.discard(sender)

    def _not_taken(self, failure: Any, sender: str) -> None:
        self._failed_for.add(sender)
        self._failed(failure)

    def _untell(self, sender: str, since: float) -> None:
        """What a sender was told since a moment may not have arrived: it is told again."""
        again = self._store.untell(sender, since)
        again.addCallbacks(lambda done: self._untold(sender), lambda failure: self._not_untold(failure, sender, since))

    def _untold(self, sender: str) -> None:
        self._owed.add(sender)  # only now: what was read before is answered by then
        self._again(sender)

    def _not_untold(self, failure: Any, sender: str, since: float) -> None:
        self._missed[sender] = min(since, self._missed.get(sender, since))
        self._failed(failure)

    def _not_taken_down(self, told: dict[int, str]) -> None:
        """Tried again, but for those who may have missed it: they are told again."""
        self._told.update((number, sender) for number, sender in told.items() if sender in self._lately)

    def _failed(self, failure: Any) -> None:
        if not failure.check(Unavailable):  # the store has told of that
            self.log.failure("receipts could not be told", failure)


def receipt_of(receipt: Receipt) -> AgentReceipt:
    """A receipt as it stands on the wire."""
    detail: dict[str, Any] = {} if receipt.detail is None else {"detail": receipt.detail}
    return AgentReceipt(
        message_id=receipt.message_id,
        agent_id=receipt.recipient,
        status=receipt.status,
        timestamp=timestamp(receipt.time),
        **detail,
    )
