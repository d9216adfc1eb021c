"""What strangers are shown of who is here."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.presence.directory import Directory
from cell0gw.presence.listings import MOST, Listings
from cell0gw.testing import MemoryGateway


class GlancesTests(SynchronousTestCase):
    """Lists that are written once."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.stranger = self.gateway.connect()

    def ids(self, method: str, **params: Any) -> list[str]:
        return [entry["entity_id"] for entry in self.stranger.call(method, **params)]

    def test_always_as_it_is(self) -> None:
        """Whoever comes, changes, breaks off, comes back or goes: the next answer knows."""
        for method in ("presence.get", "agent.list"):
            self.assertEqual(self.ids(method), [])
            agent = self.gateway.connect("a")
            self.assertEqual(self.ids(method), ["a"])
            agent.call("presence.update", status="busy")
            self.assertEqual([entry["status"] for entry in self.stranger.call(method)], ["busy"])
            agent.vanish()
            self.assertEqual(self.ids(method), ["a"] if method == "presence.get" else [])
            again = self.gateway.connect("a")
            self.assertEqual(self.ids(method), ["a"])
            again.disconnect()
            self.gateway.advance(300)
            self.stranger = self.gateway.connect()
            self.assertEqual(self.ids(method), [])

    def test_each_list_by_itself(self) -> None:
        """Types and capabilities have lists of their own."""
        self.gateway.connect("a", capabilities=["chat"])
        self.gateway.connect("b")
        self.assertEqual(self.ids("agent.list", capability="chat"), ["a"])
        self.assertEqual(self.ids("agent.list"), ["a", "b"])
        self.assertEqual(self.ids("presence.get", entity_type="user"), [])
        self.assertEqual(self.ids("presence.get", entity_type="agent"), ["a", "b"])

    def test_written_once(self) -> None:
        """Nobody is looked at again as long as nothing changes; and names that strangers think of are not kept."""
        asked: list[str] = []
        glances = Listings(Directory(float, lambda channel, kind, data: None))

        def look(name: str) -> list[Any]:
            asked.append(name)
            return []

        for _ in range(3):
            glances.of("x", lambda: look("x")).after("y")
        self.assertEqual(asked, ["x"])
        for number in range(10 * MOST):
            glances.of(str(number), lambda: [])
        self.assertLessEqual(len(glances._written), MOST)
