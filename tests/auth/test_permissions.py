"""What permissions cover."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.permissions import AGENT_PERMISSIONS, MAX_SHARED, Permissions, is_permission, permissions_of
from cell0gw.rpc.access import access_of, anyone, permission

METHODS = ("channel.publish", "channel.subscribe", "agent.send", "auth.generateToken")
RESOURCES = ("tasks", "tasks.a", "tasks.a.b", "$system", "other")
permissions = st.sampled_from(
    ["*", "channel.*", "agent.*", *METHODS]
    + [f"{method}:{pattern}" for method in METHODS for pattern in ("tasks.*", "tasks.>", ">", "tasks.a", "$system")]
)


class SharedTests(SynchronousTestCase):
    """Permissions that many tokens have."""

    def test_one_object(self) -> None:
        """Tokens that have the same share one object; others have their own."""
        shared = permissions_of(AGENT_PERMISSIONS)
        self.assertIs(permissions_of((*AGENT_PERMISSIONS,)), shared)
        self.assertEqual(permissions_of(("session.*",)).granted, ("session.*",))

    def test_bounded(self) -> None:
        """However many different ones are minted, few are kept."""
        for number in range(2 * MAX_SHARED):
            permissions_of((f"channel.publish:tasks.{number}",))
        self.assertEqual(permissions_of.cache_info().currsize, MAX_SHARED)


class FormTests(SynchronousTestCase):
    """What is a permission."""

    def test_table(self) -> None:
        """Four forms, and nothing else."""
        for text in ("*", "channel.*", "channel.publish", "channel.publish:tasks.>", "agent.send:worker.*",
                     "channel.subscribe:$system", "agent.serve:chat", "auth.generateToken:*",
                     "agent.call:capability:*", "agent.call:capability:lang.>"):  # fmt: skip
            self.assertTrue(is_permission(text), text)
        for text in ("", "channel", "*.*", "channel.", ".publish", "channel.*:x", "channel.publish:", "channel.**",
                     "channel.publish:a*", "channel.publish:$other", "channel publish", "channel.publish:a b", "*\n",
                     "a.b.c"):  # fmt: skip
            self.assertFalse(is_permission(text), repr(text))

    def test_agent_set(self) -> None:
        """The default set is well-formed, and neither mints nor shows statistics."""
        self.assertTrue(all(map(is_permission, AGENT_PERMISSIONS)))
        held = Permissions(AGENT_PERMISSIONS)
        for method in ("auth.generateToken", "auth.revokeToken", "auth.listTokens", "gateway.getStats"):
            self.assertFalse(held.allow(method), method)


class CoverTests(SynchronousTestCase):
    """What is allowed."""

    def test_table(self) -> None:
        """Each form reaches what it says, and the gateway's own names only when they are spelled."""
        for held, method, resource, expected in (
            ("*", "channel.publish", "tasks.a", True), ("*", "channel.subscribe", "$system", True),
            ("channel.*", "channel.publish", "tasks.a", True), ("channel.*", "channel.subscribe", "$system", False),
            ("channel.*", "agent.send", "a", False), ("channel.subscribe", "channel.subscribe", "a.b", True),
            ("channel.subscribe", "channel.publish", "a.b", False),
            ("channel.subscribe", "channel.subscribe", "$system", False),
            ("channel.subscribe:$system", "channel.subscribe", "$system", True),
            ("channel.subscribe:$system", "channel.subscribe", "$channels", False),
            ("channel.publish:tasks.>", "channel.publish", "tasks.a.b", True),
            ("channel.publish:tasks.>", "channel.publish", "tasks", False),
            ("channel.publish:tasks.*", "channel.publish", "tasks.a.b", False),
            ("channel.publish:>", "channel.publish", "$system", False),
        ):  # fmt: skip
            self.assertIs(Permissions([held]).allow_on(method, resource), expected, f"{held} {method}:{resource}")

    def test_calls(self) -> None:
        """Agents are reached by their ids and capabilities by theirs; to call is not to serve."""
        for held, method, resource, expected in (
            ("agent.call:w", "agent.call", "w", True), ("agent.call:w", "agent.call", "capability:w", False),
            ("agent.call:capability:x", "agent.call", "capability:x", True),
            ("agent.call:capability:x", "agent.call", "x", False),
            ("agent.call:capability:lang.*", "agent.call", "capability:lang.de", True),
            ("agent.call:capability:lang.*", "agent.call", "capability:lang", False),
            ("agent.call:*", "agent.call", "capability:x", False), ("agent.call:*", "agent.call", "x", True),
            ("agent.call:>", "agent.call", "capability:x.y", False), ("agent.call:>", "agent.call", "x.y", True),
            ("agent.call:capability:*", "agent.call", "capability:x", True),
            ("agent.call:capability:>", "agent.call", "capability:x.y", True),
            ("agent.call:capability:>", "agent.call", "x", False), ("agent.*", "agent.call", "capability:x", True),
            ("agent.call", "agent.call", "capability:x", True), ("agent.call", "agent.serve", "x", False),
            ("agent.serve:x", "agent.serve", "x", True), ("agent.serve:x", "agent.serve", "y", False),
            ("agent.serve:x", "agent.call", "x", False), ("agent.serve", "agent.serve", "x", True),
            ("agent.*", "agent.serve", "x", True), ("agent.send", "agent.call", "w", False),
        ):  # fmt: skip
            self.assertIs(Permissions([held]).allow_on(method, resource), expected, f"{held} {method}:{resource}")

    def test_namespace_is_no_prefix(self) -> None:
        """The permission for one namespace says nothing of another that begins alike."""
        self.assertFalse(Permissions(["chan.*"]).allow("channel.publish"))
        self.assertFalse(Permissions(["channel.pub"]).allow("channel.publish"))

    def test_minting_for_others(self) -> None:
        """The permission to mint for others is included only where it is spelled."""
        for held in ("auth.generateToken", "auth.*", "auth.generateToken:a.*"):
            self.assertFalse(Permissions([held]).covers("auth.generateToken:b"), held)
        self.assertTrue(Permissions(["auth.generateToken:a.>"]).covers("auth.generateToken:a.b"))
        self.assertTrue(Permissions(["*"]).covers("auth.generateToken:>"))

    def test_cut(self) -> None:
        """Cutting keeps what is held, whole or in part."""
        held = Permissions(["session.*", "channel.publish:tasks.>", "gateway.getStats"])
        self.assertEqual(held.intersect(AGENT_PERMISSIONS), ("session.*", "channel.publish:tasks.>"))
        self.assertEqual(Permissions(["*"]).intersect(AGENT_PERMISSIONS), AGENT_PERMISSIONS)
        self.assertEqual(Permissions([]).intersect(AGENT_PERMISSIONS), ())

    @given(st.lists(permissions, max_size=3), permissions, st.sampled_from(METHODS), st.sampled_from(RESOURCES))
    def test_included_is_a_subset(self, held: list[str], wanted: str, method: str, resource: str) -> None:
        """What is included allows nothing that the holder is not allowed."""
        holder = Permissions(held)
        if holder.covers(wanted) and Permissions([wanted]).allow_on(method, resource):
            self.assertTrue(holder.allow_on(method, resource))

    @given(st.lists(permissions, max_size=3), st.lists(permissions, max_size=3))
    def test_cut_is_included(self, held: list[str], wanted: list[str]) -> None:
        """What is left after cutting is included on both sides."""
        holder, wish = Permissions(held), Permissions(wanted)
        for kept in holder.intersect(wanted):
            self.assertTrue(holder.covers(kept) and wish.covers(kept), kept)


class DeclarationTests(SynchronousTestCase):
    """Closed by default."""

    def test_undeclared(self) -> None:
        """A method that declares nothing has no access rule, not an open one."""
        self.assertIsNone(access_of(lambda: None))
        self.assertIsNotNone(access_of(anyone(lambda: None)))

    def test_resources(self) -> None:
        """A permission may be narrowed by one param, by one of several, or by none."""
        for declared, expected in (((), ()), ("name", ("name",)), (("a", "b"), ("a", "b"))):
            access = access_of(permission(resource=declared)(lambda: None))
            assert access is not None
            self.assertEqual(access.resource, expected)
