"""The quota of detached sessions: how much memory those of each entity may take, and all of them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final

from cell0gw.protocol.limits import KIB, MIB
from cell0gw.sessions.session import Session

EACH: Final = 5 * KIB
"""Approximate bytes that a detached session takes, beside its subscriptions and what it says of its entity."""

MAX_SIZE: Final = 40 * MIB
"""Maximum bytes of one entity's detached sessions, if they are more than one."""

MAX_TOTAL: Final = 512 * MIB
"""Maximum bytes of all detached sessions."""

SLACK: Final = 1024
"""The part of all, one in this many, that becomes free when something must: to find out who has most takes a while."""


class ResumeQuota:
    """Bounds the memory that detached sessions take."""

    def __init__(self) -> None:
        self._of_entity: dict[str, dict[Session, int]] = {}
        self._sizes: dict[str, int] = {}
        self._total = 0

    def keep(self, session: Session) -> list[Session]:
        """Keep one more detached session.

        @return: those beyond the maximum of the entity, oldest first; and of all, first the oldest ones of who has
            most: L{give_up} them.
        """
        entity_id = session.entity_id
        kept = self._of_entity.setdefault(entity_id, {})
        size = kept[session] = EACH + session.statement_size + sum(each.size for each in session.subscriptions.values())
        left = self._sizes[entity_id] = self._sizes.get(entity_id, 0) + size
        self._total += size
        too_much: list[Session] = []
        for other, its_size in kept.items():
            if left <= MAX_SIZE or other is session:
                break
            left -= its_size
            too_much.append(other)
        excess = self._total - self._sizes[entity_id] + left - MAX_TOTAL
        if excess > 0:
            too_much += self._most({**self._sizes, entity_id: left}, {session, *too_much}, excess + MAX_TOTAL // SLACK)
        return too_much

    def give_up(self, session: Session) -> None:
        """Release a session that is resumed or no longer kept; nothing happens for one that is not kept."""
        kept = self._of_entity.get(session.entity_id, {})
        size = kept.pop(session, None)
        if size is None:
            return
        self._sizes[session.entity_id] -= size
        self._total -= size
        if not kept:
            del self._of_entity[session.entity_id], self._sizes[session.entity_id]

    def _most(self, sizes: dict[str, int], but: set[Session], excess: int) -> list[Session]:
        """Sessions of that size together: each time the oldest one of who has most by then.

        @param sizes: what each entity has.
        @param but: sessions that are none of them.
        """
        shares = [(-size, entity_id) for entity_id, size in sizes.items()]
        heapq.heapify(shares)
        rows: dict[str, Iterator[tuple[Session, int]]] = {}
        too_much = []
        while excess > 0 and shares:
            size, entity_id = shares[0]
            row = rows.setdefault(entity_id, iter(self._of_entity[entity_id].items()))
            found = next((each for each in row if each[0] not in but), None)
            if found is None:
                heapq.heappop(shares)
                continue
            session, its_size = found
            too_much.append(session)
            excess -= its_size
            heapq.heapreplace(shares, (size + its_size, entity_id))
        return too_much
