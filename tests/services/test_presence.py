"""``presence``: who is here, and what they say of themselves."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import MemoryGateway


class PresenceServiceTests(SynchronousTestCase):
    """C{presence.update} and C{presence.get}"""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.agent = self.gateway.connect("agent_001", capabilities=["chat"], metadata={"model": "x"})

    def test_entry(self) -> None:
        """An entry has every documented member, and what was said last."""
        self.agent.call("presence.update", status="busy", status_message="on it", activity="processing_task")
        entry = self.agent.call("presence.get", entity_id="agent_001")
        self.assertTrue(entry.pop("session_id").startswith("sess_"))
        self.assertEqual(
            entry,
            {
                "entity_id": "agent_001",
                "entity_type": "agent",
                "status": "busy",
                "status_message": "on it",
                "connected_at": "2026-02-12T10:30:00.000Z",
                "last_seen": "2026-02-12T10:30:00.000Z",
                "metadata": {"model": "x"},
                "capabilities": ["chat"],
                "current_activity": "processing_task",
            },
        )

    def test_message_goes_with_the_status(self) -> None:
        """A new status has its own message and activity or none; metadata stays until it is replaced."""
        self.agent.call("presence.update", status="busy", status_message="on it", activity="task")
        self.agent.call("presence.update", status="online")
        entry = self.agent.call("presence.get", entity_id="agent_001")
        self.assertEqual((entry["status_message"], entry["current_activity"]), (None, None))
        self.assertEqual(entry["metadata"], {"model": "x"})
        self.agent.call("presence.update", status="online", metadata={})
        self.assertEqual(self.agent.call("presence.get", entity_id="agent_001")["metadata"], {})

    def test_lists(self) -> None:
        """Without an id everyone is listed, or everyone of a type."""
        self.gateway.connect(token=self.gateway.token("u", "user"))
        everyone = [entry["entity_id"] for entry in self.agent.call("presence.get")]
        self.assertEqual(everyone, ["agent_001", "u"])
        users = [entry["entity_id"] for entry in self.agent.call("presence.get", entity_type="user")]
        self.assertEqual(users, ["u"])

    def test_strangers_see_little(self) -> None:
        """Before authentication an entry is id, type, status and capabilities, alone and in lists."""
        stranger = self.gateway.connect()
        entry = {"entity_id": "agent_001", "entity_type": "agent", "status": "online", "capabilities": ["chat"]}
        self.assertEqual(stranger.call("presence.get", entity_id="agent_001"), entry)
        self.assertEqual(stranger.call("presence.get"), [entry])

    def test_anonymous_reads_off(self) -> None:
        """Switched off, strangers see nothing."""
        gateway = MemoryGateway(anonymous_reads=False)
        self.addCleanup(gateway.close)
        for method in ("presence.get", "agent.list"):
            self.assertEqual(gateway.connect().refusal(method)["code"], -32001)
            self.assertEqual(len(gateway.connect("a").call(method)), 1)

    def test_refusals(self) -> None:
        """Unknown statuses, other people's ids, and what is too long are refused."""
        for params, code in (
            ({"status": "sleeping"}, -32602), ({}, -32602), ({"status": "busy", "entity_id": "b"}, -32602),
            ({"status": "busy", "activity": "x" * 1001}, -32602),
            ({"status": "busy", "metadata": {"x": "y" * 9000}}, -32005),
        ):  # fmt: skip
            self.assertEqual(self.agent.refusal("presence.update", **params)["code"], code, params)
        self.assertEqual(self.agent.call("presence.get", entity_id="agent_001")["status"], "online")
        self.assertEqual(self.agent.refusal("presence.get", entity_id="nobody")["code"], -32006)
        self.assertEqual(self.agent.refusal("presence.get", entity_id="a", entity_type="agent")["code"], -32602)

    def test_events(self) -> None:
        """Who listens on $presence hears of coming, changing and leaving."""
        self.agent.call("channel.subscribe", channel="$presence")
        other = self.gateway.connect("b")
        other.call("presence.update", status="away")
        other.disconnect()
        events = self.agent.received("event")
        self.assertEqual([event["type"] for event in events], ["presence.joined", "presence.changed", "presence.left"])
        self.assertEqual(events[1]["data"]["status"], "away")
        for event in events:
            self.assertEqual(set(event), {"type", "data", "source", "timestamp", "channel"})
