"""Sessions: the authenticated spans of connections, and who calls.

A session whose connection broke is detached: for a while it is kept, and a client that has its secret may resume it.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from twisted.logger import Logger
from zope.interface import implementer

from cell0gw.auth.principal import Principal
from cell0gw.auth.tokens import digest
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.notifications import Event
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.observers import IRefreshObserver, ISessionObserver
from cell0gw.sessions.resume_quota import ResumeQuota
from cell0gw.sessions.session import Caller, Session

WARNING: Final = 60.0
"""Seconds before the expiry of its token at which a session is warned."""


class _Detached(NamedTuple):
    """Until when a detached session is kept, and how its connection ended."""

    until: float
    ending: Ending


@implementer(ISweeper)
class Sessions:
    """Every session, by its id, by the token that opened it, and by its secret.

    The clock counts the seconds for which detached sessions are kept, and the date is that by which tokens expire;
    L{sweep} ends what has come to its end.

    @param resume_window: seconds for which a detached session is kept; 0: not at all.
    @param emit: sends an event on C{$system}: its type, its data, and whom it is about.
    @ivar wall: gives the date by which tokens expire, in seconds since the epoch.
    @ivar observers: those that are notified of sessions, in this order; C{refresh_observers}: of other tokens.
    """

    log = Logger()

    def __init__(self, runtime: Runtime, resume_window: float, emit: Callable[[str, Any, Sequence[str]], Any]) -> None:
        self._clock = runtime.clock
        self.wall = runtime.wall
        self._new_id = runtime.new_id
        self._random_bytes = runtime.random_bytes
        self._resume_window = resume_window
        self._emit = emit
        self._by_id: dict[str, Session] = {}
        self._by_token: dict[str, dict[str, Session]] = {}
        self._by_secret: dict[str, Session] = {}
        self._detached: OrderedDict[Session, _Detached] = OrderedDict()
        self._resume_quota = ResumeQuota()
        self._expiries: list[tuple[float, str]] = []
        self._warnings: list[tuple[float, str]] = []
        self._expiring: set[str] = set()
        self._warned: set[str] = set()
        self.observers: list[ISessionObserver] = []
        self.refresh_observers: list[IRefreshObserver] = []
        self.opened = 0
        self.resumed = 0

    def __len__(self) -> int:
        return len(self._by_id) - len(self._detached)

    @property
    def detached(self) -> int:
        """How many are detached."""
        return len(self._detached)

    def open(self, caller: Caller, entity_id: str, principal: Principal, prepare: Callable[[Session], Any]) -> Session:
        """Begin the session of a caller's connection.

        @param prepare: called with the session before any observer is.
        """
        assert caller.connection is not None
        session = Session(self._new_id("sess"), entity_id, principal, caller.connection, self.wall())
        prepare(session)
        caller.return_credit()
        caller.session = session
        caller.bear(principal)
        self._by_id[session.session_id] = session
        self._hold(session)
        self.opened += 1
        session.connection.session_opened(session)
        self._tell(self.observers, "session_opened", session)
        if principal.token_id in self._warned:
            self._warn(session)
        return session

    def new_secret(self, session: Session) -> str | None:
        """Make the secret that resumes the session, once; it replaces the one before it.

        @return: None where sessions can't be resumed.
        """
        if not self._resume_window:
            return None
        self._by_secret.pop(session.secret, None)
        secret = f"resume_{self._random_bytes(32).hex()}"
        session.secret = digest(secret)
        self._by_secret[session.secret] = session
        return secret

    def refresh(self, caller: Caller, principal: Principal) -> list[str]:
        """Another token of the same entity is the caller's session's from now on.

        @return: the channels and patterns to which it is subscribed no longer, since that token does not allow it.
        """
        session = caller.session
        assert session is not None
        before = list(session.subscriptions)
        self._let_go(session)
        session.principal = principal
        caller.bear(principal)
        self._hold(session)
        self._tell(self.refresh_observers, "session_refreshed", session)
        if principal.token_id in self._warned:
            self._warn(session)
        return [name for name in before if name not in session.subscriptions]

    def resumable(self, secret: str, session: Session) -> Session | None:
        """Find the session that another one may resume. Nothing changes: its secret stays good.

        @return: None: there is none that this session may resume.
        """
        old = self._by_secret.get(digest(secret))
        return None if old is None or old is session or old.identity != session.identity else old

    def cut_off(self, old: Session) -> None:
        """A session is about to be resumed: if it is still connected, its connection is aborted."""
        if not old.detached:
            self._detach(old, Ending(EndingKind.RESUMED))
            old.connection.abort()

    def close_resumed(self, old: Session) -> None:
        """A session was resumed: it ends, and its secret is spent."""
        self.resumed += 1
        self.close(old, Ending(EndingKind.RESUMED))

    def leave(self, session: Session, ending: Ending) -> None:
        """Called when the session's connection is going or gone; a second time does nothing."""
        if session.session_id not in self._by_id or session.detached:
            return
        if ending.is_final or not self._resume_window:
            self.close(session, ending)
        else:
            self._detach(session, ending)

    def close(self, session: Session, ending: Ending) -> None:
        """End a session; a second time does nothing."""
        if self._by_id.pop(session.session_id, None) is None:
            return
        self._let_go(session)
        self._by_secret.pop(session.secret, None)
        self._detached.pop(session, None)
        self._resume_quota.give_up(session)
        self._tell(self.observers, "session_closed", session, ending)

    def end_tokens(self, token_ids: Iterable[str], kind: EndingKind) -> int:
        """Close every session that these tokens opened, at once.

        @param kind: what ended the tokens.
        @return: how many there were.
        """
        ended = [session for token_id in token_ids for session in self._by_token.get(token_id, {}).values()]
        for session in ended:
            if session.detached:
                self.close(session, Ending(kind))
            else:
                session.connection.close(CloseCode.TOKEN_ENDED, kind.value)
        return len(ended)

    def sweep(self) -> None:
        """See L{ISweeper}: close the sessions whose token has expired by now, or whom nobody has resumed; warn those
        that are next.
        """
        now = self.wall()
        while self._warnings and self._warnings[0][0] <= now:
            _, token_id = heapq.heappop(self._warnings)
            self._warned.add(token_id)
            for session in list(self._by_token.get(token_id, {}).values()):
                if not session.detached:
                    self._warn(session)
        while self._expiries and self._expiries[0][0] <= now:
            _, token_id = heapq.heappop(self._expiries)
            self._expiring.discard(token_id)
            self._warned.discard(token_id)
            self.end_tokens([token_id], EndingKind.TOKEN_EXPIRED)
        now = self._clock.seconds()
        while self._detached:
            session, detached = next(iter(self._detached.items()))
            if detached.until > now:
                break
            self._give_up(session)

    def _detach(self, session: Session, ending: Ending) -> None:
        session.detached = True
        self._detached[session] = _Detached(self._clock.seconds() + self._resume_window, ending)
        self._tell(self.observers, "session_detached", session, ending)
        for other in self._resume_quota.keep(session):
            self._give_up(other)

    def _give_up(self, session: Session) -> None:
        """A detached session is no longer kept: it ends as its connection did."""
        detached = self._detached.get(session)
        if detached is not None:
            self.close(session, detached.ending)

    def _hold(self, session: Session) -> None:
        principal = session.principal
        self._by_token.setdefault(principal.token_id, {})[session.session_id] = session
        if principal.expires_at is not None and principal.token_id not in self._expiring:
            self._expiring.add(principal.token_id)
            heapq.heappush(self._expiries, (principal.expires_at, principal.token_id))
            heapq.heappush(self._warnings, (principal.expires_at - WARNING, principal.token_id))

    def _let_go(self, session: Session) -> None:
        of_token = self._by_token[session.principal.token_id]
        del of_token[session.session_id]
        if not of_token:
            del self._by_token[session.principal.token_id]

    def _warn(self, session: Session) -> None:
        """A session's token is about to expire: its client can refresh it, an operator may want to know."""
        principal = session.principal
        assert principal.expires_at is not None
        data = {
            "entity_id": session.entity_id,
            "session_id": session.session_id,
            "token_id": principal.token_id,
            "expires_at": timestamp(principal.expires_at),
        }
        if "$system" not in session.subscriptions:
            now = timestamp(self.wall())
            event = Event(type="token.expiring", data=data, source="gateway", timestamp=now, channel="$system")
            session.connection.notify("event", event)
        self._emit("token.expiring", data, (session.entity_id,))

    def _tell(self, observers: Iterable[object], event: str, *arguments: object) -> None:
        """Notify every observer; one that fails must not leave the others, and so presence or a route, behind."""
        for observer in observers:
            try:
                getattr(observer, event)(*arguments)
            except Exception:
                self.log.failure(
                    "{observer!r} failed on {what}", event="observer.failed", observer=observer, what=event
                )
