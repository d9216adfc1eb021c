"""The directory: which entities are here, what they say of themselves, and by which session they are reached.

An entity is here while one of its sessions is connected or detached: if all are detached, it is C{away}. What it says
of itself is said by a session; the latest word counts, and when that session ends, the latest of those left. A session
that says nothing changes nothing. An entity can do what any of its connected sessions can.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Raw
from zope.interface import implementer

from cell0gw.auth.sight import EVERYONE, Sight
from cell0gw.presence.descriptions import NO_DESCRIPTIONS, Descriptions, DescriptionShares
from cell0gw.presence.entity import NOTHING, Changes, Entity, Statement
from cell0gw.presence.entries import PresenceEntry
from cell0gw.presence.observers import IPresenceObserver, IStatementObserver
from cell0gw.protocol.errors import Conflict, TooLarge
from cell0gw.protocol.limits import MAX_ENTITY_CAPABILITIES, MAX_ENTITY_CAPABILITIES_SIZE
from cell0gw.protocol.notifications import Departure
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session
from cell0gw.sessions.terms import USUAL


@implementer(ISessionObserver)
class Directory:
    """All entities that are here.

    @param emit: C{emit(channel, type, data, about)} sends an event to those subscribers of its channel that see whom it
        is about.
    @ivar observers: those that are notified of changes; C{statement_observers}: of what sessions say.
    @ivar version: changes whenever an entity joins, leaves or changes.
    """

    def __init__(self, date: Callable[[float], float], emit: Callable[[str, str, Any, tuple[str]], Any]) -> None:
        self._date = date
        self._emit = emit
        self._entities: dict[str, Entity] = {}
        self._names: list[str] = []
        self._introductions: dict[str, Statement] = {}
        self._able: dict[str, dict[str, None]] = {}
        self._descriptions = DescriptionShares()
        self.version = 0
        self.observers: list[IPresenceObserver] = []
        self.statement_observers: list[IStatementObserver] = []

    def __len__(self) -> int:
        return len(self._entities)

    def __contains__(self, entity_id: str) -> bool:
        return entity_id in self._entities

    def check(
        self,
        entity_id: str,
        entity_type: str,
        capabilities: tuple[str, ...],
        descriptions: Descriptions = NO_DESCRIPTIONS,
    ) -> None:
        """See that a session may open.

        @param capabilities: what it declares; C{descriptions}: what it describes of that.
        @raise Conflict: the entity is here as one of another type.
        @raise TooLarge: its sessions would declare too many capabilities together, or describe too much.
        @raise RateLimited: all entities together would describe too much.
        """
        self._descriptions.check(entity_id, descriptions)
        entity = self._entities.get(entity_id)
        if entity is None:
            return
        there = entity.newest.principal.entity_type
        if there != entity_type:
            raise Conflict(f"{entity_id} is here as one of the type {there}: an id is that of one type at a time")
        together = {*entity.declared, *capabilities}
        size = sum(map(len, together)) + len('"",') * len(together)
        if len(together) > MAX_ENTITY_CAPABILITIES or size > MAX_ENTITY_CAPABILITIES_SIZE:
            raise TooLarge(
                f"All sessions of {entity_id} together have at most {MAX_ENTITY_CAPABILITIES} capabilities, in "
                f"{MAX_ENTITY_CAPABILITIES_SIZE} bytes"
            )

    def introduce(self, session: Session, statement: Statement) -> None:
        """What a session that is about to open says first."""
        session.acknowledges, session.mail = statement.acknowledges, statement.mail or USUAL
        self._introductions[session.session_id] = statement

    def said(self, session: Session) -> Statement:
        """What a session has said of its entity."""
        return self._entities[session.entity_id].statements[session.session_id]

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""
        entity = self._entities.get(session.entity_id)
        arrived = entity is None
        if entity is None:
            entity = self._entities[session.entity_id] = Entity()
            bisect.insort(self._names, session.entity_id)
        self._note(session.entity_id, entity.join(session))
        self._say(entity, session, self._introductions.pop(session.session_id, Statement()))
        self._tell("joined" if arrived else "changed", "online" if arrived else "changed", entity)

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        entity = self._entities.get(session.entity_id)
        if entity is not None and session.session_id in entity.sessions:
            self._note(session.entity_id, entity.detach(session))
            self._tell("changed", "changed", entity)

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        entity = self._entities.get(session.entity_id)
        if entity is None or session.session_id not in entity.sessions:
            return
        before = self._entry(entity)
        self._note(session.entity_id, entity.detach(session))
        had = entity.statements[session.session_id].descriptions
        self._note(session.entity_id, entity.leave(session))
        session.statement_size = 0
        if had:
            self._descriptions.release(session.entity_id, had)
        if not entity.sessions:
            del self._entities[session.entity_id]
            del self._names[bisect.bisect_left(self._names, session.entity_id)]
            self._tell_of_departure(before, str(ending))
        elif self._entry(entity) != before:
            self._tell("changed", "changed", entity)

    def resume(self, old: Session, new: Session) -> None:
        """Move to a session what another one has said of their entity; what it has declared itself takes precedence."""
        entity = self._entities[new.entity_id]
        said, introduced = entity.statements[old.session_id], entity.statements[new.session_id]
        words = msgspec.structs.replace(
            said if said.spoken else introduced,
            capabilities=introduced.capabilities or said.capabilities,
            descriptions=introduced.descriptions if introduced.capabilities else said.descriptions,
            metadata=said.metadata if introduced.metadata == NOTHING else introduced.metadata,
            max_inflight=said.max_inflight if introduced.max_inflight is None else introduced.max_inflight,
            ack=said.ack if introduced.ack is None else introduced.ack,
            mail=introduced.mail or said.mail,
        )
        new.acknowledges, new.mail = words.acknowledges, words.mail or USUAL
        entity.note(new)
        self._say(entity, new, words)
        self._tell("changed", "changed", entity)
        self._tell_of_statement(new)

    def update(self, session: Session, **words: Any) -> None:
        """The session says something new of its entity.

        @param words: members of L{Statement}; what is not named stays as it was.
        """
        if "status" in words:
            words["spoken"] = True
        entity = self._entities[session.entity_id]
        self._say(entity, session, msgspec.structs.replace(entity.statements[session.session_id], **words))
        self._tell("changed", "changed", entity)
        self._tell_of_statement(session)

    def get(self, entity_id: str) -> PresenceEntry | None:
        """The entry of an entity, None when it is not here."""
        entity = self._entities.get(entity_id)
        return None if entity is None else self._entry(entity)

    def describe(self, entity_id: str) -> list[Raw]:
        """What an entity can do: each capability as JSON, described by the latest word on it, as far as it is.

        @param entity_id: one that is here.
        """
        entity = self._entities[entity_id]
        described: dict[str, bytes] = {}
        for statement in entity.statements.values():
            described.update(statement.descriptions)
        return [Raw(described.get(name) or msgspec.json.encode({"name": name})) for name in entity.capabilities]

    def entries(
        self,
        entity_type: str | None = None,
        connected: bool = False,
        capability: str | None = None,
        after: str | None = None,
        sight: Sight = EVERYONE,
    ) -> Iterator[PresenceEntry]:
        """The entries of all entities, or of those of a type, or of those with a capability, sorted by their ids.

        @param connected: leave out those whose sessions are all detached.
        @param after: leave out those whose ids are not beyond this one.
        @param sight: leave out those that it does not see.
        """
        names = self._names if capability is None else sorted(self._able.get(capability, ()))
        start = 0 if after is None else bisect.bisect_right(names, after)
        there: Iterator[str] = itertools.islice(names, start, None)
        for entity_id in there if sight.everyone else filter(sight.sees, there):
            entity = self._entities[entity_id]
            of_type = entity_type is None or entity.newest.principal.entity_type == entity_type
            if of_type and (entity.live is not None or not connected):
                yield self._entry(entity)

    def route(self, entity_id: str, reading: bool = False) -> Session | None:
        """The first of L{takers}; None: there is none."""
        return next(self.takers(entity_id, reading), None)

    def takers(self, entity_id: str, reading: bool = True) -> Iterator[Session]:
        """The connected sessions by which mail may reach an entity, the newest first; if any acknowledges, those that
        do. Those that show no sign of life come last, and those that ask for mail are not among them; nor, if
        C{reading}, are those that are behind with that.
        """
        entity = self._entities.get(entity_id)
        among = {} if entity is None else entity.acknowledging or entity.connected
        for silent in (False, True):
            for session in reversed(among.values()):
                if session.silent is silent and not (session.mail.pull or (reading and session.connection.behind)):
                    yield session

    def newest(self, entity_id: str, most: int) -> list[Session]:
        """The newest sessions of an entity that are connected, the newest first.

        @param most: maximum sessions.
        """
        entity = self._entities.get(entity_id)
        return [] if entity is None else list(itertools.islice(reversed(entity.connected.values()), most))

    def sessions(self, entity_id: str) -> list[Session]:
        """All sessions of an entity, oldest first."""
        entity = self._entities.get(entity_id)
        return [] if entity is None else list(entity.sessions.values())

    def live(self, entity_id: str) -> list[Session]:
        """Those of them that are connected."""
        entity = self._entities.get(entity_id)
        return [] if entity is None else list(entity.connected.values())

    def _say(self, entity: Entity, session: Session, statement: Statement) -> None:
        """Let a session say something, and note what its entity can do by that."""
        session.statement_size = statement.size
        before = entity.statements.get(session.session_id)
        had = NO_DESCRIPTIONS if before is None else before.descriptions
        if statement.descriptions and statement.descriptions is not had:
            has = self._descriptions.keep(session.entity_id, statement.descriptions)
            statement = msgspec.structs.replace(statement, descriptions=has)
        self._note(session.entity_id, entity.say(session, statement))
        if had and statement.descriptions is not had:
            self._descriptions.release(session.entity_id, had)

    def _note(self, entity_id: str, changes: Changes) -> None:
        for capability in changes.ended:
            able = self._able[capability]
            del able[entity_id]
            if not able:
                del self._able[capability]
        for capability in changes.begun:
            self._able.setdefault(capability, {})[entity_id] = None

    def _entry(self, entity: Entity) -> PresenceEntry:
        newest, said = entity.newest, entity.statement
        oldest = next(iter(entity.sessions.values()))
        return PresenceEntry(
            entity_id=newest.entity_id,
            entity_type=newest.principal.entity_type,
            status=entity.status,
            capabilities=entity.capabilities,
            status_message=said.status_message,
            connected_at=timestamp(oldest.connected_at),
            last_seen=timestamp(self._date(newest.connection.last_received)),
            metadata=entity.metadata,
            current_activity=said.activity,
            session_id=newest.session_id,
        )

    def _tell(self, presence: str, agent: str, entity: Entity) -> None:
        self.version += 1
        entry = self._entry(entity)
        for observer in self.observers:
            observer.presence_changed(entry.entity_id, presence != "joined", None)
        self._emit("$presence", f"presence.{presence}", entry, (entry.entity_id,))
        if entry.entity_type == "agent":
            self._emit("$agents", f"agent.{agent}", entry, (entry.entity_id,))

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
        self._emit("$presence", "presence.left", departure, (left.entity_id,))
        if left.entity_type == "agent":
            self._emit("$agents", "agent.offline", {"entity_id": left.entity_id, "reason": reason}, (left.entity_id,))
