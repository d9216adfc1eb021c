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
from cell0gw.protocol.limits import ERROR_WINDOW, KIB, Limits
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Caller, Session

BURST_PARTS: Final = 16
"""Parts in which a caller is given its burst, each in advance. It is counted exactly only when one is used up: nearly
every call costs one subtraction."""

BYTES_A_CALL: Final = 4 * KIB
"""Bytes of a message, after decompression, that are charged as one call beside itself."""

SLOW: Final = 0.004
"""Seconds that a message may take for nothing: an ordinary one takes much less."""

SECONDS_A_CALL: Final = 2.5e-6
"""Seconds beyond L{SLOW} that are charged as one call."""

COSTLIEST: Final = 10.0
"""Seconds of C{calls_per_second} that a message is charged at most beside itself."""

SHORTEST_REST: Final = 0.05
"""Seconds that a connection rests at least which owes something: then many calls are worked off at once."""

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

    def charge(self, caller: Caller, size: int, seconds: float) -> None:
        """Called when a message was long, or took long, after it was handled.

        @param size: its bytes after decompression.
        @param seconds: how long was worked for it.
        """
        cost = size // BYTES_A_CALL + max(0, int((seconds - SLOW) / SECONDS_A_CALL))
        caller.credit -= min(cost, int(COSTLIEST * (self._limits.calls_per_second or cost * 2)))
        if caller.credit < 0:
            owed, caller.credit = -caller.credit, 0
            self._owe(caller, owed)

    def refill(self, caller: Caller, answerable: bool = True) -> None:
        """Called when a caller makes a call and its credit is used up: give it more.

        @param answerable: whether it can be told that there is none; who can't gets it on credit, and rests until that
            is paid.
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
                if not answerable:
                    self._owe(caller, 1)
                    return
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
                if not answerable:
                    self._owe(caller, 1)
                    return
                self._refuse(caller, "entity_calls_per_second", shared.wait(rate, burst))
        caller.credit = given - 1

    def _owe(self, caller: Caller, count: int) -> None:
        """Take what a caller has had, whether it is there or not; if it is not, the caller rests until it is."""
        limits, now, session = self._limits, self._seconds(), caller.session
        caller.credit, debts = 0, [(0.0, "")]
        if limits.calls_per_second:
            if caller.bucket is None:
                caller.bucket = Bucket(now)
            caller.bucket.owe(count, now, limits.calls_per_second)
            debts.append((caller.bucket.debt(limits.calls_per_second, limits.calls_burst), "calls_per_second"))
        if limits.entity_calls_per_second and session is not None and self._has(session):
            shared, _ = self._of_entity[session.entity_id]
            shared.owe(count, now, limits.entity_calls_per_second)
            debts.append(
                (shared.debt(limits.entity_calls_per_second, limits.entity_calls_burst), "entity_calls_per_second")
            )
        debt, limit = max(debts)
        if debt and caller.connection is not None:
            self._limit_exceeded(limit, _name(caller))
            caller.connection.rest(max(debt, SHORTEST_REST))

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
