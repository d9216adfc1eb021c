"""Where directed messages wait: letters and what becomes of them, and what a store of them must be able to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import Interface

from cell0gw.protocol.keys import Key

LAST_REPORTS: Final = 60.0
"""Seconds before a process made its last report in which what it reported may not have arrived: the next one reports
it again."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A message to an entity.

    @ivar sequence: its number among all that were ever kept; 0: it is not kept yet.
    @ivar time: when it was sent, in seconds since the epoch; C{expires_at}: until when it may wait.
    @ivar receipts: whether what becomes of it is reported to its sender.
    @ivar attempts: how often it was brought to its recipient before.
    """

    message_id: str
    recipient: str
    sender: str
    sender_type: str
    conversation_id: str
    in_reply_to: str | None
    hops: int
    message: bytes
    time: float
    expires_at: float
    receipts: bool = False
    key: Key | None = None
    sequence: int = 0
    attempts: int = 0


class KeptLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A letter is safe, by this number and id; C{replayed}: it was before, under its key, and has come to C{status}.

    @ivar receipt: the number of the receipt for that.
    """

    sequence: int
    message_id: str
    status: str = "queued"
    replayed: bool = False
    receipt: int = 0


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A status that a letter has reached, see L{cell0gw.agents.mail.status}, and when, in seconds since the epoch."""

    message_id: str
    recipient: str
    status: str
    time: float
    detail: str | None = None


class Outcome(Receipt, frozen=True, kw_only=True):
    """A status that a letter is to reach.

    @ivar recipient: whose letter it must be.
    @ivar settles: whether it need not be delivered any more.
    @ivar brought: whether it is brought to its recipient, one more time.
    @ivar until: if it is not settled, it may wait until this date at least, in seconds since the epoch.
    @ivar after: 0: this happens now. Else an attempt has failed, which is counted, and this happens when that number is
        reached.
    """

    settles: bool = False
    brought: bool = False
    until: float = 0.0
    after: int = 0


def expired(message_id: str, recipient: str, time: float) -> Outcome:
    """A letter has waited too long."""
    return Outcome(
        message_id=message_id,
        recipient=recipient,
        status="expired",
        time=time,
        detail="it has waited too long",
        settles=True,
    )


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """What an outcome has changed.

    @ivar status: of the letter, now; None: there is no such letter.
    @ivar taken: whether this outcome brought it there.
    @ivar receipt: the number of the receipt for it, which is to be reported to its sender; 0: there is none.
    @ivar settled: whether it took the letter out of its recipient's mailbox, where it took C{size} bytes.
    @ivar waits: whether the letter is still there.
    """

    outcome: Outcome
    status: str | None
    taken: bool
    settled: bool = False
    waits: bool = False
    sender: str = ""
    receipt: int = 0
    size: int = 0


def revived(letter: Letter, time: float, receipt: int) -> Transition:
    """A letter waits again; C{receipt}: the number of the receipt for that, if its sender wants any."""
    outcome = Outcome(message_id=letter.message_id, recipient=letter.recipient, status="queued", time=time)
    return Transition(
        outcome=outcome,
        status="queued",
        taken=True,
        waits=True,
        sender=letter.sender,
        receipt=receipt,
        size=len(letter.message),
    )


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a letter, but for what it says."""

    message_id: str
    recipient: str
    sender: str
    status: str
    expires_at: float
    receipts: list[Receipt]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An undeliverable letter, and why it is."""

    letter: Letter
    status: str
    time: float
    detail: str | None


class StoredMailbox(msgspec.Struct, frozen=True, kw_only=True):
    """How many letters of a sender wait for a recipient, and how many bytes they are."""

    recipient: str
    sender: str
    messages: int
    size: int


class StoredMail(msgspec.Struct, frozen=True, kw_only=True):
    """What a store has when the gateway starts.

    @ivar key: with which ids are made, see L{cell0gw.agents.message_ids.MessageIds}.
    @ivar holders: who has ever had a session, and when that was noted last, the longest ago first.
    @ivar unreported: the senders to whom not every receipt was reported.
    @ivar newest_report: when a receipt was reported last, by the clock of L{IMailStore.mark_reported}.
    @ivar next_expiry: when the first letter that waits expires.
    """

    key: bytes
    mailboxes: list[StoredMailbox]
    holders: dict[str, float]
    unreported: set[str]
    newest_report: float
    next_expiry: float | None


class IMailStore(Interface):
    """Where directed messages wait, and what became of them is written down.

    Every Deferred fires in the order of the calls, once it is safe; with L{Unavailable} when it can't be done.
    """

    def load() -> StoredMail:
        """Everything stored; called once, before anything else."""

    def put(letter: Letter, keys_since: float) -> Deferred[KeptLetter]:
        """Keep a letter, as queued.

        @param keys_since: a key from before this moment stands for nothing any more.
        @return: its number and id; or those of the letter that was kept under its key before.
        @raise Conflict: by the Deferred, when its key stands for something else.
        """

    def find(letter: Letter, keys_since: float) -> Deferred[KeptLetter | None]:
        """Look for a letter that was kept under the key of this one, without keeping this one.

        @param keys_since: as of C{put}.
        @return: its number and id; None: there is none.
        @raise Conflict: by the Deferred, when the key stands for something else.
        """

    def waiting(recipient: str, after: int, limit: int, now: float) -> Deferred[list[Letter]]:
        """The letters that wait for a recipient and follow a sequence, in order; fewer than C{limit} if they are long.

        @return: one at least if one waits.
        """

    def letters(message_ids: list[str]) -> Deferred[list[Letter]]:
        """Those of these letters that wait still, in order; fewer if they are long, but one at least."""

    def record(outcomes: list[Outcome]) -> Deferred[list[Transition]]:
        """Record outcomes, as far as they lead on from where their letters are.

        @return: what each has changed.
        """

    def expire(now: float) -> Deferred[tuple[list[Transition], float | None]]:
        """Take out of their mailboxes what has waited too long.

        @return: what that has changed, and when the next letter expires; None: none waits.
        """

    def shift(seconds: float) -> Deferred[None]:
        """Move the expiry of what waits: the wall clock was set."""

    def delivery(message_id: str) -> Deferred[Delivery | None]:
        """All that is known of a letter; None: there is no such letter."""

    def take_unreported(sender: str, limit: int, now: float) -> Deferred[list[Receipt]]:
        """The oldest receipts that were not reported to their sender; they count as reported now.

        @param now: as of C{mark_reported}.
        """

    def mark_reported(receipts: list[int], now: float) -> Deferred[None]:
        """Mark receipts as reported to their senders, at this moment or before.

        @param receipts: their numbers.
        @param now: seconds of a clock that never goes back.
        """

    def mark_unreported(sender: str, since: float) -> Deferred[None]:
        """Mark what was reported to a sender since a moment as not reported: it may not have arrived.

        @param since: by the clock of C{mark_reported}.
        """

    def dead(
        recipient: str | None, limit: int, shown: Callable[[str], bool] | None = None, before: str | None = None
    ) -> Deferred[tuple[list[DeadLetter], int] | None]:
        """The undeliverable letters, newest first.

        @param recipient: only theirs; None: all.
        @param shown: whether those to a recipient count; None: they do. It may be called in another thread.
        @param before: the id of a letter, dead or not: only those that are older.
        @return: at most C{limit} of them, and how many there are in all, also newer ones; None: there is no letter
            C{before}.
        """

    def revive(message_id: str, time: float, expires_at: float) -> Deferred[tuple[Letter, Transition] | None]:
        """Have an undeliverable letter wait again, as queued, for as often as a new one.

        @param time: now, in seconds since the epoch; C{expires_at}: until when it may wait.
        @return: the letter, and what has changed; None: there is no such one, or its text is no longer kept.
        """

    def discard(message_id: str | None, recipient: str | None, limit: int) -> Deferred[int]:
        """Forget the text of an undeliverable letter, or of those to a recipient, which are none any more.

        @return: of how many; at most C{limit}.
        """

    def purge(
        settled_before: float, dead_before: float, keep: int, holders_before: float, max_holders: int
    ) -> Deferred[None]:
        """Forget letters that are over, undeliverable ones later, and ids that were last used before a moment.

        @param settled_before: seconds since the epoch, as are C{dead_before} and C{holders_before}.
        @param keep: maximum letters that are over and kept; C{max_holders}: maximum ids.
        """

    def saw(entity_id: str, time: float) -> Deferred[None]:
        """Note that an entity has had a session."""
