"""Who may call what, and what is said to those who may not."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.permissions import MAX_SHOWN
from cell0gw.testing import MemoryGateway


class DenialTests(SynchronousTestCase):
    """What is said of a permission that is missing."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)

    def refusal(self, held: list[str], method: str, **params: Any) -> dict[str, Any]:
        client = self.gateway.connect(token=self.gateway.token("a", permissions=held))
        refusal = client.refusal(method, **params)
        self.assertEqual((refusal["code"], refusal["data"]["code"]), (-32002, "permission_denied"))
        return refusal

    def test_what_is_needed(self) -> None:
        """The refusal names the permission that would do, be there none of the method or one that is too narrow."""
        message, narrow = {"message": 1}, ["channel.publish:tasks.>"]
        for held, method, params, needed in (
            ([], "channel.publish", {"channel": "events", **message}, "channel.publish:events"),
            (narrow, "channel.publish", {"channel": "events", **message}, "channel.publish:events"),
            (["channel.*"], "channel.subscribe", {"channel": "$system"}, "channel.subscribe:$system"),
            ([], "agent.send", {"agent_id": "b", **message}, "agent.send:b"),
            ([], "agent.call", {"capability": "chat", **message}, "agent.call:capability:chat"),
            (["agent.call:b"], "agent.call", {"agent_id": "c", **message}, "agent.call:c"),
            ([], "auth.generateToken", {"entity_id": "b"}, "auth.generateToken:b"),
            ([], "channel.list", {}, "channel.list:>"),
            ([], "gateway.getStats", {}, "gateway.getStats"),
            ([], "channel.publish", {"channel": "not a name", **message}, "channel.publish"),
            ([], "agent.call", message, "agent.call"),
        ):
            refusal = self.refusal(held, method, **params)
            self.assertEqual(refusal["message"], f"Permission denied: {needed}")
            self.assertEqual(refusal["data"]["permission"], needed)

    def test_it_would_do(self) -> None:
        """With the permission that is named the call is not refused."""
        for method, params in (
            ("channel.publish", {"channel": "events", "message": 1}), ("channel.subscribe", {"channel": "$system"}),
            ("channel.list", {}), ("agent.send", {"agent_id": "a", "message": 1}), ("gateway.getStats", {}),
        ):  # fmt: skip
            needed = self.refusal(["presence.get"], method, **params)["data"]["permission"]
            self.gateway.connect(token=self.gateway.token("a", permissions=[needed])).call(method, **params)

    def test_what_is_held(self) -> None:
        """What of the method the token has is there as well, and nothing of other methods."""
        held = ["channel.publish:tasks.>", "channel.subscribe", "channel.publish:a", "agent.*"]
        refusal = self.refusal(held, "channel.publish", channel="events", message=1)
        self.assertEqual(refusal["data"]["held"], ["channel.publish:tasks.>", "channel.publish:a"])
        self.assertEqual(self.refusal(held, "gateway.getStats")["data"]["held"], [])
        refusal = self.refusal(["channel.*", "channel.publish"], "channel.subscribe", channel="$system")
        self.assertEqual(refusal["data"]["held"], ["channel.*"])

    def test_few_are_shown(self) -> None:
        """Of very many that are held some are shown."""
        held = [f"channel.publish:{'x' * 180}{number}" for number in range(200)]
        refusal = self.refusal(held, "channel.publish", channel="events", message=1)
        self.assertEqual(refusal["data"]["held"], held[:MAX_SHOWN])
