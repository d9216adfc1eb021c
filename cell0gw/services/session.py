"""``session``: the session one is in."""

from __future__ import annotations

import msgspec
from twisted.application.service import Service
from zope.interface import implementer

from cell0gw.interfaces import IStatistics
from cell0gw.permissions import session
from cell0gw.sessions import Caller, EntityType, Sessions
from cell0gw.statistics import Counts
from cell0gw.timestamps import timestamp


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What C{session.getInfo} answers."""

    session_id: str
    entity_id: str
    entity_type: EntityType
    connected_at: str
    last_activity: str
    authenticated: bool
    permissions: tuple[str, ...]
    subscriptions: list[str]


@implementer(IStatistics)
class SessionService(Service):
    """The caller's own session."""

    name = "session"

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @session
    def rpc_getInfo(self, caller: Caller) -> SessionInfo:
        """Get current session info."""
        own = caller.session
        assert own is not None
        return SessionInfo(
            session_id=own.session_id,
            entity_id=own.entity_id,
            entity_type=own.principal.entity_type,
            connected_at=timestamp(own.connected_at),
            last_activity=timestamp(own.connection.last_received),
            authenticated=True,
            permissions=own.principal.permissions.granted,
            subscriptions=list(own.subscriptions),
        )

    def statistics(self) -> Counts:
        """See L{IStatistics}."""
        return Counts(current={"sessions": len(self._sessions)}, total={"sessions_opened": self._sessions.opened})
