"""Permissions that are narrowed by a pattern: where there is something to narrow, and where there is nothing."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.api import permission
from cell0gw.auth.tokens import TokenRecord, digest
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.testing import EPOCH, Client, MemoryGateway
from tests.spec_examples import PRINTED_TOKEN


class Jobs(Service):
    """A namespace of a program's own, about nothing in particular."""

    name = "job"

    @permission()
    def rpc_count(self, caller: Any) -> int:
        """Count them."""
        return 3

    @permission(resource="queue")
    def rpc_clear(self, caller: Any, *, queue: str | None = None) -> str:
        """Clear a queue, or all."""
        return queue or "all"


def stored(*permissions: str) -> MemoryTokenStore:
    """A store with a token that was minted by another version."""
    store = MemoryTokenStore()
    store.add(
        TokenRecord(
            token_id="tok_before",
            digest=digest(PRINTED_TOKEN),
            entity_id="operator",
            entity_type="user",
            permissions=permissions,
            issued_at=EPOCH,
            expires_at=EPOCH + 3600,
            renew_until=EPOCH + 7200,
        )
    )
    return store


class NothingToNarrowTests(SynchronousTestCase):
    """A pattern on a method that is about nothing."""

    def test_covers_nothing(self) -> None:
        """The permission opens nothing: neither by calling nor by what it is judged by elsewhere."""
        gateway = MemoryGateway(
            stored("gateway.getStats:a", "gateway.explain:a.*", "job.count:>", "agent.send:operator")
        )
        self.addCleanup(gateway.close)
        gateway.register(Jobs())
        client = gateway.connect(token=PRINTED_TOKEN)
        explained = {"method": "agent.send", "params": {"agent_id": "operator", "message": 1}}
        for method, params in (("gateway.getStats", {}), ("gateway.explain", explained), ("job.count", {})):
            refusal = client.request(method, params).get("error", {})
            self.assertEqual(refusal.get("message"), f"Permission denied: {method}", method)
        self.assertTrue(client.call("agent.send", agent_id="operator", message=1)["success"])

    def test_left_out(self) -> None:
        """A method whose resource may be left out is called without it by those who may call it on anything."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        gateway.register(Jobs())
        for permissions, outcome in ((["job.clear"], "all"), (["job.*"], "all"), (["job.clear:mail"], None)):
            client = gateway.connect(token=gateway.token("o", permissions=permissions))
            self.assertEqual(client.request("job.clear", {}).get("result"), outcome)
            self.assertEqual(client.call("job.clear", queue="mail"), "mail")

    def test_renewed(self) -> None:
        """A token that has one is renewed as it is, which opens nothing either."""
        gateway = MemoryGateway(stored("gateway.getStats:a"))
        self.addCleanup(gateway.close)
        client = gateway.connect(token=PRINTED_TOKEN)
        renewed = client.call("auth.renew")
        self.assertEqual(renewed["permissions"], ["gateway.getStats:a"])
        self.assertEqual(gateway.connect(token=renewed["token"]).refusal("gateway.getStats")["code"], -32002)


class NarrowOperatorTests(SynchronousTestCase):
    """Operators of some entities."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.ids = {}
        self.admin = self.gateway.connect(token=self.gateway.token("admin", "system", ["*"]))
        for entity_id in ("boss", "worker.1", "worker.2", "worker.*", "worker"):
            self.ids[entity_id] = self.admin.call("auth.generateToken", entity_id=entity_id)["token_id"]

    def operator(self, *permissions: str) -> Client:
        return self.gateway.connect(token=self.gateway.token("ops", "user", permissions))

    def test_revoking(self) -> None:
        """Only what the pattern covers can be revoked, by its entity and by its id; a refusal changes nothing."""
        client = self.operator("auth.revokeToken:worker.*")
        for params, needed in (
            ({"entity_id": "boss"}, "boss"), ({"token_id": self.ids["boss"]}, "boss"),
            ({"entity_id": "worker"}, "worker"), ({"entity_id": "worker.>"}, "worker.>"),
            ({"entity_id": ""}, ""),
        ):  # fmt: skip
            refusal = client.request("auth.revokeToken", params).get("error", {})
            wanted = f"auth.revokeToken:{needed}" if needed else "auth.revokeToken"
            self.assertEqual((refusal.get("code"), refusal.get("message")), (-32002, f"Permission denied: {wanted}"))
        self.assertFalse(any(entry["revoked"] for entry in self.admin.call("auth.listTokens")["tokens"]))
        client.call("auth.revokeToken", entity_id="worker.1")
        client.call("auth.revokeToken", token_id=self.ids["worker.2"])
        client.call("auth.revokeToken", entity_id="worker.*")
        self.assertEqual(client.refusal("auth.revokeToken", token_id="tok_none")["code"], -32006)
        revoked = {entry["entity_id"] for entry in self.admin.call("auth.listTokens")["tokens"] if entry["revoked"]}
        self.assertEqual(revoked, {"worker.1", "worker.2", "worker.*"})

    def test_what_is_near(self) -> None:
        """Names that are suggested are of those whom the caller may revoke."""
        client = self.operator("auth.revokeToken:worker.*", "auth.revokeToken:bos")
        self.assertEqual(client.refusal("auth.revokeToken", entity_id="worker.12")["data"]["shared"], ["worker.*"])
        self.assertEqual(client.refusal("auth.revokeToken", entity_id="bos")["data"]["near"], [])
        self.assertEqual(self.admin.refusal("auth.revokeToken", entity_id="bos")["data"]["near"][:1], ["boss"])

    def listed(self, client: Client, **params: Any) -> set[str]:
        return {entry["entity_id"] for entry in client.call("auth.listTokens", **params)["tokens"]}

    def test_listing(self) -> None:
        """A list shows what the permission covers, and of that what is asked for."""
        client = self.operator("auth.listTokens:worker.*")
        self.assertEqual(self.listed(client), {"worker.1", "worker.2", "worker.*"})
        self.assertEqual(self.listed(client, entity_id="worker.2"), {"worker.2"})
        self.assertEqual(client.refusal("auth.listTokens", entity_id=">")["message"][-1], ">")
        self.assertEqual(self.listed(self.operator("auth.listTokens"), entity_id="boss"), {"boss"})
        self.assertEqual(self.listed(self.admin), {"admin", "ops", *self.ids})

    def test_dead_letters(self) -> None:
        """Of undeliverable messages those to recipients that the permission covers are shown, and counted."""
        for recipient in ("boss", "worker.1", "worker.2"):
            self.admin.call("agent.send", agent_id=recipient, message=recipient, ttl_seconds=1)
        self.gateway.advance(5)
        narrow, everyone = self.operator("gateway.getDeadLetters:worker.*"), {"boss", "worker.1", "worker.2"}
        for client, expected in ((narrow, everyone - {"boss"}), (self.admin, everyone)):
            found = client.call("gateway.getDeadLetters")
            self.assertEqual({each["agent_id"] for each in found["messages"]}, expected)
            self.assertEqual(found["total"], len(expected))
        self.assertEqual(narrow.call("gateway.getDeadLetters", agent_id="worker.1")["total"], 1)
        self.assertEqual(narrow.refusal("gateway.getDeadLetters", agent_id="boss")["code"], -32002)
