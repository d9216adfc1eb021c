"""``session``: the session one is in."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import MemoryGateway


class SessionServiceTests(SynchronousTestCase):
    """C{session.getInfo}"""

    def test_info(self) -> None:
        """A session knows itself, its permissions, its subscriptions and when it was last heard."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        client = gateway.connect("a")
        client.call("channel.subscribe", channel="x")
        client.call("channel.subscribe", channel="y")
        client.call("channel.unsubscribe", channel="x")
        gateway.advance(10)
        info = client.call("session.getInfo")
        self.assertTrue(info.pop("session_id").startswith("sess_"))
        self.assertEqual(
            info,
            {
                "entity_id": "a",
                "entity_type": "agent",
                "connected_at": "2026-02-12T10:30:00.000Z",
                "last_activity": "2026-02-12T10:30:10.000Z",
                "authenticated": True,
                "permissions": ["session.*", "presence.*", "channel.*", "agent.*", "task.create"],
                "subscriptions": ["y"],
            },
        )
