"""The rules of tokens: who may mint what, what a token proves, and how it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cell0gw.auth import tokens
from cell0gw.auth.bad_token import BadToken, check
from cell0gw.auth.grants import Grantable, check_grantable, check_held, check_mintable
from cell0gw.auth.permissions import AGENT_PERMISSIONS, EVERYTHING, Permissions
from cell0gw.auth.principal import EntityType, Principal
from cell0gw.auth.records import Records
from cell0gw.auth.revocations import Revocations
from cell0gw.auth.store import ITokenStore
from cell0gw.auth.tokens import TokenRecord
from cell0gw.process.failures import reported_already
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import PermissionDenied
from cell0gw.protocol.subjects import has_wildcard
from cell0gw.protocol.timestamps import timestamp

HOUR: Final = 3600.0

ADMIN: Final = "admin"
"""The entity of the gateway's own first token."""

RETENTION: Final = 7 * 24 * HOUR
"""Seconds after its expiry for which a token is still known, unless too many are."""

LIFETIME: Final = 24
"""Hours that a token lives whose minter says nothing of it."""

RENEWABLE: Final = 30 * 24
"""Hours for which such a token can be renewed."""


Store = Callable[[TokenRecord], "Deferred[Any]"]
"""Stores the record of a token."""


class Minted(msgspec.Struct, frozen=True):
    """A token, the only time it is seen, and what is kept of it."""

    token: str
    record: TokenRecord


