"""Who hears of sessions: of their beginning and end, and of what they are allowed."""

from __future__ import annotations

from zope.interface import Interface

from cell0gw.sessions.ending import Ending
from cell0gw.sessions.session import Session


class ISessionObserver(Interface):
    """Hears of sessions that open and close.

    A session whose connection broke is waited for: it is detached first, and closed when nobody has resumed it.
    """

    def session_opened(session: Session) -> None:
        """A connection was authenticated."""

    def session_detached(session: Session, ending: Ending) -> None:
        """The session's connection is gone; another one may take up what it had.

        @param ending: how the connection ended.
        """

    def session_closed(session: Session, ending: Ending) -> None:
        """The session is over; its connection may be gone already.

        @param ending: how it ended; C{str(ending)} is what C{presence.left} gives as the reason.
        """


class IRefreshObserver(Interface):
    """Hears of sessions that go on with another token."""

    def session_refreshed(session: Session) -> None:
        """The session's principal is what another token says; what that does not allow must end."""
