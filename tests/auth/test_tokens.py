"""Tokens as values."""

import hashlib
import os
import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.tokens import TokenRecord, digest, is_operator_token, mint, token_id

SHAPE = re.compile(r"cell0_([A-Za-z0-9]{43})_([0-9]+)")
SECRETS = st.binary(min_size=32, max_size=32)
NOW = 1_770_892_200.75


def minted(random: bytes) -> str:
    return mint(lambda length: random, NOW)


class MintTests(SynchronousTestCase):
    """L{mint}."""

    def test_shape(self) -> None:
        """A token is cell0, 43 letters and digits, and the whole second it was issued at."""
        match = SHAPE.fullmatch(mint(os.urandom, NOW))
        assert match is not None
        self.assertEqual(match[2], "1770892200")

    def test_asks_for_256_bits(self) -> None:
        """The secret takes 32 random bytes, asked for once."""
        asked = []

        def random_bytes(length: int) -> bytes:
            asked.append(length)
            return os.urandom(length)

        mint(random_bytes, NOW)
        self.assertEqual(asked, [32])

    def test_two_differ(self) -> None:
        """Two tokens of the same second differ."""
        self.assertNotEqual(mint(os.urandom, NOW), mint(os.urandom, NOW))

    def test_extremes(self) -> None:
        """The lowest and the highest secret have the shape, too, with no bit lost."""
        for random in (bytes(32), b"\xff" * 32):
            self.assertIsNotNone(SHAPE.fullmatch(minted(random)))
        self.assertNotEqual(minted(b"\xff" * 32), minted(b"\xff" * 31 + b"\xfe"))
        self.assertNotEqual(minted(b"\xff" * 32), minted(b"\x7f" + b"\xff" * 31))

    @given(SECRETS, SECRETS)
    def test_injective(self, one: bytes, other: bytes) -> None:
        """Every random bit counts: two secrets make the same token only when they are the same."""
        self.assertEqual(minted(one) == minted(other), one == other)

    @given(SECRETS, st.integers(0, 255))
    def test_each_bit_counts(self, random: bytes, bit: int) -> None:
        """Turning any one random bit makes another token."""
        turned = (int.from_bytes(random, "big") ^ (1 << bit)).to_bytes(32, "big")
        self.assertNotEqual(minted(random), minted(turned))

    @given(SECRETS)
    def test_operators_may_hand_in_minted_ones(self, random: bytes) -> None:
        """Every minted token is one that an operator may hand in."""
        self.assertTrue(is_operator_token(minted(random)))


class DigestTests(SynchronousTestCase):
    """L{digest} and L{token_id}."""

    def test_sha256_of_the_whole(self) -> None:
        """The store keeps the SHA-256 of the whole token, its date included."""
        token = minted(b"\x01" * 32)
        self.assertEqual(digest(token), hashlib.sha256(token.encode()).hexdigest())
        self.assertNotEqual(digest(token), digest(token[:-1]))

    def test_any_text(self) -> None:
        """What a peer calls a token has a digest, whatever it is."""
        for text in ("", "\ud800", "\x00", "é" * 10_000):
            self.assertEqual(len(digest(text)), 64)

    @given(st.text(st.characters(exclude_categories=()), max_size=50))
    def test_never_raises(self, text: str) -> None:
        """Lone surrogates, too, are only a wrong token."""
        self.assertRegex(digest(text), r"\A[0-9a-f]{64}\Z")

    @given(SECRETS)
    def test_token_id_is_safe_to_show(self, random: bytes) -> None:
        """A token id is short, is a name, and holds nothing of the token."""
        token = minted(random)
        name = token_id(digest(token))
        self.assertRegex(name, r"\Atok_[0-9a-f]{16}\Z")
        self.assertNotIn(name.removeprefix("tok_"), token)

    def test_token_id_stays(self) -> None:
        """The same token has the same id in every process."""
        self.assertEqual(token_id(digest("cell0_a_1")), "tok_" + hashlib.sha256(b"cell0_a_1").hexdigest()[:16])


class OperatorTokenTests(SynchronousTestCase):
    """L{is_operator_token}."""

    def test_good(self) -> None:
        """Any token of the shape with a secret of 32 characters or more, whatever its date."""
        for token in (
            f"cell0_{'a' * 32}_0",
            f"cell0_{'Z9' * 50}_1770892200",
            f"cell0_{'a' * 200}_999999999999",
        ):
            self.assertTrue(is_operator_token(token), token)

    def test_bad(self) -> None:
        """Short secrets, other characters, other shapes, and anything before or after are refused."""
        secret = "a" * 43
        for token in (
            "",
            "admin",
            f"cell0_{'a' * 31}_1770892200",
            f"cell0_{'a' * 201}_1770892200",
            f"cell0_{secret}",
            f"cell0_{secret}_",
            f"cell0_{secret}_now",
            f"cell0_{secret}_-1",
            f"cell0_{secret}_1.5",
            f"cell0_{secret}_{'1' * 13}",
            f"cell1_{secret}_1",
            f"CELL0_{secret}_1",
            f" cell0_{secret}_1",
            f"cell0_{secret}_1\n",
            f"cell0_{secret}_1 ",
            f"cell0_{'é' * 43}_1",
            f"cell0_{secret}_\u0661",
            f"cell0_{'a-' * 20}_1",
            f"cell0_{'a_' * 20}_1",
        ):
            self.assertFalse(is_operator_token(token), token)


class TokenRecordTests(SynchronousTestCase):
    """L{TokenRecord.valid}."""

    def record(self, expires_at: float | None = None, revoked: bool = False) -> TokenRecord:
        return TokenRecord(
            token_id="tok_1",
            digest="d",
            entity_id="a",
            entity_type="agent",
            permissions=(),
            issued_at=0.0,
            expires_at=expires_at,
            revoked=revoked,
        )

    def test_until_expiry(self) -> None:
        """A token is good before the moment it expires at, and no longer."""
        record = self.record(expires_at=100.0)
        self.assertEqual([record.valid(now) for now in (0.0, 99.9, 100.0, 1e12)], [True, True, False, False])

    def test_without_expiry(self) -> None:
        """A token without an expiry is always good."""
        self.assertTrue(self.record().valid(1e12))

    def test_revoked(self) -> None:
        """A revoked token is no good, whatever its expiry."""
        self.assertFalse(self.record(revoked=True).valid(0.0))
        self.assertFalse(self.record(expires_at=100.0, revoked=True).valid(0.0))
