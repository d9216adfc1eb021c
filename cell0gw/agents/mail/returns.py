"""Letters that go back: to their senders, who take them back before they were sent, or from the dead into a mailbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cell0gw.agents.mail.mailbox import Mailbox
from cell0gw.agents.mail.receipts import SEND
from cell0gw.agents.mail.recording import Recording
from cell0gw.agents.mail.store import Delivery, IMailStore, Letter, Outcome, Transition
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import Conflict, NotFound
from cell0gw.sessions.session import Sender


class Recalled(msgspec.Struct, frozen=True, kw_only=True):
    """The message was taken back: its recipient has not seen it, and will not.

    - `success`: true
    - `message_id`: the message
    """

    success: bool = True
    message_id: str


class Returns:
    """Takes letters out of mailboxes, and puts them in again.

    @param boxes: those that hold something, by recipient.
    @param admit: called with a letter that waits again; gives its mailbox.
    @param pump: called with a mailbox that may have something to be brought.
    """

    def __init__(
        self,
        store: IMailStore,
        recording: Recording,
        boxes: Mapping[str, Mailbox],
        admit: Callable[[Letter], Mailbox],
        pump: Callable[[Mailbox], object],
        runtime: Runtime,
    ) -> None:
        self._store = store
        self._recording = recording
        self._boxes = boxes
        self._admit = admit
        self._pump = pump
        self._wall = runtime.wall

    def recall(self, sender: Sender, message_id: str) -> Deferred[Recalled]:
        """Take back a letter that was not sent to its recipient yet.

        @return: fires once it is out of its mailbox.
        @raise NotFound: by the Deferred: this sender has sent no such letter, or it is long over.
        @raise Conflict: by the Deferred: it was sent already, or is over.
        """
        return self._store.delivery(message_id).addCallback(self._recall, sender)

    def revive(self, message_id: str, expires_at: float) -> Deferred[bool]:
        """Put a dead letter into its mailbox once more, as if it had never been sent.

        @return: whether it was one, and its text is still known.
        """
        reviving = self._store.revive(message_id, self._wall(), expires_at)
        return reviving.addCallback(self._revived)

    def _recall(self, delivery: Delivery | None, sender: Sender) -> Recalled | Deferred[Recalled]:
        own = delivery is not None and delivery.sender == sender.entity_id
        if delivery is None or not (own and sender.knows(SEND, delivery.recipient)):
            raise NotFound("No message of yours with this id was kept, or it is long over")
        message_id, box = delivery.message_id, self._boxes.get(delivery.recipient)
        if delivery.status == "recalled":
            return Recalled(message_id=message_id)
        if delivery.status != "queued" or box is None or message_id in box.leases:
            raise _too_late(delivery.status)
        outcome = Outcome(
            message_id=message_id, recipient=delivery.recipient, status="recalled", time=self._wall(), settles=True
        )
        box.withheld.add(message_id)  # it may have been read already, to be sent
        return (
            self._store.record([outcome])
            .addCallback(self._recording.recorded)
            .addCallbacks(self._recalled, self._not_recalled, callbackArgs=(box,), errbackArgs=(box, message_id))
        )

    def _recalled(self, transitions: list[Transition], box: Mailbox) -> Recalled:
        (transition,) = transitions
        message_id = transition.outcome.message_id
        box.withheld.discard(message_id)
        if not (transition.taken or transition.status == "recalled"):
            raise _too_late(transition.status or "")
        return Recalled(message_id=message_id)

    def _not_recalled(self, failure: Failure, box: Mailbox, message_id: str) -> Failure:
        box.withheld.discard(message_id)
        box.sent, box.behind = 0, True  # it may have been passed over
        self._pump(box)
        return failure

    def _revived(self, found: tuple[Letter, Transition] | None) -> bool:
        if found is None:
            return False
        letter, transition = found
        box = self._admit(letter)
        box.sent, box.behind = min(box.sent, letter.sequence - 1), True
        self._recording.recorded([transition])
        self._pump(box)
        return True


def _too_late(status: str) -> Conflict:
    return Conflict(f"It is too late to take it back: the message is {'sent' if status == 'queued' else status}")
