"""Renewing tokens: the rule."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from cell0gw.auth.credentials import HOUR, LIFETIME, RENEWABLE, Minted
from cell0gw.auth.tokens import TokenRecord
from cell0gw.protocol.errors import InvalidParams, NotAuthenticated, NotFound, PermissionDenied, Unavailable
from cell0gw.testing import now
from tests.auth.test_credentials import BrokenStore, CredentialsTestCase, MintTests, principal

DAY = 24 * HOUR


class RenewalTestCase(CredentialsTestCase):
    """With an admin who mints."""

    admin = MintTests.admin

    def renew(self, token: str, permissions: list[str] | None = None, hours: float | None = None) -> Minted:
        renewing = self.credentials.renew(self.credentials.verify(token), permissions, hours)
        minted: Minted = now(Deferred.fromCoroutine(renewing))
        return minted

    def renewable(self, entity_id: str = "a", permissions: list[str] | None = None, **facts: Any) -> Minted:
        """A token of an hour that is renewable for a day."""
        return self.mint(self.admin, entity_id, permissions, **({"renewable_for_hours": 24} | facts))

    def valid(self, *minted: Minted) -> list[bool]:
        """Which of these tokens open a session."""
        found = []
        for each in minted:
            try:
                self.credentials.verify(each.token)
                found.append(True)
            except NotAuthenticated:
                found.append(False)
        return found


class MintRenewableTests(RenewalTestCase):
    """Who says whether a token is renewable, and until when."""

    def until(self, **facts: Any) -> float | None:
        return self.mint(self.admin, "a", **facts).record.renew_until

    def test_default(self) -> None:
        """A token of the default lifetime is renewable for 30 days; one whose minter names another lifetime is not."""
        self.assertEqual((LIFETIME, RENEWABLE), (24, 30 * 24))
        self.assertEqual(self.until(expires_in_hours=LIFETIME), 1000 + 30 * DAY)
        for hours in (0.5, 23, 25, 1000):
            self.assertIsNone(self.until(expires_in_hours=hours))

    def test_as_the_minter_says(self) -> None:
        """The minter says for how long a token is renewable, be it of the default lifetime or of another."""
        self.assertEqual(self.until(expires_in_hours=1, renewable_for_hours=5), 1000 + 5 * HOUR)
        self.assertEqual(self.until(expires_in_hours=LIFETIME, renewable_for_hours=48), 1000 + 2 * DAY)
        self.assertIsNone(self.until(expires_in_hours=LIFETIME, renewable_for_hours=0))

    def test_not_beyond_its_own_end(self) -> None:
        """A token that lasts as long as it would be renewable is not renewable."""
        for hours in (0.1, 1.9, 2):
            self.assertIsNone(self.until(expires_in_hours=2, renewable_for_hours=hours))

    def test_no_more_than_the_minter(self) -> None:
        """No renewal outlives the minter's own token."""
        minter = principal("a", "*", expires_at=1000 + 3 * HOUR)
        record = self.mint(minter, "a", expires_in_hours=1, renewable_for_hours=24).record
        self.assertEqual((record.expires_at, record.renew_until), (1000 + HOUR, 1000 + 3 * HOUR))
        self.assertIsNone(self.mint(minter, "a", expires_in_hours=LIFETIME).record.renew_until)


