"""Sessions: the authenticated spans of connections, and who calls."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cell0gw.errors import CloseCode
from cell0gw.interfaces import ICaller, IConnection, ISessionObserver
from cell0gw.permissions import Permissions

EntityType = Literal["agent", "user", "service", "system"]


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """What a valid token says of its bearer. C{entity_id} may be a pattern; C{expires_at}: seconds since the epoch."""

    entity_id: str
    entity_type: EntityType
    permissions: Permissions
    token_id: str
    expires_at: float | None


class Session:
    """One authenticated connection of an entity.

    @ivar connected_at: seconds since the epoch.
    @ivar subscriptions: the channels it is subscribed to, in order.
    """

    __slots__ = ("connected_at", "connection", "entity_id", "principal", "session_id", "subscriptions")

    def __init__(
        self, session_id: str, entity_id: str, principal: Principal, connection: IConnection, connected_at: float
    ) -> None:
        self.session_id = session_id
        self.entity_id = entity_id
        self.principal = principal
        self.connection = connection
        self.connected_at = connected_at
        self.subscriptions: dict[str, None] = {}


@implementer(ICaller)
class Caller:
    """Who calls: a connection with or without a session, or, with neither, the bearer of a token."""

    __slots__ = ("connection", "principal", "session")

    def __init__(self, connection: IConnection | None = None, principal: Principal | None = None) -> None:
        self.connection = connection
        self.principal = principal
        self.session: Session | None = None

    @property
    def entity_id(self) -> str | None:
        """Whom the caller speaks for; None before authentication."""
        if self.session is not None:
            return self.session.entity_id
        return None if self.principal is None else self.principal.entity_id


class Sessions:
    """Every open session, by its id and by the token that opened it.

    @param clock: tells the time; sessions whose token has expired are closed by L{expire}.
    @param new_id: makes an id from a prefix.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, new_id: Callable[[str], str]) -> None:
        self._clock = clock
        self._new_id = new_id
        self._by_id: dict[str, Session] = {}
        self._by_token: dict[str, dict[str, Session]] = {}
        self._expiries: list[tuple[float, str]] = []
        self._expiring: set[str] = set()
        self.observers: list[ISessionObserver] = []
        self.opened = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def open(self, caller: Caller, entity_id: str, principal: Principal, prepare: Callable[[Session], Any]) -> Session:
        """Begin the session of a caller's connection.

        @param prepare: called with the session before anyone hears of it.
        """
        assert caller.connection is not None
        session = Session(self._new_id("sess"), entity_id, principal, caller.connection, self._clock.seconds())
        prepare(session)
        caller.session, caller.principal = session, principal
        self._by_id[session.session_id] = session
        self._by_token.setdefault(principal.token_id, {})[session.session_id] = session
        if principal.expires_at is not None and principal.token_id not in self._expiring:
            self._expiring.add(principal.token_id)
            heapq.heappush(self._expiries, (principal.expires_at, principal.token_id))
        self.opened += 1
        session.connection.session_opened(session)
        self._tell("session_opened", session)
        return session

    def close(self, session: Session, reason: str) -> None:
        """The session's connection is going or gone; a second time does nothing."""
        if self._by_id.pop(session.session_id, None) is None:
            return
        of_token = self._by_token[session.principal.token_id]
        del of_token[session.session_id]
        if not of_token:
            del self._by_token[session.principal.token_id]
        self._tell("session_closed", session, reason)

    def end_tokens(self, token_ids: Iterable[str], reason: str) -> int:
        """Close every session that these tokens opened, at once.

        @return: how many there were.
        """
        ended = [session for token_id in token_ids for session in self._by_token.get(token_id, {}).values()]
        for session in ended:
            session.connection.close(CloseCode.TOKEN_ENDED, reason)
        return len(ended)

    def expire(self) -> None:
        """Close the sessions whose token has expired by now."""
        now = self._clock.seconds()
        while self._expiries and self._expiries[0][0] <= now:
            _, token_id = heapq.heappop(self._expiries)
            self._expiring.discard(token_id)
            self.end_tokens([token_id], "token expired")

    def _tell(self, event: str, *arguments: Any) -> None:
        """Tell every observer; one that fails must not leave the others, and so presence or a route, behind."""
        for observer in self.observers:
            try:
                getattr(observer, event)(*arguments)
            except Exception:
                self.log.failure("{observer!r} failed on {event}", observer=observer, event=event)
