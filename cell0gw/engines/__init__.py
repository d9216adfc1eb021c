"""Engines: where publications are numbered and what must outlive the process is kept."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Position(NamedTuple):
    """A place in a channel: C{offset} counts from 1, 0 is before the first; C{epoch} names the numbering."""

    offset: int
    epoch: str


class Key(msgspec.Struct, frozen=True):
    """An idempotency key: whose, for which method, and a digest of the params that it stands for."""

    entity_id: str
    method: str
    key: str
    digest: bytes


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A publication that is to be stored, and so numbered.

    @ivar epoch: of the numbering that begins if the channel has none yet.
    @ivar time: seconds since the epoch.
    @ivar keep: how many messages of the channel are to be kept.
    """

    channel: str
    epoch: str
    sender: str
    message: bytes
    time: float
    keep: int
    key: Key | None = None


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a draft.

    @ivar position: the draft's; or that of the one that had its key before.
    @ivar oldest: the offset of the oldest message that is kept.
    @ivar replayed: whether its key was known: nothing was stored.
    """

    position: Position
    oldest: int
    replayed: bool = False


class StoredChannel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel in a store: its numbering, and which messages are kept. C{time}: that of the newest one."""

    name: str
    epoch: str
    oldest: int
    newest: int
    time: float


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a store; C{time} is seconds since the epoch."""

    offset: int
    time: float
    sender: str
    message: bytes
