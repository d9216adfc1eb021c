"""The ids that mail may be sent to: those in use, and those that had a session."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

from zope.interface import implementer

from cell0gw.agents.mail.store import IMailStore
from cell0gw.auth.credentials import Credentials
from cell0gw.process.failures import reported_already
from cell0gw.protocol.subjects import beginning, covers
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session

MAX_HOLDERS: Final = 100_000
"""Maximum ids that are remembered; the least recently used are forgotten first."""

MAX_LOOKED: Final = 10_000
"""Maximum ids that are compared with a pattern."""

DAY: Final = 86_400.0

FORGET_AFTER: Final = 30 * DAY
"""Seconds without a session after which an id that no token names is forgotten."""


@implementer(ISessionObserver)
class Recipients:
    """Every id that a valid token names, or that had a session."""

    def __init__(self, store: IMailStore, credentials: Credentials, wall: Callable[[], float]) -> None:
        self._store = store
        self._credentials = credentials
        self._wall = wall
        self._holders: dict[str, float] = {}
        self._suggestions = credentials.suggestions

    def load(self, holders: dict[str, float]) -> None:
        """Load who had sessions, and when that was noted, longest ago first."""
        for entity_id, time in holders.items():
            self._note(entity_id, time)

    def __contains__(self, entity_id: str) -> bool:
        return entity_id in self._holders or self._credentials.names(entity_id)

    def may_come(self, entity_id: str) -> bool:
        """Whether a valid token is for a pattern that covers an id."""
        return self._credentials.covers(entity_id)

    def some(self, pattern: str) -> bool:
        """Whether there is somebody whom a pattern of many covers: of the first L{MAX_LOOKED} that begin like it."""
        if self.may_come(pattern):
            return True
        names = itertools.islice(self._suggestions.beginning(beginning(pattern)), MAX_LOOKED)
        return any(covers(pattern, name) and (name in self or self.may_come(name)) for name in names)

    def near(self, entity_id: str, allowed: Callable[[str], bool]) -> list[str]:
        """Existing ids that look like one that is unknown.

        @param allowed: whether an id may be shown.
        """
        return self._suggestions.near(entity_id, lambda other: other in self and allowed(other))

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}: the id is in use. That is stored once a day."""
        entity_id, now = session.entity_id, self._wall()
        if abs(now - self._holders.get(entity_id, -DAY)) >= DAY:  # what was noted by a clock that was wrong, too
            self._note(entity_id, now)
            self._store.saw(entity_id, now).addErrback(reported_already)  # known in memory all the same

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""

    def _note(self, entity_id: str, time: float) -> None:
        if self._holders.pop(entity_id, None) is None:
            self._suggestions.add(entity_id)
        self._holders[entity_id] = time
        if len(self._holders) > MAX_HOLDERS:
            oldest = next(iter(self._holders))
            del self._holders[oldest]
            self._suggestions.discard(oldest)
