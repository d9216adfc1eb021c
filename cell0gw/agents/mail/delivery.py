"""Mailboxes: messages wait on disk, in order, until their recipient has them.

A session that acknowledges gets a window of messages at a time, each again until it is acknowledged; one that doesn't
gets each once. A recipient that is slow to read has its mail wait, too.
"""

from __future__ import annotations

from typing import Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.agents.mail.expiry import Expiry
from cell0gw.agents.mail.mailbox import Mailbox, Resends
from cell0gw.agents.mail.quotas import Occupancy, Quotas
from cell0gw.agents.mail.receipts import Receipts
from cell0gw.agents.mail.status import Acknowledged
from cell0gw.agents.mail.store import IMailStore, KeptLetter, Letter, Outcome, StoredMail, Transition
from cell0gw.presence.directory import Directory
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import NotFound, RateLimited, Unavailable
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session

SLICE: Final = 100
"""Maximum messages that are read from the disk at once."""


@implementer(ISessionObserver, ISweeper)
class Mailboxes:
    """Every mailbox that holds something.

    @ivar now: gives the date by which letters are judged, see L{Expiry.now}.
    @ivar check: says whether one more letter may wait, see L{Quotas.check}.
    @ivar delivered: how many letters were sent, each time counted.
    """

    log = Logger()

    def __init__(
        self,
        store: IMailStore,
        directory: Directory,
        receipts: Receipts,
        quotas: Quotas,
        runtime: Runtime,
    ) -> None:
        self._store = store
        self._directory = directory
        self._receipts = receipts
        self._quotas = quotas
        self._clock = runtime.clock
        self._wall = runtime.wall
        self._expiry = Expiry(store, runtime.dates, self._recorded)
        self.now, self.check = self._expiry.now, quotas.check
        self._boxes: dict[str, Mailbox] = {}
        # Whose recipients could not take more, or whose disk could not be read.
        self._stalled: dict[Mailbox, None] = {}
        self._resends = Resends(runtime.clock)
        # What the disk did not take down; tried again.
        self._unrecorded: list[Outcome] = []
        self.delivered = 0

    def load(self, stored: StoredMail) -> None:
        """Load what the store kept."""
        held = {box.recipient: Occupancy(box.messages, box.size) for box in stored.mailboxes}
        self._quotas.load(held, stored.senders)
        self._boxes.update((recipient, Mailbox(recipient, self._directory, behind=True)) for recipient in held)
        self._expiry.load(stored.next_expiry)

    def __contains__(self, recipient: str) -> bool:
        return recipient in self._boxes

    def __len__(self) -> int:
        return len(self._boxes)

    def queues(self, recipient: str) -> bool:
        """Whether one more letter would have to wait, behind others or for acknowledgements."""
        box = self._boxes.get(recipient)
        return box is not None and (box.behind or box.reading or box.taker() is None)

    @property
    def waiting(self) -> Occupancy:
        """How much mail waits, what is on its way still included."""
        return self._quotas.total

    @property
    def expired(self) -> int:
        """How many letters have waited too long."""
        return self._expiry.count

    def put(self, letter: Letter, keys_since: float) -> Deferred[KeptLetter]:
        """Store a letter, and deliver it to its recipient as soon as possible.

        @return: fires once it is on disk, with C{status} sent if it is on its way already.
        @raise RateLimited: a bound is reached, see L{Quotas}.
        """
        sender, recipient, size = letter.sender, letter.recipient, len(letter.message)
        try:
            self._quotas.check(sender, recipient, size)
        except RateLimited as refusal:
            if letter.key is None:
                raise
            # What was kept is answered again, however full it is now.
            return self._store.find(letter, keys_since).addCallback(_again, refusal)
        self._quotas.add(sender, recipient, size)
        box = self._boxes.setdefault(recipient, Mailbox(recipient, self._directory))
        return self._store.put(letter, keys_since).addCallbacks(
            self._kept, self._refused, callbackArgs=(letter, box), errbackArgs=(letter,)
        )

    def acknowledge(self, recipient: str, message_id: str, status: str, detail: str | None) -> Deferred[Acknowledged]:
        """Called when the recipient acknowledges a message.

        @return: fires with where the message stands then, once that is on disk.
        @raise NotFound: by the Deferred: it was sent no such message, or the message has been purged.
        """
        outcome = Outcome(
            message_id=message_id,
            recipient=recipient,
            status=status,
            time=self._wall(),
            detail=detail,
            settles=True,
        )
        return self._store.record([outcome]).addCallback(self._recorded).addCallback(_acknowledged)

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}: what waits comes after the answer."""
        if (box := self._boxes.get(session.entity_id)) is not None:
            self._clock.callLater(0, self._pump, box)

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}: what it has not acknowledged is sent to the next one."""
        box = self._boxes.get(session.entity_id)
        if box is not None:
            for message_id in box.lost(session):
                self._resends.forget(message_id)
            self._pump(box)

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        if not session.detached:
            self.session_detached(session, ending)

    def sweep(self) -> None:
        """See L{ISweeper}: send again what was not acknowledged, give up what has waited too long, and go on where a
        reader was slow.
        """
        if self._unrecorded:
            outcomes, self._unrecorded = self._unrecorded, []
            self._record(outcomes)
        for box, message_ids in self._resends.due().items():
            self._store.letters(message_ids).addCallbacks(self._send_again, self._failed, (box, message_ids))
        self._expiry.sweep()
        stalled, self._stalled = self._stalled, {}
        for box in stalled:
            self._pump(box)

    def _kept(self, kept: KeptLetter, letter: Letter, box: Mailbox) -> KeptLetter:
        if kept.replayed:
            self._release(letter.sender, letter.recipient, len(letter.message))
            return _again(kept)
        self._expiry.watch(letter)
        self._receipts.queued(letter, kept)
        session = None if box.behind or box.reading or self._expiry.late(letter) else box.taker()
        if session is None:
            box.behind = True
            self._pump(box)
            return kept
        self._record([self._send(box, msgspec.structs.replace(letter, sequence=kept.sequence), session)])
        return msgspec.structs.replace(kept, status="sent")

    def _refused(self, failure: Failure, letter: Letter) -> Failure:
        self._release(letter.sender, letter.recipient, len(letter.message))
        return failure

    def _pump(self, box: Mailbox) -> None:
        """Read what is next for a recipient that can take it."""
        if not box.behind or box.reading or self._boxes.get(box.recipient) is not box:
            return
        session = box.taker()
        if session is None:
            if self._directory.route(box.recipient) is not None:
                self._stalled[box] = None
            return
        box.reading = True
        limit = min(SLICE, box.room) if session.acknowledges else SLICE
        reading = self._store.waiting(box.recipient, box.sent, limit, self.now())
        reading.addCallbacks(self._read, self._not_read, callbackArgs=(box, box.sent), errbackArgs=(box,))

    def _read(self, letters: list[Letter], box: Mailbox, after: int) -> None:
        box.reading = False
        if box.sent < after:  # meanwhile a session was lost: there is something to be sent before these
            self._pump(box)
            return
        # What is kept from now on has its own call, which comes later than this one.
        box.behind = bool(letters)
        outcomes = []
        for letter in letters:
            session = box.taker()
            if letter.message_id not in box.unacknowledged and not self._expiry.late(letter):
                if session is None:
                    break
                outcomes.append(self._send(box, letter, session))
            box.sent = letter.sequence
        if letters:  # the next slice is read when the disk knows of this one
            self._record(outcomes).addCallback(lambda done: self._pump(box))

    def _not_read(self, failure: Failure, box: Mailbox) -> None:
        box.reading = False
        self._stalled[box] = None
        self._failed(failure)

    def _send(self, box: Mailbox, letter: Letter, session: Session) -> Outcome:
        box.send(letter, session)
        self.delivered += 1
        if session.acknowledges:
            self._resends.sent(letter.message_id, box)
        return Outcome(
            message_id=letter.message_id,
            recipient=box.recipient,
            status="sent",
            time=self._wall(),
            settles=not session.acknowledges,
        )

    def _send_again(self, letters: list[Letter], box: Mailbox, message_ids: list[str]) -> None:
        settled = []
        came = {letter.message_id for letter in letters}
        self._resends.hasten(name for name in message_ids if name not in came)  # more than is read at once
        for letter in letters:
            session = self._directory.route(box.recipient, reading=True)
            late = self._expiry.late(letter)
            if session is None or late or letter.message_id not in box.unacknowledged:
                continue
            if not session.acknowledges:  # another client of theirs, which can't: this was its one time
                settled.append(self._send(box, letter, session))
                self._forget(box, letter.message_id)
            else:
                box.send(letter, session)
                self.delivered += 1
        if settled:
            self._record(settled)

    def _forget(self, box: Mailbox, message_id: str) -> None:
        """Forget a message that is no longer to be sent again."""
        if box.unacknowledged.pop(message_id, None) is not None:
            self._resends.forget(message_id)

    def _record(self, outcomes: list[Outcome]) -> Deferred[list[Transition] | None]:
        return self._store.record(outcomes).addCallbacks(self._recorded, self._not_recorded, errbackArgs=(outcomes,))

    def _recorded(self, outcomes: list[Transition]) -> list[Transition]:
        for transition in outcomes:
            if transition.settled:
                recipient, message_id = transition.outcome.recipient, transition.outcome.message_id
                box = self._boxes[recipient]
                self._forget(box, message_id)
                self._release(transition.sender, recipient, transition.size)
                self._pump(box)
        self._receipts.report(outcomes)
        return outcomes

    def _not_recorded(self, failure: Failure, outcomes: list[Outcome]) -> None:
        self._unrecorded += outcomes
        self._failed(failure)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(Unavailable):  # the store has told of that
            self.log.failure("mail could not be brought", failure, event="mail.failed")

    def _release(self, sender: str, recipient: str, size: int) -> None:
        """Count one letter less; drop a mailbox that is empty."""
        if self._quotas.remove(sender, recipient, size):
            del self._boxes[recipient]


def _acknowledged(transitions: list[Transition]) -> Acknowledged:
    (transition,) = transitions
    if transition.status is None:
        raise NotFound("There is no such message to you, or it is long over")
    return Acknowledged(message_id=transition.outcome.message_id, status=transition.status)


def _again(kept: KeptLetter | None, refusal: RateLimited | None = None) -> KeptLetter:
    """What was kept before, as an answer."""
    if kept is None:
        raise refusal or NotFound()
    return msgspec.structs.replace(kept, status="queued" if kept.status == "queued" else "sent")
