"""Directed messages: to one entity, at once if nothing stands in the way, else by its mailbox."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType
from twisted.internet.defer import Deferred

from cell0gw.agents.conversations import Conversations
from cell0gw.agents.mail.delivery import Mailboxes
from cell0gw.agents.mail.mailbox import agent_message, why_too_long
from cell0gw.agents.mail.receipts import SEND
from cell0gw.agents.mail.recipients import Recipients
from cell0gw.agents.mail.returns import Recalled
from cell0gw.agents.mail.store import KeptLetter, Letter
from cell0gw.agents.message_ids import MESSAGE
from cell0gw.presence.directory import Directory
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import NotFound, TooLarge
from cell0gw.protocol.keys import Key
from cell0gw.protocol.limits import Limits, MailLimits
from cell0gw.sessions.session import Sender


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The message was accepted.

    - `success`: true
    - `message_id`: names the message
    - `status`: `sent`: written to a connection of the recipient, which is no proof that it was read. `queued`: it waits
      in the mailbox, and is delivered as soon as the recipient is online, reads and has room
    - `kept`: whether it is on disk. False: it went the fast way, see docs/protocol.md#two-ways, and nothing is known of
      it any more
    - `replayed`: true if an earlier request had the same idempotency key; else absent
    """

    success: bool = True
    message_id: str
    status: str
    kept: bool
    replayed: bool | UnsetType = UNSET


class Mail:
    """Sends messages to entities.

    What is sent without receipts, and without a key, to one who is here and doesn't acknowledge is written to its
    connection, and that is all. Every other message is stored on disk first.

    @ivar sent: how many messages were sent at once; C{queued}: how many waited.
    """

    def __init__(
        self,
        directory: Directory,
        recipients: Recipients,
        conversations: Conversations,
        mailboxes: Mailboxes,
        limits: Limits,
        mail_limits: MailLimits,
        runtime: Runtime,
    ) -> None:
        self._directory = directory
        self._recipients = recipients
        self._conversations = conversations
        self._mailboxes = mailboxes
        self._wall = runtime.wall
        self._dates = runtime.dates
        self._new_id = runtime.new_id
        self._limits = limits
        self._ttl = mail_limits.mail_ttl
        self._key_window = mail_limits.idempotency_window
        self.sent = self.queued = 0

    def send(
        self,
        sender: Sender,
        recipient: str,
        message: bytes,
        in_reply_to: str | None = None,
        ttl: float | None = None,
        receipts: bool = False,
        key: Key | None = None,
    ) -> Sent | Deferred[Sent]:
        """Send a message to an entity's newest session, or keep it until there is one.

        @param message: JSON.
        @param in_reply_to: a message that the sender was sent, or a call that it has.
        @param ttl: how many seconds it may wait.
        @param receipts: whether the sender gets receipts of what becomes of it.
        @raise NotFound: the id is unknown, or not for the sender to know, or C{in_reply_to} names nothing; the
            suggestions are in C{near}.
        @raise LoopDetected: the conversation goes in circles.
        @raise RateLimited: too much mail waits.
        @raise TooLarge: it is longer than anything that is relayed, or than the recipient takes.
        """
        self._limits.check_content(len(message))
        if not sender.knows(SEND, recipient):
            raise self._nobody(sender, recipient)
        session = None
        if recipient not in self._mailboxes:
            session = self._directory.route(recipient, reading=True)
            if session is None and not self.reaches(recipient):
                raise self._nobody(sender, recipient)
        nonce, now = self._new_id(MESSAGE), self._wall()
        lineage = self._conversations.place(nonce, sender.entity_id, recipient, in_reply_to)
        message_id = self._conversations.message_id(nonce, lineage, recipient)
        if session is not None and not (session.acknowledges or receipts or key is not None):
            content = agent_message(
                sender.entity_id,
                sender.entity_type,
                message,
                now,
                message_id,
                lineage.conversation_id,
                in_reply_to,
                lineage.hops,
            )
            limit = session.max_message_size
            if limit is not None and len(content) > limit:
                raise TooLarge(f"This message is {len(content)} bytes, and {recipient} takes {limit} at most")
            session.connection.send(content)
            self.sent += 1
            return Sent(message_id=message_id, status="sent", kept=False)
        letter = Letter(
            message_id=message_id,
            recipient=recipient,
            sender=sender.entity_id,
            sender_type=sender.entity_type,
            conversation_id=lineage.conversation_id,
            in_reply_to=in_reply_to,
            hops=lineage.hops,
            message=message,
            time=now,
            expires_at=self._mailboxes.now() + (self._ttl if ttl is None else ttl),
            receipts=receipts,
            key=key,
        )
        session = self._directory.route(recipient)
        if session is not None and (too_long := why_too_long(letter, session)) is not None:
            raise TooLarge(f"This message can't be sent, {too_long}")
        return self._mailboxes.put(letter, self._dates.before(self._key_window)).addCallback(self._kept)

    def resend(self, message_id: str) -> Deferred[bool]:
        """Send a dead letter once more, see L{cell0gw.agents.mail.returns.Returns.revive}."""
        return self._mailboxes.returns.revive(message_id, self._mailboxes.now() + self._ttl)

    def recall(self, sender: Sender, message_id: str) -> Deferred[Recalled]:
        """Take back what was not sent yet, see L{cell0gw.agents.mail.returns.Returns.recall}."""
        return self._mailboxes.returns.recall(sender, message_id)

    def reaches(self, recipient: str) -> bool:
        """Whether an id is known: it is here, has mail, had a session, or a token is for it, alone or with others."""
        known = recipient in self._directory or recipient in self._mailboxes or recipient in self._recipients
        return known or self._recipients.may_come(recipient)

    def reaches_some(self, pattern: str) -> bool:
        """Whether somebody is known whom a pattern of many covers."""
        return self._recipients.some(pattern)

    def near(self, sender: Sender, recipient: str) -> list[str]:
        """Existing ids that look like an unknown one, among those that a sender may write to and know of."""

        def shown(entity_id: str) -> bool:
            return sender.permissions.allow_on(SEND, entity_id) and sender.knows(SEND, entity_id)

        return self._recipients.near(recipient, shown)

    def _nobody(self, sender: Sender, recipient: str) -> NotFound:
        """The error for an id that nobody has, or whose bearer the sender may not know of."""
        return NotFound(f"Nobody is called {recipient}", near=self.near(sender, recipient))

    def _kept(self, kept: KeptLetter) -> Sent:
        if not kept.replayed:
            self.sent += kept.status == "sent"
            self.queued += kept.status == "queued"
        return Sent(message_id=kept.message_id, status=kept.status, kept=True, replayed=kept.replayed or UNSET)
