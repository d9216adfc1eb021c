"""The places that are kept for sessions whose connections broke: how much of them each entity may have."""

from __future__ import annotations

from typing import Final

from cell0gw.sessions.session import Session

EACH: Final = 5
"""A place costs as much as so many subscriptions, beside those that it has."""

MAX_COST: Final = 100_000
"""What the places of one entity cost at most, in subscriptions: some 100 MiB."""


class ResumeQuota:
    """Who comes and goes, and leaves its place behind each time, must not fill the memory with them."""

    def __init__(self) -> None:
        self._of_entity: dict[str, dict[Session, int]] = {}
        self._costs: dict[str, int] = {}

    def keep(self, session: Session) -> list[Session]:
        """Keep one more.

        @return: those of the same entity that are too much now, oldest first; L{give_up} them.
        """
        kept = self._of_entity.setdefault(session.entity_id, {})
        kept[session] = cost = EACH + len(session.subscriptions)
        excess = self._costs.get(session.entity_id, 0) + cost
        self._costs[session.entity_id] = excess
        too_much = []
        for other, its_cost in kept.items():
            if excess <= MAX_COST or other is session:
                break
            excess -= its_cost
            too_much.append(other)
        return too_much

    def give_up(self, session: Session) -> None:
        """Its place is taken, or is kept no longer; of one that is not kept nothing happens."""
        kept = self._of_entity.get(session.entity_id, {})
        cost = kept.pop(session, None)
        if cost is None:
            return
        self._costs[session.entity_id] -= cost
        if not kept:
            del self._of_entity[session.entity_id], self._costs[session.entity_id]
