"""How the pages are written: tables, types as people read them, and links to what texts name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from cell0gw.protocol.errors import ERRORS, CloseCode
from cell0gw.protocol.notifications import NOTIFICATIONS
from cell0gw.testing import MemoryGateway
from tests.documents import ROOT, anchors

FOLDER: Final = ROOT / "docs" / "reference"
_DOCUMENT: Final = re.compile(r"docs/([\w/-]+\.md)(?:#([\w-]+))?")
_UNBOUNDED: Final = 2**53 - 1
"""A maximum that only says what a number in JSON may be."""


class Page(NamedTuple):
    """A page of the reference.

    @ivar name: of its file.
    @ivar about: what it has, for the index.
    @ivar body: what stands below its title.
    """

    name: str
    title: str
    about: str
    body: str

    @property
    def text(self) -> str:
        """The file; links within it have no path."""
        return f"# {self.title}\n\n{self.body}\n".replace(f"]({self.name}#", "](#")


def forget() -> None:
    """Ask the code anew: it has changed."""
    for remembered in (discovered, method_names, shared_objects, _places):
        remembered.cache_clear()


@cache
def discovered() -> dict[str, Any]:
    """What C{rpc.discover} answers."""
    gateway = MemoryGateway()
    try:
        return dict(gateway.connect().call("rpc.discover"))
    finally:
        gateway.close()


@cache
def method_names() -> list[str]:
    """Every method, by namespace, in the order of the code."""
    gateway = MemoryGateway()
    try:
        return [method.name for method in gateway.rpc.dispatcher.methods()]
    finally:
        gateway.close()


def anchor(name: str) -> str:
    """What links to a method, a notification, an object or an option lead to."""
    return re.sub(r"[._]", "-", name).lower()


def mark(name: str) -> str:
    """The place that L{anchor} leads to."""
    return f'<a id="{anchor(name)}"></a>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; nothing if it has no rows."""
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines]) if lines else ""


def joined(*paragraphs: str) -> str:
    """Paragraphs, without those that are empty."""
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def flowing(text: str) -> str:
    """A text of several paragraphs, each on one line."""
    return re.sub(r"(?<!\n)\n(?!\n|- )", " ", text)


def sentence(text: str) -> str:
    """A description as it stands in a cell: it begins with a capital."""
    return text[:1].upper() + text[1:]


def linked(text: str, here: str = "") -> str:
    """A text whose methods, notifications, objects, errors, close codes and documents are links.

    @param here: the name of what the text is about, to which no link leads.
    """
    known = _places()
    text = re.sub(
        r"`([\w.-]+)`|(?<![\w`#-])(-32\d{3}|4\d{3})(?!\w)",
        lambda match: _link(match[0], known.get(match[1] or match[2]) if (match[1] or match[2]) != here else None),
        text,
    )
    return _DOCUMENT.sub(_document, text)


def _link(text: str, place: str | None) -> str:
    return text if place is None else f"[{text}]({place})"


def _document(match: re.Match[str]) -> str:
    path, fragment = match[1], match[2]
    if fragment is None:
        return f"[{path}](../{path})"
    title = anchors(Path(ROOT, "docs", path).read_text())[fragment]
    return f"[{title}](../{path}#{fragment})"


@cache
def _places() -> Mapping[str, str]:
    """Where each thing that texts name stands; a method before a notification of its name."""
    places = {name: f"notifications.md#{anchor(name)}" for name in NOTIFICATIONS if "." in name}
    places |= {name: f"methods.md#{anchor(name)}" for name in method_names()}
    places |= {name: f"objects.md#{anchor(name)}" for name in shared_objects()}
    places |= {str(error.number): f"errors.md#{anchor(error.code)}" for error in ERRORS}
    return places | {str(code.value): f"close-codes.md#{code.value}" for code in CloseCode}


@cache
def shared_objects() -> tuple[str, ...]:
    """The structs that stand within others, or of which an answer may have one or several, in alphabetical order."""
    methods = discovered()["methods"]
    inside = set(_references(discovered()["components"]["schemas"]))
    for method in methods:
        inside |= {name for param in method["params"] for name in _references(param["schema"])}
        if "result" in method and "$ref" not in method["result"]["schema"]:
            inside |= set(_references(method["result"]["schema"]))
    return tuple(sorted(inside))


def _references(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _references(part)


def kind(schema: Mapping[str, Any], plural: bool = False) -> str:
    """A type as people read it: C{name or null}, C{integer (1 to 1000)}, with a link to an object.

    @param plural: whether there are several, as in C{array of names}.
    """
    if "anyOf" in schema:
        text = " or ".join(kind(member, plural) for member in schema["anyOf"])
    elif "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        text = f"[{name}](objects.md#{anchor(name)})"
    elif "enum" in schema:
        text = ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    elif schema.get("type") == "array":
        bounds = f" (at most {schema['maxItems']})" if "maxItems" in schema else ""
        text = f"array of {kind(schema.get('items') or {}, True)}{bounds}"
    elif isinstance(schema.get("additionalProperties"), dict):
        text = f"object of {kind(schema['additionalProperties'], True)}"
    elif "type" not in schema:
        text = "any JSON"
    else:
        name = schema.get("title", schema["type"])
        bounds = "" if "title" in schema else _bounds(schema)
        text = (f"{name}s" if plural else name) + (f" ({bounds})" if bounds else "")
    return text


def _bounds(schema: Mapping[str, Any]) -> str:
    """What a number or a text may be at least and at most."""
    unit = " characters" if schema["type"] == "string" else ""
    low = schema.get("minimum", schema.get("minLength"))
    high = schema.get("maximum", schema.get("maxLength"))
    high = None if high == _UNBOUNDED else high
    if "exclusiveMinimum" in schema:
        return f"more than {schema['exclusiveMinimum']}" + ("" if high is None else f", at most {high}")
    if low is not None and high is not None:
        return f"{low} to {high}{unit}"
    if low is not None:
        return f"at least {low}{unit}"
    return "" if high is None else f"at most {high}{unit}"
