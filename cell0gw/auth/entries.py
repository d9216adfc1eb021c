"""Entries: what clients see of tokens."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from cell0gw.auth.credentials import HOUR, Minted, age
from cell0gw.auth.tokens import TokenRecord
from cell0gw.protocol.errors import InvalidParams
from cell0gw.protocol.timestamps import timestamp


# Beside Minted, since dates are text on the wire, and the digest is not shown.
class GeneratedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A new token. It is on disk.

    - `token`: the token, shown only this once
    - `token_id`: names it in lists and logs
    - `entity_id`: the entity, or the pattern of entities, that it is for
    - `permissions`: what it allows
    - `expires_in_hours`: its lifetime, which may be less than was requested
    - `expires_at`: when it expires
    - `renew_until`: when the last token expires that can be made of it by `auth.renew`; null: it is not renewable
    """

    token: str
    token_id: str
    entity_id: str
    permissions: tuple[str, ...]
    expires_in_hours: float
    expires_at: str
    renew_until: str | None


class RevokedToken(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens were revoked.

    - `success`: true
    - `sessions_closed`: live sessions that were closed
    """

    success: bool = True
    sessions_closed: int


# Beside TokenRecord, since dates are text on the wire, and the digest is not shown.
class TokenEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A token's record, without the token itself.

    - `token_id`: names the token
    - `entity_id`: the entity, or the pattern of entities, that it is for
    - `entity_type`: their type
    - `permissions`: what it allows
    - `issued_at`: when it was generated
    - `expires_at`: when it expires; null: never
    - `issued_by`: the `token_id` of its minter; null: the gateway's first token; `"process"`: a program in the same
      process
    - `renewed_from`: the `token_id` of the token that it renews; null: it was generated
    - `renew_until`: when the last token expires that can be made of it by `auth.renew`; null: it is not renewable
    - `revoked`: whether it was revoked
    """

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


class TokenList(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that the gateway stores.

    - `tokens`: the tokens, oldest first
    - `next`: what to give as `after` for the next page; absent: there is no more
    """

    tokens: list[TokenEntry]
    next: str | UnsetType = UNSET


def generated_token(minted: Minted) -> GeneratedToken:
    """A token that was minted just now, for its bearer."""
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


def token_entry(record: TokenRecord) -> TokenEntry:
    """A token's record, without what only the gateway needs."""
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


def next_of(record: TokenRecord) -> str:
    """What names a token as the last one of a page."""
    issued, token_id = age(record)
    return f"{issued}_{token_id}"


def start_of(after: str | None) -> tuple[int, str] | None:
    """The L{age} of the last token of a page; None: there is no page before.

    @param after: as L{next_of} made it.
    @raise InvalidParams: it did not.
    """
    if after is None:
        return None
    issued, _, token_id = after.partition("_")
    if not (issued.isdecimal() and issued.isascii()):
        raise InvalidParams("Invalid params: after is not the `next` of a page", path="params.after")
    return int(issued), token_id
