"""How long messages are retained: what is too old is forgotten, and so are channels that have nothing left."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from cell0gw.channels.channel import Channel, Patterns
from cell0gw.channels.history import IBudgetObserver
from cell0gw.channels.store import IMessageStore
from cell0gw.process.failures import reported_already
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.subjects import covers
from cell0gw.sessions.session import Session

PURGE_EVERY: Final = 60.0
"""Seconds between two purges of what is too old on disk."""


class _Channels(Protocol):
    """What is asked of the channels."""

    def __iter__(self) -> Iterator[Channel]: ...

    def get(self, name: str) -> Channel | None: ...

    def drop_if_idle(self, channel: Channel, at_once: bool = False) -> bool: ...


@implementer(ISweeper, IBudgetObserver)
class Retention:
    """Looks at each channel when its oldest message is too old, and at none before."""

    def __init__(self, clock: IReactorTime, channels: _Channels) -> None:
        self._clock = clock
        self._channels = channels
        self._due: list[tuple[float, str]] = []

    def watch(self, channel: Channel) -> None:
        """Look at a channel once its oldest message is too old."""
        when = channel.history.expires_at()
        if when is None:
            when = channel.last_used + channel.rule.history_ttl
        channel.due = max(when, self._clock.seconds() + 1)
        heapq.heappush(self._due, (channel.due, channel.name))

    def sweep(self) -> None:
        """See L{ISweeper}: look at those whose time has come."""
        now = self._clock.seconds()
        while self._due and self._due[0][0] <= now:
            when, name = heapq.heappop(self._due)
            channel = self._channels.get(name)
            if channel is not None and channel.due == when:  # else it was about another one of that name
                channel.due = 0.0
                channel.history.trim(now)
                if not self._channels.drop_if_idle(channel):
                    self.watch(channel)

    def history_emptied(self, name: str) -> None:
        """See L{IBudgetObserver}."""
        channel = self._channels.get(name)
        if channel is not None and channel.stored_oldest is None:
            self._channels.drop_if_idle(channel, at_once=True)


@implementer(ISweeper)
class DiskRetention:
    """Has the store forget what is too old, or too much.

    @param key_window: seconds for which idempotency keys are remembered.
    """

    def __init__(self, channels: _Channels, store: IMessageStore, runtime: Runtime, key_window: float) -> None:
        self._clock = runtime.clock
        self._dates = runtime.dates
        self._channels = channels
        self._store = store
        self._key_window = key_window
        self._next = -math.inf

    def sweep(self) -> None:
        """See L{ISweeper}: ask it to, now and then."""
        now = self._clock.seconds()
        if now < self._next:
            return
        self._next = now + PURGE_EVERY
        too_old = {
            c.name: self._dates.before(c.rule.history_ttl) for c in self._channels if c.stored_oldest is not None
        }
        # Without such channels, too: the keys of those that are gone must go.
        purging = self._store.purge(too_old, self._dates.before(self._key_window))
        purging.addCallback(self._purged).addErrback(reported_already)  # tried again

    def _purged(self, changed: dict[str, int]) -> None:
        for name, oldest in changed.items():
            channel = self._channels.get(name)
            if channel is not None and channel.stored_oldest is not None:
                channel.stored_oldest = max(channel.stored_oldest, oldest)


def mark_lost(name: str, away: Mapping[Session, list[str]], patterns: Patterns | None) -> None:
    """A channel is gone: detached sessions can't recover it by a pattern any more, and are told so on resuming.

    @param away: detached sessions, and their patterns.
    @param patterns: those of all sessions, if the channel's last message may be on its way still to one whose
        connection is broken already; else None.
    """
    for session, own in away.items():
        session.lost.update(pattern for pattern in own if covers(pattern, name))
    for group in () if patterns is None else patterns.match(name):
        for session, subscription in group.items():
            session.lost.add(subscription.name)
