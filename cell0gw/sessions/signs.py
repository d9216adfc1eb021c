"""Signs of life: which sessions have shown none since they were asked for one.

A connection whose other end is gone without a word looks like any other until its time is over. So a session is asked,
by a ping, when there is reason to; and until it has shown a sign of life others come before it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from zope.interface import Interface, implementer

from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session

QUIET: Final = 1.0
"""Seconds for which nothing came from a session, after which it is asked when there is reason to."""

PATIENCE: Final = 1.0
"""Seconds since it was asked after which a session is silent, if nothing has come: an answer takes much less."""

LONG: Final = 10.0
"""The same, after which it is silent for long: what it has not begun may be done by others."""


class ISilenceObserver(Interface):
    """Is notified of sessions that are silent."""

    def silence_changed(session: Session) -> None:
        """Called when a session is silent, or no longer: C{session.silent} says which."""

    def silence_lasts(session: Session) -> None:
        """Called once in a silence, when it has lasted for L{LONG} seconds."""


class _Silence:
    """A session is silent; C{since} it was asked, C{told}: whether it is known to last."""

    __slots__ = ("since", "told")

    def __init__(self, since: float) -> None:
        self.since = since
        self.told = False


@implementer(ISessionObserver)
class Signs:
    """Asks sessions for signs of life. A session from which nothing is read now is not judged.

    @param seconds: tells the time.
    @ivar observers: those that are notified of sessions that are silent.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._asked: OrderedDict[Session, float] = OrderedDict()
        self._silent: dict[Session, _Silence] = {}
        self.observers: list[ISilenceObserver] = []

    def was_asked(self, session: Session) -> None:
        """Called when a ping was sent to a session."""
        if not session.silent:
            self._asked.setdefault(session, self._seconds())

    def ask(self, session: Session, doubted: bool = False) -> None:
        """Ask a session, unless something came from it just now.

        @param doubted: whether it counts as silent at once, until there is a sign of life.
        """
        connection, now = session.connection, self._seconds()
        if now - connection.last_received < QUIET or session.silent or not connection.reading:
            return
        if session not in self._asked:
            self._asked[session] = now
            connection.ping()
        if doubted:
            self._falls_silent(session, self._asked.pop(session))

    def is_long_silent(self, session: Session) -> bool:
        """Whether a session is silent, and was told of as being so for long."""
        silence = self._silent.get(session)
        return silence is not None and silence.told

    def sweep(self) -> None:
        """Called once a second, when what had come was read: who has answered, and who has not?"""
        now = self._seconds()
        while self._asked:
            session, since = next(iter(self._asked.items()))
            heard = _heard(session, since)
            if not heard and since > now - PATIENCE:
                break
            del self._asked[session]
            if not heard:
                self._falls_silent(session, since)
        for session, silence in list(self._silent.items()):
            if _heard(session, silence.since):
                del self._silent[session]
                session.silent = False
                self._tell_of_change(session)
            elif not silence.told and silence.since <= now - LONG:
                silence.told = True
                for observer in self.observers:
                    observer.silence_lasts(session)

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}: nothing more is expected of it."""
        self._asked.pop(session, None)
        self._silent.pop(session, None)

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self.session_detached(session, ending)

    def _falls_silent(self, session: Session, since: float) -> None:
        self._silent[session] = _Silence(since)
        session.silent = True
        self._tell_of_change(session)

    def _tell_of_change(self, session: Session) -> None:
        for observer in self.observers:
            observer.silence_changed(session)


def _heard(session: Session, since: float) -> bool:
    """Whether a session has shown a sign of life since a moment, or can't be heard now."""
    connection = session.connection
    return connection.last_received >= since or not connection.reading or connection.last_taken(since) >= since
