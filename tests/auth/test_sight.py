"""Whom a token lets its bearer see."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.permissions import AGENT_PERMISSIONS, Permissions
from cell0gw.auth.sight import EVERYONE, Sight
from cell0gw.testing import MemoryGateway


def sight(*permissions: str) -> Sight:
    return Permissions(permissions).sight


class SightTests(SynchronousTestCase):
    """What permissions make of it."""

    def test_everyone(self) -> None:
        """Without a word of C{presence.get}, and with one that is not narrowed, everyone is seen."""
        for granted in (
            (),
            ("*",),
            ("agent.send:a",),
            AGENT_PERMISSIONS,
            ("presence.get",),
            ("presence.get", "presence.get:a"),
            ("presence.*", "presence.get:a"),
        ):
            self.assertTrue(sight(*granted).everyone, granted)
            self.assertTrue(sight(*granted).sees("b"), granted)

    def test_patterns(self) -> None:
        """With patterns those are seen that one of them covers, and oneself."""
        some = sight("presence.get:team.>", "presence.get:*.boss", "presence.get:desk", "channel.*")
        seen = {"team.a", "team.a.b", "other.boss", "desk"}
        self.assertEqual({name for name in (*seen, "team", "other", "desk.a", "a.b.boss") if some.sees(name)}, seen)
        self.assertFalse(some.everyone)
        own = some.of("me")
        self.assertTrue(own.sees("me") and own.sees("desk"))
        self.assertFalse(own.sees("you") or some.sees("me"))

    def test_equal(self) -> None:
        """Those who see the same by the same patterns have equal sights, whoever they are."""
        one, other = sight("presence.get:a", "presence.get:b"), sight("presence.get:b", "channel.*", "presence.get:a")
        self.assertEqual((one, hash(one)), (other, hash(other)))
        self.assertEqual(one.of("a"), other.of("b"))
        self.assertNotEqual(one.of("c"), other.of("d"))
        self.assertNotEqual(one, EVERYONE)

    def test_known_by_a_permission(self) -> None:
        """A permission that names somebody by a pattern lets its method know of them, and no other method."""
        some = sight("presence.get:team.*", "agent.send:boss.*", "agent.call")
        self.assertTrue(some.knows("agent.send", "team.a") and some.knows("agent.send", "boss.a"))
        self.assertFalse(some.knows("agent.call", "boss.a") or some.knows("agent.send", "other"))

    def test_patterns_known(self) -> None:
        """A pattern is known if all that it stands for is."""
        some = sight("presence.get:team.*")
        self.assertTrue(some.knows("auth.listTokens", "team.*"))
        self.assertFalse(some.knows("auth.listTokens", "team.>") or some.knows("auth.listTokens", "*.a"))
        self.assertTrue(EVERYONE.knows("auth.listTokens", ">"))


class MintingTests(SynchronousTestCase):
    """Nobody's token sees more than its minter's."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)

    def minter(self, *permissions: str) -> None:
        token = self.gateway.token("team.lead", "agent", ["agent.*", "auth.generateToken:team.>", *permissions])
        self.lead = self.gateway.connect(token=token)

    def granted(self, permissions: list[str] | None) -> list[str]:
        """What a token of team.a may do, minted with these."""
        minted = self.lead.call("auth.generateToken", entity_id="team.a", permissions=permissions)
        return list(minted["permissions"])

    def test_inherited(self) -> None:
        """Who sees some mints tokens that see no others, whether they name it or not."""
        self.minter("presence.get:team.>")
        self.assertEqual(self.granted(["agent.send"]), ["agent.send", "presence.get:team.>"])
        self.assertEqual(self.granted([]), ["presence.get:team.>"])
        self.assertEqual(self.granted(["presence.get:team.b"]), ["presence.get:team.b"])
        self.assertIn("presence.get:team.>", self.granted(None))
        for wider in ("presence.get", "presence.*", "presence.get:other", "presence.get:>"):
            refusal = self.lead.refusal(
                "auth.generateToken", entity_id="team.a", entity_type="agent", permissions=[wider]
            )
            self.assertEqual(refusal["code"], -32002, wider)

    def test_who_sees_all_may_give_less(self) -> None:
        """Who sees everyone mints tokens that see everyone, or some, whatever its own permissions name."""
        self.minter()
        self.assertEqual(self.granted(["agent.send"]), ["agent.send"])
        self.assertEqual(self.granted(["presence.get:team.b"]), ["presence.get:team.b"])

    def test_renewed(self) -> None:
        """A renewed token sees no more than the old one, even if it is to name less."""
        token = self.gateway.token("a", "agent", ["agent.*", "presence.get:b"], renewable_for_hours=48)
        renewed = self.gateway.connect(token=token).call("auth.renew", permissions=["agent.send"])
        self.assertEqual(renewed["permissions"], ["agent.send", "presence.get:b"])

    def test_width(self) -> None:
        """A pattern is no wider than those of who watches presence: it is held against many names."""
        self.minter()
        for pattern in (".".join(["a"] * 16 + ["*"]), "*.*.*.*.*"):
            refusal = self.lead.refusal(
                "auth.generateToken", entity_id="team.a", permissions=[f"presence.get:{pattern}"]
            )
            self.assertEqual((refusal["code"], refusal["data"]["path"]), (-32602, "params.permissions[0]"), pattern)
