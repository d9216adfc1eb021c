"""Docstrings as public text: Markdown, whose list items describe params, members and errors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Final

_CODE: Final = re.compile(r"\b[A-Z]\{([^{}]*)\}|``(.+?)``", re.DOTALL)
_FIELD: Final = re.compile(r"^@(return|\w+(?: +\w+)?):", re.MULTILINE)
_ITEM: Final = re.compile(r"^- `(\w+)`: (.+(?:\n  .+)*)\n?", re.MULTILINE)


def markdown(docstring: str) -> str:
    """A docstring as Markdown: epytext and RST code as code spans, epytext fields as list items."""
    text = _CODE.sub(lambda match: f"`{match[1] or match[2]}`", inspect.cleandoc(docstring))
    return _FIELD.sub(_item, text)


def _item(field: re.Match[str]) -> str:
    name = "result" if field[1] == "return" else field[1].partition(" ")[2]
    return f"- `{name}`:" if name else "-"


def parts(docstring: str, names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Take a docstring apart.

    @param names: what its list items may describe, as in ``- `channel`: where to publish``.
    @return: its text without those items, and the descriptions by name.
    """
    items: dict[str, str] = {}
    known = frozenset(names)

    def take(item: re.Match[str]) -> str:
        if item[1] not in known:
            return item[0]
        items[item[1]] = " ".join(item[2].split())
        return ""

    text = _ITEM.sub(take, markdown(docstring))
    return re.sub(r"\n{3,}", "\n\n", text).strip(), items
