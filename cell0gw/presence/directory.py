"""The directory: which entities are here, what they say of themselves, and by which session they are reached.

An entity is here while one of its sessions lives, or is waited for: then it is C{away}. What it says of itself is said
by a session; the latest word counts, and when that session ends, the latest of those left. It can do what any of its
sessions can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
from zope.interface import implementer

from cell0gw.auth.principal import EntityType
from cell0gw.presence.observers import IPresenceObserver, IStatementObserver
from cell0gw.protocol.notifications import Departure
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import ACKNOWLEDGES, Session

PresenceStatus = Literal["online", "away", "busy", "do_not_disturb", "offline"]


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What a session says of its entity; C{max_inflight}: how many calls it takes at once, None: as many as come."""

    status: PresenceStatus = "online"
    status_message: str | None = None
    activity: str | None = None
    metadata: dict[str, Any] = {}
    capabilities: tuple[str, ...] = ()
    max_inflight: int | None = None


class AnonymousEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What strangers see of an entity."""

    entity_id: str
    entity_type: EntityType
    status: PresenceStatus
    capabilities: tuple[str, ...]


class PresenceEntry(AnonymousEntry, frozen=True, kw_only=True):
    """An entity that is here. C{connected_at} is that of its oldest session, C{session_id} that of its newest."""

    status_message: str | None
    connected_at: str
    last_seen: str
    metadata: dict[str, Any]
    current_activity: str | None
    session_id: str


class _Entity:
    """One entity's sessions, oldest first, and what each said, oldest word first."""

    __slots__ = ("capabilities", "sessions", "statements")

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.statements: dict[str, Statement] = {}
        # How many sessions have each: an entity can do what any of its sessions can.
        self.capabilities: Counter[str] = Counter()

    @property
    def live(self) -> Session | None:
        """The newest session that is connected."""
        for session in reversed(self.sessions.values()):
            if not session.detached:
                return session
        return None

    @property
    def newest(self) -> Session:
        """The newest session that is connected; if none is, the newest."""
        return self.live or self.sessions[next(reversed(self.sessions))]

    @property
    def statement(self) -> Statement:
        """The latest word of those that are connected; if none is, the latest, and that it is away."""
        for session_id in reversed(self.statements):
            if not self.sessions[session_id].detached:
                return self.statements[session_id]
        return msgspec.structs.replace(self.statements[next(reversed(self.statements))], status="away")

    def say(self, session: Session, statement: Statement) -> None:
        self.unsay(session)
        self.statements[session.session_id] = statement
        self.capabilities.update(statement.capabilities)

    def unsay(self, session: Session) -> None:
        statement = self.statements.pop(session.session_id, None)
        if statement is not None:
            self.capabilities -= Counter(statement.capabilities)


