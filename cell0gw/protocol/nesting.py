"""The depth to which arrays and objects of a JSON text nest, found without decoding it."""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import Final

_QUOTES_AND_BRACKETS: Final = b'"[]{}'
_NOTHING_ELSE: Final = bytes(set(range(256)) - set(_QUOTES_AND_BRACKETS))
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_STEPS: Final = bytes.maketrans(b"[]<>", b"\x01\xff\x04\xfc")  # as signed bytes: one up, one down; four up, four down

_CHUNK: Final = 65_536
"""Bytes that are split at a time: each part costs many times its length."""


_LONG: Final = 16_384
"""Bytes from which on looking for a byte is faster than counting all there are."""


def has_more(text: bytes, count: int) -> bool:
    """Whether a text has more opening brackets and braces than C{count}, wherever they are."""
    if len(text) < _LONG:
        return text.count(b"[") + text.count(b"{") > count
    left = count
    for bracket in (b"[", b"{"):
        at = text.find(bracket)
        while at >= 0:
            if not left:
                return True
            left -= 1
            at = text.find(bracket, at + 1)
    return False


def is_shallow(text: bytes, limit: int) -> bool:
    """Whether arrays and objects nest no deeper than a limit; at the speed of C, in time that grows with the length
    alone.

    Of what is no JSON only the part counts that a parser would read: up to the first thing that is wrong, it is right
    about depths beyond the limit; otherwise it may say either.

    @param limit: the maximum depth.
    """
    brackets = _outside_strings(text)
    while brackets:
        if not limit:
            return False
        # Without its innermost pairs a text is one level less deep. Most lose nearly all in a few steps.
        rest = brackets.replace(b"[]", b"")
        limit -= 1
        if 4 * len(rest) > 3 * len(brackets):
            return _climbs_at_most(rest, limit)
        brackets = rest
    return True


def _climbs_at_most(brackets: bytes, limit: int) -> bool:
    if b"[" * (limit + 1) in brackets:
        return False
    runs = brackets.replace(b"[[[[", b"<").replace(b"]]]]", b">")
    return max(accumulate(array("b", runs.translate(_STEPS))), default=0) <= limit


def _outside_strings(text: bytes) -> bytes:
    """The brackets of a text, all of one kind, without those that stand in strings."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes with nothing between them change nothing: neither an empty string, nor the end of one and the next.
    marks = text.translate(_ONE_KIND, _NOTHING_ELSE).replace(b'""', b"")
    if b'"' not in marks:
        return marks
    kept, inside = [], 0
    for at in range(0, len(marks), _CHUNK):
        parts = marks[at : at + _CHUNK].split(b'"')
        kept.append(b"".join(parts[inside::2]))
        inside ^= (len(parts) - 1) & 1
    return b"".join(kept)