class RenewTests(RenewalTestCase):
    """What a renewed token is."""

    def test_the_same_again(self) -> None:
        """It has the identity, the permissions and the lifetime of the old one, which stays valid until its own end."""
        old = self.renewable("worker.*", ["channel.*", "agent.send:x"], entity_type="service")
        self.clock.advance(HOUR / 2)
        new = self.renew(old.token)
        self.assertNotEqual(new.token, old.token)
        expected = TokenRecord(
            token_id=new.record.token_id,
            digest=new.record.digest,
            entity_id="worker.*",
            entity_type="service",
            permissions=("channel.*", "agent.send:x"),
            issued_at=1000 + HOUR / 2,
            expires_at=1000 + 1.5 * HOUR,
            issued_by="tok_minter",
            renewed_from=old.record.token_id,
            renew_until=1000 + DAY,
        )
        self.assertEqual(new.record, expected)
        self.assertIn(expected, self.store.load())
        self.assertEqual(self.valid(old, new), [True, True])
        self.clock.advance(HOUR / 2)
        self.assertEqual(self.valid(old, new), [False, True])
        self.clock.advance(HOUR / 2)
        self.assertEqual(self.valid(new), [False])

    def test_fewer_permissions(self) -> None:
        """It may have fewer permissions, not more; and what was given up is not had back."""
        old = self.renewable(permissions=["channel.*", "agent.send:worker.>"])
        for beyond in (["*"], ["agent.send"], ["channel.*", "presence.*"], ["auth.generateToken"]):
            with self.assertRaises(PermissionDenied):
                self.renew(old.token, beyond)
        with self.assertRaises(InvalidParams):
            self.renew(old.token, ["channel.publish:a*"])
        new = self.renew(old.token, ["channel.publish:x", "agent.send:worker.a", "channel.publish:x"])
        self.assertEqual(new.record.permissions, ("channel.publish:x", "agent.send:worker.a"))
        with self.assertRaises(PermissionDenied):
            self.renew(new.token, ["channel.*"])
        self.assertEqual(self.renew(new.token, []).record.permissions, ())

    def test_permissions_that_exist(self) -> None:
        """It has none that does not exist, but those that the old one has from before."""
        self.grantable["old.method"] = False
        old = self.renewable(permissions=["*", "old.method"])
        del self.grantable["old.method"]
        with self.assertRaises(InvalidParams) as caught:
            self.renew(old.token, ["channel.publish", "channel.publsh"])
        self.assertEqual(caught.exception.data["path"], "params.permissions[1]")
        for wanted in (None, ["*", "old.method"]):
            self.assertEqual(self.renew(old.token, wanted).record.permissions, ("*", "old.method"))

    def test_lifetime(self) -> None:
        """It may live for less time, and lives for no more; and what was given up is not had back."""
        old = self.renewable()
        self.assertEqual(self.renew(old.token, hours=5).record.expires_at, 1000 + HOUR)
        short = self.renew(old.token, hours=0.25)
        self.assertEqual(short.record.expires_at, 1000 + HOUR / 4)
        self.assertEqual(self.renew(short.token, hours=1).record.expires_at, 1000 + HOUR / 4)

    def test_renew_until(self) -> None:
        """Nothing that comes of a token outlives its renew_until; what lasts until then is not renewable any more."""
        last = self.renewable(renewable_for_hours=1.75)
        self.clock.advance(HOUR * 0.9)
        last = self.renew(last.token)
        self.assertEqual(last.record.expires_at, 1000 + 1.75 * HOUR)
        with self.assertRaises(PermissionDenied) as caught:
            self.renew(last.token)
        self.assertIn("1970-01-01T02:01:40.000Z", str(caught.exception))
        self.clock.advance(HOUR)
        self.assertEqual(self.valid(last), [False])

    def test_not_renewable(self) -> None:
        """Who was not allowed to renew can't: bearers of tokens that are not renewable, and the admin."""
        minted = self.mint(self.admin, "a")
        kept: list[str] = []
        now(Deferred.fromCoroutine(self.credentials.mint_admin(kept.append)))
        operators = f"cell0_{'x' * 32}_1"
        self.credentials.accept(operators)
        for token in (minted.token, kept[0], operators):
            with self.assertRaises(PermissionDenied):
                self.renew(token)
        self.assertEqual(len(self.store.load()), 2)

    def test_ended(self) -> None:
        """A session that goes on for a moment after its token has ended can't renew it."""
        expired, revoked = self.renewable(), self.renewable()
        bearers = [self.credentials.verify(each.token) for each in (expired, revoked)]
        self.credentials.revoke(revoked.record.token_id)
        self.clock.advance(HOUR)
        for bearer in bearers:
            failed = Deferred.fromCoroutine(self.credentials.renew(bearer, None, None))
            self.failureResultOf(failed, NotAuthenticated)

    def test_not_stored_is_not_valid(self) -> None:
        """A token that could not be stored opens nothing, and the old one is as good as before."""
        old = self.renewable()
        store = BrokenStore()
        store.add(old.record)
        store.pending.clear()
        self.credentials = self.make(store)
        self.credentials.load()
        renewing = Deferred.fromCoroutine(self.credentials.renew(self.credentials.verify(old.token), None, None))
        store.pending[0].errback(Unavailable())
        self.failureResultOf(renewing, Unavailable)
        self.assertEqual(self.credentials.records(), [old.record])
        self.assertEqual(self.valid(old), [True])


