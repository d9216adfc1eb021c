"""``auth``: tokens, and the sessions they open."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from twisted.application.service import Service

from cell0gw.auth.bad_token import BadToken
from cell0gw.auth.credentials import HOUR, LIFETIME, Credentials, Minted
from cell0gw.auth.permissions import Permission
from cell0gw.auth.principal import EntityType, Principal
from cell0gw.auth.tokens import TokenRecord
from cell0gw.guard.guard import Guard
from cell0gw.presence.directory import Directory, Statement
from cell0gw.protocol.errors import CloseCode, InvalidParams, PermissionDenied, TooLarge, Unavailable
from cell0gw.protocol.limits import MAX_BAD_TOKENS, MAX_CAPABILITIES, MAX_METADATA_SIZE, MAX_PERMISSIONS
from cell0gw.protocol.subjects import Name, Pattern, covers, is_name
from cell0gw.protocol.timestamps import timestamp
from cell0gw.rpc.access import anyone, permission, session
from cell0gw.sessions.ending import EndingKind
from cell0gw.sessions.registry import Sessions
from cell0gw.sessions.session import Caller, Session

Hours = Annotated[float, Meta(gt=0, le=87_600)]
RenewableHours = Annotated[float, Meta(ge=0, le=87_600)]
MaxInflight = Annotated[int, Meta(ge=1, le=1_000_000)]
Wish = Annotated[list[Permission], Meta(max_length=MAX_PERMISSIONS)]
Capabilities = Annotated[tuple[Name, ...], Meta(max_length=MAX_CAPABILITIES)]


class Authenticated(msgspec.Struct, frozen=True, kw_only=True):
    """The session of the connection. `expires_at` null: the token never expires. `resume_token` lets a later session
    resume this one, once, after its connection broke; null where sessions can't be resumed.
    """

    success: bool = True
    session_id: str
    entity_id: str
    entity_type: EntityType
    permissions: tuple[str, ...]
    expires_at: str | None
    resume_token: str | None


# Beside Minted, since dates are text on the wire, and the digest is not shown.
class GeneratedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A new token, shown only once. `expires_in_hours` may be less than was requested. `renew_until`: no token that
    `auth.renew` makes of it lives longer; null: it is not renewable.
    """

    token: str
    token_id: str
    entity_id: str
    permissions: tuple[str, ...]
    expires_in_hours: float
    expires_at: str
    renew_until: str | None


