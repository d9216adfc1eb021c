"""The rules of tokens: who may mint what, what a token proves, and how it ends."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.auth import tokens
from cell0gw.auth.grants import Grantable, check_grantable, check_mintable
from cell0gw.auth.permissions import AGENT_PERMISSIONS, EVERYTHING, Permissions
from cell0gw.auth.principal import EntityType, Principal
from cell0gw.auth.store import ITokenStore
from cell0gw.auth.tokens import TokenRecord
from cell0gw.process.failures import reported_already
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import NotAuthenticated, NotFound
from cell0gw.protocol.printable import printable
from cell0gw.protocol.subjects import covers, has_wildcard, is_pattern
from cell0gw.protocol.suggestions import MOST, Suggestions

HOUR: Final = 3600.0

ADMIN: Final = "admin"
"""The entity of the gateway's own first token."""

BAD_TOKEN: Final = "Invalid token"
"""What is said of every token that opens nothing: one text for all, so that guessing teaches nothing."""

RETENTION: Final = 7 * 24 * HOUR
"""For how many seconds after its expiry a token is still listed."""


class Minted(msgspec.Struct, frozen=True):
    """A token, the only time it is seen, and what is kept of it."""

    token: str
    record: TokenRecord


@implementer(ISweeper)
class Credentials:
    """Every token that was ever minted and not yet purged, by its digest; the store has the same.

    @param grantable: gives the permissions that there are: only those are minted.
    @ivar suggestions: whom tokens are for, and whoever else has a name here.
    """

    def __init__(self, store: ITokenStore, runtime: Runtime, grantable: Grantable) -> None:
        self._store = store
        self._grantable = grantable
        self._wall = runtime.wall
        self._random_bytes = runtime.random_bytes
        self._by_digest: dict[str, TokenRecord] = {}
        self._by_id: dict[str, TokenRecord] = {}
        self._minted_by: dict[str, list[str]] = {}
        self._of_entity: dict[str, dict[str, None]] = {}
        self._expiries: list[tuple[float, str]] = []
        self._accepted: set[str] = set()
        # What the store has yet to hear of.
        self._unwritten: set[str] = set()
        self.suggestions = Suggestions()

    def load(self) -> None:
        """Take up what the store kept."""
        for record in self._store.load():
            self._keep(record)
        self._purge()

    def __len__(self) -> int:
        return len(self._by_id)

    def records(self) -> list[TokenRecord]:
        """All of them, oldest first; also those that were revoked or have expired."""
        return sorted(self._by_id.values(), key=lambda record: (record.issued_at, record.token_id))

    def names(self, entity_id: str) -> bool:
        """Whether a valid token is for this entity, and not for a pattern of many."""
        now = self._wall()
        of_entity = () if has_wildcard(entity_id) else self._of_entity.get(entity_id, ())
        return entity_id in self._accepted or any(self._by_id[token_id].valid(now) for token_id in of_entity)

    def verify(self, token: str) -> Principal:
        """What a token proves.

        @raise NotAuthenticated: wrong, expired or revoked.
        """
        record = self._by_digest.get(tokens.digest(token))
        if record is None or not record.valid(self._wall()):
            raise NotAuthenticated(BAD_TOKEN)
        return _principal(record)

    def accept(self, token: str) -> None:
        """Take an operator's own token as one of the C{admin} entity, for the life of the process; it is never stored.

        @raise ValueError: it has not the shape of a token, or too short a secret.
        """
        if not tokens.is_operator_token(token):
            raise ValueError("it must be cell0_<32 or more letters and digits>_<unix seconds>")
        record = self._admin_record(token)
        self._by_digest[record.digest] = record
        self._accepted.add(record.entity_id)
        self.suggestions.add(record.entity_id)

    async def mint_admin(self, keep: Callable[[str], None]) -> Minted:
        """Mint the token that may do everything, and store it.

        @param keep: called with the token first, so that no admin is ever stored whose token nobody has.
        """
        token = tokens.mint(self._random_bytes, self._wall())
        keep(token)
        return await self._store_new(token, self._admin_record(token))

    async def mint(
        self,
        minter: Principal,
        entity_id: str,
        entity_type: EntityType,
        permissions: list[str] | None,
        expires_in_hours: float,
    ) -> Minted:
        """Mint a token that can do no more than its minter's, in permissions, in ids and in time, and store it.

        @param entity_id: whom it is for, or a pattern of those it is for.
        @param permissions: None means the agent set, cut to what the minter has.
        @param expires_in_hours: cut to what the minter's own token has left.
        @raise PermissionDenied: it would be more than the minter has; C{path} says what.
        @raise InvalidParams: there is no such permission.
        """
        self._purge()
        wanted = () if permissions is None else permissions
        check_grantable(wanted, self._grantable)
        check_mintable(minter, entity_id, entity_type, wanted)
        granted = minter.permissions.intersect(AGENT_PERMISSIONS) if permissions is None else dict.fromkeys(wanted)
        now = self._wall()
        expires_at = now + expires_in_hours * HOUR
        if minter.expires_at is not None:
            expires_at = min(expires_at, minter.expires_at)
        token = tokens.mint(self._random_bytes, now)
        digest = tokens.digest(token)
        record = TokenRecord(
            token_id=tokens.token_id(digest),
            digest=digest,
            entity_id=entity_id,
            entity_type=entity_type,
            permissions=tuple(granted),
            issued_at=now,
            expires_at=expires_at,
            issued_by=minter.token_id,
        )
        return await self._store_new(token, record)

    def revoke(self, token_id: str | None = None, entity_id: str | None = None) -> tuple[list[str], Deferred[None]]:
        """End a token, or all tokens of an entity, and with each whatever it minted.

        They open no session from now on.

        @return: the ids that were ended, and a Deferred that fires once the store knows.
        @raise NotFound: no such token; the operator's own ends with the process, not by this.
        """
        todo = [r.token_id for r in self._by_id.values() if r.token_id == token_id or r.entity_id == entity_id]
        if not todo:
            raise self._no_token(token_id, entity_id)
        ended: dict[str, None] = {}
        while todo:
            current = todo.pop()
            if current in ended:  # it is of the entity, and another one of the entity has minted it
                continue
            ended[current] = None
            todo.extend(self._minted_by.get(current, ()))
            self._keep(msgspec.structs.replace(self._by_id[current], revoked=True))
        token_ids = list(ended)
        return token_ids, self._store.revoke(token_ids).addErrback(self._not_written, token_ids)

    def _no_token(self, token_id: str | None, entity_id: str | None) -> NotFound:
        """What is said to one who would revoke what there is not."""
        if entity_id is None:
            return NotFound(f"No such token: {printable(token_id or '')}")
        if not is_pattern(entity_id):
            return NotFound(f"No token is for {printable(entity_id)}")
        now = self._wall()
        patterns = (pattern for pattern in self._of_entity if has_wildcard(pattern) and covers(pattern, entity_id))
        shared = [p for p in patterns if any(self._by_id[token].valid(now) for token in self._of_entity[p])][:MOST]
        if shared:
            text = f"{shared[0]} is the entity of one that it may use, and revoking that ends it for all its bearers"
            return NotFound(f"No token is for {entity_id}: {text}", shared=shared)
        near = self.suggestions.near(entity_id, self._of_entity.__contains__)
        return NotFound(f"No token is for {entity_id}", near=near)

    def sweep(self) -> None:
        """See L{ISweeper}: tell the store again what it could not take down. A token that was revoked must not be good
        after a start.
        """
        if self._unwritten:
            ended, self._unwritten = list(self._unwritten), set()
            self._store.revoke(ended).addErrback(self._not_written, ended).addErrback(reported_already)

    async def _store_new(self, token: str, record: TokenRecord) -> Minted:
        # Kept first: should its minter be revoked while the store is busy, this one is revoked too.
        self._keep(record)
        try:
            await self._store.add(record)
        except BaseException:
            self._drop(record)
            raise
        return Minted(token, record)

    def _not_written(self, failure: Failure, ended: list[str]) -> Failure:
        self._unwritten.update(ended)
        return failure

    def _keep(self, record: TokenRecord) -> None:
        if record.token_id not in self._by_id:
            if record.issued_by is not None:
                self._minted_by.setdefault(record.issued_by, []).append(record.token_id)
            if record.expires_at is not None:
                heapq.heappush(self._expiries, (record.expires_at, record.token_id))
            self._of_entity.setdefault(record.entity_id, {})[record.token_id] = None
            self.suggestions.add(record.entity_id)
        self._by_id[record.token_id] = record
        self._by_digest[record.digest] = record

    def _drop(self, record: TokenRecord) -> None:
        del self._by_id[record.token_id], self._by_digest[record.digest]
        self._minted_by.pop(record.token_id, None)
        self.suggestions.discard(record.entity_id)
        of_entity = self._of_entity[record.entity_id]
        del of_entity[record.token_id]
        if not of_entity:
            del self._of_entity[record.entity_id]
        if record.issued_by in self._minted_by:
            self._minted_by[record.issued_by].remove(record.token_id)

    def _purge(self) -> None:
        """Forget what expired long ago; what such a token minted expired no later."""
        until = self._wall() - RETENTION
        gone = []
        while self._expiries and self._expiries[0][0] < until:
            record = self._by_id.get(heapq.heappop(self._expiries)[1])
            if record is not None:
                self._drop(record)
                gone.append(record.token_id)
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


def _principal(record: TokenRecord) -> Principal:
    return Principal(
        entity_id=record.entity_id,
        entity_type=record.entity_type,
        permissions=Permissions(record.permissions),
        token_id=record.token_id,
        expires_at=record.expires_at,
    )