@implementer(ISweeper)
class Credentials:
    """What tokens prove, and what may be done with them.

    @param grantable: gives the permissions that there are: only those are minted.
    @ivar revoke: see L{Revocations}; so for C{entity_of} and C{observers}.
    @ivar suggestions: the ids that tokens are for, and others that are known here.
    """

    def __init__(self, store: ITokenStore, runtime: Runtime, grantable: Grantable) -> None:
        self._store = store
        self._grantable = grantable
        self._wall = runtime.wall
        self._random_bytes = runtime.random_bytes
        self._records = Records()
        # The operator's own, by their digests: they are never stored.
        self._accepted: dict[str, TokenRecord] = {}
        self._revocations = revocations = Revocations(self._records, store, runtime.wall)
        self.revoke, self.entity_of = revocations.revoke, revocations.entity_of
        self.observers = revocations.observers
        self.suggestions = self._records.suggestions

    def load(self) -> None:
        """Load what the store kept."""
        for record in sorted(self._store.load(), key=age):  # a minter comes before what it has minted
            self._records.keep(record)
        self._purge()

    def __len__(self) -> int:
        return len(self._records)

    def records(self, expired: bool = True, after: tuple[int, str] | None = None) -> list[TokenRecord]:
        """All of them, oldest first; also those that were revoked.

        @param expired: whether those are there that have expired, too.
        @param after: the L{age} beyond which they are asked for; None: from the first one on.
        """
        now = self._wall()
        there = (each for each in self._records if expired or each.expires_at is None or each.expires_at > now)
        return sorted((each for each in there if after is None or age(each) > after), key=age)

    def names(self, entity_id: str) -> bool:
        """Whether a valid token is for this entity, and not for a pattern of many."""
        now = self._wall()
        records = [] if has_wildcard(entity_id) else self._records.of_entity(entity_id)
        return any(record.valid(now) for record in records) or any(
            record.entity_id == entity_id for record in self._accepted.values()
        )

    def covers(self, entity_id: str) -> bool:
        """Whether a valid token is for a pattern of many that covers this entity."""
        return self._records.is_covered(entity_id, self._wall())

    def verify(self, token: str) -> Principal:
        """What a token proves.

        @raise BadToken: wrong, expired or revoked.
        """
        digest = tokens.digest(token)
        record = self._records.find(digest) or self._accepted.get(digest)
        if record is None:
            raise BadToken("wrong")
        check(record, self._wall())
        return record.principal

    def accept(self, token: str) -> None:
        """Take an operator's own token as one of the C{admin} entity, for the life of the process; it is never stored.

        @raise ValueError: it has not the shape of a token, or too short a secret.
        """
        if not tokens.is_operator_token(token):
            raise ValueError("it must be cell0_<32 or more letters and digits>_<unix seconds>")
        record = self._admin_record(token)
        self._accepted[record.digest] = record
        self.suggestions.add(record.entity_id)

    async def mint_admin(self, keep: Callable[[str], None]) -> Minted:
        """Mint the token that may do everything, and store it.

        @param keep: called with the token before it is stored, so that no admin is ever stored whose token nobody has.
        """
        token = tokens.mint(self._random_bytes, self._wall())
        keep(token)
        return await self._store_new(token, self._admin_record(token))

    async def mint(
        self,
        minter: Principal,
        entity_id: str,
        entity_type: EntityType,
        permissions: Collection[str] | None,
        expires_in_hours: float = LIFETIME,
        renewable_for_hours: float | None = None,
        store: Store | None = None,
    ) -> Minted:
        """Mint a token that can do no more than its minter's, in permissions, in ids and in time, and store it.

        @param entity_id: whom it is for, or a pattern of those it is for.
        @param permissions: None means the agent set, cut to what the minter has.
        @param expires_in_hours: cut to what the minter's own token has left.
        @param renewable_for_hours: gives its C{renew_until}, counted from now and cut in the same way; 0: it is not
            renewable. None: L{RENEWABLE} hours if it lives for L{LIFETIME} hours, else it is not.
        @param store: stores it; called last, when nothing else can go wrong. None: it is added to the store.
        @raise PermissionDenied: it would be more than the minter has; C{path} says in what.
        @raise InvalidParams: there is no such permission.
        @raise RateLimited: too many of the minter's tokens, or of all, are valid.
        """
        self._purge()
        self.check(minter, entity_id, entity_type, permissions)
        wanted = () if permissions is None else permissions
        granted = minter.permissions.intersect(AGENT_PERMISSIONS) if permissions is None else dict.fromkeys(wanted)
        if renewable_for_hours is None:
            renewable_for_hours = RENEWABLE if expires_in_hours == LIFETIME else 0
        now = self._wall()
        ends, renewable = (
            min(now + hours * HOUR, math.inf if minter.expires_at is None else minter.expires_at)
            for hours in (expires_in_hours, renewable_for_hours)
        )
        token = tokens.mint(self._random_bytes, now)
        digest = tokens.digest(token)
        record = TokenRecord(
            token_id=tokens.token_id(digest),
            digest=digest,
            entity_id=entity_id,
            entity_type=entity_type,
            permissions=minter.permissions.bound(granted),
            issued_at=now,
            expires_at=ends,
            issued_by=minter.token_id,
            renew_until=renewable if renewable > ends else None,
        )
        self._records.admit(record, minter.entity_type == "system")
        return await self._store_new(token, record, store)

    def check(
        self, minter: Principal, entity_id: str, entity_type: EntityType, permissions: Iterable[str] | None
    ) -> None:
        """See that a minter can mint such a token now, but for how many there are, see L{mint}."""
        wanted = () if permissions is None else permissions
        check_grantable(wanted, self._grantable)
        check_mintable(minter, entity_id, entity_type, wanted)

    def bearer(self, token_id: str) -> Principal | None:
        """What a token says of its bearer, an operator's own included; None: it is not valid, or there is none."""
        accepted = (record for record in self._accepted.values() if record.token_id == token_id)
        record = self._records.get(token_id) or next(accepted, None)
        return record.principal if record is not None and record.valid(self._wall()) else None

    async def renew(self, bearer: Principal, permissions: list[str] | None, expires_in_hours: float | None) -> Minted:
        """Mint another token for the bearer of one that is renewable, and store it. It can do no more, lives no longer,
        and is renewable until the same time. The old one stays as it is.

        @param permissions: None means the same.
        @param expires_in_hours: cut to the lifetime of the old one, which None means, and to its C{renew_until}.
        @raise BadToken: the token has ended.
        @raise PermissionDenied: it is not renewable, or this would be more than it is.
        @raise RateLimited: too many that were renewed for the entity, or of all, are valid.
        @raise InvalidParams: there is no such permission.
        """
        self._purge()
        now = self._wall()
        old = self._records.get(bearer.token_id)
        if old is None or old.expires_at is None or old.renew_until is None:
            raise PermissionDenied("Your token is not renewable")
        check(old, now)
        if old.expires_at >= old.renew_until:
            raise PermissionDenied(f"Your token can't be renewed beyond {timestamp(old.renew_until)}, when it ends")
        wanted = old.permissions if permissions is None else permissions
        check_grantable(wanted, self._grantable, old.permissions)
        held = Permissions(old.permissions)
        check_held(held, wanted)
        lifetime = old.expires_at - old.issued_at
        if expires_in_hours is not None:
            lifetime = min(lifetime, expires_in_hours * HOUR)
        token = tokens.mint(self._random_bytes, now)
        digest = tokens.digest(token)
        record = msgspec.structs.replace(
            old,
            token_id=tokens.token_id(digest),
            digest=digest,
            permissions=held.bound(dict.fromkeys(wanted)),
            issued_at=now,
            expires_at=min(now + lifetime, old.renew_until),
            renewed_from=old.token_id,
        )
        self._records.admit(record, record.entity_type == "system")
        return await self._store_new(token, record)

    def sweep(self) -> None:
        """See L{ISweeper}: give the store again what it could not write, and forget what expired long ago."""
        self._purge()
        self._revocations.write_again()

    async def _store_new(self, token: str, record: TokenRecord, store: Store | None = None) -> Minted:
        # Kept first: should its minter be revoked while the store is busy, this one is revoked too.
        self._records.keep(record)
        try:
            await (store or self._store.add)(record)
        except BaseException:
            self._records.drop(record)
            raise
        return Minted(token, record)

    def _purge(self) -> None:
        """Forget what expired long ago; what such a token minted expired no later, but what it was renewed to did."""
        gone = self._records.expire(self._wall(), RETENTION)
        if gone:
            # What the store could not remove now is purged again at the next start.
            self._store.remove(gone).addErrback(reported_already)

    def _admin_record(self, token: str) -> TokenRecord:
        digest = tokens.digest(token)
        return TokenRecord(
            token_id=tokens.token_id(digest),
            digest=digest,
            entity_id=ADMIN,
            entity_type="system",
            permissions=(EVERYTHING,),
            issued_at=self._wall(),
        )


def age(record: TokenRecord) -> tuple[int, str]:
    """What tokens are sorted by: when they were issued, in milliseconds, and their ids."""
    return int(record.issued_at * 1000), record.token_id
