"""Conversations: which one a message belongs to, and when it goes in circles.

A reply names the message it replies to. Every reply is one hop further from the message that began it all; agents that
answer each other for ever are stopped by the number of hops, or by how fast they do it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from cell0gw.agents.message_ids import Lineage, MessageIds, root_of
from cell0gw.agents.pairs import Pairs
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.shares import Shared
from cell0gw.protocol.errors import LoopDetected, NotFound
from cell0gw.protocol.subjects import CAPABILITY

WINDOW: Final = 60.0
"""Seconds over which the messages of a conversation are counted."""

CIRCLE: Final = "all who could take the call wait for it"
"""The reason for which a call is refused that would wait for itself."""

CIRCLE_RETRY_MS: Final = 1000
"""Milliseconds after which it may be made again, if others that wait may be done by then."""

MAX_CONVERSATIONS: Final = 100_000
"""Maximum conversations counted at once; beyond it the entity that had most of them counted loses the oldest."""


class _Count:
    """The messages of a conversation since a moment; C{told}: whether the loop was reported."""

    __slots__ = ("messages", "since", "told")

    def __init__(self, since: float) -> None:
        self.since = since
        self.messages = 0
        self.told = False


@implementer(ISweeper)
class Conversations:
    """Places every message in its conversation.

    @param emit: C{emit(channel, type, data, about)} sends an event to those subscribers of its channel that see whom it
        is about.
    @param max_hops: maximum replies in a chain; 0: unlimited.
    @param rate: maximum replies of one conversation in L{WINDOW} seconds; 0: unlimited.
    @param find_call: gives the lineage of a running call by its id and by who has it; None: there is none.
    @ivar message_id: makes the id of a message, see L{MessageIds.message_id}.
    @ivar refused: how many messages were.
    """

    def __init__(
        self,
        clock: IReactorTime,
        emit: Callable[[str, str, Any, Sequence[str]], Any],
        max_hops: int,
        rate: int,
        find_call: Callable[[str, str], Lineage | None],
    ) -> None:
        self._clock = clock
        self._emit = emit
        self._max_hops = max_hops
        self._rate = rate
        self._pairs = Pairs(clock, rate)
        self._counts: Shared[str, _Count] = Shared()
        self.load(bytes(32))
        self._find_call = find_call
        self.refused = 0

    def load(self, key: bytes) -> None:
        """Set the key by which ids prove where they are from; called before any message is sent."""
        ids = MessageIds(key)
        self._read_id, self.message_id = ids.read, ids.message_id

    def place(self, nonce: str, sender: str, recipient: str, in_reply_to: str | None, dry: bool = False) -> Lineage:
        """Where a message belongs.

        @param nonce: of its id, for when it begins a conversation.
        @param in_reply_to: a message that its sender was sent, or a call that it has.
        @param dry: only ask; it is not counted.
        @raise NotFound: its sender was sent no such message.
        @raise LoopDetected: the conversation has gone on for too long, or goes on too fast.
        """
        lineage = root_of(nonce) if in_reply_to is None else self._reply(sender, recipient, in_reply_to, dry)
        if self._rate and not dry and self._pairs.wrote(sender, recipient, in_reply_to is None):
            reason = (
                f"more than {self._rate} messages between the two in a minute, and few of them say what they reply to"
            )
            self._tell(lineage, sender, recipient, reason)
        return lineage

    def _reply(self, sender: str, recipient: str, in_reply_to: str, dry: bool) -> Lineage:
        lineage = self._read_id(in_reply_to, sender) or self._find_call(in_reply_to, sender)
        if lineage is None:
            raise NotFound("in_reply_to names no message that was sent to you")
        lineage = Lineage(lineage.root, lineage.hops + 1, in_reply_to)
        if self._max_hops and lineage.hops > self._max_hops:
            raise self._loop(lineage, sender, recipient, f"more than {self._max_hops} hops", dry)
        if self._rate and not self._counted(lineage.root, sender, dry):
            reason = f"more than {self._rate} messages in a minute"
            raise self._loop(lineage, sender, recipient, reason, dry, retryable=True, retry_after_ms=int(WINDOW * 1000))
        return lineage

    def circle(self, lineage: Lineage, sender: str, recipient: str, hopeless: bool) -> LoopDetected:
        """The error of a call that would wait for itself.

        @param hopeless: whether it would do so whenever it is made.
        """
        more: dict[str, Any] = {} if hopeless else {"retryable": True, "retry_after_ms": CIRCLE_RETRY_MS}
        return self._loop(lineage, sender, recipient, CIRCLE, dry=False, **more)

    def _counted(self, root: str, sender: str, dry: bool) -> bool:
        """Count one more message of a conversation, if it may have one more."""
        if dry:
            count = self._counts.get(root)
            return count is None or count.since <= self._clock.seconds() - WINDOW or count.messages < self._rate
        count = self._count(root, sender)
        if count.messages >= self._rate:
            return False
        count.messages += 1
        return True

    def _count(self, root: str, sender: str) -> _Count:
        now = self._clock.seconds()
        count = self._counts.get(root)
        if count is None or count.since <= now - WINDOW:
            count = _Count(now)
            self._counts.put(root, count, sender, MAX_CONVERSATIONS)
        return count

    def sweep(self) -> None:
        """See L{ISweeper}: drop expired counters."""
        self._pairs.sweep()
        before = self._clock.seconds() - WINDOW
        while (oldest := self._counts.oldest()) is not None and oldest[1].since <= before:
            self._counts.pop(oldest[0])

    def _loop(self, lineage: Lineage, sender: str, recipient: str, reason: str, dry: bool, **more: Any) -> LoopDetected:
        data = {"conversation_id": lineage.conversation_id, "hops": lineage.hops}
        if not dry:
            self.refused += 1
            count = self._count(lineage.root, sender)
            if not count.told:  # once in a window: agents in a loop don't listen
                count.told = True
                self._tell(lineage, sender, recipient, reason)
        return LoopDetected(f"The conversation goes in circles: {reason}", **data, **more)

    def _tell(self, lineage: Lineage, sender: str, recipient: str, reason: str) -> None:
        about = (sender,) if recipient.startswith(CAPABILITY) else (sender, recipient)
        data = {"conversation_id": lineage.conversation_id, "hops": lineage.hops, "from": sender}
        self._emit("$system", "agent.loop", {**data, "agent_id": recipient, "reason": reason}, about)
