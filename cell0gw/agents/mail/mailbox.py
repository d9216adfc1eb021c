"""One mailbox: what was sent of it, and who has what of that."""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from cell0gw.agents.mail.store import Letter
from cell0gw.presence.directory import Directory
from cell0gw.protocol import jsonrpc
from cell0gw.protocol.notifications import AgentMessage
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.session import Session

WINDOW: Final = 256
"""Maximum messages that a recipient has not acknowledged yet; further ones wait."""


class Lease:
    """A letter that was brought, and is to be acknowledged.

    @ivar sequence: its number; 0: it is not known.
    @ivar holder: the session that has it; None: none has, it rests for a while.
    @ivar begun: whether its work has begun, as its holder has said.
    @ivar size: its bytes.
    @ivar pulled: for how many seconds at a time it was pulled, by whichever session; 0: it was not.
    """

    __slots__ = ("begun", "holder", "pulled", "sequence", "size")

    def __init__(self, sequence: int, size: int) -> None:
        self.sequence = sequence
        self.size = size
        self.holder: Session | None = None
        self.begun = False
        self.pulled = 0.0


class Mailbox:
    """What waits for one recipient.

    @ivar sent: the sequence up to which its letters were sent.
    @ivar behind: whether the disk may have some beyond that.
    @ivar reading: whether it is being asked for them.
    @ivar leases: what was sent and is to be acknowledged, by message id.
    @ivar withheld: the ids of what is not to be sent, as its sender is taking it back.
    """

    __slots__ = ("_directory", "_held", "_out", "behind", "leases", "reading", "recipient", "sent", "withheld")

    def __init__(self, recipient: str, directory: Directory, behind: bool = False) -> None:
        self.recipient = recipient
        self._directory = directory
        # How many letters each session has, and all together.
        self._held: dict[Session, int] = {}
        self._out = 0
        self.sent = 0
        self.behind = behind
        self.reading = False
        self.leases: dict[str, Lease] = {}
        self.withheld: set[str] = set()

    def room(self, session: Session) -> int:
        """How many more messages a session may be sent before it must acknowledge one."""
        return min(self.free, session.mail.window - self._held.get(session, 0))

    @property
    def free(self) -> int:
        """How many more messages may be out before one must be acknowledged."""
        return WINDOW - self._out

    def taker(self, lease: Lease | None = None) -> Session | None:
        """The session that can take one more letter; None: there is none.

        @param lease: of a letter that is sent again; its holder has room for it.
        """
        for session in self._directory.takers(self.recipient):
            if not session.acknowledges or self.room(session) > 0 or (lease is not None and lease.holder is session):
                return session
        return None

    def send(self, letter: Letter, session: Session) -> None:
        """Send a letter, the next one or one that was sent before."""
        session.connection.send(message_of(letter))
        lease = self.leases.get(letter.message_id)
        if lease is None:
            self.sent = letter.sequence
        if session.acknowledges:
            lease = lease or Lease(letter.sequence, len(letter.message))
            self.hold(letter.message_id, lease, session)

    def pull(self, message_id: str, sequence: int, size: int, seconds: float) -> None:
        """A session has a letter by asking for it, and whether it stays or not makes no difference to that."""
        lease = self.leases.get(message_id) or Lease(sequence, size)
        self._let_go(lease)
        self.leases[message_id] = lease
        lease.holder, lease.begun, lease.pulled = None, True, seconds
        self._out += 1

    def begin(self, message_id: str, session: Session) -> None:
        """A session says that it is at the work of a letter, wherever that was: it has it from now on."""
        lease = self.leases.get(message_id) or Lease(0, 0)
        self.hold(message_id, lease, session)
        lease.begun = True

    def hold(self, message_id: str, lease: Lease, holder: Session | None) -> None:
        """Let a session have a letter; None: nobody."""
        self._let_go(lease)
        self.leases[message_id] = lease
        lease.holder, lease.begun = holder, False
        if holder is not None:
            self._held[holder] = self._held.get(holder, 0) + 1
            self._out += 1

    def forget(self, message_id: str) -> bool:
        """Forget a letter.

        @return: whether anybody had.
        """
        lease = self.leases.pop(message_id, None)
        if lease is not None:
            self._let_go(lease)
        return lease is not None

    def of(self, session: Session) -> dict[str, Lease]:
        """What a session has, by message id."""
        if session not in self._held:
            return {}
        return {message_id: lease for message_id, lease in self.leases.items() if lease.holder is session}

    def give_back(self, message_ids: list[str]) -> None:
        """These letters are to be brought once more, in their order."""
        for message_id in message_ids:
            self.sent = min(self.sent, self.leases[message_id].sequence - 1)
            self.behind = True
            self.forget(message_id)

    def pass_on(self, session: Session) -> None:
        """What a session has begun goes on by the one that has resumed it, the newest of those that acknowledge."""
        for message_id, lease in self.of(session).items():
            for other in self._directory.takers(self.recipient):
                if other.acknowledges:
                    self.hold(message_id, lease, other)
                    lease.begun = True
                break

    def _let_go(self, lease: Lease) -> None:
        holder = lease.holder
        if lease.pulled:
            lease.pulled = 0.0
            self._out -= 1
        elif holder is not None:
            self._held[holder] -= 1
            self._out -= 1
            if not self._held[holder]:
                del self._held[holder]


def message_of(letter: Letter) -> bytes:
    """A letter as it is sent."""
    return jsonrpc.notification("agent.message", content_of(letter))


def content_of(letter: Letter) -> AgentMessage:
    """A letter as its recipient sees it."""
    return AgentMessage(
        sender=letter.sender,
        sender_type=letter.sender_type,
        message=Raw(letter.message),
        timestamp=timestamp(letter.time),
        message_id=letter.message_id,
        conversation_id=letter.conversation_id,
        in_reply_to=letter.in_reply_to,
        hops=letter.hops,
        attempt=letter.attempts + 1,
    )


def why_too_long(letter: Letter, session: Session) -> str | None:
    """Why a session can't be sent a letter, by what its client says that it takes; None: it can."""
    limit = session.max_message_size
    size = 0 if limit is None else len(message_of(letter))
    return None if limit is None or size <= limit else f"it is {size} bytes, and its recipient takes {limit} at most"


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
    """A directed message as it is sent for the first time.

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
        attempt=1,
    )
    return jsonrpc.notification("agent.message", content)
