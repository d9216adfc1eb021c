"""Records of tokens in memory."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth import records
from cell0gw.auth.records import Records
from cell0gw.auth.tokens import TokenRecord
from cell0gw.protocol.errors import RateLimited
from cell0gw.protocol.limits import TOKEN_SIZE


def record(name: str, **facts: Any) -> TokenRecord:
    known = {"entity_id": name, "entity_type": "agent", "permissions": (), "issued_at": 1.0, "expires_at": 9.0}
    return TokenRecord(token_id=f"tok_{name}", digest=f"digest of {name}", **(known | facts))


class RecordsTests(SynchronousTestCase):
    """L{Records}."""

    def setUp(self) -> None:
        self.records = Records()

    def keep(self, *wanted: TokenRecord) -> None:
        for each in wanted:
            self.records.keep(each)

    def children(self, name: str) -> list[str]:
        return [child.entity_id for child in self.records.children(f"tok_{name}")]

    def test_found(self) -> None:
        """A record is found by its id, by the digest and by its entity, and not once it is dropped."""
        kept = record("a")
        self.keep(kept, record("b"))
        self.assertEqual((self.records.get("tok_a"), self.records.find("digest of a")), (kept, kept))
        self.assertEqual((self.records.of_entity("a"), len(self.records)), ([kept], 2))
        self.records.drop(kept)
        self.assertEqual((self.records.get("tok_a"), self.records.find("digest of a")), (None, None))
        self.assertEqual((self.records.of_entity("a"), len(self.records)), ([], 1))

    def test_covered(self) -> None:
        """The name of an entity is covered as long as a valid token is for a pattern that covers it."""
        one, two = (record(name, entity_id="w.*", expires_at=ends) for name, ends in (("1", 5.0), ("2", 9.0)))
        self.keep(
            one, two, record("3", entity_id="a.*.c.>"), record("4", entity_id="*.end"), record("5", entity_id="w.x")
        )
        names = ("w.1", "w", "w.1.2", "a.b.c.d", "a.b.c", "a.b.x.d", "any.end", "end", "w.end")
        expected = [True, False, False, True, False, False, True, False, True]
        self.assertEqual([self.records.is_covered(name, 2.0) for name in names], expected)
        self.records.drop(two)
        self.assertEqual([self.records.is_covered("w.1", now) for now in (4.0, 5.0)], [True, False])
        self.records.drop(one)
        self.assertEqual((self.records.is_covered("w.1", 2.0), self.records.is_covered("w.end", 2.0)), (False, True))
        self.assertEqual(set(self.records._patterns), {"a", ""})

    def test_all_bearers(self) -> None:
        """A token for every entity covers every one."""
        self.keep(record("1", entity_id=">"))
        self.assertTrue(self.records.is_covered("a.b.c", 2.0) and self.records.is_covered("a", 2.0))

    def test_replaced(self) -> None:
        """A record with the same id takes the place of the one before."""
        self.keep(record("a"), record("a", revoked=True))
        self.assertEqual(list(self.records), [record("a", revoked=True)])
        self.assertEqual(self.records.of_entity("a"), [record("a", revoked=True)])

    def test_children(self) -> None:
        """A token has brought about what it minted, and what it was renewed to, also of one that is not there."""
        self.keep(record("a"), record("b", issued_by="tok_a"), record("c", issued_by="tok_x", renewed_from="tok_a"))
        self.assertEqual((self.children("a"), self.children("x")), (["b", "c"], ["c"]))
        self.records.drop(record("b", issued_by="tok_a"))
        self.assertEqual(self.children("a"), ["c"])

    def test_handed_down(self) -> None:
        """What was renewed from a record that is dropped counts as renewed from the one before it."""
        middle = record("b", issued_by="tok_x", renewed_from="tok_a")
        self.keep(record("a"), middle, record("c", issued_by="tok_x", renewed_from="tok_b"))
        self.keep(record("d", issued_by="tok_b"))
        self.records.drop(middle)
        self.assertEqual((self.children("a"), self.children("x")), (["c"], ["c"]))
        self.assertEqual([each.renewed_from for each in self.records], [None, "tok_a", None])
        self.records.drop(record("a"))
        self.assertEqual([each.renewed_from for each in self.records], [None, None])

    def test_expire(self) -> None:
        """Those are dropped that expired longer ago than they are kept; those without end stay."""
        self.keep(record("a", expires_at=3.0), record("b", expires_at=2.0), record("c", expires_at=None))
        self.assertEqual(self.records.expire(2.0, 0.0), [])
        self.assertEqual(self.records.expire(3.5, 1.5), [])
        self.assertEqual(self.records.expire(3.5, 0.5), ["tok_b"])
        self.assertEqual(self.records.expire(3.6, 0.5), ["tok_a"])
        self.assertEqual([each.entity_id for each in self.records], ["c"])

    def test_too_many_have_expired(self) -> None:
        """Of those that have expired only so many are kept, the latest; one that is gone makes no difference."""
        self.patch(records, "MAX_EXPIRED_SIZE", 3 * TOKEN_SIZE)
        self.keep(*(record(f"r{number}", expires_at=10.0 + number) for number in range(6)))
        self.assertEqual(self.records.expire(12.0, 99.0), [])
        self.records.drop(record("r1"))
        self.assertEqual(self.records.expire(15.0, 99.0), ["tok_r0", "tok_r2"])
        self.assertEqual(([each.entity_id for each in self.records], self.records.size), (["r3", "r4", "r5"], 0))

    def test_shares(self) -> None:
        """A token counts for its minter's entity until it expires, a renewed one for the entity that has renewed it."""
        self.patch(records, "MAX_TOKENS_OF_MINTER_SIZE", 2 * TOKEN_SIZE + 10)
        self.keep(record("m", issued_by="tok_boss"), record("n", entity_id="m", issued_by="tok_boss"))
        self.keep(
            record("a", issued_by="tok_m", expires_at=5.0), record("b", issued_by="tok_n", permissions=("x" * 9,))
        )
        self.admitted(record("c", issued_by="tok_m"), False)
        self.admitted(record("c", issued_by="tok_m", renewed_from="tok_a"), True)
        self.assertIsNone(self.records.admit(record("c", issued_by="tok_m"), True))
        self.records.expire(5.0, 99.0)
        self.admitted(record("c", issued_by="tok_m", permissions=("x",)), True)
        self.admitted(record("c", issued_by="tok_m", permissions=("xx",)), False)

    def test_room(self) -> None:
        """All together fill so much; a part of it is for those who may fill it all."""
        self.patch(records, "MAX_TOKENS_SIZE", 4 * TOKEN_SIZE)
        for number in range(3):
            self.admitted(record(f"r{number}", issued_by=f"tok_m{number}"), True)
            self.keep(record(f"r{number}", issued_by=f"tok_m{number}"))
        self.admitted(record("x", issued_by="tok_x"), False, "tokens")
        self.assertIsNone(self.records.admit(record("x"), True))
        self.keep(record("x"))
        refusal = self.assertRaises(RateLimited, self.records.admit, record("y"), True)
        self.assertEqual(refusal.data["limit"], "tokens")

    def admitted(self, wanted: TokenRecord, expected: bool, limit: str = "tokens_of_minter") -> None:
        """See whether there is room for one of no privileged minter."""
        if expected:
            self.assertIsNone(self.records.admit(wanted, False))
        else:
            self.assertEqual(self.assertRaises(RateLimited, self.records.admit, wanted, False).data["limit"], limit)

    def test_nothing_is_left(self) -> None:
        """Of records that are gone nothing stays behind, whatever they had to do with each other."""
        family = [record("a"), record("b", issued_by="tok_a"), record("c", issued_by="tok_x", renewed_from="tok_a")]
        self.keep(*family)
        for each in family:
            self.records.drop(self.records.get(each.token_id) or each)
        self.assertEqual((self.records._children, self.records._of_entity), ({}, {}))
        self.assertEqual((self.records._counted, self.records._shares), ({}, {}))
        self.assertEqual(self.records.suggestions.near("c"), [])
