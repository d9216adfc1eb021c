"""Invites: one use each, by which somebody who has no token gets one, without anybody having seen it before."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.auth.bad_token import BadToken, Cause
from cell0gw.auth.credentials import Credentials, Minted
from cell0gw.auth.permissions import MINT
from cell0gw.auth.principal import EntityType, Principal
from cell0gw.auth.store import ITokenStore
from cell0gw.auth.tokens import Invite, TokenRecord, digest, invite_id, secret
from cell0gw.process.failures import reported_already
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import InvalidParams, NotFound, PermissionDenied, RateLimited
from cell0gw.protocol.limits import INVITE_PERMISSION_SIZE, INVITE_SIZE, MAX_INVITES_OF_CREATOR_SIZE, MAX_INVITES_SIZE
from cell0gw.protocol.printable import printable

PREFIX: Final = "invite_"
"""What the secrets of invites begin with."""

RETRY_AFTER_MS: Final = 60_000
"""Milliseconds after which there may be room for another invite."""


class BadInvite(BadToken):
    """An invite is not valid. Its bearer is told one text, whatever the cause.

    @ivar cause: as that of a token; C{revoked}: the token of its creator is not valid any more; C{exceeds}: its creator
        may not mint such a token any more.
    @ivar invite_id: the id that it would have, by which a line of an earlier use can be found; empty: it was not looked
        up.
    @ivar invite: None: there is none any more.
    """

    said = "Invalid invite"

    def __init__(self, cause: Cause, invite_id: str = "", invite: Invite | None = None) -> None:
        super().__init__(cause)
        self.invite_id = invite_id
        self.invite = invite


class Invited(msgspec.Struct, frozen=True):
    """An invite's secret, the only time it is seen, and what is kept of it."""

    secret: str
    invite: Invite


