"""What may be granted."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.api import permission
from cell0gw.auth.grants import check_grantable
from cell0gw.auth.permissions import AGENT_PERMISSIONS
from cell0gw.auth.tokens import TokenRecord, digest
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.protocol.errors import InvalidParams
from cell0gw.testing import EPOCH, MemoryGateway
from tests.spec_examples import PRINTED_TOKEN

RULE = "a permission is *, <namespace>.*, <method> or <method>:<pattern>"


class Jobs(Service):
    """A namespace of a program's own."""

    name = "job"

    @permission(resource="queue")
    def rpc_add(self, caller: Any, *, queue: str) -> None:
        """Add a job."""


class GrantableTests(SynchronousTestCase):
    """Permissions that there are, and others."""

    def setUp(self) -> None:
        self.store = MemoryTokenStore()
        self.gateway = MemoryGateway(self.store)
        self.addCleanup(self.gateway.close)
        self.operator = self.gateway.connect(token=self.gateway.token("operator", "system", ["*"]))

    def minted(self, *permissions: str) -> list[str]:
        return list(self.operator.call("auth.generateToken", entity_id="a", permissions=permissions)["permissions"])

    def refusal(self, *permissions: str) -> dict[str, Any]:
        refusal = self.operator.refusal("auth.generateToken", entity_id="a", permissions=permissions)
        self.assertEqual(refusal["code"], -32602)
        return refusal

    def test_all_there_are(self) -> None:
        """Every method with a permission of its own, and every namespace; and by a pattern what a method is about."""
        methods = {method.permission: method.resource for method in self.gateway.rpc.dispatcher.methods()}
        for name, resource in methods.items():
            namespace = f"{name.partition('.')[0]}.*"
            wanted = [name, namespace, *([f"{name}:a.>"] if resource else [])]
            self.assertEqual(self.minted(*wanted), wanted)
        wanted = ["*", "agent.serve", "agent.serve:chat", "agent.call:capability:lang.*", "channel.subscribe:$system"]
        self.assertEqual(self.minted(*wanted), wanted)
        self.assertEqual(self.minted(*AGENT_PERMISSIONS), list(AGENT_PERMISSIONS))

    def test_refused(self) -> None:
        """One that no method asks for is refused, with what permissions look like and those most like it."""
        for wanted, said, near in (
            ("channel.publsh", "there is no channel.publsh", ["channel.publish"]),
            ("channel.publsh:tasks.>", "there is no channel.publsh", ["channel.publish:tasks.>"]),
            ("chanel.*", "there is no chanel.*", ["channel.*"]),
            ("agent.server:chat", "there is no agent.server", ["agent.serve:chat"]),
            ("zzz.qqq", "there is no zzz.qqq", []),
        ):
            refusal = self.refusal("agent.*", wanted)
            self.assertEqual(
                refusal["message"], f"Invalid params: params.permissions[1]: {said}; {RULE}, got '{wanted}'"
            )
            self.assertEqual(refusal["data"]["path"], "params.permissions[1]")
            self.assertEqual(refusal["data"]["near"][:1], near)

    def test_patterns_of_nothing(self) -> None:
        """A method that is about nothing has no permission with a pattern."""
        for wanted, name in (("presence.update:foo", "presence.update"), ("gateway.getStats:a.*", "gateway.getStats")):
            refusal = self.refusal(wanted)
            said = f"Invalid params: params.permissions[0]: {name} takes no pattern, got '{wanted}'"
            self.assertEqual((refusal["message"], refusal["data"]["near"]), (said, [name]))

    def test_malformed(self) -> None:
        """What does not even look like one is refused with what permissions look like."""
        for wanted in ("channel", "channel.publish:a*", "channel.*:x", "a.b.c"):
            self.assertIn(f"params.permissions[0]: {RULE}, got '{wanted}'", self.refusal(wanted)["message"])

    def test_of_programs(self) -> None:
        """What a program registers can be granted from then on."""
        self.assertIn("there is no job.add", self.refusal("job.add:mail")["message"])
        self.gateway.register(Jobs())
        self.assertEqual(self.minted("job.add:mail", "job.*"), ["job.add:mail", "job.*"])

    def test_from_before(self) -> None:
        """A token with a permission that there is none of, minted before, opens a session, and mints what it has by
        default.
        """
        store = MemoryTokenStore()
        store.add(
            TokenRecord(
                token_id="tok_before",
                digest=digest(PRINTED_TOKEN),
                entity_id="a",
                entity_type="agent",
                permissions=("channel.publsh", "channel.subscribe", "auth.generateToken"),
                issued_at=EPOCH,
            )
        )
        gateway = MemoryGateway(store)
        self.addCleanup(gateway.close)
        client = gateway.connect(token=PRINTED_TOKEN)
        self.assertTrue(client.call("channel.subscribe", channel="events")["success"])
        minted = client.call("auth.generateToken", entity_id="a")["permissions"]
        self.assertEqual(minted, ["channel.publsh", "channel.subscribe"])

    def test_in_the_process(self) -> None:
        """A program gets the same refusal; what it asks for is asked only if there is something to ask for."""
        minting = self.gateway.mint("a", permissions=["channel.publsh"])
        self.failureResultOf(minting.deferred, InvalidParams)
        check_grantable((), self.fail)  # type: ignore[arg-type]


class MintableTests(SynchronousTestCase):
    """Denials say which part of a token would be more than its minter's."""

    def test_causes(self) -> None:
        """Another's id, the type system, a permission: each has its words, its param, and what would be needed."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        held = ["auth.generateToken", "auth.generateToken:team.*", "channel.publish:x", "channel.subscribe"]
        client = gateway.connect(token=gateway.token("a", permissions=held))
        for params, words, data in (
            (
                {"entity_id": "b"},
                "auth.generateToken:b: your token mints for a without it",
                {"path": "params.entity_id", "permission": "auth.generateToken:b", "held": held[:2]},
            ),
            (
                {"entity_id": "a", "entity_type": "system"},
                "only tokens of the type system mint for it, and yours is of agent",
                {"path": "params.entity_type"},
            ),
            (
                {"entity_id": "a", "permissions": ["channel.publish:x", "channel.publish:y"]},
                "channel.publish:y: your token does not have it, and so can't grant it",
                {"path": "params.permissions[1]", "permission": "channel.publish:y", "held": ["channel.publish:x"]},
            ),
            (
                {"entity_id": "a", "permissions": ["channel.*"]},
                "channel.*: your token does not have it, and so can't grant it",
                {"path": "params.permissions[0]", "permission": "channel.*", "held": held[2:]},
            ),
        ):
            refusal = client.refusal("auth.generateToken", **params)
            self.assertEqual((refusal["code"], refusal["message"]), (-32002, f"Permission denied: {words}"))
            self.assertEqual(refusal["data"], {"code": "permission_denied", "retryable": False, **data})
