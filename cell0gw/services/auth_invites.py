"""The methods of ``auth`` that are about invites."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, cast

from msgspec import UNSET, Meta

from cell0gw.auth.entries import GeneratedToken, generated_token, start_of, token_entry
from cell0gw.auth.invite_entries import CreatedInvite, InviteList, RevokedInvites, invite_entry, next_of
from cell0gw.auth.invites import BadInvite, Invites
from cell0gw.auth.permissions import MINT, Permission
from cell0gw.auth.principal import EntityType
from cell0gw.guard.guard import Guard
from cell0gw.protocol.errors import InvalidParams
from cell0gw.protocol.limits import MAX_PERMISSIONS
from cell0gw.protocol.subjects import Pattern, covers
from cell0gw.rpc.access import anyone, permission
from cell0gw.rpc.pages import Cursor, PageLimit, page
from cell0gw.services.verifier import Verifier
from cell0gw.sessions.client import Reached
from cell0gw.sessions.session import Caller

REVOKE: Final = "auth.revokeToken"
LIST: Final = "auth.listTokens"

Wish = Annotated[list[Permission], Meta(max_length=MAX_PERMISSIONS)]
Seconds = Annotated[float, Meta(gt=0, le=604_800)]

InviteLink = Callable[[Reached | None, str], str]
"""Gives the link of an invite, for who reached the gateway so, and by its secret."""


class InviteMethods:
    """Invites. The permissions for tokens are those for invites, too."""

    def __init__(self, invites: Invites, verifier: Verifier, guard: Guard, link: InviteLink) -> None:
        self._invites = invites
        self._verifier = verifier
        self._limits = guard.limits
        self._audit = guard.audit
        self._link = link

    @permission(resource="entity_id", like=MINT)
    async def rpc_createInvite(
        self,
        caller: Caller,
        *,
        entity_id: Pattern,
        entity_type: EntityType = "agent",
        permissions: Wish | None = None,
        expires_in_seconds: Seconds = 600,
    ) -> CreatedInvite:
        """Create an invite: a link by which somebody who has no token gets one, once.

        The token is minted when the invite is redeemed, as by `auth.generateToken` with its default lifetime. It can do
        no more than what the caller's token could mint then. The invite ends with the caller's token. More:
        docs/protocol.md#invites.

        - `entity_id`: the entity that the token will be for, or a pattern of entities
        - `entity_type`: their type
        - `permissions`: what the token will allow; null: the set of an agent, as far as the caller has it then
        - `expires_in_seconds`: for how long the invite can be redeemed, at most a week; it ends with the caller's own
          token at the latest
        - `permission_denied`: the token would exceed the caller's own; `data.path` says in which param
        - `rate_limited`: too many invites of the caller's entity are outstanding, or too many of all;
          docs/protocol.md#invites says how many
        - `invalid_params`: a permission does not exist; `data.near` has some that look like it
        - `unavailable`: the invite could not be stored
        """
        assert caller.principal is not None
        invited = await self._invites.create(caller.principal, entity_id, entity_type, permissions, expires_in_seconds)
        entry = invite_entry(invited.invite)
        self._audit.record("token.invited", caller, invite=entry)
        reached = None if caller.connection is None else caller.connection.reached
        return CreatedInvite(
            link=self._link(reached, invited.secret),
            invite_id=entry.invite_id,
            entity_id=entry.entity_id,
            expires_at=entry.expires_at,
        )

    @anyone
    async def rpc_redeem(self, caller: Caller, *, invite: str) -> GeneratedToken:
        """Redeem an invite: get the token that it is for. An invite can be redeemed once.

        Keep the token before you use it: if the answer is lost on the way, the invite is used up, and you need another
        one. The connection is not authenticated by this; `auth.authenticate` with the token does that. More:
        docs/protocol.md#invites.

        - `invite`: the `invite` of the link
        - `not_authenticated`: there is no such invite, it has expired or been redeemed or revoked, or its creator may
          not mint such a token any more; it counts among the five wrong tokens that close the connection
        - `rate_limited`: too many tokens are valid; the invite is still good
        - `unavailable`: the token could not be stored; the invite is still good
        """
        with self._verifier.counting(caller, "auth.redeem", BadInvite):
            minted, invite_id = await self._invites.redeem(invite)
        self._audit.record("token.redeemed", caller, invite_id=invite_id, minted=token_entry(minted.record))
        return generated_token(minted)

    @permission(resource="entity_id", optional=True, like=LIST)
    def rpc_listInvites(
        self,
        caller: Caller,
        *,
        entity_id: Pattern | None = None,
        limit: PageLimit | None = None,
        after: Cursor | None = None,
    ) -> InviteList:
        """List the invites that are outstanding, without their links.

        A permission with a pattern shows the invites for entities that it covers. Pages: docs/protocol.md#pages.

        - `entity_id`: only the invites for this entity, or for those that the pattern covers; null: all
        - `limit`: maximum invites; null: as many as fit the answer
        - `after`: `next` of the page before; null: the first page
        - `invalid_params`: `after` is not the `next` of a page
        """
        there = [each for each in self._invites.all(start_of(after)) if caller.reaches(LIST, each.entity_id)]
        found = [each for each in there if entity_id is None or covers(entity_id, each.entity_id)]
        invites, more = page(map(invite_entry, found), limit, self._limits.max_content_size)
        return InviteList(invites=cast(Any, invites), next=next_of(found[len(invites) - 1]) if more else UNSET)

    @permission(resource="entity_id", optional=True, like=REVOKE)
    async def rpc_revokeInvite(
        self, caller: Caller, *, invite_id: str | None = None, entity_id: str | None = None
    ) -> RevokedInvites:
        """Revoke an invite, or all invites for an entity. Tokens that came of others stay: revoke those by themselves.

        Exactly one of the params is given. A permission with a pattern reaches the invites for entities that it covers.

        - `invite_id`: the invite
        - `entity_id`: the entity whose invites are revoked; for a pattern, the pattern as it is
        - `not_found`: there is none that is outstanding
        - `invalid_params`: both or none of the params are given
        - `unavailable`: the revocation could not be stored: the invites are dead in this process, but may not be after
          a restart
        """
        if (invite_id is None) == (entity_id is None):
            raise InvalidParams("Invalid params: either invite_id or entity_id")
        ended, stored = self._invites.revoke(invite_id, entity_id, partial(caller.reaches, REVOKE))
        self._audit.record("token.uninvited", caller, invite_ids=ended)
        await stored
        return RevokedInvites(invite_ids=ended)
