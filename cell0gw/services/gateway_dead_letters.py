"""What C{gateway} has of dead letters: they are shown, sent again, and discarded."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw

from cell0gw.agents.agents import Agents
from cell0gw.agents.mail.store import DeadLetter
from cell0gw.monitoring.audit import Audit
from cell0gw.protocol.errors import InvalidParams, NotFound
from cell0gw.protocol.limits import MAX_PAGE
from cell0gw.protocol.subjects import Name
from cell0gw.protocol.timestamps import timestamp
from cell0gw.rpc.access import permission
from cell0gw.sessions.session import Caller

DEAD: Final = "gateway.getDeadLetters"
RESEND: Final = "gateway.resend"
DISCARD: Final = "gateway.discard"

PageSize = Annotated[int, Meta(ge=1, le=MAX_PAGE)]
Id = Annotated[str, Meta(min_length=1, max_length=200)]


# Beside DeadLetter, since dates are text on the wire, and the message is JSON there.
class DeadMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter.

    - `message_id`: the message
    - `from`: the sender
    - `agent_id`: the recipient
    - `message`: as it was sent
    - `timestamp`: when it was sent
    - `conversation_id`: the conversation that it belongs to
    - `status`: `expired`, or `failed` if the recipient rejected it
    - `ended_at`: when
    - `detail`: why, or null
    """

    message_id: str
    sender: str = msgspec.field(name="from")
    agent_id: str
    message: Raw
    timestamp: str
    conversation_id: str
    status: str
    ended_at: str
    detail: str | None


class DeadLetters(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters.

    - `messages`: the messages, newest first, about 1 MiB at most; none: there are no older ones
    - `total`: how many there are in all, which may be more than are shown
    """

    messages: list[DeadMessage]
    total: int


class Resent(msgspec.Struct, frozen=True, kw_only=True):
    """The message waits for its recipient once more.

    - `success`: true
    - `message_id`: the message, the same as before
    - `agent_id`: the recipient
    """

    success: bool = True
    message_id: str
    agent_id: str


class Discarded(msgspec.Struct, frozen=True, kw_only=True):
    """The messages are dead letters no longer.

    - `success`: true
    - `discarded`: how many they are
    """

    success: bool = True
    discarded: int


class DeadLetterMethods:
    """Undeliverable messages, for operators."""

    def __init__(self, agents: Agents, audit: Audit) -> None:
        self._mail = agents.mail
        self._archive = agents.archive
        self._audit = audit

    @permission(resource="agent_id", optional=True)
    def rpc_getDeadLetters(
        self, caller: Caller, *, agent_id: Name | None = None, limit: PageSize = 100, before: Id | None = None
    ) -> Awaitable[DeadLetters]:
        """List undeliverable messages: those that expired, those that their recipient rejected, and those of which too
        many attempts failed.

        A message was rejected if its first acknowledgement was `failed`, or if it is longer than the recipient's client
        takes. They are kept for 7 days, see docs/protocol.md#what-waits-too-long. A permission with a pattern shows
        those to recipients that it covers.

        - `agent_id`: only those to this recipient; null: all
        - `limit`: maximum messages
        - `before`: the `message_id` of the last message of the page before: only older ones; null: from the newest on
        - `not_found`: nothing is known of the message `before` any more
        - `unavailable`: the disk could not be read
        """
        assert caller.principal is not None
        # Who may see all has no need of being asked for each.
        everything = caller.principal.permissions.allow_any(DEAD) and caller.sight.everyone
        shown = None if everything else partial(caller.reaches, DEAD)
        return self._archive.dead(agent_id, limit, shown, before).addCallback(_dead_letters)

    @permission(resource="agent_id", optional=True)
    async def rpc_resend(self, caller: Caller, *, message_id: Id, agent_id: Name | None = None) -> Resent:
        """Send a dead letter once more, as its sender's, with the same `message_id`.

        It waits in its mailbox as a new one does, for as long as the operator says and for as many attempts. Receipts
        go on with `queued`. A permission with a pattern reaches those to recipients that it covers. It is in the audit
        log.

        - `message_id`: the message
        - `agent_id`: its recipient; null: whichever it is
        - `not_found`: there is no such dead letter, or its text is no longer kept
        - `unavailable`: the disk could not be written
        """
        recipient = await self._recipient(caller, RESEND, message_id, agent_id)
        if not await self._mail.resend(message_id):
            raise _not_found()
        self._audit.record("mail.resent", caller, message_id=message_id, agent_id=recipient)
        return Resent(message_id=message_id, agent_id=recipient)

    @permission(resource="agent_id", optional=True)
    async def rpc_discard(
        self, caller: Caller, *, message_id: Id | None = None, agent_id: Name | None = None
    ) -> Discarded:
        """Discard a dead letter, or all those to a recipient. What became of them is known still; the texts are gone.

        Exactly one of the params is given. A permission with a pattern reaches those to recipients that it covers. It
        is in the audit log.

        - `message_id`: the message
        - `agent_id`: the recipient
        - `not_found`: there is no such dead letter
        - `invalid_params`: both or none of the params are given
        - `unavailable`: the disk could not be written
        """
        if (message_id is None) == (agent_id is None):
            raise InvalidParams("Invalid params: either message_id or agent_id")
        if message_id is not None:
            recipient = await self._recipient(caller, DISCARD, message_id, None)
        else:
            assert agent_id is not None
            recipient = agent_id
            if not caller.reaches(DISCARD, recipient):  # nor does it learn how many there are
                return Discarded(discarded=0)
        total, more = 0, True
        try:
            while more:
                count, more = await self._archive.discard(message_id, agent_id)
                total += count
        finally:  # if the disk fails on the way, some are gone all the same
            if total or (agent_id is not None and not more):
                self._audit.record("mail.discarded", caller, message_id=message_id, agent_id=recipient, discarded=total)
        if message_id is not None and not total:
            raise _not_found()
        return Discarded(discarded=total)

    async def _recipient(self, caller: Caller, method: str, message_id: str, agent_id: str | None) -> str:
        """To whom a message is that a method is called for.

        @param agent_id: whom the caller says; None: it does not say.
        @raise NotFound: it is to another one, or to one that the caller's permissions don't cover.
        """
        delivery = await self._archive.delivery(message_id)
        if delivery is None or agent_id not in (None, delivery.recipient):
            raise _not_found()
        if not caller.reaches(method, delivery.recipient):
            raise _not_found()
        return delivery.recipient


def _not_found() -> NotFound:
    return NotFound("There is no such dead letter, or its text is no longer kept")


def _dead_letters(found: tuple[list[DeadLetter], int]) -> DeadLetters:
    dead, total = found
    return DeadLetters(
        messages=[
            DeadMessage(
                message_id=one.letter.message_id,
                sender=one.letter.sender,
                agent_id=one.letter.recipient,
                message=Raw(one.letter.message),
                timestamp=timestamp(one.letter.time),
                conversation_id=one.letter.conversation_id,
                status=one.status,
                ended_at=timestamp(one.time),
                detail=one.detail,
            )
            for one in dead
        ],
        total=total,
    )
