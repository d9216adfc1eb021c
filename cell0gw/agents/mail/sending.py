"""Directed messages: to one entity, at once if nothing stands in the way, else by its mailbox."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType
from twisted.internet.defer import Deferred

from cell0gw.agents.conversations import Conversations
from cell0gw.agents.mail.delivery import Mailboxes
from cell0gw.agents.mail.mailbox import agent_message
from cell0gw.agents.mail.recipients import Recipients
from cell0gw.agents.mail.store import KeptLetter, Letter
from cell0gw.agents.message_ids import MESSAGE
from cell0gw.auth.permissions import Permissions
from cell0gw.presence.directory import Directory
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import NotFound
from cell0gw.protocol.keys import Key
from cell0gw.protocol.limits import MailLimits
from cell0gw.sessions.session import Sender


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The message was accepted. `status` is sent if it goes to a live session of the agent, queued if it waits for one.

    `replayed` is true if an earlier request had the same idempotency key; else it is absent.
    """

    success: bool = True
    message_id: str
    status: str
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
        limits: MailLimits,
        runtime: Runtime,
    ) -> None:
        self._directory = directory
        self._recipients = recipients
        self._conversations = conversations
        self._mailboxes = mailboxes
        self._wall = runtime.wall
        self._dates = runtime.dates
        self._new_id = runtime.new_id
        self._ttl = limits.mail_ttl
        self._key_window = limits.idempotency_window
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
        @raise NotFound: the id is unknown, or C{in_reply_to} names nothing; the suggestions are in C{near}.
        @raise LoopDetected: the conversation goes in circles.
        @raise RateLimited: too much mail waits.
        """
        session = None
        if recipient not in self._mailboxes:
            session = self._directory.route(recipient, reading=True)
            if session is None and not self.reaches(recipient):
                raise NotFound(f"Nobody is called {recipient}", near=self.near(recipient, sender.permissions))
        nonce, now = self._new_id(MESSAGE), self._wall()
        lineage = self._conversations.place(nonce, sender.entity_id, recipient, in_reply_to)
        message_id = self._conversations.message_id(nonce, lineage, recipient)
        if session is not None and not (session.acknowledges or receipts or key is not None):
            session.connection.send(
                agent_message(
                    sender.entity_id,
                    sender.entity_type,
                    message,
                    now,
                    message_id,
                    lineage.conversation_id,
                    in_reply_to,
                    lineage.hops,
                )
            )
            self.sent += 1
            return Sent(message_id=message_id, status="sent")
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
        return self._mailboxes.put(letter, self._dates.before(self._key_window)).addCallback(self._kept)

    def reaches(self, recipient: str) -> bool:
        """Whether an id is known: it is here, it has mail, a token names it, or it had a session."""
        return recipient in self._directory or recipient in self._mailboxes or recipient in self._recipients

    def near(self, recipient: str, permissions: Permissions) -> list[str]:
        """Existing ids that look like an unknown one, among those that these permissions allow to write to."""
        return self._recipients.near(recipient, lambda entity_id: permissions.allow_on("agent.send", entity_id))

    def _kept(self, kept: KeptLetter) -> Sent:
        if not kept.replayed:
            self.sent += kept.status == "sent"
            self.queued += kept.status == "queued"
        return Sent(message_id=kept.message_id, status=kept.status, replayed=kept.replayed or UNSET)
