"""What became of messages: it is known for a while after they are over, and longer if they were undeliverable."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cell0gw.agents.mail.receipts import SEND, receipt_of
from cell0gw.agents.mail.recipients import DAY, FORGET_AFTER, MAX_HOLDERS
from cell0gw.agents.mail.status import DeliveryStatus
from cell0gw.agents.mail.store import DeadLetter, Delivery, IMailStore
from cell0gw.process.failures import reported_already
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import NotFound
from cell0gw.protocol.notifications import AgentReceipt
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.session import Sender

KEEP_OVER: Final = DAY
"""Seconds for which it is known what became of a message that is over."""

KEEP_DEAD: Final = 7 * DAY
"""Seconds for which an undeliverable message is kept."""

MAX_OVER: Final = 100_000
"""Maximum number of messages that are over and known."""

DISCARDED_AT_ONCE: Final = 1000
"""Maximum dead letters that are forgotten at once: others wait for the disk meanwhile."""

PURGE_EVERY: Final = 60.0
"""Seconds between two looks at what is long over."""


@implementer(ISweeper)
class Archive:
    """The messages that a store has taken down, with what became of them."""

    def __init__(self, store: IMailStore, runtime: Runtime) -> None:
        self._store = store
        self._clock = runtime.clock
        self._dates = runtime.dates
        self._next_purge = -math.inf

    def delivery(self, message_id: str) -> Deferred[Delivery | None]:
        """What became of a message; None if that was not written down, or is long ago."""
        return self._store.delivery(message_id)

    def dead(
        self,
        recipient: str | None,
        limit: int,
        shown: Callable[[str], bool] | None = None,
        before: str | None = None,
    ) -> Deferred[tuple[list[DeadLetter], int]]:
        """The undeliverable messages, newest first, and how many there are; see L{IMailStore.dead}.

        @raise NotFound: by the Deferred: nothing is known of C{before} any more.
        """
        return self._store.dead(recipient, limit, shown, before).addCallback(_known)

    def discard(self, message_id: str | None, recipient: str | None) -> Deferred[tuple[int, bool]]:
        """Forget an undeliverable message, or all those to a recipient, but no more than others can wait for.

        @return: how many, and whether there may be more.
        """
        discarding = self._store.discard(message_id, recipient, DISCARDED_AT_ONCE)
        return discarding.addCallback(lambda count: (count, count == DISCARDED_AT_ONCE))

    def sweep(self) -> None:
        """See L{ISweeper}: have the store forget what is long over, now and then."""
        now = self._clock.seconds()
        if now >= self._next_purge:
            self._next_purge = now + PURGE_EVERY
            over, dead, seen = map(self._dates.before, (KEEP_OVER, KEEP_DEAD, FORGET_AFTER))
            purging = self._store.purge(over, dead, MAX_OVER, seen, MAX_HOLDERS)
            purging.addErrback(reported_already)  # tried again


# Beside Delivery, since dates are text on the wire.
class DeliveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery status of a message.

    - `message_id`: the message
    - `agent_id`: the recipient
    - `from`: the sender
    - `status`: where it stands
    - `expires_at`: when it expires if it still waits
    - `receipts`: every status that it has reached, in order, whether the sender asked for receipts or not
    """

    message_id: str
    agent_id: str
    sender: str = msgspec.field(name="from")
    status: DeliveryStatus
    expires_at: str
    receipts: list[AgentReceipt]


def report_of(delivery: Delivery | None, reader: Sender) -> DeliveryReport:
    """A delivery, for one who may read of it.

    @param reader: who asks.
    @raise NotFound: it is neither the recipient nor the sender, or may not know of the recipient; or there is none.
    """
    own = reader.entity_id
    if delivery is None or not (
        own == delivery.recipient or (own == delivery.sender and reader.knows(SEND, delivery.recipient))
    ):
        raise NotFound("No message of yours with this id was kept, or it is long over")
    return DeliveryReport(
        message_id=delivery.message_id,
        agent_id=delivery.recipient,
        sender=delivery.sender,
        status=delivery.status,  # type: ignore[arg-type]
        expires_at=timestamp(delivery.expires_at),
        receipts=[receipt_of(receipt) for receipt in delivery.receipts],
    )


def _known(found: tuple[list[DeadLetter], int] | None) -> tuple[list[DeadLetter], int]:
    if found is None:
        raise NotFound("Nothing is known of this message any more: begin with the newest")
    return found
