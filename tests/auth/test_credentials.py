"""The rules of tokens."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.credentials import HOUR, RETENTION, Credentials, Minted
from cell0gw.auth.permissions import AGENT_PERMISSIONS, EVERYTHING, Permissions
from cell0gw.auth.principal import Principal
from cell0gw.auth.tokens import TokenRecord
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.protocol.errors import InvalidParams, NotAuthenticated, NotFound, PermissionDenied, Unavailable
from cell0gw.testing import now
from cell0gw.testing.stated import stated


class BrokenStore(MemoryTokenStore):
    """A store that can't be written for now: C{pending} holds what waits."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[Deferred[None]] = []

    def add(self, record: TokenRecord) -> Deferred[None]:
        super().add(record)
        self.pending.append(Deferred())
        return self.pending[-1]


def principal(entity_id: str, *permissions: str, **facts: Any) -> Principal:
    facts = {"entity_type": "agent", "token_id": "tok_minter", "expires_at": None, **facts}
    return Principal(entity_id=entity_id, permissions=Permissions(permissions), **facts)


class CredentialsTestCase(SynchronousTestCase):
    """Credentials over a store in memory, at second 1,000."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.runtime = stated(self.clock)
        self.store = MemoryTokenStore()
        self.grantable = {
            **dict.fromkeys(("channel.publish", "channel.subscribe", "agent.send", "auth.generateToken"), True),
            **dict.fromkeys(("presence.get", "gateway.getStats", "auth.revokeToken"), False),
        }
        self.credentials = self.make()

    def make(self, store: MemoryTokenStore | None = None) -> Credentials:
        return Credentials(self.store if store is None else store, self.runtime, lambda: self.grantable)

    def mint(self, minter: Principal, entity_id: str, permissions: list[str] | None = None, **facts: Any) -> Minted:
        arguments = {"entity_type": "agent", "expires_in_hours": 1.0, **facts}
        minting = self.credentials.mint(minter, entity_id, permissions=permissions, **arguments)
        minted: Minted = now(Deferred.fromCoroutine(minting))
        return minted

    def refuses(self, error: type[Exception], *arguments: Any, **facts: Any) -> None:
        self.assertRaises(error, self.mint, *arguments, **facts)


class MintTests(CredentialsTestCase):
    """A token mints no more than itself."""

    admin = principal("admin", "*", entity_type="system")

    def test_everything(self) -> None:
        """Who holds everything mints anything, for anyone."""
        minted = self.mint(self.admin, "worker.>", ["channel.*", "auth.generateToken:worker.>"], entity_type="service")
        proven = self.credentials.verify(minted.token)
        self.assertEqual((proven.entity_id, proven.entity_type), ("worker.>", "service"))
        self.assertEqual(proven.permissions.granted, ("channel.*", "auth.generateToken:worker.>"))

    def test_default_permissions(self) -> None:
        """Without a wish the agent set is minted, cut to what the minter has."""
        self.assertEqual(self.mint(self.admin, "a").record.permissions, AGENT_PERMISSIONS)
        narrow = principal("a", "auth.generateToken", "channel.publish:tasks.>", "presence.*")
        self.assertEqual(set(self.mint(narrow, "a").record.permissions), {"channel.publish:tasks.>", "presence.*"})

    def test_permissions_are_a_subset(self) -> None:
        """No permission beyond the minter's can be minted, in whatever form it is asked for."""
        minter = principal("a", "auth.generateToken", "channel.publish:tasks.>", "agent.*")
        for beyond in ("*", "channel.*", "channel.publish", "channel.publish:>", "channel.publish:other",
                       "auth.*", "auth.revokeToken", "gateway.getStats", "channel.subscribe:$system"):  # fmt: skip
            self.refuses(PermissionDenied, minter, "a", [beyond])
            self.refuses(PermissionDenied, minter, "a", ["agent.send", beyond])
        self.mint(minter, "a", ["channel.publish:tasks.a", "agent.send:x", "agent.*", "auth.generateToken"])

    def test_ids_are_a_subset(self) -> None:
        """A token mints for its own ids, and for those that its permission to mint spells."""
        minter = principal("team.*", "auth.generateToken", "auth.generateToken:worker.>")
        for entity_id in ("team.a", "team.*", "worker.a.b", "worker.>"):
            self.mint(minter, entity_id, [])
        for entity_id in ("admin", "team", "team.>", ">", "*", "worker", "team.a.b"):
            self.refuses(PermissionDenied, minter, entity_id, [])

    def test_bare_permission_mints_for_oneself_only(self) -> None:
        """The bare permission to mint, or that of the namespace, reaches no other entity."""
        for permission in ("auth.generateToken", "auth.*"):
            self.refuses(PermissionDenied, principal("a", permission), "b", [])
            self.mint(principal("a", permission), "a", [])

    def test_no_way_round_by_minting_for_oneself(self) -> None:
        """Nobody gets, by minting for itself, the permission to mint for others."""
        for held in ("auth.generateToken", "auth.*"):
            minter = principal("a", held, "agent.*")
            for wider in ("auth.generateToken:>", "auth.generateToken:b", "auth.generateToken:*"):
                self.refuses(PermissionDenied, minter, "a", [wider])
            child = self.mint(minter, "a", [held])
            self.refuses(PermissionDenied, self.credentials.verify(child.token), "b", [])

    def test_system_is_minted_by_system(self) -> None:
        """Nobody becomes a system entity by a token that an agent minted."""
        self.refuses(PermissionDenied, principal("a", "*"), "b", [], entity_type="system")
        self.mint(self.admin, "b", [], entity_type="system")

    def test_time_is_a_subset(self) -> None:
        """A token outlives its minter's by nothing."""
        minter = principal("a", "*", expires_at=1000 + 2 * HOUR)
        self.assertEqual(self.mint(minter, "a", [], expires_in_hours=1).record.expires_at, 1000 + HOUR)
        self.assertEqual(self.mint(minter, "a", [], expires_in_hours=24).record.expires_at, 1000 + 2 * HOUR)

    def test_malformed_permission(self) -> None:
        """What is no permission can't be minted, by whomever."""
        self.refuses(InvalidParams, self.admin, "a", ["channel.publish:a*"])

    def test_not_stored_is_not_valid(self) -> None:
        """A token that could not be stored opens nothing, now or after a restart."""
        store = BrokenStore()
        self.credentials = self.make(store)
        minting = Deferred.fromCoroutine(self.credentials.mint(self.admin, "a", "agent", None, 1))
        store.pending[0].errback(Unavailable())
        self.failureResultOf(minting, Unavailable)
        self.assertEqual(self.credentials.records(), [])
        self.assertEqual(len(self.credentials), 0)


