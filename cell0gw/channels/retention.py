"""How long messages are retained: what is too old is forgotten, and so are channels that have nothing left."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.channels.budget import IBudgetObserver
from cell0gw.channels.channel import Channel
from cell0gw.channels.losses import Losses
from cell0gw.channels.registry import Registry
from cell0gw.channels.store import IMessageStore
from cell0gw.process.clocks import MAX_STEPS
from cell0gw.process.failures import reported_already
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.runtime import Runtime

PURGE_EVERY: Final = 60.0
"""Seconds between two purges of what is too old on disk."""

RETURN: Final = 3600.0
"""Maximum seconds after a start for which a durable channel is kept whose messages were all too old already."""

MAX_STALE: Final = 1000
"""How many looks at channels that are gone may be remembered, beside as many as there are channels."""


class _Channels(Protocol):
    """What is asked of the channels."""

    def __iter__(self) -> Iterator[Channel]: ...

    def get(self, name: str) -> Channel | None: ...


@implementer(ISweeper, IBudgetObserver)
class Retention:
    """Looks at each channel when its oldest message is too old, and at none before.

    @param store: has the channels that are durable.
    @param losses: is told of each channel that is gone.
    @param tell: called with the type of an event and a channel's name, when that is gone.
    """

    def __init__(
        self,
        clock: IReactorTime,
        channels: Registry,
        store: IMessageStore,
        losses: Losses,
        tell: Callable[[str, str], object],
    ) -> None:
        self._clock = clock
        self._channels = channels
        self._store = store
        self._losses = losses
        self._tell = tell
        self._due: list[tuple[float, str]] = []

    def watch(self, channel: Channel) -> None:
        """Look at a channel once its oldest message is too old."""
        when = channel.history.expires_at()
        if when is None:
            if channel.subscribers and self._clock.seconds() - channel.idle_since >= channel.rule.history_ttl:
                channel.due = 0.0  # until its last subscriber goes, or it has something again
                return
            when = channel.idle_since + channel.rule.history_ttl
        self._look_at(channel, max(when, self._clock.seconds() + 1))

    def loaded(self, channel: Channel) -> None:
        """Called with a channel that the store kept: those who were subscribed to it may come back."""
        some = channel.rule.history_ttl
        if channel.history.newest:
            some = min(some, RETURN)
        channel.left_at = self._clock.seconds() + some - channel.rule.history_ttl
        self.watch(channel)

    def left(self, channel: Channel) -> None:
        """Called when a subscriber has gone: without any the channel is kept for a while, for those who come back."""
        if not channel.subscribers:
            channel.left_at = self._clock.seconds()
            if not self.drop_if_idle(channel) and not channel.due:
                self.watch(channel)

    def drop_if_idle(self, channel: Channel, at_once: bool = False) -> bool:
        """Forget a channel that has no subscribers and retains no messages.

        @param at_once: not only when nobody has used it for as long as it would retain something.
        @return: whether it is gone.
        """
        history = channel.history
        if channel.subscribers or len(history) or self._channels.get(channel.name) is not channel:
            return False
        now = self._clock.seconds()
        stored = channel.stored_oldest is not None and history.newest > 0
        # What counts for nothing had to make room for others: it is there for its subscribers alone.
        at_once = at_once or (history.released and not stored)
        if now - channel.idle_since < channel.rule.history_ttl and not at_once:
            return False
        if channel.stored_oldest is not None:
            self._store.drop(channel.name, history.newest).addErrback(reported_already)  # tried again
        self._channels.remove(channel)
        history.release()
        if history.newest:  # else nobody can have missed anything
            self._losses.add(channel.name, now - channel.last_used)
        self._tell("channel.removed", channel.name)
        return True

    def sweep(self) -> None:
        """See L{ISweeper}: look at those whose time has come."""
        now = self._clock.seconds()
        while self._due and self._due[0][0] <= now:
            when, name = heapq.heappop(self._due)
            channel = self._channels.get(name)
            if channel is not None and channel.due == when:  # else it was about another one of that name
                channel.due = 0.0
                channel.history.trim(now)
                if not self.drop_if_idle(channel):
                    self.watch(channel)
        if len(self._due) > 2 * len(self._channels) + MAX_STALE:
            self._due = [(channel.due, channel.name) for channel in self._channels if channel.due]
            heapq.heapify(self._due)

    def history_emptied(self, name: str) -> None:
        """See L{IBudgetObserver}."""
        channel = self._channels.get(name)
        if channel is None:
            return
        if channel.stored_oldest is None:
            self.drop_if_idle(channel, at_once=True)
        elif not channel.history.newest:
            # At the next sweep, since it is on disk: nothing can be written while channels are loaded.
            self._look_at(channel, self._clock.seconds())

    def _look_at(self, channel: Channel, when: float) -> None:
        channel.due = when
        heapq.heappush(self._due, (when, channel.name))


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
        # The spans of dates of this process: from when to when, and how far the clock was set forward since.
        self._spans: deque[tuple[float, float, float]] = deque(maxlen=MAX_STEPS)
        self._began = self._dates.lasting()
        self._redated = True
        self._dates.stepped.append(self._stepped)

    def sweep(self) -> None:
        """See L{ISweeper}: ask it to, now and then."""
        now = self._clock.seconds()
        if now < self._next:
            return
        self._next = now + PURGE_EVERY
        self._store.note(self._dates.trusted()).addErrback(reported_already)  # noted again
        if not self._redated:
            self._redate()
        too_old = {
            c.name: self._dates.before(c.rule.history_ttl)
            for c in self._channels
            if c.stored_oldest is not None and c.history.newest
        }
        # Without such channels, too: the keys of those that are gone must go.
        purging = self._store.purge(too_old, self._dates.before(self._key_window))
        purging.addCallback(self._purged).addErrback(reported_already)  # tried again

    def _stepped(self, seconds: float) -> None:
        """The wall clock was set: what is stored bears dates of before."""
        now = self._dates.lasting()
        spans = [(first, last, further + seconds) for first, last, further in self._spans]
        self._spans = deque([*spans, (self._began, now - seconds, seconds)], MAX_STEPS)
        self._began = now
        self._redate()

    def _redate(self) -> None:
        self._redated = True
        for span in self._spans:
            self._store.redate(*span).addErrback(self._not_redated)

    def _not_redated(self, failure: Failure) -> None:
        self._redated = False  # tried again
        reported_already(failure)

    def _purged(self, changed: dict[str, int]) -> None:
        for name, oldest in changed.items():
            channel = self._channels.get(name)
            if channel is not None and channel.stored_oldest is not None:
                channel.stored_oldest = max(channel.stored_oldest, oldest)