@implementer(ISweeper)
class Invites:
    """The invites that are outstanding: neither redeemed, nor expired, nor revoked."""

    def __init__(self, credentials: Credentials, store: ITokenStore, runtime: Runtime) -> None:
        self._credentials = credentials
        self._store = store
        self._wall = runtime.wall
        self._random_bytes = runtime.random_bytes
        self._by_id: dict[str, Invite] = {}
        # Those of the tokens of their creators, which they end with.
        self._created: dict[str, dict[str, None]] = {}
        self._expiries: list[tuple[float, str]] = []
        # Whose share each is in, and how many bytes it counts for.
        self._counted: dict[str, tuple[str, int]] = {}
        self._shares: Counter[str] = Counter()
        # What is still to be removed from the store.
        self._unwritten: set[str] = set()
        credentials.observers.append(self._tokens_ended)

    def load(self) -> None:
        """Load what the store kept; the tokens must have been loaded before."""
        for invite in self._store.load_invites():
            creator = self._credentials.bearer(invite.created_by)
            self._keep(invite, invite.created_by if creator is None else creator.entity_id)
        self.sweep()

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self, after: tuple[int, str] | None = None) -> list[Invite]:
        """All of them, oldest first.

        @param after: the L{age} beyond which they are asked for; None: from the first one on.
        """
        self._expire()
        return sorted((each for each in self._by_id.values() if after is None or age(each) > after), key=age)

    async def create(
        self,
        creator: Principal,
        entity_id: str,
        entity_type: EntityType,
        permissions: list[str] | None,
        expires_in_seconds: float,
    ) -> Invited:
        """Make an invite for a token that the creator could mint now, and store it.

        @param expires_in_seconds: cut to what the creator's own token has left.
        @raise PermissionDenied: the creator could not; C{path} says in what.
        @raise InvalidParams: there is no such permission.
        @raise RateLimited: too many of the creator's invites, or of all, are outstanding.
        """
        self._expire()
        self._credentials.check(creator, entity_id, entity_type, permissions)
        now = self._wall()
        ends = now + expires_in_seconds
        text = PREFIX + secret(self._random_bytes)
        hashed = digest(text)
        invite = Invite(
            invite_id=invite_id(hashed),
            digest=hashed,
            entity_id=entity_id,
            entity_type=entity_type,
            permissions=None if permissions is None else tuple(dict.fromkeys(permissions)),
            created_at=now,
            expires_at=ends if creator.expires_at is None else min(ends, creator.expires_at),
            created_by=creator.token_id,
        )
        self._admit(invite, creator)
        self._keep(invite, creator.entity_id)
        try:
            await self._store.invite(invite)
        except BaseException:
            self._drop(invite.invite_id)
            raise
        return Invited(text, invite)

    async def redeem(self, text: str) -> tuple[Minted, str]:
        """Mint the token that an invite is for, and use the invite up. Both are written, or neither.

        Whether the invite is any good is known before anything is waited for.

        @param text: its secret.
        @return: the token, and the id of the invite.
        @raise BadInvite: there is no such invite, or its creator could not mint that token now.
        @raise RateLimited: too many tokens are valid; the invite stays as it is.
        @raise Unavailable: the token could not be stored; the invite stays as it is.
        """
        hashed = digest(text)
        name = invite_id(hashed)
        invite = self._by_id.get(name)
        if invite is None or invite.digest != hashed:
            raise BadInvite("wrong", name)
        if self._wall() >= invite.expires_at:
            raise BadInvite("expired", name, invite)
        creator = self._credentials.bearer(invite.created_by)
        if creator is None:
            raise BadInvite("revoked", name, invite)
        if not creator.permissions.allow_on(MINT, invite.entity_id):
            raise BadInvite("exceeds", name, invite)
        share = self._counted[name][0]

        def use_up(record: TokenRecord) -> Deferred[None]:
            self._drop(name)
            return self._store.redeem(name, record).addErrback(self._not_redeemed, invite, share)

        try:
            minted = await self._credentials.mint(
                creator, invite.entity_id, invite.entity_type, invite.permissions, store=use_up
            )
        except (PermissionDenied, InvalidParams):
            raise BadInvite("exceeds", name, invite) from None
        return minted, name

    def revoke(
        self, invite_id: str | None, entity_id: str | None, reached: Callable[[str], bool]
    ) -> tuple[list[str], Deferred[None]]:
        """End an invite, or all that are for an entity.

        @param entity_id: an entity, or a pattern that is spelled like this.
        @param reached: whether an entity is one of whom the caller may know.
        @return: the ids of those that were ended, and a Deferred that fires once the store knows.
        @raise NotFound: there is none.
        """
        self._expire()
        ended = [
            each.invite_id
            for each in self._by_id.values()
            if (each.invite_id == invite_id if entity_id is None else each.entity_id == entity_id)
            and reached(each.entity_id)
        ]
        if not ended:
            what = f"No such invite: {printable(invite_id or '')}"
            raise NotFound(what if entity_id is None else f"No invite is for {printable(entity_id)}")
        return ended, self._end(ended)

    def sweep(self) -> None:
        """See L{ISweeper}: forget those that have expired, and have the store forget what it could not before."""
        self._expire()
        if self._unwritten:
            ended, self._unwritten = list(self._unwritten), set()
            self._removed(ended).addErrback(reported_already)

    def _expire(self) -> None:
        now = self._wall()
        gone = []
        while self._expiries and self._expiries[0][0] <= now:
            name = heapq.heappop(self._expiries)[1]
            if name in self._by_id and self._by_id[name].expires_at <= now:
                gone.append(name)
        if gone:
            self._end(gone).addErrback(reported_already)

    def _tokens_ended(self, token_ids: list[str]) -> None:
        """Tokens were revoked: so are the invites of their bearers."""
        ended = [name for token_id in token_ids for name in self._created.get(token_id, ())]
        if ended:
            self._end(ended).addErrback(reported_already)

    def _end(self, ended: list[str]) -> Deferred[None]:
        for name in ended:
            self._drop(name)
        return self._removed(ended)

    def _removed(self, ended: list[str]) -> Deferred[None]:
        return self._store.remove_invites(ended).addErrback(self._not_removed, ended)

    def _not_removed(self, failure: Failure, ended: list[str]) -> Failure:
        self._unwritten.update(ended)
        return failure

    def _not_redeemed(self, failure: Failure, invite: Invite, share: str) -> Failure:
        self._keep(invite, share)
        return failure

    def _admit(self, invite: Invite, creator: Principal) -> None:
        """
        @raise RateLimited: there is no room for one more; C{limit} says of which kind.
        """
        size, privileged = size_of(invite), creator.entity_type == "system"
        if not privileged and self._shares[creator.entity_id] + size > MAX_INVITES_OF_CREATOR_SIZE:
            raise _full("Too many of your invites are outstanding", "invites_of_creator")
        if self._shares.total() + size > (MAX_INVITES_SIZE if privileged else MAX_INVITES_SIZE // 4 * 3):
            raise _full("Too many invites are outstanding", "invites")

    def _keep(self, invite: Invite, share: str) -> None:
        size = size_of(invite)
        self._by_id[invite.invite_id] = invite
        self._created.setdefault(invite.created_by, {})[invite.invite_id] = None
        self._counted[invite.invite_id] = share, size
        self._shares[share] += size
        heapq.heappush(self._expiries, (invite.expires_at, invite.invite_id))

    def _drop(self, name: str) -> None:
        invite = self._by_id.pop(name, None)
        if invite is None:
            return
        created = self._created[invite.created_by]
        del created[name]
        if not created:
            del self._created[invite.created_by]
        share, size = self._counted.pop(name)
        self._shares[share] -= size
        if not self._shares[share]:
            del self._shares[share]


def age(invite: Invite) -> tuple[int, str]:
    """What invites are sorted by: when they were created, in milliseconds, and their ids."""
    return int(invite.created_at * 1000), invite.invite_id


def size_of(invite: Invite) -> int:
    """How many bytes an invite counts for."""
    return INVITE_SIZE + sum(INVITE_PERMISSION_SIZE + len(permission) for permission in invite.permissions or ())


def _full(message: str, limit: str) -> RateLimited:
    return RateLimited(f"{message}: wait until some expire", limit=limit, retry_after_ms=RETRY_AFTER_MS)
