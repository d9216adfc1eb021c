"""The texts of the package are plain English: a reader who knows the field knows every word in them."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import cell0gw
from tests.documents import DocumentTestCase

ROOT = Path(cell0gw.__file__).parent
INSTEAD = {
    r"\bso many\b": "maximum, at most",
    r"\bwhoever\b": "the client, the session, the caller",
    r"\bstrangers?\b": "anonymous or unauthenticated client",
    r"\bcame to nothing\b": "undeliverable, failed",
    r"\bcomes? to nothing\b": "undeliverable, failed",
    r"\bshort way\b": "fast path",
    r"\bsteady clock\b": "monotonic clock",
    r"\bcrowds?\b": "connection burst",
    r"\btak(?:en|es?|ing) up\b": "accepted, loaded, resumed",
    r"\b(?:says?|said|saying) goodbye\b": "close cleanly",
    r"^\"\"\"(?:it|so)\b": "what it does, when it is called, or what it bounds",
    r"\bwaited for no longer\b": "no longer kept",
    r"\bas many as come\b": "unlimited",
    r"\bthose that are to hear\b": "those that are notified",
}
"""Words that no text holds, and what the field says."""
TEXTS = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def texts(source: bytes) -> Iterator[tuple[int, str]]:
    """Docstrings, comments and literals of a module, each with the line that it begins in."""
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type in TEXTS:
            yield token.start[0], " ".join(token.string.split())


class EnglishTests(DocumentTestCase):
    """What is written in the code, for those who read it, and for those who read what the program writes."""

    def test_words(self) -> None:
        """No text of the package uses a private word where the field has one."""
        self.assertNothing(
            f"{path.relative_to(ROOT.parent)}:{line}: {match[0]!r}, better: {instead}"
            for path in sorted(ROOT.rglob("*.py"))
            for line, text in texts(path.read_bytes())
            for word, instead in INSTEAD.items()
            for match in [re.search(word, text, re.IGNORECASE)]
            if match
        )

    def test_finds_them(self) -> None:
        """The check above can fail: it reads docstrings, comments and literals, also where a line is broken."""
        source = b'"""So\nmany."""\n# Whoever\nx = f"a stranger {1} or a crowd"\n'
        read = " ".join(text for _, text in texts(source))
        for word in ("So many", "Whoever", "stranger", "crowd"):
            self.assertIn(word, read)
