"""A session, the authenticated span of a connection; whose it is, and who calls."""

from __future__ import annotations

from typing import Any, Final

from zope.interface import implementer

from cell0gw.auth.principal import Principal
from cell0gw.protocol.buckets import Bucket
from cell0gw.sessions.interfaces import ICaller, IConnection

ACKNOWLEDGES: Final = "ack"
"""The capability of a client that acknowledges what it gets: a message is brought again until it has."""


class Session:
    """One authenticated connection of an entity.

    @ivar connected_at: seconds since the epoch.
    @ivar subscriptions: the channels and patterns it is subscribed to, in order, and how.
    @ivar detached: whether its connection broke.
    @ivar lost: the patterns under which a channel came to its end while the session was detached.
    @ivar acknowledges: whether its client acknowledges the messages it gets: it has declared L{ACKNOWLEDGES}.
    @ivar secret: a digest of what opens its place to another session; empty: nothing does.
    """

    __slots__ = (
        "acknowledges",
        "connected_at",
        "connection",
        "detached",
        "entity_id",
        "lost",
        "principal",
        "secret",
        "session_id",
        "subscriptions",
    )

    def __init__(
        self, session_id: str, entity_id: str, principal: Principal, connection: IConnection, connected_at: float
    ) -> None:
        self.session_id = session_id
        self.entity_id = entity_id
        self.principal = principal
        self.connection = connection
        self.connected_at = connected_at
        self.subscriptions: dict[str, Any] = {}
        self.detached = False
        self.lost: set[str] = set()
        self.acknowledges = False
        self.secret = ""

    @property
    def identity(self) -> tuple[str, str]:
        """Whose it is: the entity's id and type."""
        return self.entity_id, self.principal.entity_type


@implementer(ICaller)
class Caller:
    """Who calls: a connection with or without a session, or, with neither, the bearer of a token.

    @ivar foreign: whether it is a page's of a site that is not listed.
    @ivar credit: so many calls it may make before L{Throttle} is asked again; C{bucket}, C{refusals}, C{errors} and
        C{errors_since} are what that keeps of it.
    @ivar in_flight: how many of its requests the gateway has not answered, calls to agents aside.
    """

    __slots__ = (
        "bucket",
        "connection",
        "credit",
        "errors",
        "errors_since",
        "foreign",
        "in_flight",
        "principal",
        "refusals",
        "session",
    )

    def __init__(
        self, connection: IConnection | None = None, principal: Principal | None = None, foreign: bool = False
    ) -> None:
        self.connection = connection
        self.principal = principal
        self.session: Session | None = None
        self.foreign = foreign
        self.credit = 1  # most who come authenticate first: that call is charged with the next one
        self.errors = self.in_flight = 0
        self.errors_since = 0.0
        self.bucket: Bucket | None = None
        self.refusals: Bucket | None = None

    def return_credit(self) -> None:
        """Give back what credit there is: it was given to somebody else than the caller is from now on."""
        if self.bucket is not None:
            self.bucket.give_back(self.credit)
        self.credit = 0

    @property
    def entity_id(self) -> str | None:
        """Whom the caller speaks for; None before authentication."""
        if self.session is not None:
            return self.session.entity_id
        return None if self.principal is None else self.principal.entity_id
