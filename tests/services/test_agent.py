"""``agent``: directed messages, and which agents there are."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import MemoryGateway


class AgentServiceTests(SynchronousTestCase):
    """C{agent.send} and C{agent.list}"""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.a = self.gateway.connect("a", capabilities=["chat"])
        self.b = self.gateway.connect("b")

    def test_send(self) -> None:
        """A message arrives as it was written, with the sender's name put on by the gateway."""
        answer = self.a.call("agent.send", agent_id="b", message={"from": "someone else"})
        self.assertEqual((answer["success"], answer["status"]), (True, "sent"))
        (message,) = self.b.received("agent.message")
        self.assertEqual(
            message,
            {
                "from": "a",
                "from_type": "agent",
                "message": {"from": "someone else"},
                "timestamp": "2026-02-12T10:30:00.000Z",
                "message_id": answer["message_id"],
                "conversation_id": answer["message_id"].split("-")[0].replace("msg", "conv"),
                "in_reply_to": None,
                "hops": 0,
                "attempt": 1,
            },
        )

    def test_newest_session(self) -> None:
        """Of several sessions one gets the message, the newest that lives."""
        newer = self.gateway.connect("b")
        self.a.call("agent.send", agent_id="b", message=1)
        newer.disconnect()
        self.a.call("agent.send", agent_id="b", message=2)
        self.assertEqual([m["message"] for m in newer.received("agent.message")], [1])
        self.assertEqual([m["message"] for m in self.b.received("agent.message")], [2])

    def test_to_oneself(self) -> None:
        """A message to oneself arrives once."""
        self.a.call("agent.send", agent_id="a", message=1)
        self.assertEqual(len(self.a.received("agent.message")), 1)

    def test_nobody(self) -> None:
        """A message to someone whom nobody knows is refused, not accepted and lost."""
        self.assertEqual(self.a.refusal("agent.send", agent_id="nobody", message=1)["code"], -32006)

    def test_forged_sender(self) -> None:
        """Nobody sends in another's name."""
        self.assertEqual(self.a.refusal("agent.send", **{"agent_id": "b", "message": 1, "from": "x"})["code"], -32602)

    def test_permission_for_some(self) -> None:
        """A permission with a pattern reaches those agents only."""
        client = self.gateway.connect(token=self.gateway.token("c", permissions=["agent.send:b"]))
        self.assertTrue(client.call("agent.send", agent_id="b", message=1)["success"])
        self.assertEqual(client.refusal("agent.send", agent_id="a", message=1)["code"], -32002)

    def test_list(self) -> None:
        """Agents are listed while they are online, all or those with a capability, users never."""
        self.gateway.connect(token=self.gateway.token("u", "user"))
        self.assertEqual([entry["entity_id"] for entry in self.a.call("agent.list")], ["a", "b"])
        self.assertEqual([entry["entity_id"] for entry in self.a.call("agent.list", capability="chat")], ["a"])
        self.b.call("presence.update", status="offline")
        self.assertEqual([entry["entity_id"] for entry in self.a.call("agent.list")], ["a"])

    def test_strangers_see_little(self) -> None:
        """Before authentication an agent is id, type, status and capabilities."""
        self.assertEqual(
            self.gateway.connect().call("agent.list", capability="chat"),
            [{"entity_id": "a", "entity_type": "agent", "status": "online", "capabilities": ["chat"]}],
        )
