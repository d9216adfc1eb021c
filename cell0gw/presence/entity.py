"""One entity that is here: its sessions, and what they say of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from cell0gw.presence.descriptions import OVERHEAD, Descriptions
from cell0gw.presence.entries import Metadata, PresenceStatus
from cell0gw.sessions.session import ACKNOWLEDGES, Session
from cell0gw.sessions.terms import MailTerms

NOTHING: Final = Raw(b"{}")
"""No metadata. This very object stands for metadata of which nothing was said."""

CAPABILITY: Final = 400
"""Approximate bytes that a capability of a session takes beside its name."""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What a session says of its entity, and of what it takes.

    @ivar descriptions: those of its capabilities, as far as it describes them.
    @ivar max_inflight: maximum calls it takes at once; None: unlimited.
    @ivar spoken: whether it has said anything of the status, or of what comes with that.
    @ivar ack: whether it acknowledges; None: it does if it has the capability of that name.
    @ivar mail: on which terms it gets mail; None: on the usual ones.
    """

    status: PresenceStatus = "online"
    status_message: str | None = None
    activity: str | None = None
    metadata: Metadata = NOTHING
    capabilities: tuple[str, ...] = ()
    descriptions: Descriptions = {}
    max_inflight: int | None = None
    spoken: bool = False
    ack: bool | None = None
    mail: MailTerms | None = None

    @property
    def acknowledges(self) -> bool:
        """Whether it acknowledges what it gets."""
        if self.mail is not None and self.mail.pull:
            return True
        return ACKNOWLEDGES in self.capabilities if self.ack is None else self.ack

    @property
    def size(self) -> int:
        """Approximate bytes that it takes, and what belongs to it elsewhere."""
        texts = len(self.status_message or "") + len(self.activity or "")
        described = sum(OVERHEAD + len(text) for text in self.descriptions.values())
        names = sum(CAPABILITY + len(capability) for capability in self.capabilities)
        return len(self.metadata) + 4 * texts + names + described


SILENT: Final = Statement()
"""Nothing was said."""


class _Words:
    """The sessions that have said something of a kind, the latest last: those that are connected, and the others.

    What is asked for is at the ends of these, and found at once, however many sessions there are. In a dict it would
    not be: it keeps the places of those that are gone.
    """

    __slots__ = ("_connected", "_detached")

    def __init__(self) -> None:
        self._connected: OrderedDict[str, None] = OrderedDict()
        self._detached: OrderedDict[str, None] = OrderedDict()

    def latest(self, connected: bool) -> str | None:
        """The session that has said the latest word; None: none of them has said one.

        @param connected: whether the word of one that is connected is wanted.
        """
        return next(reversed(self._connected if connected else self._detached), None)

    def say(self, session_id: str) -> None:
        self._connected.pop(session_id, None)
        self._connected[session_id] = None

    def detach(self, session_id: str) -> None:
        if session_id in self._connected:
            del self._connected[session_id]
            self._detached[session_id] = None

    def forget(self, session_id: str) -> None:
        self._connected.pop(session_id, None)
        self._detached.pop(session_id, None)


class Changes(NamedTuple):
    """What an entity can do since, and what it no longer can."""

    begun: Collection[str] = ()
    ended: Collection[str] = ()


