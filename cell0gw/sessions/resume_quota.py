"""The quota of detached sessions: how many of them each entity may have."""

from __future__ import annotations

from typing import Final

from cell0gw.sessions.session import Session

EACH: Final = 5
"""What a detached session costs beside its subscriptions, in subscriptions."""

MAX_COST: Final = 100_000
"""Maximum cost of one entity's detached sessions, in subscriptions: some 100 MiB."""


class ResumeQuota:
    """Bounds the memory that one entity's detached sessions take."""

    def __init__(self) -> None:
        self._of_entity: dict[str, dict[Session, int]] = {}
        self._costs: dict[str, int] = {}

    def keep(self, session: Session) -> list[Session]:
        """Keep one more detached session.

        @return: those of the same entity beyond the maximum, oldest first; L{give_up} them.
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
        """Release a session that is resumed or no longer kept; nothing happens for one that is not kept."""
        kept = self._of_entity.get(session.entity_id, {})
        cost = kept.pop(session, None)
        if cost is None:
            return
        self._costs[session.entity_id] -= cost
        if not kept:
            del self._of_entity[session.entity_id], self._costs[session.entity_id]
