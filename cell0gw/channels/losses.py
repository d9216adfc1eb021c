"""Channels that came to their end while subscribers by a pattern were away: those can't recover them any more."""

from __future__ import annotations

from cell0gw.channels.channel import Patterns
from cell0gw.sessions.session import Session


class Losses:
    """Under which patterns a channel is gone. It is noted once for a pattern, however many are subscribed to it.

    @param patterns: the subscriptions to patterns, of all sessions.
    @param unheard: maximum seconds for which a connection may be broken without anyone knowing.
    @ivar count: how many channels are gone.
    """

    def __init__(self, patterns: Patterns, unheard: float) -> None:
        self._patterns = patterns
        self._unheard = unheard
        self.count = 0
        # Those who are waited for, and how many channels were gone when their connection broke.
        self._away: dict[Session, int] = {}

    def leave(self, session: Session) -> None:
        """Called when a session is detached."""
        self._away[session] = self.count

    def forget(self, session: Session) -> None:
        """Called when a session is closed."""
        self._away.pop(session, None)

    def add(self, name: str, silent: float) -> None:
        """A channel is gone.

        @param silent: seconds since its last message. While connections may be broken without anyone knowing, that
            may be on its way still to one of them: then those lose it as well who are detached only now.
        """
        self.count += 1
        for group in self._patterns.match(name):
            group.lost = self.count
            if silent < self._unheard:
                group.lost_unheard = self.count

    def has(self, session: Session, pattern: str) -> bool:
        """Whether a channel under a pattern is gone that a session can't have had to its end.

        @param pattern: one that it is subscribed to.
        """
        group = self._patterns.get(pattern)
        assert group is not None
        return group.lost > self._away.get(session, self.count) or group.lost_unheard > group[session].losses
