"""The records of tokens in memory, by all that they are looked up by."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import msgspec

from cell0gw.auth.tokens import TokenRecord
from cell0gw.protocol.suggestions import Suggestions


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
        self._expiries: list[tuple[float, str]] = []
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

    def children(self, token_id: str) -> list[TokenRecord]:
        """Those that a token has minted, or was renewed to."""
        return [self._by_id[child] for child in self._children.get(token_id, ())]

    def keep(self, record: TokenRecord) -> None:
        """Have a record, in the place of the one with the same id."""
        if record.token_id not in self._by_id:
            if record.expires_at is not None:
                heapq.heappush(self._expiries, (record.expires_at, record.token_id))
            self._of_entity.setdefault(record.entity_id, {})[record.token_id] = None
            self.suggestions.add(record.entity_id)
        for parent in _parents(record):
            self._children.setdefault(parent, {})[record.token_id] = None
        self._by_id[record.token_id] = record
        self._by_digest[record.digest] = record

    def drop(self, record: TokenRecord) -> None:
        """Forget a record. What was renewed from it counts as renewed from what it was renewed from, see
        L{ITokenStore.remove<cell0gw.auth.store.ITokenStore.remove>}.
        """
        del self._by_id[record.token_id], self._by_digest[record.digest]
        self.suggestions.discard(record.entity_id)
        _take_out(self._of_entity, record.entity_id, record.token_id)
        for parent in _parents(record):
            _take_out(self._children, parent, record.token_id)
        for token_id in self._children.pop(record.token_id, ()):
            child = self._by_id[token_id]
            if child.renewed_from == record.token_id:
                self.keep(msgspec.structs.replace(child, renewed_from=record.renewed_from))

    def drop_expired(self, before: float) -> list[str]:
        """Forget those that expired before a date, in seconds since the epoch.

        @return: their ids.
        """
        gone = []
        while self._expiries and self._expiries[0][0] < before:
            record = self._by_id.get(heapq.heappop(self._expiries)[1])
            if record is not None:
                self.drop(record)
                gone.append(record.token_id)
        return gone


def _parents(record: TokenRecord) -> list[str]:
    """The ids of those that a token ends with: its minter, and the one that it renews."""
    return [parent for parent in (record.issued_by, record.renewed_from) if parent is not None]


def _take_out(groups: dict[str, dict[str, None]], name: str, token_id: str) -> None:
    """Take a token out of a group, and the group away when that was the last one."""
    group = groups.get(name, {})
    group.pop(token_id, None)
    if not group:
        groups.pop(name, None)
