"""The places of sessions whose connections broke."""

from __future__ import annotations

import gc
import tracemalloc
from types import SimpleNamespace
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.sessions import resume_quota
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.resume_quota import EACH, MAX_SIZE, SLACK
from cell0gw.sessions.session import Session
from cell0gw.testing import MemoryGateway
from tests.sessions.test_registry import LOST, SessionsCase


class PlacesTests(SessionsCase):
    """How much of them is kept, as sessions have it."""

    def leave(self, entity_id: str, size: int) -> Session:
        """Leave a place of that size, beside what each takes."""
        session = self.open(entity_id)
        session.statement_size = size // 2
        session.subscriptions = {"x": SimpleNamespace(size=size - size // 2)}
        self.sessions.leave(session, LOST)
        return session

    def gone(self) -> list[tuple[str, ...]]:
        """Who was told to be closed."""
        return [told for told in self.witness.told if told[0] == "closed"]

    def test_the_oldest_goes(self) -> None:
        """When the places of an entity are too much its oldest is given up; those of others stay, and one big one."""
        self.leave("other", MAX_SIZE - EACH)
        for _ in range(10):
            self.leave("a", MAX_SIZE // 10 - EACH)
        self.assertEqual((self.sessions.detached, self.gone()), (11, []))
        self.leave("a", 0)
        self.assertEqual((self.sessions.detached, self.gone()), (11, [("closed", "a", "lost")]))
        self.leave("a", 2 * MAX_SIZE)
        self.assertEqual((self.sessions.detached, len(self.gone())), (2, 11))

    def test_who_has_most(self) -> None:
        """When all places together are too much, the oldest of who has most go, down to what others have."""
        self.patch(resume_quota, "MAX_TOTAL", 100 * SLACK)
        self.patch(resume_quota, "EACH", 0)
        self.leave("small", 10 * SLACK)
        for _ in range(6):
            self.leave("large", 10 * SLACK)
        for _ in range(3):
            self.leave("middle", 10 * SLACK)
        self.assertEqual(self.gone(), [])
        self.leave("new", 10 * SLACK)
        self.assertEqual(self.gone(), [("closed", "large", "lost")] * 2)
        for _ in range(5):
            self.leave("new", 10 * SLACK)
        self.assertEqual({entity_id for _, entity_id, _ in self.gone()[2:]}, {"large", "new"})
        self.assertLessEqual(self.sessions.detached, 10)

    def test_what_is_taken_makes_room(self) -> None:
        """A place that was taken, or kept long enough, counts no longer."""
        for _ in range(3):
            first = self.leave("a", MAX_SIZE - EACH)
            self.sessions.close(first, Ending(EndingKind.RESUMED))
            self.leave("a", MAX_SIZE - EACH)
            self.clock.advance(121)
            self.sessions.sweep()
        self.assertEqual(self.gone(), [("closed", "a", "resumed"), ("closed", "a", "lost")] * 3)


class MemoryTests(SynchronousTestCase):
    """What places take is what is counted, within a third."""

    METADATA: ClassVar[dict[str, Any]] = {"x": [[]] * 2700}
    CAPABILITIES: ClassVar[list[str]] = [f"capability.{number}" for number in range(100)]
    FILTER: ClassVar[dict[str, Any]] = {"any": [{"field": "a", "op": "eq", "value": f"x{n}"} for n in range(60)]}

    def test_counted(self) -> None:
        """Metadata, capabilities, subscriptions and filters count for what they take."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        token = gateway.token("a")

        def leave(number: int) -> None:
            client = gateway.connect(token=token, metadata=self.METADATA, capabilities=self.CAPABILITIES)
            for name in range(20):
                wanted = self.FILTER if name % 5 == 0 else None
                client.call("channel.subscribe", channel=f"x.{number}.{name}", filter=wanted)
            client.vanish()
            gateway._clients.clear()
            gc.collect()

        leave(0)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        counted = gateway.sessions._resume_quota._total
        for number in range(1, 6):
            leave(number)
        after, _ = tracemalloc.get_traced_memory()
        self.assertLess(after - before, 1.33 * (gateway.sessions._resume_quota._total - counted))
