"""Where token records outlive the process: one suite for all engines."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cell0gw.auth.store import ITokenStore
from cell0gw.auth.tokens import Invite, TokenRecord
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.engines.sqlite.database import Database
from cell0gw.engines.sqlite.tokens import SQLiteTokenStore

PATIENCE = 30.0
"""How many seconds a writer's thread may take before the test gives up on it."""


@implementer(IReactorFromThreads)
class QueueReactor:
    """A reactor whose turn it is when the test says so.

    @ivar turns: how many calls from threads it has run.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], Any]] = SimpleQueue()
        self.turns = 0

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """See L{IReactorFromThreads}."""
        self._calls.put(lambda: callable(*args, **kwargs))

    def turn(self) -> None:
        """Wait for a call from a thread, and run it."""
        self._calls.get(timeout=PATIENCE)()
        self.turns += 1

    def run_until_fired(self, deferred: Deferred[Any]) -> None:
        while not deferred.called:
            self.turn()


def record(name: str, **facts: Any) -> TokenRecord:
    known = {"entity_id": name, "entity_type": "agent", "permissions": ("agent.*",), "issued_at": 1.5}
    return TokenRecord(token_id=f"tok_{name}", digest=f"digest of {name}", **(known | facts))


RECORDS = (
    record("plain"),
    record("everything", permissions=("*",), expires_at=1_770_892_200.123456, issued_by="tok_plain", revoked=True),
    record("nothing", permissions=(), expires_at=None, issued_by=None),
    record("pattern", entity_id="worker.*.>", entity_type="service"),
    record("own", entity_id="$system", entity_type="system", permissions=("channel.subscribe:$system",)),
    record("longest", entity_id="x" * 200, entity_type="user", permissions=tuple(f"a.b:{n}.>" for n in range(200))),
    record("renewed", expires_at=2.5, issued_by="tok_plain", renewed_from="tok_first", renew_until=1_773_484_200.125),
    record("quotes", permissions=("it's", '"', "\\", "[", ":x")),
    record("beginning", issued_at=0.0, expires_at=0.0),
)


def invite(name: str, **facts: Any) -> Invite:
    known = {"entity_id": name, "entity_type": "agent", "permissions": ("agent.*",), "created_at": 1.5}
    known |= {"expires_at": 601.5, "created_by": "tok_creator"}
    return Invite(invite_id=f"inv_{name}", digest=f"digest of {name}", **(known | facts))


INVITES = (
    invite("plain"),
    invite("as_its_creator", permissions=None, created_at=2.125, expires_at=1_770_892_200.125),
    invite("nothing", permissions=(), created_by="tok_other"),
    invite("pattern", entity_id="worker.*", entity_type="service"),
)


class StoreTests:
    """What every engine keeps its word on."""

    store: Any

    def settle(self, deferred: Deferred[Any]) -> None:
        """Let what was asked for come to its end."""
        raise NotImplementedError

    def kept(self) -> dict[str, TokenRecord]:
        records = self.store.load()
        by_id = {record.token_id: record for record in records}
        self.assertEqual(len(by_id), len(records))
        return by_id

    def add(self, *records: TokenRecord) -> None:
        for each in records:
            self.settle(self.store.add(each))

    def test_interface(self) -> None:
        """The engine provides what the rules ask for."""
        self.assertTrue(verifyObject(ITokenStore, self.store))

    def test_empty(self) -> None:
        """In the beginning there are no tokens."""
        self.assertEqual(self.store.load(), [])

    def test_round_trip(self) -> None:
        """Every field of every kind of record comes back as it was, in its type."""
        self.add(*RECORDS)
        kept = self.kept()
        self.assertEqual(kept, {record.token_id: record for record in RECORDS})
        for each in kept.values():
            self.assertIs(type(each.permissions), tuple)
            self.assertIs(type(each.revoked), bool)
            self.assertIs(type(each.issued_at), float)

    def test_all_fields(self) -> None:
        """The records above fill every field there is, so that a new one can't be forgotten by an engine."""
        defaults = {name for name in TokenRecord.__struct_fields__ if len({getattr(r, name) for r in RECORDS}) > 1}
        self.assertEqual(defaults, set(TokenRecord.__struct_fields__))

    def test_revoke(self) -> None:
        """Revoking marks the records named, and changes nothing else about them or others."""
        a, b, c = (record(name, expires_at=9.5, issued_by="tok_x") for name in "abc")
        self.add(a, b, c)
        self.settle(self.store.revoke(["tok_a", "tok_c"]))
        kept = self.kept()
        self.assertEqual([kept[f"tok_{name}"].revoked for name in "abc"], [True, False, True])
        revoked = record("a", expires_at=9.5, issued_by="tok_x", revoked=True)
        self.assertEqual((kept["tok_a"], kept["tok_b"]), (revoked, b))

    def test_revoke_twice(self) -> None:
        """What is revoked stays so."""
        self.add(record("a"))
        for _ in range(2):
            self.settle(self.store.revoke(["tok_a"]))
        self.assertEqual(self.kept(), {"tok_a": record("a", revoked=True)})

    def test_remove(self) -> None:
        """Removing forgets the records named, and no others."""
        self.add(record("a"), record("b"), record("c"))
        self.settle(self.store.remove(["tok_a", "tok_c"]))
        self.assertEqual(set(self.kept()), {"tok_b"})

    def test_remove_hands_down(self) -> None:
        """What was renewed from a token that is removed counts as renewed from the one before it."""
        names = ("first", "second", "third", "fourth")
        chain = [record(name, renewed_from=f"tok_{before}") for before, name in pairwise(names)]
        self.add(record("first"), *chain, record("other", renewed_from="tok_first"))
        self.settle(self.store.remove(["tok_third"]))
        self.assertEqual(self.ancestors(), {"second": "tok_first", "fourth": "tok_second", "other": "tok_first"})
        self.settle(self.store.remove(["tok_first"]))
        self.assertEqual(self.ancestors(), {"second": None, "fourth": "tok_second", "other": None})

    def test_remove_hands_down_several(self) -> None:
        """It is the same in whatever order several are removed, and for those whose ancestor is not there."""
        for gone in (["tok_a", "tok_b"], ["tok_b", "tok_a"], ["tok_b", "tok_none", "tok_a"]):
            self.add(record("a", renewed_from="tok_z"), record("b", renewed_from="tok_a"))
            self.add(record("c", renewed_from="tok_b"), record("d", renewed_from="tok_none"))
            self.settle(self.store.remove(gone))
            self.assertEqual(self.ancestors(), {"c": "tok_z", "d": "tok_none"})
            self.settle(self.store.remove(["tok_c", "tok_d"]))

    def ancestors(self) -> dict[str, str | None]:
        """From what the tokens that were not minted are renewed."""
        kept = self.kept()
        return {r.entity_id: r.renewed_from for r in kept.values() if r.entity_id != "first"}

    def test_none_named(self) -> None:
        """To revoke or remove nothing changes nothing."""
        self.add(record("a"))
        self.settle(self.store.revoke([]))
        self.settle(self.store.remove([]))
        self.assertEqual(self.kept(), {"tok_a": record("a")})

    def test_add_again_after_remove(self) -> None:
        """What was removed can be added again."""
        self.add(record("a", revoked=True))
        self.settle(self.store.remove(["tok_a"]))
        self.add(record("a"))
        self.assertEqual(self.kept(), {"tok_a": record("a")})

    def test_in_order(self) -> None:
        """What is asked for in one go happens in that order: a token revoked while it is stored is revoked."""
        self.store.add(record("a"))
        self.store.add(record("b"))
        self.store.revoke(["tok_a"])
        self.settle(self.store.remove(["tok_b"]))
        self.assertEqual(self.kept(), {"tok_a": record("a", revoked=True)})

    def invites(self) -> dict[str, Invite]:
        return {each.invite_id: each for each in self.store.load_invites()}

    def test_invites(self) -> None:
        """Every field of every kind of invite comes back as it was, in its type; every field there is is filled."""
        self.assertEqual(self.store.load_invites(), [])
        for each in INVITES:
            self.settle(self.store.invite(each))
        self.assertEqual(self.invites(), {each.invite_id: each for each in INVITES})
        self.assertEqual({type(each.permissions) for each in self.invites().values()}, {tuple, type(None)})
        names = Invite.__struct_fields__
        self.assertEqual([name for name in names if len({getattr(each, name) for each in INVITES}) < 2], [])

    def test_remove_invites(self) -> None:
        """Removing forgets the invites named, and no others; those that are not there do no harm."""
        for name in "abc":
            self.settle(self.store.invite(invite(name)))
        for gone in (["inv_a", "inv_c", "inv_none"], []):
            self.settle(self.store.remove_invites(gone))
            self.assertEqual(self.invites(), {"inv_b": invite("b")})

    def test_redeem(self) -> None:
        """An invite becomes a token: the one is forgotten, the other is kept, and all others stay."""
        for name in "ab":
            self.settle(self.store.invite(invite(name)))
        self.add(record("x"))
        self.settle(self.store.redeem("inv_a", record("a")))
        self.assertEqual((self.invites(), set(self.kept())), ({"inv_b": invite("b")}, {"tok_x", "tok_a"}))

    def test_load_is_a_copy(self) -> None:
        """Whoever loads may do with the list what he wants."""
        self.add(record("a"))
        self.store.load().clear()
        self.assertEqual(set(self.kept()), {"tok_a"})


class MemoryTokenStoreTests(StoreTests, SynchronousTestCase):
    """L{MemoryTokenStore}."""

    def setUp(self) -> None:
        self.store = MemoryTokenStore()

    def settle(self, deferred: Deferred[Any]) -> None:
        self.assertIsNone(self.successResultOf(deferred))


class SQLiteTokenStoreTests(StoreTests, SynchronousTestCase):
    """L{SQLiteTokenStore}."""

    def setUp(self) -> None:
        self.reactor = QueueReactor()
        database = Database(Path(self.mktemp()), self.reactor)
        database.open()
        self.addCleanup(database.close)
        self.store = SQLiteTokenStore(database)

    def settle(self, deferred: Deferred[Any]) -> None:
        self.reactor.run_until_fired(deferred)
        self.assertIsNone(self.successResultOf(deferred))

    def test_redeem_as_a_whole(self) -> None:
        """If the token can't be kept, the invite is."""
        self.settle(self.store.invite(invite("a")))
        self.add(record("a"))
        failing = self.store.redeem("inv_a", record("a"))
        self.reactor.run_until_fired(failing)
        self.failureResultOf(failing)
        self.assertEqual((self.invites(), self.kept()), ({"inv_a": invite("a")}, {"tok_a": record("a")}))
