"""Directed messages: to one entity, at once if nothing stands in the way, else by its mailbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from cell0gw.conversations import Conversations
from cell0gw.directory import Directory
from cell0gw.engines import Key
from cell0gw.engines.letters import DeadLetter, Delivery, Kept, Letter
from cell0gw.errors import NotFound
from cell0gw.interfaces import IMailStore
from cell0gw.known import DAY, FORGET_AFTER, MAX_HOLDERS, Known
from cell0gw.limits import OUTBOUND_LIMIT
from cell0gw.mailbox import frame_of
from cell0gw.mailboxes import Mailboxes
from cell0gw.provenance import MESSAGE
from cell0gw.sessions import Session

KEEP_OVER: Final = DAY
"""For how many seconds it is known what became of a message that is over."""

KEEP_DEAD: Final = 7 * DAY
"""For how many seconds a message is kept that came to nothing."""

MAX_OVER: Final = 100_000
"""How many messages that are over are known, at most."""

PURGE_EVERY: Final = 60.0


class Dispatched(msgspec.Struct, frozen=True):
    """A message was sent, or waits; C{replayed}: it did before, by the same idempotency key."""

    message_id: str
    status: str
    replayed: bool = False


class Mail:
    """Brings messages to entities.

    What is sent without receipts, and without a key, to one who is here and doesn't acknowledge is written to its
    connection, and that is all. Whatever else is kept on disk first.

    @param new_id: makes an id from a prefix.
    @param ttl: how many seconds a message waits whose sender names no time.
    @param key_window: for how many seconds an idempotency key stands for its message.
    """

    def __init__(
        self,
        store: IMailStore,
        directory: Directory,
        known: Known,
        conversations: Conversations,
        mailboxes: Mailboxes,
        clock: IReactorTime,
        new_id: Callable[[str], str],
        ttl: float,
        key_window: float,
    ) -> None:
        self._store = store
        self._directory = directory
        self._known = known
        self._conversations = conversations
        self._mailboxes = mailboxes
        self._clock = clock
        self._new_id = new_id
        self._ttl = ttl
        self._key_window = key_window
        self._next_purge = 0.0
        self.sent = self.queued = 0

    def send(
        self,
        sender: str,
        sender_type: str,
        recipient: str,
        message: bytes,
        *,
        ttl: float | None = None,
        receipts: bool = False,
        in_reply_to: str | None = None,
        key: Key | None = None,
        may_see: Callable[[str], bool] = lambda entity_id: True,
    ) -> Dispatched | Deferred[Dispatched]:
        """Send a message to an entity's newest session, or keep it until there is one.

        @param message: JSON.
        @param ttl: how many seconds it may wait.
        @param receipts: whether the sender is to be told what becomes of it.
        @param in_reply_to: a message that the sender was sent, or a call that it has.
        @param may_see: whether an id may be suggested to the sender.
        @raise NotFound: nobody holds that id, or C{in_reply_to} names nothing; the suggestions are in C{near}.
        @raise LoopDetected: the conversation goes in circles.
        @raise RateLimited: too much mail waits.
        """
        session = self._direct(recipient)
        if session is None and not self.reaches(recipient):
            raise NotFound(f"Nobody is called {recipient}", near=self.near(recipient, may_see))
        nonce, now = self._new_id(MESSAGE), self._clock.seconds()
        origin = self._conversations.place(nonce, sender, recipient, in_reply_to)
        letter = Letter(
            message_id=self._conversations.provenance.message_id(nonce, origin, recipient),
            recipient=recipient,
            sender=sender,
            sender_type=sender_type,
            conversation_id=origin.conversation_id,
            in_reply_to=in_reply_to,
            hops=origin.hops,
            message=message,
            time=now,
            expires_at=now + (self._ttl if ttl is None else ttl),
            receipts=receipts,
            key=key,
        )
        if session is None or receipts or key is not None:
            return self._mailboxes.put(letter, now - self._key_window).addCallback(self._kept)
        session.connection.write_frame(frame_of(letter))
        self.sent += 1
        return Dispatched(letter.message_id, "sent")

    def reaches(self, recipient: str) -> bool:
        """Whether somebody holds this id: it is here, it has mail, a token names it, or it had a session."""
        return recipient in self._directory or recipient in self._mailboxes or recipient in self._known

    def near(self, recipient: str, may_see: Callable[[str], bool]) -> list[str]:
        """Ids that look like one that nobody holds.

        @param may_see: whether an id may be shown.
        """
        return self._known.near(recipient, may_see)

    @property
    def loops_refused(self) -> int:
        """How many messages and calls would have gone in circles."""
        return self._conversations.refused

    def delivery(self, message_id: str) -> Deferred[Delivery | None]:
        """What became of a message; None if that was not written down, or is long ago."""
        return self._store.delivery(message_id)

    def dead(self, recipient: str | None, limit: int) -> Deferred[tuple[list[DeadLetter], int]]:
        """The messages that came to nothing, newest first, and how many there are."""
        return self._store.dead(recipient, limit)

    def expire(self) -> None:
        """Have the store forget what is long over, now and then."""
        now = self._clock.seconds()
        if now >= self._next_purge:
            self._next_purge = now + PURGE_EVERY
            purging = self._store.purge(now - KEEP_OVER, now - KEEP_DEAD, MAX_OVER, now - FORGET_AFTER, MAX_HOLDERS)
            purging.addErrback(lambda failure: None)  # tried again

    def _direct(self, recipient: str) -> Session | None:
        """The session to which a message may be written straight away: no other waits, and it need not be kept."""
        if recipient in self._mailboxes:
            return None
        session = self._directory.route(recipient, OUTBOUND_LIMIT)
        return None if session is None or session.acknowledges else session

    def _kept(self, kept: Kept) -> Dispatched:
        if not kept.replayed:
            self.sent += kept.status == "sent"
            self.queued += kept.status == "queued"
        return Dispatched(kept.message_id, kept.status, kept.replayed)
