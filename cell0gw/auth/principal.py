"""What a valid token says of its bearer."""

from __future__ import annotations

from typing import Literal

import msgspec

from cell0gw.auth.permissions import Permissions
from cell0gw.protocol.errors import InvalidParams, PermissionDenied
from cell0gw.protocol.subjects import covers, is_name

EntityType = Literal["agent", "user", "service", "system"]


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """What a valid token says of its bearer. C{entity_id} may be a pattern; C{expires_at} and C{renew_until}: seconds
    since the epoch.

    @ivar renew_until: when the last token ends to which this one can be renewed; None: it is not renewable.
    """

    entity_id: str
    entity_type: EntityType
    permissions: Permissions
    token_id: str
    expires_at: float | None
    renew_until: float | None = None


def identity(principal: Principal, wanted: str | None) -> str:
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
