"""``auth``: tokens, and the sessions they open."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, cast

from msgspec import UNSET, Meta
from twisted.application.service import Service

from cell0gw.auth.credentials import LIFETIME, Credentials
from cell0gw.auth.entries import (
    GeneratedToken,
    RevokedToken,
    TokenList,
    generated_token,
    next_of,
    start_of,
    token_entry,
)
from cell0gw.auth.grants import denied
from cell0gw.auth.invites import Invites
from cell0gw.auth.principal import EntityType, Principal, identity
from cell0gw.guard.guard import Guard
from cell0gw.presence.descriptions import Capabilities, declared
from cell0gw.presence.entity import NOTHING, Statement
from cell0gw.presence.entries import metadata_of
from cell0gw.presence.presence import Presence
from cell0gw.protocol.errors import InvalidParams, PermissionDenied, Unavailable
from cell0gw.protocol.subjects import Name, Pattern, covers
from cell0gw.rpc.access import anyone, permission, session
from cell0gw.rpc.pages import Cursor, PageLimit, page
from cell0gw.services.auth_invites import LIST, REVOKE, InviteLink, InviteMethods, Wish
from cell0gw.services.verifier import Verifier
from cell0gw.sessions.answers import Authenticated, authenticated, refreshed
from cell0gw.sessions.ending import EndingKind
from cell0gw.sessions.registry import Sessions
from cell0gw.sessions.session import Caller, Session
from cell0gw.sessions.terms import MailTerms

Hours = Annotated[float, Meta(gt=0, le=87_600)]
RenewableHours = Annotated[float, Meta(ge=0, le=87_600)]
MaxMessageSize = Annotated[int, Meta(ge=1024, le=1_073_741_824)]
MaxInflight = Annotated[int, Meta(ge=1, le=1_000_000)]


class AuthService(InviteMethods, Service):
    """Authentication, and the life of tokens."""

    name = "auth"

    def __init__(
        self,
        credentials: Credentials,
        invites: Invites,
        link: InviteLink,
        sessions: Sessions,
        presence: Presence,
        guard: Guard,
    ) -> None:
        InviteMethods.__init__(self, invites, Verifier(credentials, guard.bad_tokens, guard.audit), guard, link)
        self._credentials = credentials
        self._sessions = sessions
        self._directory, self._validators = presence.directory, presence.validators
        self._renewals = guard.renewals
        self._connections = guard.connections

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
        max_message_size: MaxMessageSize | None = None,
        ack: bool | None = None,
        mail: MailTerms | None = None,
    ) -> Authenticated:
        """Authenticate with a token, which determines the entity. The client declares its capabilities.

        A connection has one session. Authenticating again as the same entity answers with the session there is and
        changes only its `resume_token`. `ack` promises the gateway that the session acknowledges its messages by
        `agent.ack`; declare it each time, before `session.resume` too, since mail follows right after the answer. More:
        docs/protocol.md#authentication and docs/protocol.md#who-acknowledges-and-who-doesnt.

        - `token`: the token
        - `entity_id`: who the client is; required if the token is for a pattern of entities
        - `entity_type`: the type of the token
        - `capabilities`: what the entity can do; others find it by them. See docs/protocol.md#described-capabilities
        - `metadata`: what else others can see of it, at most 8192 bytes of JSON
        - `max_inflight`: how many calls the session takes at once, those included that were given up and that it has
          not answered; null: unlimited
        - `max_message_size`: how many bytes a message may have that the client takes; null: it does not say, see
          docs/protocol.md#messages-that-a-client-does-not-take
        - `ack`: whether the session acknowledges its messages; null: if it has the capability `ack`
        - `mail`: on which terms it gets them if it does
        - `not_authenticated`: the token is wrong, expired or revoked; the fifth on one connection closes it with 4500
        - `permission_denied`: the token is for another entity or type, or the connection has a session of another
          entity
        - `conflict`: the entity is here as one of another type
        - `too_large`: too much metadata; a capability of more than 16 KiB; or all sessions of the entity together have
          more than 500 capabilities, 32 KiB of their names or 1 MiB of descriptions
        - `invalid_params`: a schema is no JSON Schema, or would take too long; `data.path` says where
        - `rate_limited`: the entity has too many connections: close code 4504; the gateway is full: close code 4014; or
          all entities together describe too much
        - `unavailable`: the connection is closing
        """
        principal = self._verifier.principal(caller, "auth.authenticate", token)
        wanted = identity(principal, entity_id)
        if entity_type not in (None, principal.entity_type):
            raise PermissionDenied(f"The token is for the type {principal.entity_type}")
        written = NOTHING if metadata is None else metadata_of(metadata)
        own = caller.session
        if own is None:
            names, described = declared(capabilities, self._validators.why_not)
            self._directory.check(wanted, principal.entity_type, names, described)
            said = Statement(
                capabilities=names,
                descriptions=described,
                metadata=written,
                max_inflight=max_inflight,
                ack=ack,
                mail=mail,
            )
            own = self._open(caller, wanted, principal, said, max_message_size)
        elif (own.entity_id, own.principal.entity_type) != (wanted, principal.entity_type):
            raise PermissionDenied(f"The connection belongs to {own.entity_id}")
        return authenticated(own, self._sessions.new_secret(own))

    @session
    def rpc_refresh(self, caller: Caller, *, token: str) -> Authenticated:
        """Replace the session's token by another one of the same entity. What it does not allow ends.

        The session, its id, its presence and its subscriptions stay; subscriptions that the new token does not allow
        end: `ended` names them. From then on the permissions and the expiry of the new token are those of the session.

        - `token`: a token of the same entity and the same type
        - `not_authenticated`: the token is wrong, expired or revoked; it counts among the five that close the
          connection
        - `permission_denied`: the token is for another entity or type
        """
        own = caller.session
        assert own is not None
        principal = self._verifier.principal(caller, "auth.refresh", token)
        same_type = principal.entity_type == own.principal.entity_type
        if not (same_type and covers(principal.entity_id, own.entity_id)):
            raise PermissionDenied(f"The token is not for {own.entity_id}")
        ended = self._sessions.refresh(caller, principal)
        return refreshed(own, self._sessions.new_secret(own), ended, self._limits.max_content_size)

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
        """Generate a token, whose permissions do not exceed those of the caller's own.

        docs/protocol.md#tokens says for whom a token can mint others, and what they can do at most.

        - `entity_id`: the entity that the token is for, or a pattern of entities
        - `entity_type`: their type
        - `permissions`: what the token allows; null: the set of an agent, as far as the caller has it
        - `expires_in_hours`: its lifetime; it ends with the caller's own token at the latest
        - `renewable_for_hours`: for how long the bearer can renew it by `auth.renew`, from now on. 0: not at all. null:
          720, which is 30 days, for a token of 24 hours, and 0 for others
        - `permission_denied`: the token would exceed the caller's own; `data.path` says in which param
        - `rate_limited`: too many tokens that the caller's entity has minted are valid, or too many of all;
          docs/protocol.md#tokens says how many
        - `invalid_params`: a permission does not exist; `data.near` has some that look like it
        - `unavailable`: the token could not be stored
        """
        assert caller.principal is not None
        minted = await self._credentials.mint(
            caller.principal, entity_id, entity_type, permissions, expires_in_hours, renewable_for_hours
        )
        self._audit.record("token.minted", caller, minted=token_entry(minted.record))
        return generated_token(minted)

    @session
    async def rpc_renew(
        self, caller: Caller, *, permissions: Wish | None = None, expires_in_hours: Hours | None = None
    ) -> GeneratedToken:
        """Renew the session's token: get another one that may do the same, or less. The old one stays valid.

        The new token is for the same entity and type. The session goes on with the old one until `auth.refresh` is
        called with the new one. No permission is needed: the minter allowed it by `renewable_for_hours`. The new token
        expires at `renew_until` at the latest: when `expires_at` is `renew_until`, it is the last one. More:
        docs/protocol.md#tokens.

        - `permissions`: what the new token allows, no more than the old one; null: the same
        - `expires_in_hours`: its lifetime, no longer than that of the old one; more is cut. null: the same
        - `permission_denied`: the token is not renewable, its `renew_until` has passed, or the new one would exceed it
        - `not_authenticated`: the token has just expired
        - `invalid_params`: a permission does not exist; `data.near` has some that look like it
        - `rate_limited`: the entity renews too often: ten times at once, and once a minute after that; or too many
          tokens are valid
        - `unavailable`: the token could not be stored
        """
        assert caller.principal is not None and caller.entity_id is not None
        self._renewals.count(caller.entity_id)
        renewed = await self._credentials.renew(caller.principal, permissions, expires_in_hours)
        self._audit.record("token.renewed", caller, renewed=token_entry(renewed.record))
        return generated_token(renewed)

    @permission(resource="entity_id", optional=True)
    async def rpc_revokeToken(
        self, caller: Caller, *, token_id: str | None = None, entity_id: str | None = None
    ) -> RevokedToken:
        """Revoke a token, or all tokens of an entity, and all that came of them. Their sessions are closed at once.

        Exactly one of the params is given. A permission with a pattern reaches the tokens for entities that it covers,
        and all that came of them, whomever that is for. The operator's own admin token is not found here: it ends with
        the process.

        - `token_id`: the token
        - `entity_id`: the entity whose tokens are revoked; for a pattern, the pattern as it is
        - `not_found`: there is no such token. One bearer of a token for many has none of its own: `data.shared` has the
          patterns, at most five, whose tokens it may use; revoking one of those ends it for all of its bearers
        - `invalid_params`: both or none of the params are given
        - `unavailable`: the revocation could not be stored: the tokens are dead in this process, but not after a
          restart
        """
        if (token_id is None) == (entity_id is None):
            raise InvalidParams("Invalid params: either token_id or entity_id")
        assert caller.principal is not None
        reached, known = partial(caller.reaches, REVOKE), partial(caller.sight.knows, REVOKE)
        if token_id is not None and not reached(whose := self._credentials.entity_of(token_id, known)):
            raise denied(caller.principal.permissions, REVOKE, whose)
        ended, stored = self._credentials.revoke(token_id, entity_id, reached)
        closed = self._sessions.end_tokens(ended, EndingKind.TOKEN_REVOKED)
        self._audit.record("token.revoked", caller, token_ids=ended, sessions_closed=closed)
        await stored
        return RevokedToken(sessions_closed=closed)

    @permission(resource="entity_id", optional=True)
    def rpc_listTokens(
        self,
        caller: Caller,
        *,
        entity_id: Pattern | None = None,
        expired: bool = False,
        limit: PageLimit | None = None,
        after: Cursor | None = None,
    ) -> TokenList:
        """List the records of tokens. The gateway does not know the tokens themselves.

        A permission with a pattern shows the tokens for entities that it covers. Tokens that have expired are known for
        a week, the latest 16 MiB of them; what was renewed from one that is no longer known shows the one before in its
        place. Pages: docs/protocol.md#pages.

        - `entity_id`: only the tokens for this entity, or for those that the pattern covers; null: all
        - `expired`: whether those are listed that have expired, too
        - `limit`: maximum tokens; null: as many as fit the answer
        - `after`: `next` of the page before; null: the first page
        - `invalid_params`: `after` is not the `next` of a page
        """
        records = self._credentials.records(expired, start_of(after))
        there = [each for each in records if entity_id is None or covers(entity_id, each.entity_id)]
        found = [each for each in there if caller.reaches(LIST, each.entity_id)]
        tokens, more = page(map(token_entry, found), limit, self._limits.max_content_size)
        return TokenList(tokens=cast(Any, tokens), next=next_of(found[len(tokens) - 1]) if more else UNSET)

    def _open(
        self, caller: Caller, entity_id: str, principal: Principal, statement: Statement, max_message_size: int | None
    ) -> Session:
        if caller.connection is None:
            raise InvalidParams("Sessions are opened on a connection")
        if caller.connection.closing_since is not None:
            raise Unavailable("The connection is closing")
        self._connections.claim(caller.connection, entity_id, principal.entity_type == "system")

        def prepare(opening: Session) -> None:
            opening.max_message_size = max_message_size
            self._directory.introduce(opening, statement)

        return self._sessions.open(caller, entity_id, principal, prepare)
