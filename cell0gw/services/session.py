"""``session``: the session one is in."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.application.service import Service
from zope.interface import implementer

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import EntityType
from cell0gw.channels.recovery import Recovered, Recovery
from cell0gw.monitoring.statistics import Counts, IStatistics
from cell0gw.presence.presence import Presence
from cell0gw.presence.watches import PresenceSnapshot
from cell0gw.process.clocks import Dates
from cell0gw.protocol.subjects import Name
from cell0gw.protocol.timestamps import timestamp
from cell0gw.rpc.access import session
from cell0gw.services.channel import Since
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.registry import Sessions
from cell0gw.sessions.session import Caller


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The session of the connection."""

    session_id: str
    entity_id: str
    entity_type: EntityType
    connected_at: str
    last_activity: str
    authenticated: bool
    permissions: tuple[str, ...]
    subscriptions: list[str]


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome. `resumed` says whether the old session was resumed.

    `channels` says what became of each of its subscriptions, `presence` has a snapshot for each pattern it watched.
    """

    resumed: bool
    channels: dict[str, Recovered] = {}
    presence: dict[str, PresenceSnapshot] = {}


@implementer(IStatistics)
class SessionService(Service):
    """The caller's own session."""

    name = "session"

    def __init__(
        self,
        sessions: Sessions,
        presence: Presence,
        recovery: Recovery,
        allows: Callable[[Permissions, str, str], bool],
        dates: Dates,
    ) -> None:
        self._sessions = sessions
        self._presence = presence
        self._recovery = recovery
        self._allows = allows
        self._dates = dates

    @session
    def rpc_getInfo(self, caller: Caller) -> SessionInfo:
        """Get the session of the connection."""
        own = caller.session
        assert own is not None
        return SessionInfo(
            session_id=own.session_id,
            entity_id=own.entity_id,
            entity_type=own.principal.entity_type,
            connected_at=timestamp(own.connected_at),
            last_activity=timestamp(self._dates.of(own.connection.last_received)),
            authenticated=True,
            permissions=own.principal.permissions.granted,
            subscriptions=list(own.subscriptions),
        )

    @session
    def rpc_resume(self, caller: Caller, *, resume_token: str, positions: dict[Name, Since] | None = None) -> Resumed:
        """Resume a session whose connection broke: subscriptions, presence, and messages since `positions`."""
        new = caller.session
        assert new is not None
        old = self._sessions.resume(resume_token, new)
        if old is None:
            return Resumed(resumed=False)
        permissions = new.principal.permissions
        seen = {name: since.position for name, since in (positions or {}).items()}
        channels = self._recovery.resume(
            old, new, seen, lambda name: self._allows(permissions, "channel.subscribe", name)
        )
        presence = self._presence.resume(old, new)
        self._sessions.close(old, Ending(EndingKind.RESUMED))
        return Resumed(resumed=True, channels=channels, presence=presence)

    def statistics(self) -> Counts:
        """See L{IStatistics}."""
        sessions = self._sessions
        return Counts(
            current={"sessions": len(sessions), "sessions_detached": sessions.detached},
            total={"sessions_opened": sessions.opened, "sessions_resumed": sessions.resumed},
        )
