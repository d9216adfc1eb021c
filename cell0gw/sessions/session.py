"""A session, the authenticated span of a connection; whose it is, and who calls.

What the rules ask of connections stands here as well: a connection has a session, and a session a connection.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import msgspec
from twisted.internet.interfaces import IPushProducer
from zope.interface import Attribute, Interface, implementer

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import EntityType, Principal
from cell0gw.auth.sight import EVERYONE, Sight
from cell0gw.protocol.buckets import Bucket
from cell0gw.protocol.messages import Batch
from cell0gw.sessions.client import ClientAddress, Reached
from cell0gw.sessions.terms import USUAL, MailTerms

ACKNOWLEDGES: Final = "ack"
"""The capability of a client that acknowledges what it gets: a message is sent again until it has."""


class Unfinished(NamedTuple):
    """A message that is still coming.

    @ivar since: when it began, in seconds of the monotonic clock.
    @ivar size: how many bytes of it have been announced.
    """

    since: float
    size: int


class IArrival(Interface):
    """A socket from its first byte on, as the limits see it."""

    connection_id: str = Attribute("Names the connection in logs.")
    address: str = Attribute("What limits by address count it under, see L{cell0gw.guard.addresses.source}.")
    opened_at: float = Attribute("When the handshake was done; before that, when the socket was accepted.")

    def close(code: int, reason: str) -> None:
        """Close it, and raise nothing, with a close code of L{cell0gw.protocol.errors.CloseCode}."""

    def abort() -> None:
        """Abort the connection at once, whatever was still to be written."""


class IConnection(IArrival):
    """A socket that speaks the protocol, as the rules see it."""

    client: ClientAddress = Attribute("Where it comes from, for logs.")
    reached: Reached | None = Attribute("How its client reached the gateway; None: that is not known.")
    session: Session | None = Attribute("Its authenticated span; None before authentication.")
    last_received: float = Attribute("When anything, pongs included, last came; seconds of the monotonic clock.")
    closing_since: float | None = Attribute("Since when it is on its way out; None: it is not.")
    backlog: int = Attribute("Bytes that wait for the peer to read.")
    behind: bool = Attribute("Whether more than C{outbound_limit} waits: what can wait elsewhere does.")
    stalled: bool = Attribute("Whether more than that waits, and for a while the peer has taken nothing.")
    paused: bool = Attribute("Whether nothing is read, since too many of its requests wait.")
    reading: bool = Attribute("Whether what it sends is read now. It may owe for what it has sent, or have no turn.")
    rests_until: float = Attribute("When its latest rest is over, in seconds of the monotonic clock; 0.0: never had.")
    unfinished: Unfinished | None = Attribute("The message that is still coming; None: none is.")
    bad_tokens: int = Attribute("How many invalid tokens it has sent.")

    def last_taken(since: float = 0.0) -> float:
        """Look whether the peer has taken something of what waits for it, since this was called last.

        @param since: a call before that says nothing; in seconds of the monotonic clock.
        @return: when it was last seen to have taken something, in the same seconds; 0: never.
        """

    def notify(method: str, params: Any) -> None:
        """Send a notification; nothing happens on a connection that is closing."""

    def send(message: bytes) -> None:
        """Send a JSON-RPC message; nothing happens on a connection that is closing."""

    def share(batch: Batch) -> bool:
        """Send a batch of messages, to which others may be added as long as it is open.

        @return: False if this connection can't: each message must be sent to it.
        """

    def beat(message: bytes) -> None:
        """Send a message, and have the peer give a sign of life in return."""

    def ping() -> None:
        """Have the peer give a sign of life; nothing happens on a connection that is closing."""

    def session_opened(session: Session) -> None:
        """Called when the connection is authenticated: the limits for unauthenticated connections are lifted."""

    def close_when_answered(code: int, reason: str) -> None:
        """Close it once the message that is being handled has its answer."""

    def resume() -> None:
        """Few of its requests wait still: read on, if that was paused."""

    def rest(seconds: float) -> None:
        """Read nothing for a while, nor handle what has been read: the peer owes for what it has sent."""

    def fall_behind() -> None:
        """Too much waits for the peer to read: it is a slow consumer, and is closed, but not before the caller is done.
        Until then what is sent is dropped.
        """

    def write_failed() -> None:
        """Called where a write has raised: that is logged, and the connection is aborted once the caller is done."""

    def register_producer(producer: IPushProducer) -> None:
        """Let a producer know when there is room for more, and when there is none."""

    def unregister_producer() -> None:
        """Called when the producer has no more."""


class Session:
    """One authenticated connection of an entity.

    @ivar connected_at: seconds since the epoch.
    @ivar subscriptions: the channels and patterns it is subscribed to, in order, and how.
    @ivar detached: whether its connection broke.
    @ivar max_message_size: maximum bytes of a message that its client takes, as it says; None: it says nothing.
    @ivar acknowledges: whether its client acknowledges the messages it gets, as it has declared.
    @ivar silent: whether it was asked for a sign of life, and has shown none: others come first.
    @ivar mail: on which terms it gets mail.
    @ivar statement_size: approximate bytes of what it says of its entity.
    @ivar secret: a digest of the secret by which another session may resume it; empty: there is none.
    """

    __slots__ = (
        "acknowledges",
        "connected_at",
        "connection",
        "detached",
        "entity_id",
        "mail",
        "max_message_size",
        "principal",
        "secret",
        "session_id",
        "silent",
        "statement_size",
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
        self.statement_size = 0
        self.detached = False
        self.max_message_size: int | None = None
        self.acknowledges = False
        self.silent = False
        self.mail: MailTerms = USUAL
        self.secret = ""

    @property
    def identity(self) -> tuple[str, str]:
        """Whose it is: the entity's id and type."""
        return self.entity_id, self.principal.entity_type

    @property
    def sight(self) -> Sight:
        """Whom it sees."""
        return self.principal.permissions.sight.of(self.entity_id)


