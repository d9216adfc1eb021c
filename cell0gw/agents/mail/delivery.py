"""Mailboxes: messages wait on disk, in order, until their recipient has them.

A session that acknowledges gets a window of messages at a time, each again until it is acknowledged; one that doesn't
gets each once. Where an entity has both, those that acknowledge get its mail. A recipient that is slow to read has its
mail wait, too.
"""

from __future__ import annotations

from typing import Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.agents.mail.expiry import Expiry
from cell0gw.agents.mail.leases import Leases
from cell0gw.agents.mail.mailbox import Mailbox, why_too_long
from cell0gw.agents.mail.pulls import Pull, Pulls, Received
from cell0gw.agents.mail.quotas import Occupancy, Quotas
from cell0gw.agents.mail.receipts import Receipts
from cell0gw.agents.mail.recording import Recording
from cell0gw.agents.mail.returns import Returns
from cell0gw.agents.mail.status import again
from cell0gw.agents.mail.store import IMailStore, KeptLetter, Letter, Outcome, StoredMail, Transition
from cell0gw.presence.directory import Directory
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import RateLimited
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
    @ivar acknowledge: called when recipients acknowledge letters; C{release}: when they give them back; see L{Leases}.
    @ivar returns: takes letters back, and brings them back.
    @ivar delivered: how many letters were sent, each time counted.
    """

    def __init__(
        self,
        store: IMailStore,
        directory: Directory,
        receipts: Receipts,
        quotas: Quotas,
        runtime: Runtime,
        max_attempts: int,
    ) -> None:
        self._store = store
        self._directory = directory
        self._receipts = receipts
        self._quotas = quotas
        self._clock = runtime.clock
        self._wall = runtime.wall
        self._boxes: dict[str, Mailbox] = {}
        self._recording = Recording(store, receipts, self._settled)
        self._expiry = Expiry(store, runtime.dates, self._recording.recorded)
        self.returns = Returns(store, self._recording, self._boxes, self._admit, self._pump, runtime)
        self.now, self.check = self._expiry.now, quotas.check
        # Whose recipients could not take more, or whose disk could not be read.
        self._stalled: dict[Mailbox, None] = {}
        self._leases = Leases(store, self._recording, self._boxes, self.now, runtime, max_attempts, self._pump)
        self.acknowledge, self.release = self._leases.acknowledge, self._leases.release
        self._pulls = Pulls(runtime.clock)
        self.delivered = 0

    def load(self, stored: StoredMail) -> None:
        """Load what the store kept."""
        self._quotas.load(stored.mailboxes)
        recipients = {box.recipient for box in stored.mailboxes}
        self._boxes.update((name, Mailbox(name, self._directory, behind=True)) for name in recipients)
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
            return self._store.find(letter, keys_since).addCallback(again, refusal)
        self._quotas.add(sender, recipient, size)
        box = self._boxes.setdefault(recipient, Mailbox(recipient, self._directory))
        return self._store.put(letter, keys_since).addCallbacks(
            self._kept, self._refused, callbackArgs=(letter, box), errbackArgs=(letter,)
        )

    def receive(self, pull: Pull, wait: float) -> Deferred[Received]:
        """Called when a session asks for letters.

        @param wait: for how many seconds it waits for one.
        @return: fires with what there is, or comes in that time.
        @raise Conflict: it waits already.
        """
        self._pulls.add(pull, wait)
        recipient = pull.session.entity_id
        box = self._boxes.get(recipient)
        if box is not None:
            self._pump(box)
        if box is None or not box.reading:
            self._pulls.settle(recipient, over=True)
        return pull.answer

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}: what waits comes after the answer."""
        if (box := self._boxes.get(session.entity_id)) is not None:
            self._clock.callLater(0, self._pump, box)

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self._left(session, ending, for_good=False)

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self._left(session, ending, for_good=True)

    def sweep(self) -> None:
        """See L{ISweeper}: send again what was not acknowledged, give up what has waited too long, and go on where a
        reader was slow.
        """
        self._recording.sweep()
        for box, message_ids in self._leases.due().items():
            self._store.letters(message_ids).addCallbacks(self._send_again, self._recording.failed, (box, message_ids))
        self._expiry.sweep()
        stalled, self._stalled = self._stalled, {}
        for box in stalled:
            self._pump(box)

    def _kept(self, kept: KeptLetter, letter: Letter, box: Mailbox) -> KeptLetter:
        if kept.replayed:
            self._release(letter.sender, letter.recipient, len(letter.message))
            return again(kept)
        self._expiry.watch(letter)
        self._receipts.queued(letter, kept)
        session = None if box.behind or box.reading or self._expiry.late(letter) else box.taker()
        if session is None:
            box.behind = True
            self._pump(box)
            return kept
        self._recording.record([self._send(box, msgspec.structs.replace(letter, sequence=kept.sequence), session)])
        return msgspec.structs.replace(kept, status="sent")

    def _refused(self, failure: Failure, letter: Letter) -> Failure:
        self._release(letter.sender, letter.recipient, len(letter.message))
        return failure

    def _pump(self, box: Mailbox) -> None:
        """Read what is next for a recipient that can take it."""
        if not box.behind or box.reading or self._boxes.get(box.recipient) is not box:
            return
        session = box.taker()
        if session is None and self._puller(box) is None:
            if self._directory.route(box.recipient) is not None:
                self._stalled[box] = None
            return
        box.reading = True
        room = box.free if session is None else box.room(session)
        limit = SLICE if session is not None and not session.acknowledges else min(SLICE, room)
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
            over = letter.message_id in box.withheld or self._expiry.late(letter)
            if letter.message_id not in box.leases and not over:
                outcome = self._hand(box, letter) if session is None else self._send(box, letter, session)
                if outcome is None:
                    break
                outcomes.append(outcome)
            box.sent = letter.sequence
        self._pulls.settle(box.recipient, over=not letters)
        if letters:  # the next slice is read when the disk knows of this one
            self._recording.record(outcomes).addCallback(lambda done: self._pump(box))

    def _not_read(self, failure: Failure, box: Mailbox) -> None:
        box.reading = False
        self._stalled[box] = None
        self._pulls.fail(box.recipient, failure)
        self._recording.failed(failure)

    def _left(self, session: Session, ending: Ending, for_good: bool) -> None:
        self._pulls.gone(session)
        if (box := self._boxes.get(session.entity_id)) is not None:
            self._leases.lost(box, session, ending, for_good)
            self._pump(box)

    def _send(self, box: Mailbox, letter: Letter, session: Session) -> Outcome:
        if (too_long := why_too_long(letter, session)) is not None:
            return self._leases.refusals.dead(box, letter.message_id, too_long)
        box.send(letter, session)
        self.delivered += 1
        self._leases.sent(box, letter, session)
        return self._brought(letter, settles=not session.acknowledges)

    def _puller(self, box: Mailbox) -> Pull | None:
        """Who asks for a letter and may have one more."""
        return self._pulls.first(box.recipient) if box.free > 0 else None

    def _hand(self, box: Mailbox, letter: Letter) -> Outcome | None:
        """Give a letter to who asks for it; None: nobody does, or has room."""
        pull = self._puller(box)
        if pull is None:
            return None
        if (too_long := why_too_long(letter, pull.session)) is not None:
            return self._leases.refusals.dead(box, letter.message_id, too_long)
        if not pull.take(letter):
            return None
        self._leases.pull(box, letter.message_id, letter.sequence, len(letter.message), pull.seconds)
        self.delivered += 1
        return self._brought(letter, settles=False)

    def _brought(self, letter: Letter, settles: bool) -> Outcome:
        return Outcome(
            message_id=letter.message_id,
            recipient=letter.recipient,
            status="sent",
            time=self._wall(),
            settles=settles,
            brought=True,
        )

    def _send_again(self, letters: list[Letter], box: Mailbox, message_ids: list[str]) -> None:
        came = {letter.message_id for letter in letters}
        self._leases.hasten(name for name in message_ids if name not in came)  # more than is read at once
        outcomes = []
        for letter in letters:
            lease = box.leases.get(letter.message_id)
            session = None if lease is None or lease.begun or self._expiry.late(letter) else box.taker(lease)
            if session is not None:
                outcomes.append(self._send(box, letter, session))
        if outcomes:
            self._recording.record(outcomes)

    def _admit(self, letter: Letter) -> Mailbox:
        """A letter waits again."""
        self._quotas.add(letter.sender, letter.recipient, len(letter.message))
        self._expiry.watch(letter)
        return self._boxes.setdefault(letter.recipient, Mailbox(letter.recipient, self._directory))

    def _settled(self, transition: Transition) -> None:
        """A letter has left its mailbox."""
        recipient, message_id = transition.outcome.recipient, transition.outcome.message_id
        box = self._boxes[recipient]
        self._leases.forget(box, message_id)
        self._release(transition.sender, recipient, transition.size)
        self._pump(box)

    def _release(self, sender: str, recipient: str, size: int) -> None:
        """Count one letter less; drop a mailbox that is empty."""
        if self._quotas.remove(sender, recipient, size):
            del self._boxes[recipient]
