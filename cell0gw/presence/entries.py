"""Entries: what clients see of an entity that is present."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from cell0gw.auth.principal import EntityType
from cell0gw.protocol.errors import TooLarge
from cell0gw.protocol.limits import MAX_METADATA_SIZE

PresenceStatus = Literal["online", "away", "busy", "do_not_disturb", "offline"]


Metadata = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
"""An object as JSON: so it takes as many bytes as are counted, and not many times as many."""


class AnonymousEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entity, as anonymous clients see it.

    - `entity_id`: the entity
    - `entity_type`: its type
    - `status`: the latest that its connected sessions said; `away` if none is connected
    - `capabilities`: what its connected sessions declared; if none is connected, what they had
    """

    entity_id: str
    entity_type: EntityType
    status: PresenceStatus
    capabilities: tuple[str, ...]


class PresenceEntry(AnonymousEntry, frozen=True, kw_only=True):
    """An entity that is present.

    - `status_message`: said with the status, or null
    - `connected_at`: since when its oldest session is there
    - `last_seen`: when anything last came from its newest session
    - `metadata`: what else it said of itself
    - `current_activity`: said with the status, or null
    - `session_id`: its newest session
    """

    status_message: str | None
    connected_at: str
    last_seen: str
    metadata: Metadata
    current_activity: str | None
    session_id: str


class PresencePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of who is present, sorted by `entity_id`.

    - `entries`: the entities
    - `next`: what to give as `after` for the next page; absent: there is no more
    """

    entries: list[PresenceEntry]
    next: str | UnsetType = UNSET


class AnonymousPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of who is present, sorted by `entity_id`, as anonymous clients see it.

    - `entries`: the entities
    - `next`: what to give as `after` for the next page; absent: there is no more
    """

    entries: list[AnonymousEntry]
    next: str | UnsetType = UNSET


def anonymous(entry: PresenceEntry) -> AnonymousEntry:
    """The part of an entry that anonymous clients see."""
    return AnonymousEntry(
        entity_id=entry.entity_id, entity_type=entry.entity_type, status=entry.status, capabilities=entry.capabilities
    )


def metadata_of(value: dict[str, Any]) -> Raw:
    """Metadata of an entry.

    @raise TooLarge: it is more than an entry may have.
    """
    written = msgspec.json.encode(value)
    if len(written) > MAX_METADATA_SIZE:
        raise TooLarge(f"metadata is at most {MAX_METADATA_SIZE} bytes of JSON")
    return Raw(written)
