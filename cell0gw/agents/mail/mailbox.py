"""One mailbox: what was sent of it, and what is still to be acknowledged."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from msgspec import Raw
from twisted.internet.interfaces import IReactorTime

from cell0gw.agents.mail.store import Letter
from cell0gw.presence.directory import Directory
from cell0gw.protocol import jsonrpc
from cell0gw.protocol.notifications import AgentMessage
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.session import Session

WINDOW: Final = 256
"""Maximum messages that a recipient has not acknowledged yet; further ones wait."""


class Mailbox:
    """What waits for one recipient.

    @ivar sent: the sequence up to which its letters were sent.
    @ivar behind: whether the disk may have some beyond that.
    @ivar reading: whether it is being asked for them.
    @ivar unacknowledged: what was sent and is to be acknowledged: sequence and session, by message id.
    """

    __slots__ = ("_directory", "behind", "reading", "recipient", "sent", "unacknowledged")

    def __init__(self, recipient: str, directory: Directory, behind: bool = False) -> None:
        self.recipient = recipient
        self._directory = directory
        self.sent = 0
        self.behind = behind
        self.reading = False
        self.unacknowledged: dict[str, tuple[int, Session]] = {}

    @property
    def room(self) -> int:
        """How many more messages may be sent before one must be acknowledged."""
        return WINDOW - len(self.unacknowledged)

    def taker(self) -> Session | None:
        """The session that can take one more letter; None: there is none."""
        session = self._directory.route(self.recipient, reading=True)
        if session is not None and session.acknowledges and self.room <= 0:
            return None
        return session

    def send(self, letter: Letter, session: Session) -> None:
        """Send a letter, the next one or one that was sent before."""
        session.connection.send(message_of(letter))
        if letter.message_id not in self.unacknowledged:
            self.sent = letter.sequence
        if session.acknowledges:
            self.unacknowledged[letter.message_id] = (letter.sequence, session)

    def lost(self, session: Session) -> list[str]:
        """Called when a session is gone: what it has not acknowledged is to be sent once more.

        @return: the ids of those messages.
        """
        back = {name: sequence for name, (sequence, to) in self.unacknowledged.items() if to is session}
        for message_id in back:
            del self.unacknowledged[message_id]
        if back:
            self.sent = min(self.sent, min(back.values()) - 1)
            self.behind = True
        return list(back)


def message_of(letter: Letter) -> bytes:
    """A letter as it is sent."""
    return agent_message(
        letter.sender,
        letter.sender_type,
        letter.message,
        letter.time,
        letter.message_id,
        letter.conversation_id,
        letter.in_reply_to,
        letter.hops,
    )


def agent_message(
    sender: str,
    sender_type: str,
    message: bytes,
    time: float,
    message_id: str,
    conversation_id: str,
    in_reply_to: str | None,
    hops: int,
) -> bytes:
    """A directed message as it is sent.

    @param message: JSON, what the sender says.
    @param time: when it was sent, in seconds since the epoch.
    """
    content = AgentMessage(
        sender=sender,
        sender_type=sender_type,
        message=Raw(message),
        timestamp=timestamp(time),
        message_id=message_id,
        conversation_id=conversation_id,
        in_reply_to=in_reply_to,
        hops=hops,
    )
    return jsonrpc.notification("agent.message", content)


RESEND_AFTER: Final = 30.0
"""Seconds after which a message that was not acknowledged is sent again."""


class Resends:
    """Messages of all mailboxes, those that were sent longest ago first."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._sent: OrderedDict[str, tuple[Mailbox, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sent)

    def sent(self, message_id: str, box: Mailbox) -> None:
        """Note that a message was sent now."""
        self._sent[message_id] = (box, self._clock.seconds())
        self._sent.move_to_end(message_id)

    def forget(self, message_id: str) -> None:
        """Forget a message that need not be sent again."""
        del self._sent[message_id]

    def due(self) -> dict[Mailbox, list[str]]:
        """What is to be sent again now, in the order in which it was sent; it counts as sent."""
        before = self._clock.seconds() - RESEND_AFTER
        found: dict[Mailbox, list[str]] = {}
        while self._sent:
            message_id, (box, sent) = next(iter(self._sent.items()))
            if sent > before:
                break
            self.sent(message_id, box)
            found.setdefault(box, []).append(message_id)
        return found

    def hasten(self, message_ids: Iterable[str]) -> None:
        """Make messages due next that were not sent after all."""
        for message_id in reversed([name for name in message_ids if name in self._sent]):
            self._sent[message_id] = (self._sent[message_id][0], -math.inf)
            self._sent.move_to_end(message_id, last=False)
