"""Tokens as values: ``cell0_<secret>_<unix seconds issued>``.

The secret is 256 random bits in 43 letters and digits. A random secret of that size needs no slow hash: the gateway
keeps and looks up the SHA-256 of the whole token and never the token itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Final

import msgspec

from cell0gw.auth.permissions import permissions_of
from cell0gw.auth.principal import EntityType, Principal

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH: Final = 43
_SECRET_BYTES: Final = 32
_OPERATOR_SHAPE = re.compile(r"cell0_[A-Za-z0-9]{32,200}_[0-9]{1,12}\Z").match


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a token: everything but the token.

    C{entity_id} is a name, or a pattern of names; C{issued_at}, C{expires_at} and C{renew_until} are seconds since the
    epoch (C{expires_at} None: never); C{issued_by} is the token id of the minter, None for one the gateway made itself.

    @ivar renew_until: when the last token ends to which this one can be renewed; None: it is not renewable.
    @ivar renewed_from: the token id of the one that this one renews; None: it was minted. When that one is forgotten it
        is the one before.
    """

    token_id: str
    digest: str
    entity_id: str
    entity_type: EntityType
    permissions: tuple[str, ...]
    issued_at: float
    expires_at: float | None = None
    issued_by: str | None = None
    revoked: bool = False
    renew_until: float | None = None
    renewed_from: str | None = None

    def valid(self, now: float) -> bool:
        """Whether the token still opens a session at C{now}, in seconds since the epoch."""
        return not self.revoked and (self.expires_at is None or now < self.expires_at)

    @property
    def principal(self) -> Principal:
        """What the token says of its bearer, as long as it is valid."""
        return Principal(
            entity_id=self.entity_id,
            entity_type=self.entity_type,
            permissions=permissions_of(self.permissions),
            token_id=self.token_id,
            expires_at=self.expires_at,
            renew_until=self.renew_until,
        )


class Invite(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an invite: everything but its secret.

    @ivar permissions: those that its token is to have; None: the set of an agent, as far as its creator has it.
    @ivar created_at: in seconds since the epoch, as C{expires_at}.
    @ivar created_by: the id of the token that its creator has.
    """

    invite_id: str
    digest: str
    entity_id: str
    entity_type: EntityType
    permissions: tuple[str, ...] | None
    created_at: float
    expires_at: float
    created_by: str


def mint(random_bytes: Callable[[int], bytes], now: float) -> str:
    """A new token.

    @param random_bytes: gives that many unpredictable bytes, as L{os.urandom} does.
    @param now: seconds since the epoch.
    """
    return f"cell0_{secret(random_bytes)}_{int(now)}"


def secret(random_bytes: Callable[[int], bytes]) -> str:
    """What nobody guesses: 256 random bits, in letters and digits."""
    number = int.from_bytes(random_bytes(_SECRET_BYTES), "big")
    letters = []
    for _ in range(_SECRET_LENGTH):
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return "".join(letters)


def digest(token: str) -> str:
    """What the store keeps in the token's place: its SHA-256, in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def token_id(token_digest: str) -> str:
    """A short name for a token that is safe to log and to show."""
    return "tok_" + token_digest[:16]


def invite_id(invite_digest: str) -> str:
    """A short name for an invite that is safe to log and to show."""
    return "inv_" + invite_digest[:16]


def is_operator_token(token: str) -> bool:
    """Whether an operator may hand this in as the admin token: the shape, with a secret of at least 32 characters."""
    return _OPERATOR_SHAPE(token) is not None