class Sender(msgspec.Struct, frozen=True, gc=False):
    """The sender of a message, or the caller of a call.

    @ivar permissions: only names that these reach are suggested to the sender.
    """

    entity_id: str
    entity_type: EntityType
    permissions: Permissions

    @property
    def sight(self) -> Sight:
        """Whom it sees."""
        return self.permissions.sight.of(self.entity_id)

    def knows(self, method: str, entity_id: str) -> bool:
        """Whether it may learn of an entity by calling a method on it, see L{Sight.knows}."""
        sight = self.permissions.sight
        return sight.everyone or sight.of(self.entity_id).knows(method, entity_id)


class ICaller(Interface):
    """The caller of a method."""

    principal: Principal | None = Attribute("What the token says of the caller; None before authentication.")
    session: Session | None = Attribute("The session of the call.")
    connection: IConnection | None = Attribute("The connection the call came by.")


@implementer(ICaller)
class Caller:
    """The caller: a connection with or without a session, or, with neither, the bearer of a token.

    @ivar ends_at: when its token expires, in seconds since the epoch; infinite: never, or it has none.
    @ivar foreign: whether it is a page's of a site that is not listed.
    @ivar credit: how many calls it may make before L{Throttle} is asked again; C{bucket}, C{refusals}, C{errors} and
        C{errors_since} are what that keeps of it.
    @ivar in_flight: how many of its requests the gateway has not answered, calls to agents aside.
    """

    __slots__ = (
        "bucket",
        "connection",
        "credit",
        "ends_at",
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
        self.principal: Principal | None = None
        self.ends_at = math.inf
        if principal is not None:
            self.bear(principal)
        self.session: Session | None = None
        self.foreign = foreign
        self.credit = 1  # most who come authenticate first: that call is charged with the next one
        self.errors = self.in_flight = 0
        self.errors_since = 0.0
        self.bucket: Bucket | None = None
        self.refusals: Bucket | None = None

    def bear(self, principal: Principal) -> None:
        """Bear a token from now on: what it proves and what it allows."""
        self.principal = principal
        self.ends_at = math.inf if principal.expires_at is None else principal.expires_at

    def return_credit(self) -> None:
        """Give back what credit there is: it was given to somebody else than the caller is from now on."""
        if self.bucket is not None:
            self.bucket.give_back(self.credit)
        self.credit = 0

    @property
    def entity_id(self) -> str | None:
        """The entity that the caller speaks for; None before authentication."""
        if self.session is not None:
            return self.session.entity_id
        return None if self.principal is None else self.principal.entity_id

    @property
    def sight(self) -> Sight:
        """Whom the caller sees; before authentication everyone."""
        principal = self.principal
        return EVERYONE if principal is None else principal.permissions.sight.of(self.entity_id or "")

    def reaches(self, method: str, entity_id: str) -> bool:
        """Whether the caller, which is authenticated, may call a method on an entity, and may know of it.

        @param entity_id: an entity, or a pattern of them: then all that it stands for.
        """
        assert self.principal is not None
        return self.principal.permissions.allow_on(method, entity_id) and self.sight.knows(method, entity_id)

    @property
    def sender(self) -> Sender:
        """The caller as one who sends; it is authenticated."""
        principal, session = self.principal, self.session
        assert principal is not None
        entity_id = principal.entity_id if session is None else session.entity_id
        return Sender(entity_id, principal.entity_type, principal.permissions)
