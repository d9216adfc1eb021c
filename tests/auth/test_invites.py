"""The rules of invites."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth import invites as rules
from cell0gw.auth.bad_token import BadToken
from cell0gw.auth.credentials import Credentials, Minted
from cell0gw.auth.invites import BadInvite, Invited, Invites
from cell0gw.auth.permissions import MINT, Permissions
from cell0gw.auth.principal import Principal
from cell0gw.auth.tokens import TokenRecord
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.protocol.errors import InvalidParams, NotFound, PermissionDenied, RateLimited, Unavailable
from cell0gw.protocol.limits import INVITE_SIZE
from cell0gw.testing import now
from cell0gw.testing.stated import stated


class SlowStore(MemoryTokenStore):
    """A store that has written an invite's token when the test says so.

    @ivar pending: fire when it has.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[Deferred[None]] = []

    def redeem(self, invite_id: str, record: TokenRecord) -> Deferred[None]:
        self.pending.append(Deferred())
        return self.pending[-1].addCallback(lambda done: super(SlowStore, self).redeem(invite_id, record))


class InviteTestCase(SynchronousTestCase):
    """Invites over a store in memory, at second 1,000, and tokens that may create them."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.store = MemoryTokenStore()
        self.grantable = {"channel.publish": True, "agent.send": True, MINT: True}
        self.start()
        self.root = Principal(
            entity_id="admin", entity_type="system", permissions=Permissions(["*"]), token_id="process", expires_at=None
        )

    def start(self) -> None:
        """Begin with what the store has, as a process does."""
        runtime = stated(self.clock)
        self.credentials = Credentials(self.store, runtime, lambda: self.grantable)
        self.invites = Invites(self.credentials, self.store, runtime)
        self.credentials.load()
        self.invites.load()

    def creator(self, *permissions: str, entity_id: str = "boss", **facts: Any) -> Principal:
        facts = {"entity_type": "agent", "expires_in_hours": 1.0, **facts}
        granted = list(permissions or (MINT, f"{MINT}:worker.>", "agent.send"))
        minting = self.credentials.mint(self.root, entity_id, permissions=granted, **facts)
        minted: Minted = now(Deferred.fromCoroutine(minting))
        return self.credentials.verify(minted.token)

    def create(self, creator: Principal, entity_id: str = "worker.1", **facts: Any) -> Invited:
        facts = {"entity_type": "agent", "permissions": ["agent.send"], "expires_in_seconds": 600.0, **facts}
        invited: Invited = now(Deferred.fromCoroutine(self.invites.create(creator, entity_id, **facts)))
        return invited

    def redeem(self, invited: Invited) -> Minted:
        minted: Minted = now(Deferred.fromCoroutine(self.invites.redeem(invited.secret)))[0]
        return minted

    def refused(self, cause: str, secret: str) -> None:
        """An invite is refused, before anything is waited for; its bearer hears the same in any case."""
        refusal = self.assertRaises(BadInvite, self.invites.redeem(secret).send, None)
        self.assertEqual((refusal.cause, str(refusal)), (cause, "Invalid invite"))


class RedeemTests(InviteTestCase):
    """What becomes of invites."""

    def test_once(self) -> None:
        """An invite gives one token, which is its creator's child; a replay gives none."""
        creator = self.creator()
        invited = self.create(creator)
        record = self.redeem(invited).record
        self.assertEqual((record.entity_id, record.entity_type), ("worker.1", "agent"))
        self.assertEqual((record.permissions, record.issued_by), (("agent.send",), creator.token_id))
        self.refused("wrong", invited.secret)
        self.assertEqual((len(self.invites), self.store.load_invites()), (0, []))

    def test_at_rest(self) -> None:
        """No store has the secret; a digest of it is enough."""
        invited = self.create(self.creator())
        self.assertNotIn(invited.secret.removeprefix("invite_"), str(self.store.load_invites()))
        self.assertTrue(invited.secret.startswith("invite_"))

    def test_expired(self) -> None:
        """An invite is good for so long, and forgotten after that, in the store as well."""
        invited = self.create(self.creator(), expires_in_seconds=5)
        self.clock.advance(4.9)
        self.invites.sweep()
        self.assertEqual(len(self.invites), 1)
        self.clock.advance(0.1)
        self.refused("expired", invited.secret)
        self.invites.sweep()
        self.refused("wrong", invited.secret)
        self.assertEqual((len(self.invites), self.store.load_invites()), (0, []))

    def test_expires_with_its_creator(self) -> None:
        """An invite lives no longer than its creator's token, and neither does what it gives."""
        creator = self.creator(expires_in_hours=0.1)
        invited = self.create(creator, expires_in_seconds=604_800)
        self.assertEqual(invited.invite.expires_at, creator.expires_at)
        self.clock.advance(100)
        self.assertEqual(self.redeem(invited).record.expires_at, creator.expires_at)

    def test_revoked_with_its_creator(self) -> None:
        """When the creator's token is revoked, or the one that minted that, its invites end, and no others."""
        parent = self.creator(MINT, f"{MINT}:>", "agent.send")
        minting = self.credentials.mint(parent, "lead", "agent", [MINT, "agent.send"])
        child = self.credentials.verify(now(Deferred.fromCoroutine(minting)).token)
        own, other = self.create(child, "lead"), self.create(self.creator(entity_id="other"))
        self.credentials.revoke(parent.token_id)
        self.refused("wrong", own.secret)
        self.assertEqual([each.invite_id for each in self.store.load_invites()], [other.invite.invite_id])
        self.redeem(other)

    def test_revoked_behind_its_back(self) -> None:
        """Even if an invite has outlived its creator's token, it is refused, whether that was revoked or is gone."""
        creator = self.creator()
        invited = self.create(creator)
        (record,) = self.credentials.records()
        self.credentials.observers.clear()
        self.credentials.revoke(creator.token_id)
        self.refused("revoked", invited.secret)
        self.store.remove([record.token_id])
        self.start()
        self.refused("revoked", invited.secret)

    def test_narrowed(self) -> None:
        """What the creator could not mint now is refused, whatever it could before: permissions, ids, or at all."""
        for kept, entity_id in (
            ((MINT, f"{MINT}:worker.>"), "worker.1"),
            ((MINT, "agent.send"), "worker.1"),
            (("agent.send",), "boss"),
        ):
            creator = self.creator()
            invited = self.create(creator, entity_id)
            record = next(each for each in self.credentials.records() if each.token_id == creator.token_id)
            self.credentials._records.keep(msgspec.structs.replace(record, permissions=kept))
            self.refused("exceeds", invited.secret)

    def test_permissions_that_are_gone(self) -> None:
        """A permission that no method asks for any more is not minted."""
        invited = self.create(self.creator())
        del self.grantable["agent.send"]
        self.refused("exceeds", invited.secret)

    def test_default_permissions(self) -> None:
        """Without a wish the token gets the set of an agent, as far as the creator has it."""
        invited = self.create(self.creator(), permissions=None)
        self.assertEqual(self.redeem(invited).record.permissions, ("agent.send",))

    def test_two_at_once(self) -> None:
        """While one redeems an invite, and the disk is slow, another one is refused."""
        self.store = SlowStore()
        self.start()
        invited = self.create(self.creator())
        first = Deferred.fromCoroutine(self.invites.redeem(invited.secret))
        self.refused("wrong", invited.secret)
        self.store.pending[0].callback(None)
        self.assertEqual(now(first)[0].record.entity_id, "worker.1")
        self.assertEqual(len(self.credentials), 2)

    def test_failing_disk(self) -> None:
        """If the token can't be stored, there is none, and the invite is as good as before."""
        invited = self.create(self.creator())
        self.patch(self.store, "redeem", lambda invite_id, record: fail(Unavailable("the disk is full")))
        self.failureResultOf(Deferred.fromCoroutine(self.invites.redeem(invited.secret)), Unavailable)
        self.assertEqual((len(self.credentials), len(self.invites)), (1, 1))
        del self.store.redeem  # type: ignore[method-assign]
        self.redeem(invited)

    def test_revoked_while_it_is_redeemed(self) -> None:
        """When the creator's token is revoked while the disk is slow, the token that comes out is revoked, too."""
        self.store = SlowStore()
        self.start()
        creator = self.creator()
        invited = self.create(creator)
        redeeming = Deferred.fromCoroutine(self.invites.redeem(invited.secret))
        self.credentials.revoke(creator.token_id)
        self.store.pending[0].callback(None)
        token = now(redeeming)[0].token
        self.assertRaises(BadToken, self.credentials.verify, token)

    def test_after_a_restart(self) -> None:
        """Invites outlive the process; one that was redeemed or has expired does not come back."""
        good, used, late = (self.create(self.creator(), expires_in_seconds=s) for s in (600, 600, 5))
        self.redeem(used)
        self.clock.advance(6)
        self.start()
        self.assertEqual(len(self.invites), 1)
        self.refused("wrong", used.secret)
        self.refused("wrong", late.secret)
        self.redeem(good)

    def test_an_operators_own_token(self) -> None:
        """Invites of a token that the operator has chosen are good after a restart with the same one, and no other."""
        mine, other = (f"cell0_{letter * 43}_1" for letter in "ab")
        self.credentials.accept(mine)
        creator = self.credentials.verify(mine)
        first, second = self.create(creator), self.create(creator)
        self.start()
        self.credentials.accept(mine)
        self.redeem(first)
        self.start()
        self.credentials.accept(other)
        self.refused("revoked", second.secret)


