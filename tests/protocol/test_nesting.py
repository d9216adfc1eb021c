"""How deep JSON is nested."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.nesting import has_more, is_shallow

LIMIT = 30


def depth(value: Any) -> int:
    """The same, the slow way."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


STRINGS = st.text(alphabet='a"\\[]{}\n\u20ac', max_size=8)
VALUES = st.recursive(
    st.none() | st.integers() | STRINGS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=4),
    max_leaves=30,
)

OPENING = (b"[", b'{"a":', b'[[],"]",', b'{"[\\"":')


class DepthTests(SynchronousTestCase):
    """L{is_shallow}."""

    @settings(deadline=None)
    @given(value=VALUES, around=st.integers(0, 40), spaced=st.booleans())
    @example(value=['"', "[", "\\", '\\"['], around=29, spaced=False)
    def test_any_json(self, value: Any, around: int, spaced: bool) -> None:
        """Any JSON is found as deep as it is, whatever its strings hold."""
        for _ in range(around):
            value = [value] if around % 2 else {"a[": value, "]": 1}
        text = json.dumps(value, indent=1 if spaced else None).encode()
        self.assertEqual(is_shallow(text, LIMIT), depth(value) <= LIMIT, text)

    def test_wide(self) -> None:
        """However many there are side by side, as deep as may be is shallow, and one of them deeper is not."""
        most, more = b"[" * (LIMIT - 1) + b"]" * (LIMIT - 1), b"[" * LIMIT + b"]" * LIMIT
        for filler in (most, b"[[[]]]", b"[[][]]", b'{"a":1}', b'"["', b'"]["', b'"\\"["', b"1"):
            many = b",".join([filler] * 100_000 if len(filler) < 9 else [filler] * 5000)
            self.assertTrue(is_shallow(b"[%b,%b]" % (many, most), LIMIT))
            self.assertFalse(is_shallow(b"[%b,%b,%b]" % (many, more, many), LIMIT))

    @settings(deadline=None)
    @given(
        opened=st.lists(st.sampled_from([b"[", b'{"a":', b'[[],"]",', b'{"[\\"":']), min_size=LIMIT + 1),
        after=st.binary(),
    )
    def test_what_a_parser_would_enter(self, opened: list[bytes], after: bytes) -> None:
        """What goes too deep is not shallow, whatever follows, and be it no JSON: a parser goes down before it sees."""
        self.assertFalse(is_shallow(b"".join(opened) + after, LIMIT))

    def test_no_limit_at_all(self) -> None:
        """With nothing allowed nothing but plain values is shallow."""
        self.assertTrue(is_shallow(b'"[]"', 0))
        self.assertFalse(is_shallow(b"[]", 0))


class CountTests(SynchronousTestCase):
    """How many brackets there are."""

    def test_long_and_short(self) -> None:
        """Both kinds are counted together, in texts of any length."""
        for padding in (b"", b" " * 20_000):
            text = padding.join([b"[", b"{", b"[", b"{", b"]", b"}", b'"'])
            self.assertEqual([has_more(text, count) for count in range(6)], [True] * 4 + [False] * 2)