class VerifyTests(CredentialsTestCase):
    """What a token proves."""

    def setUp(self) -> None:
        super().setUp()
        self.minted = self.mint(MintTests.admin, "a")

    def test_one_text_for_all(self) -> None:
        """Wrong, expired and revoked tokens are refused in the same words."""
        revoked = self.mint(MintTests.admin, "b")
        self.credentials.revoke(revoked.record.token_id)
        self.clock.advance(HOUR)
        texts = {
            self.assertRaises(NotAuthenticated, self.credentials.verify, token).message
            for token in ("", "x", "\x00", "cell0_", "x" * 1_000_000, self.minted.token, revoked.token, "\ud800")
        }
        self.assertEqual(len(texts), 1)

    def test_until_the_last_moment(self) -> None:
        """A token is good up to its expiry and not at it."""
        self.clock.advance(HOUR - 0.001)
        self.assertEqual(self.credentials.verify(self.minted.token).entity_id, "a")
        self.clock.advance(0.001)
        self.assertRaises(NotAuthenticated, self.credentials.verify, self.minted.token)

    def test_outlives_the_process(self) -> None:
        """Tokens and their end are known to the next process."""
        other = self.mint(MintTests.admin, "b")
        self.credentials.revoke(other.record.token_id)
        restarted = self.make()
        restarted.load()
        self.assertEqual(restarted.verify(self.minted.token).entity_id, "a")
        self.assertRaises(NotAuthenticated, restarted.verify, other.token)

    def test_operators_token(self) -> None:
        """The operator's own token does everything, is never stored, and can't be revoked."""
        token = f"cell0_{'x' * 32}_1"
        self.credentials.accept(token)
        proven = self.credentials.verify(token)
        self.assertTrue(proven.permissions.covers(EVERYTHING))
        self.assertEqual((proven.entity_id, proven.entity_type, proven.expires_at), ("admin", "system", None))
        self.assertEqual({record.entity_id for record in self.store.load()}, {"a"})
        self.assertRaises(NotFound, self.credentials.revoke, proven.token_id)
        self.assertRaises(ValueError, self.credentials.accept, "cell0_short_1")


