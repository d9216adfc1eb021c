"""Text of strangers, made fit for a log: nothing that moves the cursor or begins a line, and no end of it."""

from __future__ import annotations

from typing import Final

LIMIT: Final = 128


def printable(text: str, limit: int = LIMIT) -> str:
    """
    @param text: anything a peer sent.
    @param limit: how many characters of it are kept.
    @return: the text with control, format and separator characters escaped, as in a Python string literal.
    """
    cut = text[:limit]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return cut if len(text) <= limit else f"{cut}…({len(text)} characters)"
