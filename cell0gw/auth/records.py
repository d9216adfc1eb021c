"""The records of tokens in memory, by all that they are looked up by."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Iterator
from typing import Final

import msgspec

from cell0gw.auth.tokens import TokenRecord
from cell0gw.protocol.errors import RateLimited
from cell0gw.protocol.limits import MAX_EXPIRED_SIZE, MAX_TOKENS_OF_MINTER_SIZE, MAX_TOKENS_SIZE, TOKEN_SIZE
from cell0gw.protocol.subjects import covers, has_wildcard
from cell0gw.protocol.suggestions import Suggestions

RETRY_AFTER_MS: Final = 60_000
"""Milliseconds after which there may be room for another token."""


class Records:
    """Every token that was ever minted and not yet forgotten; the store has the same.

    @ivar suggestions: whom tokens are for.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, TokenRecord] = {}
        self._by_digest: dict[str, TokenRecord] = {}
        # What each has minted, or was renewed to.
        self._children: dict[str, dict[str, None]] = {}
        self._of_entity: dict[str, dict[str, None]] = {}
        # The patterns of many, by what stands before their first wildcard.
        self._patterns: dict[str, dict[str, None]] = {}
        self._expiries: list[tuple[float, str]] = []
        # Whose share each is in, and how many bytes it counts for; those that have expired are in nobody's.
        self._counted: dict[str, tuple[str | None, int]] = {}
        self._shares: Counter[str | None] = Counter()
        self._expired: deque[str] = deque()
        self.suggestions = Suggestions()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[TokenRecord]:
        return iter(self._by_id.values())

    def get(self, token_id: str) -> TokenRecord | None:
        """By its id."""
        return self._by_id.get(token_id)

    def find(self, digest: str) -> TokenRecord | None:
        """By the digest of the token."""
        return self._by_digest.get(digest)

    def of_entity(self, entity_id: str) -> list[TokenRecord]:
        """Those that are for an entity, or for a pattern spelled like this."""
        return [self._by_id[token_id] for token_id in self._of_entity.get(entity_id, ())]

    def patterns_for(self, entity_id: str, now: float) -> list[str]:
        """The patterns of many that cover an entity, and that valid tokens are for.

        @param now: seconds since the epoch.
        """
        patterns = (pattern for pattern in self._of_entity if has_wildcard(pattern) and covers(pattern, entity_id))
        return [pattern for pattern in patterns if any(record.valid(now) for record in self.of_entity(pattern))]

    def is_covered(self, name: str, now: float) -> bool:
        """Whether there is such a pattern for the name of an entity. Those that begin otherwise are not looked at."""
        segments = name.split(".")
        return any(
            covers(pattern, name) and self._is_valid(pattern, now)
            for length in range(len(segments) + 1)
            for pattern in self._patterns.get(".".join(segments[:length]), ())
        )

    def _is_valid(self, pattern: str, now: float) -> bool:
        """Whether a valid token is for a pattern: the newest is the likeliest."""
        return any(self._by_id[token_id].valid(now) for token_id in reversed(self._of_entity[pattern]))

    def children(self, token_id: str) -> list[TokenRecord]:
        """Those that a token has minted, or was renewed to."""
        return [self._by_id[child] for child in self._children.get(token_id, ())]

    def keep(self, record: TokenRecord) -> None:
        """Have a record, in the place of the one with the same id."""
        if record.token_id not in self._by_id:
            self._count(record.token_id, self.share_of(record), size_of(record))
            if record.expires_at is not None:
                heapq.heappush(self._expiries, (record.expires_at, record.token_id))
            self._of_entity.setdefault(record.entity_id, {})[record.token_id] = None
            self.suggestions.add(record.entity_id)
            if has_wildcard(record.entity_id):
                self._patterns.setdefault(_beginning(record.entity_id), {})[record.entity_id] = None
        for parent in _parents(record):
            self._children.setdefault(parent, {})[record.token_id] = None
        self._by_id[record.token_id] = record
        self._by_digest[record.digest] = record

    def drop(self, record: TokenRecord) -> None:
        """Forget a record. What was renewed from it counts as renewed from what it was renewed from, see
        L{ITokenStore.remove<cell0gw.auth.store.ITokenStore.remove>}.
        """
        del self._by_id[record.token_id], self._by_digest[record.digest]
        share, size = self._counted.pop(record.token_id)
        self._take(share, size)
        self.suggestions.discard(record.entity_id)
        _take_out(self._of_entity, record.entity_id, record.token_id)
        if record.entity_id not in self._of_entity and has_wildcard(record.entity_id):
            _take_out(self._patterns, _beginning(record.entity_id), record.entity_id)
        for parent in _parents(record):
            _take_out(self._children, parent, record.token_id)
        for token_id in self._children.pop(record.token_id, ()):
            child = self._by_id[token_id]
            if child.renewed_from == record.token_id:
                self.keep(msgspec.structs.replace(child, renewed_from=record.renewed_from))

    def admit(self, record: TokenRecord, privileged: bool) -> None:
        """See that there is room for one more.

        @param privileged: whether its minter may fill all the room there is.
        @raise RateLimited: there is none; C{limit} says of which kind.
        """
        size, share = size_of(record), self.share_of(record)
        if not privileged and self._shares[share] + size > MAX_TOKENS_OF_MINTER_SIZE:
            raise _full("Too many of your tokens are valid", "tokens_of_minter")
        if self.size + size > (MAX_TOKENS_SIZE if privileged else MAX_TOKENS_SIZE // 4 * 3):
            raise _full("Too many tokens are valid", "tokens")

    @property
    def size(self) -> int:
        """How many bytes those count for that have not expired."""
        return self._shares.total() - self._shares[None]

    def share_of(self, record: TokenRecord) -> str:
        """Whom a token counts for: its minter's entity, or the one that has renewed it."""
        if record.renewed_from is not None:
            return record.entity_id
        minter = self._by_id.get(record.issued_by or "")
        return record.issued_by or "" if minter is None else minter.entity_id

    def expire(self, now: float, retention: float) -> list[str]:
        """Count those that have expired as such, and forget those of them that expired long ago, or that are too many.

        @param now: seconds since the epoch.
        @param retention: seconds for which one that has expired is kept.
        @return: the ids of those that are forgotten.
        """
        while self._expiries and self._expiries[0][0] <= now:
            token_id = heapq.heappop(self._expiries)[1]
            if token_id in self._by_id:
                share, size = self._counted.pop(token_id)
                self._take(share, size)
                self._count(token_id, None, size)
                self._expired.append(token_id)
        gone = []
        while self._expired:
            record = self._by_id.get(self._expired[0])
            if record is not None:
                assert record.expires_at is not None
                if record.expires_at >= now - retention and self._shares[None] <= MAX_EXPIRED_SIZE:
                    break
                self.drop(record)
                gone.append(record.token_id)
            self._expired.popleft()
        return gone

    def _count(self, token_id: str, share: str | None, size: int) -> None:
        self._counted[token_id] = share, size
        self._shares[share] += size

    def _take(self, share: str | None, size: int) -> None:
        self._shares[share] -= size
        if not self._shares[share]:
            del self._shares[share]


def size_of(record: TokenRecord) -> int:
    """How many bytes a token counts for."""
    return TOKEN_SIZE + sum(map(len, record.permissions))


def _full(message: str, limit: str) -> RateLimited:
    return RateLimited(f"{message}: wait until some expire", limit=limit, retry_after_ms=RETRY_AFTER_MS)


def _parents(record: TokenRecord) -> list[str]:
    """The ids of those that a token ends with: its minter, and the one that it renews."""
    return [parent for parent in (record.issued_by, record.renewed_from) if parent is not None]


def _beginning(pattern: str) -> str:
    """What stands before the first wildcard of a pattern."""
    return ".".join(itertools.takewhile(lambda segment: segment not in ("*", ">"), pattern.split(".")))


def _take_out(groups: dict[str, dict[str, None]], name: str, member: str) -> None:
    """Take a member out of a group, and the group away when that was the last one."""
    group = groups.get(name, {})
    group.pop(member, None)
    if not group:
        groups.pop(name, None)
