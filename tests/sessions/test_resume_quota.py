"""The places of sessions whose connections broke."""

from __future__ import annotations

from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.resume_quota import EACH, MAX_COST
from cell0gw.sessions.session import Session
from tests.sessions.test_registry import LOST, SessionsCase


class PlacesTests(SessionsCase):
    """How much of them is kept, as sessions have it."""

    def leave(self, entity_id: str, subscriptions: int) -> Session:
        session = self.open(entity_id)
        session.subscriptions = dict.fromkeys(map(str, range(subscriptions)))
        self.sessions.leave(session, LOST)
        return session

    def gone(self) -> list[tuple[str, ...]]:
        """Who was told to be closed."""
        return [told for told in self.witness.told if told[0] == "closed"]

    def test_the_oldest_goes(self) -> None:
        """When the places of an entity are too much its oldest is given up; those of others stay, and one big one."""
        self.leave("other", MAX_COST - EACH)
        for _ in range(10):
            self.leave("a", MAX_COST // 10 - EACH)
        self.assertEqual((self.sessions.detached, self.gone()), (11, []))
        self.leave("a", 0)
        self.assertEqual((self.sessions.detached, self.gone()), (11, [("closed", "a", "lost")]))
        self.leave("a", 2 * MAX_COST)
        self.assertEqual((self.sessions.detached, len(self.gone())), (2, 11))

    def test_what_is_taken_makes_room(self) -> None:
        """A place that was taken, or kept long enough, counts no longer."""
        for _ in range(3):
            first = self.leave("a", MAX_COST - EACH)
            self.sessions.close(first, Ending(EndingKind.RESUMED))
            self.leave("a", MAX_COST - EACH)
            self.clock.advance(121)
            self.sessions.sweep()
        self.assertEqual(self.gone(), [("closed", "a", "resumed"), ("closed", "a", "lost")] * 3)
