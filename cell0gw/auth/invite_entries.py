"""Entries: what clients see of invites."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from cell0gw.auth.invites import age
from cell0gw.auth.tokens import Invite
from cell0gw.protocol.timestamps import timestamp


class CreatedInvite(msgspec.Struct, frozen=True, kw_only=True):
    """A new invite. It is on disk.

    - `link`: the link to pass on, shown only this once; docs/protocol.md#links-of-invites says how it is read
    - `invite_id`: names it in lists and logs
    - `entity_id`: the entity, or the pattern of entities, that its token will be for
    - `expires_at`: until when it can be redeemed, which may be sooner than was requested
    """

    link: str
    invite_id: str
    entity_id: str
    expires_at: str


# Beside Invite, since dates are text on the wire, and the digest is not shown.
class InviteEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An invite that is outstanding, without its link.

    - `invite_id`: names the invite
    - `entity_id`: the entity, or the pattern of entities, that its token will be for
    - `entity_type`: their type
    - `permissions`: what its token will allow; null: the set of an agent, as far as the creator has it then
    - `created_at`: when it was created
    - `expires_at`: until when it can be redeemed
    - `created_by`: the `token_id` of its creator, with which it ends
    """

    invite_id: str
    entity_id: str
    entity_type: str
    permissions: tuple[str, ...] | None
    created_at: str
    expires_at: str
    created_by: str


class InviteList(msgspec.Struct, frozen=True, kw_only=True):
    """Invites that are outstanding.

    - `invites`: the invites, oldest first
    - `next`: what to give as `after` for the next page; absent: there is no more
    """

    invites: list[InviteEntry]
    next: str | UnsetType = UNSET


class RevokedInvites(msgspec.Struct, frozen=True, kw_only=True):
    """The invites were revoked.

    - `success`: true
    - `invite_ids`: those that were
    """

    success: bool = True
    invite_ids: list[str]


def invite_entry(invite: Invite) -> InviteEntry:
    """What is kept of an invite, without what only the gateway needs."""
    return InviteEntry(
        invite_id=invite.invite_id,
        entity_id=invite.entity_id,
        entity_type=invite.entity_type,
        permissions=invite.permissions,
        created_at=timestamp(invite.created_at),
        expires_at=timestamp(invite.expires_at),
        created_by=invite.created_by,
    )


def next_of(invite: Invite) -> str:
    """What names an invite as the last one of a page."""
    created, invite_id = age(invite)
    return f"{created}_{invite_id}"