class CreateTests(InviteTestCase):
    """What may be created, and how much of it."""

    def test_no_more_than_its_creator(self) -> None:
        """Nobody invites to more than one could mint."""
        creator = self.creator()
        for entity_id, facts in (
            ("elsewhere", {}),
            ("worker.1", {"permissions": ["channel.publish"]}),
            ("worker.1", {"entity_type": "system"}),
        ):
            self.assertRaises(PermissionDenied, self.create, creator, entity_id, **facts)
        self.assertRaises(InvalidParams, self.create, creator, permissions=["agent.sendd"])
        self.assertEqual((len(self.invites), self.store.load_invites()), (0, []))

    def test_too_many(self) -> None:
        """Those of one entity, and all together, are bounded by what they take; a redeemed one, an expired one and a
        revoked one make room."""
        self.patch(rules, "MAX_INVITES_OF_CREATOR_SIZE", 2 * (INVITE_SIZE + 74))
        self.patch(rules, "MAX_INVITES_SIZE", 4 * (INVITE_SIZE + 74))
        one, other = self.creator(), self.creator(entity_id="other")
        first, second = self.create(one), self.create(one, expires_in_seconds=5)
        refusal = self.assertRaises(RateLimited, self.create, one)
        self.assertEqual(refusal.data["limit"], "invites_of_creator")
        third = self.create(other)
        refusal = self.assertRaises(RateLimited, self.create, other)
        self.assertEqual(refusal.data["limit"], "invites")
        self.create(self.root)
        self.assertRaises(RateLimited, self.create, self.root)
        self.redeem(first)
        self.create(self.root)
        self.clock.advance(5)
        self.create(self.root)
        self.invites.revoke(third.invite.invite_id, None, lambda entity_id: True)
        self.create(self.root)
        self.refused("wrong", second.secret)

    def test_permissions_count(self) -> None:
        """One with long permissions counts for more."""
        self.patch(rules, "MAX_INVITES_OF_CREATOR_SIZE", INVITE_SIZE + 100)
        creator = self.creator("channel.publish", MINT, f"{MINT}:>")
        self.assertRaises(RateLimited, self.create, creator, permissions=[f"channel.publish:{'x' * 100}"])

    def test_failing_disk(self) -> None:
        """An invite that can't be stored is none."""
        self.patch(self.store, "invite", lambda invite: fail(Unavailable("the disk is full")))
        self.assertRaises(Unavailable, self.create, self.creator())
        self.assertEqual(len(self.invites), 0)


