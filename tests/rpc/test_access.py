"""Who may call what: every method that there is, against everyone."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import Client, MemoryGateway

# Params with which a method that is reached gets as far as its own work.
PARAMS: dict[str, dict[str, Any]] = {
    "rpc.echo": {"message": 1},
    "auth.authenticate": {"token": "wrong"},
    "auth.generateToken": {"entity_id": "caller"},
    "auth.revokeToken": {"entity_id": "nobody"},
    "auth.listTokens": {"entity_id": "caller"},
    "auth.redeem": {"invite": "wrong"},
    "auth.createInvite": {"entity_id": "caller"},
    "auth.listInvites": {"entity_id": "caller"},
    "auth.revokeInvite": {"entity_id": "nobody"},
    "presence.update": {"status": "busy"},
    "channel.subscribe": {"channel": "events"},
    "channel.unsubscribe": {"channel": "events"},
    "channel.publish": {"channel": "events", "message": 1},
    "channel.history": {"channel": "events"},
    "channel.list": {"pattern": "events.>"},
    "auth.refresh": {"token": "wrong"},
    "session.resume": {"resume_token": "wrong"},
    "agent.send": {"agent_id": "caller", "message": 1},
    "agent.ack": {"message_id": "msg_none", "status": "received"},
    "agent.getDelivery": {"message_id": "msg_none"},
    "agent.release": {"message_id": "msg_none"},
    "agent.recall": {"message_id": "msg_none"},
    "agent.call": {"agent_id": "other", "message": 1},
    "agent.describe": {"agent_id": "other"},
    "agent.cancel": {"request_id": 1},
    "agent.progress": {"call_id": "call_none", "data": 1},
    "agent.ask": {"call_id": "task_none.1", "message": 1},
    "task.create": {"agent_id": "other", "message": 1},
    "task.get": {"task_id": "task_none"},
    "task.cancel": {"task_id": "task_none"},
    "task.answer": {"task_id": "task_none", "question": "none", "message": 1},
    "task.subscribe": {"task_id": "task_none"},
    "task.unsubscribe": {"task_id": "task_none"},
    "task.complete": {"task_id": "task_none", "attempt": 1, "result": 1},
    "gateway.getDeadLetters": {"agent_id": "caller"},
    "gateway.resend": {"message_id": "msg_1", "agent_id": "caller"},
    "gateway.discard": {"agent_id": "caller"},
    "gateway.explain": {"method": "agent.send", "params": {"agent_id": "caller", "message": 1}},
}
# The contract; whatever is not named here needs the permission of its name, or the one in LIKE.
ANYONE = {
    "rpc.ping", "rpc.echo", "rpc.listMethods", "rpc.getServerInfo", "rpc.discover", "auth.authenticate", "auth.redeem",
}  # fmt: skip
LIKE = {
    "auth.createInvite": "auth.generateToken",
    "auth.listInvites": "auth.listTokens",
    "auth.revokeInvite": "auth.revokeToken",
}
READERS = {"presence.get", "agent.list"}
SESSIONS = {
    "auth.refresh", "auth.renew", "session.getInfo", "session.resume", "presence.update", "presence.subscribe",
    "presence.unsubscribe", "channel.unsubscribe", "agent.ack", "agent.receive", "agent.release", "agent.recall",
    "agent.getDelivery", "agent.cancel", "agent.progress", "agent.describe",
    "agent.ask", "task.get", "task.list", "task.cancel", "task.answer", "task.subscribe", "task.unsubscribe",
    "task.receive", "task.complete",
}  # fmt: skip
REFUSED = {"not_authenticated", "permission_denied"}


class AccessTests(SynchronousTestCase):
    """The matrix."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.methods = {method.name: method.access for method in self.gateway.rpc.dispatcher.methods()}

    def outcome(self, client: Client, method: str) -> str:
        """C{"ok"}, or the code of the refusal; what the method looks for and does not find, it was reached for."""
        answer = client.request(method, PARAMS.get(method, {}))
        code = "ok" if "result" in answer else str(answer["error"]["data"]["code"])
        return "ok" if code == "not_found" else code

    def holder(self, *permissions: str) -> Client:
        return self.gateway.connect(token=self.gateway.token("caller", permissions=permissions))

    def guarded(self) -> set[str]:
        return set(self.methods) - ANYONE - READERS - SESSIONS

    def test_unauthenticated(self) -> None:
        """Strangers reach what is documented as open, and nothing else."""
        for method in set(self.methods) - {"auth.authenticate", "auth.redeem"}:
            expected = "ok" if method in ANYONE | READERS else "not_authenticated"
            self.assertEqual(self.outcome(self.gateway.connect(), method), expected, method)

    def test_without_permissions(self) -> None:
        """A session without permissions reaches what sessions may do, and no method that needs a permission."""
        for method in set(self.methods) - {"auth.authenticate", "auth.refresh", "auth.redeem"}:
            expected = "permission_denied" if method in self.guarded() else "ok"
            self.assertEqual(self.outcome(self.holder(), method), expected, method)

    def test_wrong_permission(self) -> None:
        """All other permissions together don't open a method."""
        for method in self.guarded():
            others = sorted({LIKE.get(other, other) for other in self.guarded()} - {LIKE.get(method, method)})
            self.assertEqual(self.outcome(self.holder(*others), method), "permission_denied", method)

    def test_right_permission(self) -> None:
        """Its own permission, that of its namespace, and everything open a method."""
        for method in self.guarded():
            for permission in (LIKE.get(method, method), f"{method.split('.')[0]}.*", "*"):
                self.assertNotIn(self.outcome(self.holder(permission), method), REFUSED, (method, permission))

    def test_permission_for_the_resource(self) -> None:
        """Where a permission may be narrowed, the right pattern opens the method and a wrong one does not."""
        for method in self.guarded():
            resources = self.methods[method].resource
            if not resources:
                continue
            name = next(PARAMS[method][resource] for resource in resources if resource in PARAMS[method])
            permission = LIKE.get(method, method)
            self.assertNotIn(self.outcome(self.holder(f"{permission}:{name}"), method), REFUSED, method)
            self.assertEqual(self.outcome(self.holder(f"{permission}:other.>"), method), "permission_denied", method)

    def test_notifications_and_batches(self) -> None:
        """What is refused as a call does nothing as a notification or in a batch, either."""
        stranger, member = self.gateway.connect(), self.gateway.connect("m")
        member.call("channel.subscribe", channel="events")
        entry = '{"jsonrpc":"2.0","method":"channel.publish","params":{"channel":"events","message":1}}'
        for payload in (entry, f"[{entry},{entry}]"):
            self.assertEqual(stranger.send(payload), [])
        self.assertEqual(member.received("channel.message"), [])