@implementer(ISessionObserver)
class Directory:
    """Everyone who is here.

    @param emit: C{emit(channel, type, data)} brings an event to those who listen.
    @ivar observers: those that are to hear of changes; C{statement_observers}: of what sessions say.
    @ivar version: another number whenever somebody came, went or changed.
    """

    def __init__(self, date: Callable[[float], float], emit: Callable[[str, str, Any], Any]) -> None:
        self._date = date
        self._emit = emit
        self._entities: dict[str, _Entity] = {}
        self._introductions: dict[str, Statement] = {}
        self._able: dict[str, dict[str, None]] = {}
        self.version = 0
        self.observers: list[IPresenceObserver] = []
        self.statement_observers: list[IStatementObserver] = []

    def __len__(self) -> int:
        return len(self._entities)

    def __contains__(self, entity_id: str) -> bool:
        return entity_id in self._entities

    def introduce(self, session: Session, statement: Statement) -> None:
        """What a session that is about to open says first."""
        session.acknowledges = ACKNOWLEDGES in statement.capabilities
        self._introductions[session.session_id] = statement

    def said(self, session: Session) -> Statement:
        """What a session has said of its entity."""
        return self._entities[session.entity_id].statements[session.session_id]

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""
        entity = self._entities.get(session.entity_id)
        arrived = entity is None
        if entity is None:
            entity = self._entities[session.entity_id] = _Entity()
        entity.sessions[session.session_id] = session
        self._say(entity, session, self._introductions.pop(session.session_id, Statement()))
        self._tell("joined" if arrived else "changed", "online" if arrived else "changed", entity)

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        entity = self._entities.get(session.entity_id)
        if entity is not None and session.session_id in entity.sessions:
            self._tell("changed", "changed", entity)

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        entity = self._entities.get(session.entity_id)
        if entity is None or session.session_id not in entity.sessions:
            return
        before = self._entry(entity)
        del entity.sessions[session.session_id]
        self._say(entity, session, None)
        if not entity.sessions:
            del self._entities[session.entity_id]
            self._tell_of_departure(before, str(ending))
        elif self._entry(entity) != before:
            self._tell("changed", "changed", entity)

    def resume(self, old: Session, new: Session) -> None:
        """A session takes up what another one has said of their entity; what it can do it may have said itself."""
        entity = self._entities[new.entity_id]
        said, introduced = entity.statements[old.session_id], entity.statements[new.session_id]
        words = msgspec.structs.replace(
            said,
            capabilities=introduced.capabilities or said.capabilities,
            metadata=introduced.metadata or said.metadata,
            max_inflight=said.max_inflight if introduced.max_inflight is None else introduced.max_inflight,
        )
        new.acknowledges = ACKNOWLEDGES in words.capabilities
        self._say(entity, new, words)
        self._tell("changed", "changed", entity)
        self._tell_of_statement(new)

    def update(self, session: Session, **words: Any) -> None:
        """The session says something new of its entity.

        @param words: members of L{Statement}; what is not named stays as it was.
        """
        entity = self._entities[session.entity_id]
        self._say(entity, session, msgspec.structs.replace(entity.statements[session.session_id], **words))
        self._tell("changed", "changed", entity)
        self._tell_of_statement(session)

    def get(self, entity_id: str) -> PresenceEntry | None:
        """The entry of an entity, None when it is not here."""
        entity = self._entities.get(entity_id)
        return None if entity is None else self._entry(entity)

    def entries(
        self, entity_type: str | None = None, connected: bool = False, capability: str | None = None
    ) -> Iterator[PresenceEntry]:
        """Everyone here, or everyone of a type, or who can do something.

        @param connected: leave out those who are only waited for.
        """
        for entity_id in self._entities if capability is None else self._able.get(capability, ()):
            entity = self._entities[entity_id]
            of_type = entity_type is None or entity.newest.principal.entity_type == entity_type
            if of_type and (entity.live is not None or not connected):
                yield self._entry(entity)

    def route(self, entity_id: str, reading: bool = False) -> Session | None:
        """The session by which an entity is reached: its newest that is connected; None when there is none.

        @param reading: pass over those that are behind with reading.
        """
        entity = self._entities.get(entity_id)
        if entity is None:
            return None
        for session in reversed(entity.sessions.values()):
            if not session.detached and not (reading and session.connection.behind):
                return session
        return None

    def sessions(self, entity_id: str) -> list[Session]:
        """All sessions of an entity, oldest first."""
        entity = self._entities.get(entity_id)
        return [] if entity is None else list(entity.sessions.values())

    def live(self, entity_id: str) -> list[Session]:
        """Those of them that are connected."""
        entity = self._entities.get(entity_id)
        return [] if entity is None else [session for session in entity.sessions.values() if not session.detached]

    def _say(self, entity: _Entity, session: Session, statement: Statement | None) -> None:
        """Let a session say something, or no more; and note what its entity can do by that."""
        before = set(entity.capabilities)
        if statement is None:
            entity.unsay(session)
        else:
            entity.say(session, statement)
        if before == entity.capabilities.keys():
            return
        for capability in before - entity.capabilities.keys():
            able = self._able[capability]
            del able[session.entity_id]
            if not able:
                del self._able[capability]
        for capability in entity.capabilities.keys() - before:
            self._able.setdefault(capability, {})[session.entity_id] = None

    def _entry(self, entity: _Entity) -> PresenceEntry:
        newest, said = entity.newest, entity.statement
        oldest = next(iter(entity.sessions.values()))
        return PresenceEntry(
            entity_id=newest.entity_id,
            entity_type=newest.principal.entity_type,
            status=said.status,
            capabilities=tuple(entity.capabilities),
            status_message=said.status_message,
            connected_at=timestamp(oldest.connected_at),
            last_seen=timestamp(self._date(newest.connection.last_received)),
            metadata=said.metadata,
            current_activity=said.activity,
            session_id=newest.session_id,
        )

    def _tell(self, presence: str, agent: str, entity: _Entity) -> None:
        self.version += 1
        entry = self._entry(entity)
        for observer in self.observers:
            observer.presence_changed(entry.entity_id, presence != "joined", None)
        self._emit("$presence", f"presence.{presence}", entry)
        if entry.entity_type == "agent":
            self._emit("$agents", f"agent.{agent}", entry)

    def _tell_of_statement(self, session: Session) -> None:
        for observer in self.statement_observers:
            observer.statement_changed(session)

    def _tell_of_departure(self, left: PresenceEntry, reason: str) -> None:
        self.version += 1
        departure = Departure(
            entity_id=left.entity_id, entity_type=left.entity_type, reason=reason, last_seen=left.last_seen
        )
        for observer in self.observers:
            observer.presence_changed(left.entity_id, True, departure)
        self._emit("$presence", "presence.left", departure)
        if left.entity_type == "agent":
            self._emit("$agents", "agent.offline", {"entity_id": left.entity_id, "reason": reason})


def anonymous(entry: PresenceEntry) -> AnonymousEntry:
    """As much of an entry as a stranger gets."""
    return AnonymousEntry(
        entity_id=entry.entity_id, entity_type=entry.entity_type, status=entry.status, capabilities=entry.capabilities
    )