class RevokeTests(InviteTestCase):
    """The end of invites."""

    def revoke(self, invite_id: str | None = None, entity_id: str | None = None, reach: str = "") -> list[str]:
        ended, stored = self.invites.revoke(invite_id, entity_id, lambda name: name.startswith(reach))
        now(stored)
        return ended

    def test_by_id_and_by_entity(self) -> None:
        """One ends, or all that are for an entity, as far as the caller reaches; others stay."""
        creator = self.creator()
        a, b, c, d = (self.create(creator, f"worker.{name}") for name in "1223")
        self.assertEqual(self.revoke(a.invite.invite_id), [a.invite.invite_id])
        self.refused("wrong", a.secret)
        self.assertEqual(set(self.revoke(entity_id="worker.2")), {b.invite.invite_id, c.invite.invite_id})
        for what in ({"invite_id": a.invite.invite_id}, {"entity_id": "worker.2"}):
            self.assertRaises(NotFound, self.revoke, **what)
        self.assertRaises(NotFound, self.revoke, d.invite.invite_id, reach="other")
        self.redeem(d)

    def test_failing_disk(self) -> None:
        """What the store could not forget is refused at once, and forgotten when it can be."""
        invited = self.create(self.creator())
        self.patch(self.store, "remove_invites", lambda names: fail(Unavailable("the disk is full")))
        self.assertRaises(Unavailable, self.revoke, invited.invite.invite_id)
        self.refused("wrong", invited.secret)
        self.assertEqual(len(self.store.load_invites()), 1)
        del self.store.remove_invites  # type: ignore[method-assign]
        self.invites.sweep()
        self.assertEqual(self.store.load_invites(), [])