class RevokedToken(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens were revoked. `sessions_closed` is the number of live sessions that were closed."""

    success: bool = True
    sessions_closed: int


# Beside TokenRecord, since dates are text on the wire, and the digest is not shown.
class TokenEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A token's record, without the token itself."""

    token_id: str
    entity_id: str
    entity_type: str
    permissions: tuple[str, ...]
    issued_at: str
    expires_at: str | None
    issued_by: str | None
    renewed_from: str | None
    renew_until: str | None
    revoked: bool


class TokenList(msgspec.Struct, frozen=True):
    """All tokens that the gateway stores."""

    tokens: list[TokenEntry]


class AuthService(Service):
    """Authentication, and the life of tokens."""

    name = "auth"

    def __init__(
        self,
        credentials: Credentials,
        sessions: Sessions,
        directory: Directory,
        guard: Guard,
    ) -> None:
        self._credentials = credentials
        self._sessions = sessions
        self._directory = directory
        self._bad_tokens = guard.bad_tokens
        self._renewals = guard.renewals
        self._audit = guard.audit

    @anyone
    def rpc_authenticate(
        self,
        caller: Caller,
        *,
        token: str,
        entity_id: Name | None = None,
        entity_type: EntityType | None = None,
        capabilities: Capabilities = (),
        metadata: dict[str, Any] | None = None,
        max_inflight: MaxInflight | None = None,
    ) -> Authenticated:
        """Authenticate with a token, which determines the entity. The client declares its capabilities."""
        principal = self._verify(caller, "auth.authenticate", token)
        wanted = _identity(principal, entity_id)
        if entity_type not in (None, principal.entity_type):
            raise PermissionDenied(f"The token is for the type {principal.entity_type}")
        if metadata is not None and len(msgspec.json.encode(metadata)) > MAX_METADATA_SIZE:
            raise TooLarge(f"metadata is at most {MAX_METADATA_SIZE} bytes of JSON")
        own = caller.session
        if own is None:
            statement = Statement(capabilities=capabilities, metadata=metadata or {}, max_inflight=max_inflight)
            own = self._open(caller, wanted, principal, statement)
        elif (own.entity_id, own.principal.entity_type) != (wanted, principal.entity_type):
            raise PermissionDenied(f"The connection belongs to {own.entity_id}")
        return _authenticated(own, self._sessions.new_secret(own))

    @session
    def rpc_refresh(self, caller: Caller, *, token: str) -> Authenticated:
        """Replace the session's token by another one of the same entity. What it does not allow ends."""
        own = caller.session
        assert own is not None
        principal = self._verify(caller, "auth.refresh", token)
        same_type = principal.entity_type == own.principal.entity_type
        if not (same_type and covers(principal.entity_id, own.entity_id)):
            raise PermissionDenied(f"The token is not for {own.entity_id}")
        self._sessions.refresh(caller, principal)
        return _authenticated(own, self._sessions.new_secret(own))

    @permission(resource="entity_id")
    async def rpc_generateToken(
        self,
        caller: Caller,
        *,
        entity_id: Pattern,
        entity_type: EntityType = "agent",
        permissions: Wish | None = None,
        expires_in_hours: Hours = LIFETIME,
        renewable_for_hours: RenewableHours | None = None,
    ) -> GeneratedToken:
        """Generate a token, whose permissions do not exceed those of the caller's own."""
        assert caller.principal is not None
        minted = await self._credentials.mint(
            caller.principal, entity_id, entity_type, permissions, expires_in_hours, renewable_for_hours
        )
        self._audit.record("token.minted", caller, minted=_entry(minted.record))
        return _generated(minted)

    @session
    async def rpc_renew(
        self, caller: Caller, *, permissions: Wish | None = None, expires_in_hours: Hours | None = None
    ) -> GeneratedToken:
        """Renew the session's token: get another one that may do the same, or less. The old one stays valid."""
        assert caller.principal is not None and caller.entity_id is not None
        self._renewals.count(caller.entity_id)
        renewed = await self._credentials.renew(caller.principal, permissions, expires_in_hours)
        self._audit.record("token.renewed", caller, renewed=_entry(renewed.record))
        return _generated(renewed)

    @permission()
    async def rpc_revokeToken(
        self, caller: Caller, *, token_id: str | None = None, entity_id: str | None = None
    ) -> RevokedToken:
        """Revoke a token, or all tokens of an entity, and all that came of them. Their sessions are closed at once."""
        if (token_id is None) == (entity_id is None):
            raise InvalidParams("Invalid params: either token_id or entity_id")
        ended, stored = self._credentials.revoke(token_id, entity_id)
        closed = self._sessions.end_tokens(ended, EndingKind.TOKEN_REVOKED)
        self._audit.record("token.revoked", caller, token_ids=ended, sessions_closed=closed)
        await stored
        return RevokedToken(sessions_closed=closed)

    @permission()
    def rpc_listTokens(self, caller: Caller) -> TokenList:
        """List the records of all tokens. The gateway does not know the tokens themselves."""
        return TokenList([_entry(record) for record in self._credentials.records()])

    def _verify(self, caller: Caller, method: str, token: str) -> Principal:
        connection = caller.connection
        try:
            if connection is not None and connection.bad_tokens >= MAX_BAD_TOKENS:
                raise BadToken("too_many")  # a batch can't go on guessing
            return self._credentials.verify(token)
        except BadToken as refusal:
            if connection is not None:
                connection.bad_tokens += 1
                if connection.bad_tokens >= MAX_BAD_TOKENS:
                    connection.close_when_answered(CloseCode.BAD_TOKEN, "too many wrong tokens")
                self._audit_bad_token(caller, method, refusal)
                self._bad_tokens.wrong(connection.address)
            raise

    def _audit_bad_token(self, caller: Caller, method: str, refusal: BadToken) -> None:
        """An operator may know which token it was and why it was refused; the bearer is told nothing."""
        record, details = refusal.record, {}
        if record is not None:
            about = {"entity_id": record.entity_id, "token_id": record.token_id}
            # An unauthenticated client is taken for the one that has had this token; a session is its own entity.
            details = {"refused": about} | (about if caller.session is None else {})
        self._audit.refused("authentication.refused", caller, method, refusal.cause, **details)

    def _open(self, caller: Caller, entity_id: str, principal: Principal, statement: Statement) -> Session:
        if caller.connection is None:
            raise InvalidParams("Sessions are opened on a connection")
        if caller.connection.closing_since is not None:
            raise Unavailable("The connection is closing")
        return self._sessions.open(
            caller, entity_id, principal, lambda opening: self._directory.introduce(opening, statement)
        )


def _identity(principal: Principal, wanted: str | None) -> str:
    """The entity id of a session that is opened with a token.

    @raise InvalidParams: the token is for many, and C{wanted} names none.
    @raise PermissionDenied: the token is for others.
    """
    if wanted is None:
        if not is_name(principal.entity_id):
            raise InvalidParams(f"Invalid params: the token is for {principal.entity_id}; entity_id says who of them")
        return principal.entity_id
    if not covers(principal.entity_id, wanted):
        raise PermissionDenied(f"The token is for {principal.entity_id}")
    return wanted


def _authenticated(own: Session, secret: str | None) -> Authenticated:
    principal = own.principal
    return Authenticated(
        session_id=own.session_id,
        entity_id=own.entity_id,
        entity_type=principal.entity_type,
        permissions=principal.permissions.granted,
        expires_at=None if principal.expires_at is None else timestamp(principal.expires_at),
        resume_token=secret,
    )


def _generated(minted: Minted) -> GeneratedToken:
    record = minted.record
    assert record.expires_at is not None
    return GeneratedToken(
        token=minted.token,
        token_id=record.token_id,
        entity_id=record.entity_id,
        permissions=record.permissions,
        expires_in_hours=(record.expires_at - record.issued_at) / HOUR,
        expires_at=timestamp(record.expires_at),
        renew_until=None if record.renew_until is None else timestamp(record.renew_until),
    )


def _entry(record: TokenRecord) -> TokenEntry:
    return TokenEntry(
        token_id=record.token_id,
        entity_id=record.entity_id,
        entity_type=record.entity_type,
        permissions=record.permissions,
        issued_at=timestamp(record.issued_at),
        expires_at=None if record.expires_at is None else timestamp(record.expires_at),
        issued_by=record.issued_by,
        renewed_from=record.renewed_from,
        renew_until=None if record.renew_until is None else timestamp(record.renew_until),
        revoked=record.revoked,
    )
