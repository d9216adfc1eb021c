"""Records of tokens in memory."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.records import Records
from cell0gw.auth.tokens import TokenRecord


def record(name: str, **facts: Any) -> TokenRecord:
    known = {"entity_id": name, "entity_type": "agent", "permissions": (), "issued_at": 1.0, "expires_at": 9.0}
    return TokenRecord(token_id=f"tok_{name}", digest=f"digest of {name}", **(known | facts))


class RecordsTests(SynchronousTestCase):
    """L{Records}."""

    def setUp(self) -> None:
        self.records = Records()

    def keep(self, *records: TokenRecord) -> None:
        for each in records:
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

    def test_drop_expired(self) -> None:
        """Those are dropped that expired before a date; those without end stay."""
        self.keep(record("a", expires_at=3.0), record("b", expires_at=2.0), record("c", expires_at=None))
        self.assertEqual(self.records.drop_expired(2.0), [])
        self.assertEqual(self.records.drop_expired(3.5), ["tok_b", "tok_a"])
        self.assertEqual([each.entity_id for each in self.records], ["c"])

    def test_nothing_is_left(self) -> None:
        """Of records that are gone nothing stays behind, whatever they had to do with each other."""
        family = [record("a"), record("b", issued_by="tok_a"), record("c", issued_by="tok_x", renewed_from="tok_a")]
        self.keep(*family)
        for each in family:
            self.records.drop(self.records.get(each.token_id) or each)
        self.assertEqual((self.records._children, self.records._of_entity), ({}, {}))
        self.assertEqual(self.records.suggestions.near("c"), [])
