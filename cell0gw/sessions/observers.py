"""Observers of sessions: of their beginning and end, and of what they are allowed."""

from __future__ import annotations

from zope.interface import Interface

from cell0gw.sessions.ending import Ending
from cell0gw.sessions.session import Session


class ISessionObserver(Interface):
    """Is notified of sessions that open and close.

    A session whose connection broke is detached first, and closed if it is not resumed in time.
    """

    def session_opened(session: Session) -> None:
        """Called when a connection was authenticated."""

    def session_detached(session: Session, ending: Ending) -> None:
        """Called when the session's connection is gone; another session may resume it.

        @param ending: how the connection ended.
        """

    def session_closed(session: Session, ending: Ending) -> None:
        """Called when the session is over; its connection may be gone already.

        @param ending: how it ended; C{str(ending)} is what C{presence.left} gives as the reason.
        """


class IRefreshObserver(Interface):
    """Is notified of sessions that go on with another token."""

    def session_refreshed(session: Session) -> None:
        """Called when the session has another token's principal; what that does not allow must end."""
