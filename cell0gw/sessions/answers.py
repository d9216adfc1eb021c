"""Answers: what clients are told of the session that they have."""

from __future__ import annotations

import itertools
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from cell0gw.auth.principal import EntityType
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.session import Session

FRAME: Final = 64
"""Maximum bytes of what stands around the names in an answer."""


class Authenticated(msgspec.Struct, frozen=True, kw_only=True):
    """The session of the connection.

    - `success`: true
    - `session_id`: names the session
    - `entity_id`: the entity
    - `entity_type`: its type
    - `permissions`: what the token allows
    - `expires_at`: when the token expires; null: never
    - `renew_until`: no token that `auth.renew` makes of it lives longer; absent: it is not renewable. If it is absent,
      or the same as `expires_at`, somebody has to generate another token before this one expires
    - `resume_token`: a secret that lets a later session resume this one, once, after its connection broke; null:
      sessions can't be resumed. Each answer has a new one, and the one before it is no longer valid
    - `ended`: in the answer of `auth.refresh`: the channels and patterns to which the session is subscribed no longer,
      since the new token does not allow it; there may be none
    - `ended_total`: present if `ended` does not have all, which would not fit: how many there are; `session.getInfo`
      has those that are left
    """

    success: bool = True
    session_id: str
    entity_id: str
    entity_type: EntityType
    permissions: tuple[str, ...]
    expires_at: str | None
    renew_until: str | UnsetType = UNSET
    resume_token: str | None
    ended: list[str] | UnsetType = UNSET
    ended_total: int | UnsetType = UNSET


def authenticated(own: Session, secret: str | None) -> Authenticated:
    """What a client is told that has authenticated.

    @param secret: resumes the session; None: nothing does.
    """
    principal = own.principal
    return Authenticated(
        session_id=own.session_id,
        entity_id=own.entity_id,
        entity_type=principal.entity_type,
        permissions=principal.permissions.granted,
        expires_at=None if principal.expires_at is None else timestamp(principal.expires_at),
        renew_until=UNSET if principal.renew_until is None else timestamp(principal.renew_until),
        resume_token=secret,
    )


def refreshed(own: Session, secret: str | None, ended: list[str], room: int) -> Authenticated:
    """What a client is told that goes on with another token.

    @param secret: resumes the session; None: nothing does.
    @param ended: what it is subscribed to no longer.
    @param room: maximum bytes of the answer.
    """
    answer = authenticated(own, secret)
    room -= len(msgspec.json.encode(answer)) + FRAME
    shown = list(itertools.takewhile(lambda end: end <= room, itertools.accumulate(len(name) + 3 for name in ended)))
    total = UNSET if len(shown) == len(ended) else len(ended)
    return msgspec.structs.replace(answer, ended=ended[: len(shown)], ended_total=total)
