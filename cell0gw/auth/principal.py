"""What a valid token says of its bearer."""

from __future__ import annotations

from typing import Literal

import msgspec

from cell0gw.auth.permissions import Permissions

EntityType = Literal["agent", "user", "service", "system"]


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """What a valid token says of its bearer. C{entity_id} may be a pattern; C{expires_at}: seconds since the epoch."""

    entity_id: str
    entity_type: EntityType
    permissions: Permissions
    token_id: str
    expires_at: float | None
