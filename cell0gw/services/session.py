"""``session``: the session one is in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec import Raw
from twisted.application.service import Service
from zope.interface import implementer

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import EntityType
from cell0gw.channels.answers import Recovered
from cell0gw.channels.recovery import Recovery
from cell0gw.monitoring.statistics import Counts, IStatistics
from cell0gw.presence.presence import Presence
from cell0gw.presence.watches import PresenceSnapshot
from cell0gw.process.clocks import Dates
from cell0gw.protocol.errors import TooLarge
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.timestamps import timestamp
from cell0gw.rpc.access import session
from cell0gw.services.channel import Since, seen
from cell0gw.sessions.registry import Sessions
from cell0gw.sessions.session import Caller


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The session of the connection.

    - `session_id`: names the session
    - `entity_id`: the entity
    - `entity_type`: its type
    - `connected_at`: when the session was opened
    - `last_activity`: when anything last came from the client
    - `authenticated`: true
    - `permissions`: what the token allows
    - `subscriptions`: channels and patterns
    """

    session_id: str
    entity_id: str
    entity_type: EntityType
    connected_at: str
    last_activity: str
    authenticated: bool
    permissions: tuple[str, ...]
    subscriptions: list[str]


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome.

    - `resumed`: whether the old session was resumed. False: the secret is wrong or spent, its time is over, or it is of
      another entity; nothing has changed, and a secret that another entity tried is not spent
    - `channels`: what became of each channel. One that only a pattern covers is here if the request has a position of
      it, or if it was not recovered
    - `presence`: a snapshot for each pattern that the old session watched by `presence.subscribe`
    - `ended`: the channels and patterns to which the old session was subscribed, and this one is not, since its token
      does not allow it
    """

    resumed: bool
    channels: dict[str, Recovered] = {}
    presence: dict[str, PresenceSnapshot] = {}
    ended: list[str] = []


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
        limits: Limits,
        dates: Dates,
    ) -> None:
        self._sessions = sessions
        self._presence = presence
        self._recovery = recovery
        self._allows = allows
        self._limits = limits
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
    def rpc_resume(self, caller: Caller, *, resume_token: str, positions: dict[str, Since] | None = None) -> Resumed:
        """Resume a session whose connection broke: subscriptions, presence, and messages since `positions`.

        Call it right after `auth.authenticate`, before any `channel.subscribe`. Subscriptions with their filters,
        watches of presence, and status, status message and activity go over to the new session, which keeps its own id,
        token and `resume_token`; so do capabilities, metadata and `max_inflight`, unless it gave others to
        `auth.authenticate`. Subscriptions that its token does not allow are left out, and named in `ended`. A
        session that is still connected is cut off first. docs/protocol.md#resuming has the whole story, with examples.

        - `resume_token`: the secret of the old session
        - `positions`: by channel, that of the newest message that the client has. Without one a channel is recovered
          from when the subscription began; of channels without a subscription positions mean nothing, and neither do
          those of the gateway's own channels
        - `too_large`: more than 10000 positions; or both sessions together have too many subscriptions, or watch too
          many patterns; or more channels are `recovered: false` than an answer can tell. Nothing has changed, and the
          secret is still good
        """
        known = seen(positions)
        new = caller.session
        assert new is not None
        old = self._sessions.resumable(resume_token, new)
        if old is None:
            return Resumed(resumed=False)
        permissions = new.principal.permissions
        resumption = self._recovery.plan(
            old, new, known, lambda name: self._allows(permissions, "channel.subscribe", name)
        )
        channels, ended = Raw(msgspec.json.encode(resumption.outcomes)), Raw(msgspec.json.encode(resumption.ended))
        room = self._limits.max_content_size - len(channels) - len(ended)
        if self._presence.watches.check(old, new) > room:
            raise TooLarge(f"The answer is larger than {self._limits.max_message_size} bytes")
        # From here on nothing is refused: what was to be checked has been, and the secret is spent at the end.
        self._sessions.cut_off(old)
        self._recovery.carry_out(resumption, old, new)
        presence = self._presence.resume(old, new, room)
        self._sessions.close_resumed(old)
        return Resumed(resumed=True, channels=cast(Any, channels), presence=presence, ended=cast(Any, ended))

    def statistics(self) -> Counts:
        """See L{IStatistics}."""
        sessions = self._sessions
        return Counts(
            current={"sessions": len(sessions), "sessions_detached": sessions.detached},
            total={"sessions_opened": sessions.opened, "sessions_resumed": sessions.resumed},
        )