class RevokeTests(CredentialsTestCase):
    """How tokens end."""

    def test_children_too(self) -> None:
        """What a revoked token minted is revoked with it, through all generations, and nothing else is."""
        parent = self.mint(MintTests.admin, "a", ["*"])
        child = self.mint(self.credentials.verify(parent.token), "b", ["*"])
        grandchild = self.mint(self.credentials.verify(child.token), "c", [])
        sibling = self.mint(MintTests.admin, "d")
        ended, _ = self.credentials.revoke(parent.record.token_id)
        self.assertEqual(set(ended), {minted.record.token_id for minted in (parent, child, grandchild)})
        self.assertEqual(self.credentials.verify(sibling.token).entity_id, "d")
        self.assertEqual(sum(record.revoked for record in self.store.load()), 3)

    def test_by_entity(self) -> None:
        """All tokens of an entity end together."""
        for _ in range(2):
            self.mint(MintTests.admin, "a")
        ended, _ = self.credentials.revoke(entity_id="a")
        self.assertEqual(len(ended), 2)

    def test_by_entity_that_mints_for_itself(self) -> None:
        """A token that another one of its entity has minted ends once."""
        parent = self.mint(MintTests.admin, "a", ["*"])
        child = self.mint(self.credentials.verify(parent.token), "a", [])
        ended, _ = self.credentials.revoke(entity_id="a")
        self.assertEqual(sorted(ended), sorted(minted.record.token_id for minted in (parent, child)))

    def test_unknown(self) -> None:
        """What doesn't exist can't be revoked."""
        self.assertRaises(NotFound, self.credentials.revoke, "tok_none")
        self.assertRaises(NotFound, self.credentials.revoke, None, "nobody")

    def test_shared(self) -> None:
        """Who has no token but one that is for many is told whose that is; one that is not valid is not named."""
        self.mint(MintTests.admin, "worker.*")
        self.mint(MintTests.admin, "worker.>", expires_in_hours=0.5)
        self.clock.advance(0.75 * HOUR)
        refusal = self.assertRaises(NotFound, self.credentials.revoke, None, "worker.1")
        self.assertEqual(
            refusal.message,
            "No token is for worker.1 alone; it may use one for worker.*, and revoking that ends it for all its "
            "bearers",
        )
        self.assertEqual(refusal.data, {"shared": ["worker.*"]})
        self.assertEqual(len(self.credentials.revoke(None, "worker.*")[0]), 1)

    def test_nobodys(self) -> None:
        """An entity without tokens is answered with those that have names like it, and some; a long one is cut."""
        self.mint(MintTests.admin, "worker")
        self.credentials.suggestions.add("wroker")  # known, but by no token
        refusal = self.assertRaises(NotFound, self.credentials.revoke, None, "workr")
        self.assertEqual((refusal.message, refusal.data), ("No token is for workr", {"near": ["worker"]}))
        for unknown in (("tok_" + "x" * 1_000_000, None), (None, "y." * 1_000_000), (None, "\n")):
            refusal = self.assertRaises(NotFound, self.credentials.revoke, *unknown)
            self.assertLess(len(refusal.message), 200)
            self.assertTrue(refusal.message.isprintable())

    def test_while_the_store_is_busy(self) -> None:
        """A token whose minter is revoked before it is stored is born revoked."""
        store = BrokenStore()
        self.credentials = self.make(store)
        first = Deferred.fromCoroutine(self.credentials.mint(MintTests.admin, "a", "agent", ["*"], 1))
        store.pending[0].callback(None)
        minter = self.credentials.verify(self.successResultOf(first).token)
        second = Deferred.fromCoroutine(self.credentials.mint(minter, "a", "agent", [], 1))
        self.credentials.revoke(minter.token_id)
        store.pending[1].callback(None)
        self.assertRaises(NotAuthenticated, self.credentials.verify, self.successResultOf(second).token)
        self.assertTrue(all(record.revoked for record in store.load()))

    def test_purged_at_last(self) -> None:
        """Long after its expiry a token is forgotten, in memory and in the store."""
        self.mint(MintTests.admin, "a", expires_in_hours=1)
        self.clock.advance(HOUR + RETENTION)
        self.assertEqual(len(self.credentials.records()), 1)
        self.clock.advance(1)
        self.mint(MintTests.admin, "b", expires_in_hours=1)
        self.assertEqual([record.entity_id for record in self.credentials.records()], ["b"])
        self.assertEqual([record.entity_id for record in self.store.load()], ["b"])


