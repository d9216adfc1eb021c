"""Directed messages as they are kept, with what became of them."""

from __future__ import annotations

from typing import Final

import msgspec

from cell0gw.engines import Key

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


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a letter: a rung of L{cell0gw.ladder}.

    @ivar recipient: whose letter it must be.
    @ivar settles: whether it need not be brought to its recipient any more.
    """

    message_id: str
    recipient: str
    status: str
    time: float
    detail: str | None = None
    settles: bool = False


class Climbed(msgspec.Struct, frozen=True, kw_only=True):
    """What a step has come to.

    @ivar status: of the letter, now; None: there is no such letter.
    @ivar taken: whether this step brought it there.
    @ivar receipt: the number of the receipt for it, which its sender is to be told of; 0: there is none.
    @ivar settled: whether it took the letter out of its recipient's mailbox, where it took up C{size} bytes.
    """

    step: Step
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

    @ivar key: with which ids are made, see L{cell0gw.provenance.Provenance}.
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
