"""Watching presence: a snapshot first, then what changes, put together now and then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cell0gw.auth.sight import Sight
from cell0gw.presence.directory import Directory
from cell0gw.presence.entries import PresenceEntry
from cell0gw.presence.observers import IPresenceObserver
from cell0gw.protocol import jsonrpc, subjects
from cell0gw.protocol.errors import TooLarge
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.messages import shareable
from cell0gw.protocol.notifications import Departure, PresenceDiff
from cell0gw.protocol.patterns import PatternTree, check_width
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import IRefreshObserver, ISessionObserver
from cell0gw.sessions.session import Session

EVERY: Final = 0.25
"""Seconds for which changes are gathered before they are sent."""

CHANGES: Final = 500
"""Maximum changes in one notification; more are sent in several."""

MAX_WATCHES: Final = 100
"""Maximum patterns that one session watches."""


FRAME: Final = 64
"""Maximum bytes of what stands around a pattern's name and its entries in an answer."""


class PresenceSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of presence.

    - `version`: the next `presence.diff` of the pattern starts from it. 0, in `session.resume` only: the snapshot did
      not fit into the answer; `presence.subscribe` with the pattern gives it
    - `entries`: the entities that are present, sorted by `entity_id`
    - `next`: what to give as `after` to `presence.subscribe` for the next page; absent: there is no more
    """

    version: int
    entries: list[PresenceEntry]
    next: str | UnsetType = UNSET


class _Watch:
    """A watched pattern: all sessions that watch it, and see the same entities, see the same versions."""

    __slots__ = ("before", "pattern", "sessions", "sight", "version")

    def __init__(self, pattern: str, sight: Sight) -> None:
        self.pattern = pattern
        self.sight = sight
        self.sessions: dict[Session, None] = {}
        self.version = 1
        # Whose presence has changed since the last version, and whether they were here then.
        self.before: dict[str, bool] = {}


@implementer(ISessionObserver, IRefreshObserver, IPresenceObserver)
class Watches:
    """All watches of presence, by pattern.

    @param limits: maximum bytes of an answer.
    """

    log = Logger()

    def __init__(self, directory: Directory, limits: Limits, clock: IReactorTime) -> None:
        self._directory = directory
        self._limits = limits
        self._clock = clock
        self._watches: PatternTree[dict[Sight, _Watch]] = PatternTree()
        self._of_session: dict[Session, dict[str, _Watch]] = {}
        self._departures: dict[str, Departure] = {}
        self._changed: dict[_Watch, None] = {}
        self._pending: Any = None
        directory.observers.append(self)

    def watch(self, session: Session, pattern: str, after: str | None = None) -> tuple[int, Iterator[PresenceEntry]]:
        """Let a session see changes of the entities that a pattern covers.

        @param after: the entities up to this one are not asked for.
        @return: the version, and the entries of those that are here, sorted by their ids; read them at once.
        @raise InvalidParams: the pattern is too wide.
        @raise TooLarge: it watches as many patterns as one may.
        """
        check_width(pattern, "pattern")
        own = self._of_session.get(session, {})
        if pattern not in own and len(own) >= MAX_WATCHES:
            raise TooLarge(f"A session watches at most {MAX_WATCHES} patterns")
        return self._watch(session, pattern), self._entries(pattern, session.sight, after)

    def check(self, old: Session, new: Session) -> int:
        """Whether a session may watch what another one does as well; nothing changes yet.

        @return: bytes that an answer needs at least to show that.
        @raise TooLarge: they watch more patterns together than one may.
        """
        patterns = self._of_session.get(old, {})
        if len(self._of_session.get(new, {}).keys() | patterns.keys()) > MAX_WATCHES:
            raise TooLarge(f"Both sessions together watch more than {MAX_WATCHES} patterns")
        return sum(len(pattern) + FRAME for pattern in patterns)

    def resume(self, old: Session, new: Session, room: int) -> dict[str, PresenceSnapshot]:
        """Let a session watch what another one did.

        @param room: maximum bytes of all snapshots; what does not fit has the version 0 and no entries.
        @return: a snapshot for each pattern: changes in the meantime were not sent.
        """
        snapshots = {}
        room -= self.check(old, new)
        for pattern in list(self._of_session.get(old, ())):
            version = self._watch(new, pattern)
            written = msgspec.json.encode(list(self._entries(pattern, new.sight)))
            if len(written) > room:
                snapshots[pattern] = PresenceSnapshot(version=0, entries=[])
            else:
                snapshots[pattern] = PresenceSnapshot(version=version, entries=cast(Any, Raw(written)))
                room -= len(written)
        return snapshots

    def _watch(self, session: Session, pattern: str) -> int:
        own = self._of_session.setdefault(session, {})
        watch = own.get(pattern)
        if watch is None:
            sight, same = session.sight, self._watches.get(pattern)
            if same is None:
                same = {}
                self._watches.add(pattern, same)
            watch = same.get(sight)
            if watch is None:
                watch = same[sight] = _Watch(pattern, sight)
        if watch.before:
            self._tell(watch)  # so that the snapshot is of a version that all share
        own[pattern] = watch
        watch.sessions[session] = None
        return watch.version

    def unwatch(self, session: Session, pattern: str) -> None:
        """Stop that; nothing changes for one that is not watched."""
        watch = self._of_session.get(session, {}).pop(pattern, None)
        if watch is not None:
            self._leave(session, watch)

    def presence_changed(self, entity_id: str, was_here: bool, departure: Departure | None) -> None:
        """See L{IPresenceObserver}."""
        watches = (watch for same in self._watches.match(entity_id) for watch in same.values())
        interested = [watch for watch in watches if watch.sight.sees(entity_id)]
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

    def session_refreshed(self, session: Session) -> None:
        """See L{IRefreshObserver}: it goes on watching whom it sees now. If that is not whom it saw, the next change is
        not from the version that it has.
        """
        sight = session.sight
        for pattern, before in list(self._of_session.get(session, {}).items()):
            if before.sight != sight:
                self.unwatch(session, pattern)
                self._watch(session, pattern)
                now = self._of_session[session][pattern]
                now.version += now.version == before.version

    def stop(self) -> None:
        """Stop sending changes."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def _leave(self, session: Session, watch: _Watch) -> None:
        del watch.sessions[session]
        if not watch.sessions:
            same = self._watches.get(watch.pattern)
            assert same is not None
            del same[watch.sight]
            if not same:
                self._watches.remove(watch.pattern)
            self._changed.pop(watch, None)
        if not self._of_session.get(session, True):
            del self._of_session[session]

    def _entries(self, pattern: str, sight: Sight, after: str | None = None) -> Iterator[PresenceEntry]:
        """The entries of those that a pattern covers and somebody sees, sorted by their ids."""
        if subjects.has_wildcard(pattern):
            for entry in self._directory.entries(after=after, sight=sight):
                if subjects.covers(pattern, entry.entity_id):
                    yield entry
        elif (after is None or pattern > after) and sight.sees(pattern):
            one = self._directory.get(pattern)
            if one is not None:
                yield one

    def _tell_all(self) -> None:
        self._pending = None
        for watch in list(self._changed):
            try:
                self._tell(watch)
            except Exception:
                self.log.failure("presence could not be told", event="presence.failed")
        self._departures.clear()

    def _tell(self, watch: _Watch) -> None:
        """Send the changes, at most L{CHANGES} in each version, and no more than fit into a message."""
        self._changed.pop(watch, None)
        changes, watch.before = watch.before, {}
        diff, count, room = _diff(watch), 0, self._limits.max_content_size
        for entity_id, was_here in changes.items():
            entry = self._directory.get(entity_id)
            if entry is None and not was_here:
                continue
            written = Raw(msgspec.json.encode(self._departures[entity_id] if entry is None else entry))
            room -= len(written) + 1
            if count == CHANGES or (room < 0 and count):
                self._send(watch, diff)
                diff, count, room = _diff(watch), 0, self._limits.max_content_size - len(written)
            if entry is None:
                diff.leaves.append(self._departures[entity_id])
            else:
                (diff.updates if was_here else diff.joins).append(written)
            count += 1
        if count:
            self._send(watch, diff)

    def _send(self, watch: _Watch, diff: PresenceDiff) -> None:
        watch.version = diff.to
        message = shareable(jsonrpc.notification("presence.diff", diff))
        for session in watch.sessions:
            if not session.detached:
                session.connection.send(message)


def _diff(watch: _Watch) -> PresenceDiff:
    """An empty one: the next of a pattern."""
    return PresenceDiff(
        pattern=watch.pattern, since=watch.version, to=watch.version + 1, joins=[], leaves=[], updates=[]
    )
