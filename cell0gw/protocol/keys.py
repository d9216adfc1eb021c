"""Idempotency keys, and the digests of what they stand for."""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta


class Key(msgspec.Struct, frozen=True):
    """An idempotency key: whose, for which method, and a digest of the params that it stands for."""

    entity_id: str
    method: str
    key: str
    digest: bytes


IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=200)]


def digest_of(*params: object) -> bytes:
    """What tells the params of one call from those of another: every one of them, as it was written."""
    sha = hashlib.sha256()
    for param in params:
        written = param if isinstance(param, bytes) else repr(param).encode()
        sha.update(len(written).to_bytes(8, "big") + written)
    return sha.digest()
