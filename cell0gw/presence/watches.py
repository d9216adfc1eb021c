"""Watching presence: a snapshot first, then what changes, put together now and then."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cell0gw.presence.directory import Directory, PresenceEntry
from cell0gw.presence.observers import IPresenceObserver
from cell0gw.protocol import jsonrpc, subjects
from cell0gw.protocol.errors import TooLarge
from cell0gw.protocol.messages import shareable
from cell0gw.protocol.notifications import Departure, PresenceDiff
from cell0gw.protocol.patterns import PatternTree
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session

EVERY: Final = 0.25
"""Seconds for which changes are gathered before they are sent."""

CHANGES: Final = 500
"""Maximum changes in one notification; more are sent in several."""

MAX_WATCHES: Final = 100
"""Maximum patterns that one session watches."""


class PresenceSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of presence. The next `presence.diff` starts from `version`."""

    version: int
    entries: list[PresenceEntry]


class _Watch:
    """A watched pattern: all sessions that watch it see the same versions."""

    __slots__ = ("before", "pattern", "sessions", "version")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.sessions: dict[Session, None] = {}
        self.version = 1
        # Whose presence has changed since the last version, and whether they were here then.
        self.before: dict[str, bool] = {}


@implementer(ISessionObserver, IPresenceObserver)
class Watches:
    """All watches of presence, by pattern."""

    log = Logger()

    def __init__(self, directory: Directory, clock: IReactorTime) -> None:
        self._directory = directory
        self._clock = clock
        self._watches: PatternTree[_Watch] = PatternTree()
        self._of_session: dict[Session, dict[str, _Watch]] = {}
        self._departures: dict[str, Departure] = {}
        self._changed: dict[_Watch, None] = {}
        self._pending: Any = None
        directory.observers.append(self)

    def watch(self, session: Session, pattern: str) -> PresenceSnapshot:
        """Let a session see changes of the entities that a pattern covers.

        @raise TooLarge: it watches as many patterns as one may.
        """
        own = self._of_session.setdefault(session, {})
        if pattern not in own and len(own) >= MAX_WATCHES:
            raise TooLarge(f"A session watches at most {MAX_WATCHES} patterns")
        watch = own.get(pattern) or self._watches.get(pattern)
        if watch is None:
            watch = _Watch(pattern)
            self._watches.add(pattern, watch)
        elif watch.before:
            self._tell(watch)  # so that the snapshot is of a version that all share
        own[pattern] = watch
        watch.sessions[session] = None
        return PresenceSnapshot(version=watch.version, entries=self._entries(pattern))

    def unwatch(self, session: Session, pattern: str) -> None:
        """Stop that; nothing changes for one that is not watched."""
        watch = self._of_session.get(session, {}).pop(pattern, None)
        if watch is not None:
            self._leave(session, watch)

    def resume(self, old: Session, new: Session) -> dict[str, PresenceSnapshot]:
        """Let a session watch what another one did.

        @return: a snapshot for each pattern: changes in the meantime were not sent.
        """
        return {pattern: self.watch(new, pattern) for pattern in list(self._of_session.get(old, ()))}

    def presence_changed(self, entity_id: str, was_here: bool, departure: Departure | None) -> None:
        """See L{IPresenceObserver}."""
        interested = list(self._watches.match(entity_id))
        if not interested:
            return
        for watch in interested:
            watch.before.setdefault(entity_id, was_here)
            self._changed[watch] = None
        if departure is not None:
            self._departures[entity_id] = departure
        if self._pending is None:
            self._pending = self._clock.callLater(EVERY, self._tell_all)

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        for watch in self._of_session.pop(session, {}).values():
            self._leave(session, watch)

    def stop(self) -> None:
        """Stop sending changes."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def _leave(self, session: Session, watch: _Watch) -> None:
        del watch.sessions[session]
        if not watch.sessions:
            self._watches.remove(watch.pattern)
            self._changed.pop(watch, None)
        if not self._of_session.get(session, True):
            del self._of_session[session]

    def _entries(self, pattern: str) -> list[PresenceEntry]:
        if not subjects.has_wildcard(pattern):
            entry = self._directory.get(pattern)
            return [] if entry is None else [entry]
        return [entry for entry in self._directory.entries() if subjects.covers(pattern, entry.entity_id)]

    def _tell_all(self) -> None:
        self._pending = None
        for watch in list(self._changed):
            try:
                self._tell(watch)
            except Exception:
                self.log.failure("presence could not be told", event="presence.failed")
        self._departures.clear()

    def _tell(self, watch: _Watch) -> None:
        """Send the changes, at most L{CHANGES} in each version."""
        self._changed.pop(watch, None)
        changes, watch.before = list(watch.before.items()), {}
        for start in range(0, len(changes), CHANGES):
            diff = self._diff(watch, changes[start : start + CHANGES])
            if diff.joins or diff.leaves or diff.updates:
                watch.version = diff.to
                message = shareable(jsonrpc.notification("presence.diff", diff))
                for session in watch.sessions:
                    if not session.detached:
                        session.connection.send(message)

    def _diff(self, watch: _Watch, changes: list[tuple[str, bool]]) -> PresenceDiff:
        diff = PresenceDiff(
            pattern=watch.pattern, since=watch.version, to=watch.version + 1, joins=[], leaves=[], updates=[]
        )
        for entity_id, was_here in changes:
            entry = self._directory.get(entity_id)
            if entry is not None:
                (diff.updates if was_here else diff.joins).append(entry)
            elif was_here:
                diff.leaves.append(self._departures[entity_id])
        return diff
