"""What became of messages: it is known for a while after they are over, and longer if they were undeliverable."""

from __future__ import annotations

import math
from typing import Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cell0gw.agents.mail.recipients import DAY, FORGET_AFTER, MAX_HOLDERS
from cell0gw.agents.mail.store import DeadLetter, Delivery, IMailStore
from cell0gw.process.failures import reported_already
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.runtime import Runtime

KEEP_OVER: Final = DAY
"""Seconds for which it is known what became of a message that is over."""

KEEP_DEAD: Final = 7 * DAY
"""Seconds for which an undeliverable message is kept."""

MAX_OVER: Final = 100_000
"""Maximum number of messages that are over and known."""

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

    def dead(self, recipient: str | None, limit: int) -> Deferred[tuple[list[DeadLetter], int]]:
        """The undeliverable messages, newest first, and how many there are."""
        return self._store.dead(recipient, limit)

    def sweep(self) -> None:
        """See L{ISweeper}: have the store forget what is long over, now and then."""
        now = self._clock.seconds()
        if now >= self._next_purge:
            self._next_purge = now + PURGE_EVERY
            over, dead, seen = map(self._dates.before, (KEEP_OVER, KEEP_DEAD, FORGET_AFTER))
            purging = self._store.purge(over, dead, MAX_OVER, seen, MAX_HOLDERS)
            purging.addErrback(reported_already)  # tried again