class ChainTests(RenewalTestCase):
    """Tokens that are renewed again and again, for a month."""

    def test_a_month(self) -> None:
        """An agent that renews twice a day lives for 30 days with the default token, and no longer."""
        minted = self.mint(self.admin, "a", expires_in_hours=LIFETIME)
        renewals = 0
        try:
            while True:
                self.clock.advance(DAY / 2)
                minted = self.renew(minted.token)
                renewals += 1
        except PermissionDenied:
            pass
        self.assertEqual(renewals, 58)
        self.assertEqual(minted.record.expires_at, 1000 + 30 * DAY)
        self.clock.advance(DAY)
        self.assertEqual(self.valid(minted), [False])

    def test_the_next_process(self) -> None:
        """A restart changes nothing: a token is renewable as before, and ends with those that it comes from."""
        first = self.renewable()
        second = self.renew(first.token)
        self.credentials = self.make()
        self.credentials.load()
        third = self.renew(second.token)
        self.credentials = self.make()
        self.credentials.load()
        self.credentials.revoke(first.record.token_id)
        self.assertEqual(self.valid(first, second, third), [False] * 3)

    def test_forgotten_on_the_way(self) -> None:
        """Old tokens of a chain are forgotten as any; the minter's end is still the end of what came of it."""
        minter = self.mint(self.admin, "m", ["*"], expires_in_hours=100 * 24)
        minted = self.mint(self.credentials.verify(minter.token), "a", [], expires_in_hours=24, renewable_for_hours=960)
        for _ in range(40):
            self.clock.advance(0.9 * DAY)
            minted = self.renew(minted.token)
        records = self.credentials.records()
        self.assertLess(len(records), 12)
        self.assertEqual({r.token_id for r in self.store.load()}, {r.token_id for r in records})
        self.credentials.revoke(minter.record.token_id)
        self.assertEqual(self.valid(minted), [False])

    def test_no_way_round_by_a_token_that_is_forgotten(self) -> None:
        """Who renews by way of a short token, which is forgotten soon, can't escape the end of the long one."""
        for restarted in (False, True):
            long = self.renewable(f"a{restarted}", expires_in_hours=20 * 24, renewable_for_hours=60 * 24)
            short = self.renew(long.token, hours=1)
            hidden = self.renew(short.token)
            self.clock.advance(HOUR / 2)
            for _ in range(24 * 9):
                hidden = self.renew(hidden.token)
                self.clock.advance(HOUR * 0.9)
            self.assertRaises(NotFound, self.credentials.revoke, short.record.token_id)
            if restarted:
                self.credentials = self.make()
                self.credentials.load()
            self.credentials.revoke(long.record.token_id)
            self.assertEqual(self.valid(long, hidden), [False, False])


class RevokeRenewedTests(RenewalTestCase):
    """How renewed tokens end."""

    def test_alone(self) -> None:
        """A renewed token is revoked like any; the old one is not touched, but what was renewed from it is."""
        old = self.renewable()
        new, other = self.renew(old.token), self.renew(old.token)
        newer = self.renew(new.token)
        ended, _ = self.credentials.revoke(new.record.token_id)
        self.assertEqual(set(ended), {new.record.token_id, newer.record.token_id})
        self.assertEqual(self.valid(old, other, new, newer), [True, True, False, False])

    def test_with_the_old_one(self) -> None:
        """Who revokes a token revokes what its bearer, or a thief, has made of it."""
        old = self.renewable(permissions=["auth.generateToken", "agent.*"])
        new = self.renew(old.token)
        minted = self.mint(self.credentials.verify(new.token), "a", ["agent.send"])
        self.credentials.revoke(old.record.token_id)
        self.assertEqual(self.valid(old, new, minted), [False] * 3)

    def test_by_entity(self) -> None:
        """Revoking the tokens of an entity covers renewed ones."""
        old = self.renewable()
        new = self.renew(old.token)
        self.credentials.revoke(entity_id="a")
        self.assertEqual(self.valid(old, new), [False, False])

    def test_by_minter(self) -> None:
        """Revoking a token covers what was renewed from those that it has minted."""
        minter = self.mint(self.admin, "m", ["*"], expires_in_hours=100)
        old = self.mint(self.credentials.verify(minter.token), "a", [], renewable_for_hours=24)
        new = self.renew(old.token)
        self.credentials.revoke(minter.record.token_id)
        self.assertEqual(self.valid(minter, old, new), [False] * 3)

    def test_while_the_store_is_busy(self) -> None:
        """A token whose old one is revoked before it is stored is born revoked."""
        old = self.renewable()
        store = BrokenStore()
        store.add(old.record)
        store.pending.clear()
        self.credentials = self.make(store)
        self.credentials.load()
        renewing = Deferred.fromCoroutine(self.credentials.renew(self.credentials.verify(old.token), None, None))
        self.credentials.revoke(old.record.token_id)
        store.pending[0].callback(None)
        self.assertEqual(self.valid(self.successResultOf(renewing)), [False])
        self.assertTrue(all(record.revoked for record in store.load()))
