"""Entries: what clients see of an agent that is online."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from cell0gw.auth.principal import EntityType
from cell0gw.presence.descriptions import Capability
from cell0gw.presence.entries import Metadata, PresenceEntry, PresenceStatus


class AgentEntry(PresenceEntry, frozen=True, kw_only=True):
    """An agent that is online.

    - `inflight`: calls that its sessions have; those that were given up and that it has not answered count as well
    - `max_inflight`: maximum calls that they take at once; null: unlimited
    """

    inflight: int
    max_inflight: int | None


class AgentDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What an entity can do, and what it says of it.

    - `entity_id`: the entity
    - `entity_type`: its type
    - `status`: as in its presence entry
    - `metadata`: as in its presence entry
    - `capabilities`: what its sessions declared, each with the latest description, if there is one
    """

    entity_id: str
    entity_type: EntityType
    status: PresenceStatus
    metadata: Metadata
    capabilities: list[Capability]


class AgentPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the agents that are online, sorted by `entity_id`.

    - `entries`: the agents
    - `next`: what to give as `after` for the next page; absent: there is no more
    """

    entries: list[AgentEntry]
    next: str | UnsetType = UNSET
