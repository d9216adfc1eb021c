"""Text of untrusted peers, made fit for a log: no control characters, no new lines, and a maximum length."""

from __future__ import annotations

from typing import Final

LIMIT: Final = 128
"""Maximum characters that are kept, unless the caller says otherwise."""


def printable(text: str, limit: int = LIMIT) -> str:
    """
    @param text: anything a peer sent.
    @param limit: maximum characters of it that are kept.
    @return: the text with control, format and separator characters escaped, as in a Python string literal.
    """
    cut = text[:limit]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return cut if len(text) <= limit else f"{cut}…({len(text)} characters)"