class Entity:
    """One entity's sessions, oldest first, and what they say.

    @ivar connected: the sessions that are not detached; C{acknowledging}: those of them that acknowledge.
    @ivar statements: by session, the latest last.
    @ivar declared: how many sessions have each capability, detached ones included.
    """

    __slots__ = (
        "_able", "_served", "_shown", "_spoken", "acknowledging", "connected", "declared", "sessions", "statements",
    )  # fmt: skip

    def __init__(self) -> None:
        self.sessions: OrderedDict[str, Session] = OrderedDict()
        self.connected: OrderedDict[str, Session] = OrderedDict()
        self.acknowledging: OrderedDict[str, Session] = OrderedDict()
        self.statements: dict[str, Statement] = {}
        self.declared: dict[str, int] = {}
        # The same of those that are connected.
        self._served: dict[str, int] = {}
        # Who has said something of the status, and of metadata; None: nobody has ever.
        self._spoken: _Words | None = None
        self._shown: _Words | None = None
        self._able: tuple[str, ...] | None = ()

    @property
    def live(self) -> Session | None:
        """The newest session that is connected."""
        return next(reversed(self.connected.values()), None)

    @property
    def newest(self) -> Session:
        """The newest session that is connected; if none is, the newest."""
        return self.live or next(reversed(self.sessions.values()))

    @property
    def statement(self) -> Statement:
        """The latest of connected sessions that speaks of the status; if none is connected, the latest of all."""
        return self._latest(self._spoken)

    @property
    def metadata(self) -> Metadata:
        """The same for metadata."""
        return self._latest(self._shown).metadata

    @property
    def status(self) -> PresenceStatus:
        """What was said last, or C{away} if no session is connected."""
        return self.statement.status if self.connected else "away"

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What its connected sessions can do; if none is connected, what it could."""
        if self._able is None:
            self._able = tuple(self._served if self.connected else self.declared)
        return self._able

    def join(self, session: Session) -> Changes:
        """A session is there; it has said nothing yet."""
        first = not self.connected
        self.sessions[session.session_id] = self.connected[session.session_id] = session
        self.note(session)
        return self._changed(ended=tuple(self.declared)) if first else Changes()

    def note(self, session: Session) -> None:
        """Note whether a connected session acknowledges, which it may do since it has resumed another one."""
        if not session.acknowledges:
            self.acknowledging.pop(session.session_id, None)
        elif session.session_id in self.connected:
            self.acknowledging[session.session_id] = session

    def detach(self, session: Session) -> Changes:
        """The connection of a session broke. Nothing happens if it is detached already."""
        session_id = session.session_id
        if self.connected.pop(session_id, None) is None:
            return Changes()
        self.acknowledging.pop(session_id, None)
        for words in (self._spoken, self._shown):
            if words is not None:
                words.detach(session_id)
        had = frozenset(self.statements[session_id].capabilities)
        ended = _remove(self._served, had)
        if self.connected:
            return self._changed(ended=ended)
        return self._changed(begun=tuple(name for name in self.declared if name not in had))

    def leave(self, session: Session) -> Changes:
        """A detached session is over, and says nothing any more."""
        session_id = session.session_id
        del self.sessions[session_id]
        for words in (self._spoken, self._shown):
            if words is not None:
                words.forget(session_id)
        ended = _remove(self.declared, frozenset(self.statements.pop(session_id).capabilities))
        return Changes() if self.connected else self._changed(ended=ended)

    def say(self, session: Session, statement: Statement) -> Changes:
        """A session that is connected says something, in the place of what it has said before."""
        session_id = session.session_id
        before = self.statements.pop(session_id, SILENT)
        self.statements[session_id] = statement
        if statement.spoken:
            self._spoken = self._spoken or _Words()
            self._spoken.say(session_id)
        if statement.metadata is not NOTHING and statement.metadata is not before.metadata:
            self._shown = self._shown or _Words()
            self._shown.say(session_id)
        had, has = frozenset(before.capabilities), dict.fromkeys(statement.capabilities)
        if had == has.keys():
            return Changes()
        begun = []
        for capability in has:
            if capability not in had:
                self.declared[capability] = self.declared.get(capability, 0) + 1
                count = self._served[capability] = self._served.get(capability, 0) + 1
                if count == 1:
                    begun.append(capability)
        _remove(self.declared, had - has.keys())
        return self._changed(begun, _remove(self._served, had - has.keys()))

    def _changed(self, begun: Collection[str] = (), ended: Collection[str] = ()) -> Changes:
        self._able = None
        return Changes(begun, ended)

    def _latest(self, words: _Words | None) -> Statement:
        session_id = None if words is None else words.latest(bool(self.connected))
        return SILENT if session_id is None else self.statements[session_id]


def _remove(counts: dict[str, int], names: Iterable[str]) -> list[str]:
    """Count each of some names once less.

    @return: those that are left with nobody.
    """
    ended = []
    for name in names:
        counts[name] -= 1
        if not counts[name]:
            del counts[name]
            ended.append(name)
    return ended
