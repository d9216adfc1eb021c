"""The rate limits of callers: calls per second, and requests that are in error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NoReturn

from zope.interface import implementer

from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol.buckets import Bucket
from cell0gw.protocol.errors import (
    CloseCode,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    NotAuthenticated,
    ParseError,
    PermissionDenied,
    RateLimited,
    RPCError,
)
from cell0gw.protocol.limits import ERROR_WINDOW, Limits
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Caller, Session

BURST_PARTS: Final = 16
"""Parts in which a caller is given its burst, each in advance. It is counted exactly only when one is used up: nearly
every call costs one subtraction."""

MISTAKES: Final = (ParseError, InvalidRequest, MethodNotFound, InvalidParams, NotAuthenticated, PermissionDenied)
"""Errors that a correct client does not get: none that depends on others, or on the time."""


@implementer(ISessionObserver, ISweeper)
class Throttle:
    """Counts what callers do.

    @param seconds: tells the time.
    @param limit_exceeded: called with the name of a limit that was exceeded, and by whom.
    """

    def __init__(
        self, limits: Limits, seconds: Callable[[], float], limit_exceeded: Callable[[str, str], None]
    ) -> None:
        self._limits = limits
        self._seconds = seconds
        self._limit_exceeded = limit_exceeded
        self._of_entity: dict[str, tuple[Bucket, dict[str, Caller | None]]] = {}
        self._gone: set[str] = set()

    def refill(self, caller: Caller) -> None:
        """Called when a caller makes a call and its credit is used up: give it more.

        @raise RateLimited: there is none, for itself or for its entity.
        """
        limits, now, session = self._limits, self._seconds(), caller.session
        own, given = caller.bucket, 1 + limits.calls_burst // BURST_PARTS
        if own is None:
            own = caller.bucket = Bucket(now)
            own.take(1, now, limits.calls_per_second, limits.calls_burst)  # what it began with
        if limits.calls_per_second:
            given = own.take(given, now, limits.calls_per_second, limits.calls_burst)
            if not given:
                self._refuse(caller, "calls_per_second", own.wait(limits.calls_per_second, limits.calls_burst))
        if limits.entity_calls_per_second and session is not None and self._has(session):
            shared, callers = self._of_entity[session.entity_id]
            rate, burst = limits.entity_calls_per_second, limits.entity_calls_burst
            # What many callers have taken in advance must leave enough for one more.
            allowed = shared.take(min(given, 1 + burst // (BURST_PARTS * len(callers))), now, rate, burst)
            callers[session.session_id] = caller
            own.give_back(given - allowed)
            given = allowed
            if not given:
                self._refuse(caller, "entity_calls_per_second", shared.wait(rate, burst))
        caller.credit = given - 1

    def erred(self, caller: Caller, error: RPCError) -> None:
        """Called when a request of a caller was refused."""
        connection, most = caller.connection, self._limits.max_errors
        if connection is None or not most or not isinstance(error, MISTAKES):
            return
        now = self._seconds()
        if caller.errors_since <= now - ERROR_WINDOW:
            caller.errors_since, caller.errors = now, 0
        caller.errors += 1
        if caller.errors == most + 1:
            self._limit_exceeded("max_errors", _name(caller))
            connection.close_when_answered(CloseCode.TOO_MANY_ERRORS, f"{caller.errors} errors in {ERROR_WINDOW:g} s")

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""
        known = self._of_entity.get(session.entity_id)
        if known is None:
            known = self._of_entity[session.entity_id] = (Bucket(self._seconds()), {})
        known[1][session.session_id] = None

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        shared, callers = self._of_entity[session.entity_id]
        caller, callers[session.session_id] = callers[session.session_id], None
        if caller is not None:
            shared.give_back(caller.credit)
            caller.return_credit()

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self.session_detached(session, ending)
        _, callers = self._of_entity[session.entity_id]
        del callers[session.session_id]
        if not callers:
            self._gone.add(session.entity_id)

    def sweep(self) -> None:
        """See L{ISweeper}: forget entities that have no session, and have waited as long as they would have had to with
        one.
        """
        now, rate = self._seconds(), self._limits.entity_calls_per_second
        for entity_id in list(self._gone):
            bucket, callers = self._of_entity[entity_id]
            if callers:
                self._gone.discard(entity_id)
            elif not rate or bucket.is_full(now, rate):
                self._gone.discard(entity_id)
                del self._of_entity[entity_id]

    def _has(self, session: Session) -> bool:
        """Whether it goes on: what is still read of one that has ended counts for its connection alone."""
        _, callers = self._of_entity.get(session.entity_id, (None, {}))
        return session.session_id in callers

    def _refuse(self, caller: Caller, limit: str, wait: float) -> NoReturn:
        limits, now = self._limits, self._seconds()
        caller.credit = 0
        self._limit_exceeded(limit, _name(caller))
        # As many as may pass may be refused: a flood goes on, and now and then one of it is let through.
        refusals = caller.refusals = caller.refusals or Bucket(now)
        bearable = refusals.take(1, now, limits.calls_per_second or limits.entity_calls_per_second, limits.calls_burst)
        if caller.connection is not None and not bearable:
            caller.connection.close_when_answered(CloseCode.TOO_MANY_REQUESTS, "too many calls")
        raise RateLimited(retry_after_ms=math.ceil(wait * 1000) + 1)


def _name(caller: Caller) -> str:
    connection = caller.connection
    return caller.entity_id or (connection.address if connection is not None else "") or "somebody"
