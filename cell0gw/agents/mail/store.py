"""Where directed messages wait: letters and what becomes of them, and what a store of them must be able to do."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from zope.interface import Interface

from cell0gw.protocol.keys import Key

LAST_WORDS: Final = 60.0
"""What the process before told in its last so many seconds may not have arrived: it is told again."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A message to an entity.

    @ivar sequence: its number among all that were ever kept; 0: it is not kept yet.
    @ivar time: when it was sent, in seconds since the epoch; C{expires_at}: until when it may wait.
    @ivar receipts: whether its sender wants to be told what becomes of it.
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


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A letter is safe, by this number and id; C{replayed}: it was before, under its key, and has come to C{status}.

    @ivar receipt: the number of the receipt for that.
    """

    sequence: int
    message_id: str
    status: str = "queued"
    replayed: bool = False
    receipt: int = 0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a letter: a rung of L{cell0gw.agents.mail.status}.

    @ivar recipient: whose letter it must be.
    @ivar settles: whether it need not be brought to its recipient any more.
    """

    message_id: str
    recipient: str
    status: str
    time: float
    detail: str | None = None
    settles: bool = False


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """What a step has come to.

    @ivar status: of the letter, now; None: there is no such letter.
    @ivar taken: whether this step brought it there.
    @ivar receipt: the number of the receipt for it, which its sender is to be told of; 0: there is none.
    @ivar settled: whether it took the letter out of its recipient's mailbox, where it took up C{size} bytes.
    """

    outcome: Outcome
    status: str | None
    taken: bool
    settled: bool = False
    sender: str = ""
    receipt: int = 0
    size: int = 0


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A rung that a letter has reached, and when."""

    message_id: str
    recipient: str
    status: str
    time: float
    detail: str | None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a letter, but for what it says."""

    message_id: str
    recipient: str
    sender: str
    status: str
    expires_at: float
    receipts: list[Receipt]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A letter that came to nothing, and why."""

    letter: Letter
    status: str
    time: float
    detail: str | None


class StoredMailbox(msgspec.Struct, frozen=True, kw_only=True):
    """How many letters wait for a recipient, and how many bytes they are."""

    recipient: str
    messages: int
    size: int


class StoredMail(msgspec.Struct, frozen=True, kw_only=True):
    """What a store has when the gateway starts.

    @ivar key: with which ids are made, see L{cell0gw.agents.message_ids.Provenance}.
    @ivar senders: how many of the letters that wait are whose.
    @ivar holders: who has ever had a session, and when that was noted last, the longest ago first.
    @ivar untold: the senders who have not been told of everything.
    @ivar newest_told: when somebody was told of a receipt last, by the clock of L{IMailStore.told}.
    @ivar next_expiry: when the first letter that waits expires.
    """

    key: bytes
    mailboxes: list[StoredMailbox]
    senders: dict[str, int]
    holders: dict[str, float]
    untold: set[str]
    newest_told: float
    next_expiry: float | None


class IMailStore(Interface):
    """Where directed messages wait, and what became of them is written down.

    Every Deferred fires in the order of the calls, once it is safe; with L{Unavailable} when it can't be done.
    """

    def load() -> Any:
        """The L{StoredMail}; called once, before anything else."""

    def put(letter: Any, keys_since: float) -> Any:
        """Keep a L{Letter}, as queued.

        @param keys_since: a key from before this moment stands for nothing any more.
        @return: a Deferred of the L{Kept}.
        @raise Conflict: by the Deferred, when its key stands for something else.
        """

    def find(letter: Any, keys_since: float) -> Any:
        """Look for a letter that was kept under the key of this one, without keeping this one.

        @return: a Deferred of its L{Kept}, or of None.
        @raise Conflict: by the Deferred, when the key stands for something else.
        """

    def waiting(recipient: str, after: int, limit: int, now: float) -> Any:
        """The letters that wait for a recipient and follow a sequence, in order; fewer than C{limit} if they are long.

        @return: a Deferred of the letters; none only if none waits.
        """

    def letters(message_ids: list[str]) -> Any:
        """Those of these letters that wait still, in order.

        @return: a Deferred of the letters.
        """

    def record(outcomes: list[Any]) -> Any:
        """Take down L{Outcome}s, as far as they lead up.

        @return: a Deferred of a L{Transition} for each.
        """

    def expire(now: float) -> Any:
        """Take out of their mailboxes what has waited too long.

        @return: a Deferred of a L{Transition} for each, and of when the next one expires or None.
        """

    def shift(seconds: float) -> Any:
        """What waits expires so much later: the wall clock was set.

        @return: a Deferred that fires when that is done.
        """

    def delivery(message_id: str) -> Any:
        """
        @return: a Deferred of the L{Delivery}, or None.
        """

    def take_untold(sender: str, limit: int, now: float) -> Any:
        """The oldest receipts that a sender has not been told of; they count as told now, as in C{told}.

        @return: a Deferred of L{Receipt}s.
        """

    def told(receipts: list[int], now: float) -> Any:
        """Senders have been told of these receipts, by their numbers, at this moment or before.

        @param now: seconds of a clock that never goes back.

        @return: a Deferred that fires when that is written down.
        """

    def untell(sender: str, since: float) -> Any:
        """What a sender was told since a moment may not have arrived: it counts as not told.

        @return: a Deferred that fires when that is done.
        """

    def dead(recipient: Any, limit: int) -> Any:
        """The letters that came to nothing, newest first.

        @param recipient: only theirs; None: all.
        @return: a Deferred of L{DeadLetter}s, and of how many there are in all.
        """

    def purge(settled_before: float, dead_before: float, keep: int, holders_before: float, max_holders: int) -> Any:
        """Forget letters that are over, those that came to nothing later, and who was here last before a moment.

        @param keep: how many letters that are over may be kept at most; and so for C{max_holders}.
        @return: a Deferred that fires when that is done.
        """

    def saw(entity_id: str, time: float) -> Any:
        """Note that an entity has had a session.

        @return: a Deferred that fires when that is done.
        """