class NamesTests(CredentialsTestCase):
    """Whom tokens name."""

    def near(self, name: str) -> list[str]:
        return self.credentials.suggestions.near(name)

    def test_while_valid(self) -> None:
        """An entity is named as long as one of its tokens is valid."""
        self.assertFalse(self.credentials.names("a"))
        first = self.mint(MintTests.admin, "a", expires_in_hours=1)
        self.mint(MintTests.admin, "a", expires_in_hours=2)
        self.credentials.revoke(first.record.token_id)
        self.assertTrue(self.credentials.names("a"))
        self.clock.advance(2 * HOUR - 1)
        self.assertTrue(self.credentials.names("a"))
        self.clock.advance(1)
        self.assertFalse(self.credentials.names("a"))

    def test_revoked(self) -> None:
        """Revoking names ends with it, those of its children, too."""
        parent = self.mint(MintTests.admin, "a", ["*"])
        self.mint(self.credentials.verify(parent.token), "b", [])
        self.credentials.revoke(parent.record.token_id)
        self.assertEqual([self.credentials.names(name) for name in "ab"], [False, False])

    def test_patterns(self) -> None:
        """A token for many names none of them, and not its pattern."""
        for pattern in ("team.*", "team.>", ">"):
            self.mint(MintTests.admin, pattern)
            self.assertFalse(self.credentials.names(pattern))
        self.assertFalse(self.credentials.names("team.a"))

    def test_next_process(self) -> None:
        """The next process names and suggests the same."""
        self.mint(MintTests.admin, "worker")
        self.credentials = self.make()
        self.credentials.load()
        self.assertTrue(self.credentials.names("worker"))
        self.assertEqual(self.near("wroker"), ["worker"])

    def test_operators_token(self) -> None:
        """An operator's own token names the admin."""
        self.credentials.accept(f"cell0_{'x' * 32}_1")
        self.assertTrue(self.credentials.names("admin"))
        self.assertEqual(self.near("admn"), ["admin"])

    def test_suggestions_go_with_the_records(self) -> None:
        """What is purged, or could not be stored, is not suggested; what has another token still is."""
        self.mint(MintTests.admin, "worker", expires_in_hours=1)
        self.clock.advance(HOUR + RETENTION)
        self.mint(MintTests.admin, "worker", expires_in_hours=1)
        self.clock.advance(1)
        self.credentials.records()
        self.mint(MintTests.admin, "other")
        self.assertEqual(self.near("wroker"), ["worker"])
        self.clock.advance(2 * HOUR + RETENTION)
        self.mint(MintTests.admin, "other")
        self.assertEqual(self.near("wroker"), [])
        store = BrokenStore()
        self.credentials = self.make(store)
        minting = Deferred.fromCoroutine(self.credentials.mint(MintTests.admin, "worker", "agent", None, 1))
        store.pending[0].errback(Unavailable())
        self.failureResultOf(minting, Unavailable)
        self.assertEqual((self.near("wroker"), self.credentials.names("worker")), ([], False))
