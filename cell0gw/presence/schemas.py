"""JSON Schemas (2020-12) that clients write: whether they are such, and whether judging by them is bounded.

Checked are the form of every keyword, and in how many ways one place of a value is judged. So a schema of a few lines
can't ask for an endless walk, nor for one that doubles with each step.
"""

from __future__ import annotations

import graphlib
import heapq
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, Final, NoReturn

from cell0gw.protocol.errors import InvalidParams
from cell0gw.protocol.printable import printable

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

MAX_DEPTH: Final = 32
"""Maximum schemas within each other."""

MAX_JUDGED: Final = 200
"""Maximum schemas that judge one place of a value; each pattern and each 16 values of an C{enum} count as one more."""

MAX_PATTERN: Final = 200
"""Maximum characters of a regular expression."""

PATTERN_STEPS: Final = 100
"""Steps that a regular expression counts for: to compile it takes about as long."""

MAX_STEPS: Final = 50_000
"""Maximum steps that it takes to check all schemas of a request: some tens of milliseconds."""

_TYPES: Final = frozenset({"null", "boolean", "object", "array", "number", "string", "integer"})

_ONE: Final = frozenset(
    {
        "not", "if", "then", "else", "additionalProperties", "propertyNames", "items", "contains", "unevaluatedItems",
        "unevaluatedProperties",
    }
)  # fmt: skip
"""Keywords whose value is a schema; C{_MANY}: an array of them; C{_MAPS}: an object of them."""

_MANY: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})

_HERE: Final = frozenset({"not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas"})
"""Those whose schemas judge the same place of a value; C{_ASIDE}: that judge none unless something refers to them."""

_ASIDE: Final = frozenset({"$defs", "definitions"})

_KEYED: Final = frozenset({"properties", "prefixItems"})
"""Those whose schemas judge one place within that each; C{_OTHERS}: those that judge the others."""

_OTHERS: Final = frozenset({"additionalProperties", "items"})

_REFUSED: Final = frozenset({"$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and len(set(value)) == len(value)


def _is_type(value: Any) -> bool:
    names = [value] if isinstance(value, str) else value
    return _is_names(names) and bool(names) and _TYPES.issuperset(names)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


_FORMS: Final[dict[str, tuple[str, Callable[[Any], bool]]]] = {
    **dict.fromkeys(
        ("$id", "$anchor", "$comment", "$ref", "title", "description", "format", "contentEncoding", "contentMediaType",
         "pattern"),
        ("a string", _is_text),
    ),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"), ("a number", _is_number)),
    **dict.fromkeys(
        ("maxLength", "minLength", "maxItems", "minItems", "maxContains", "minContains", "maxProperties",
         "minProperties"),
        ("a number of things, 0 or more", _is_count),
    ),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), ("true or false", _is_switch)),
    **dict.fromkeys(("enum", "examples"), ("an array", _is_list)),
    "required": ("an array of different strings", _is_names),
    "multipleOf": ("a number above 0", lambda value: _is_number(value) and value > 0),
    "type": (f"one or several of {' '.join(sorted(_TYPES))}", _is_type),
    "$schema": (DIALECT, lambda value: value in (DIALECT, f"{DIALECT}#")),
    "dependentRequired": (
        "an object of arrays of different strings",
        lambda value: isinstance(value, dict) and all(map(_is_names, value.values())),
    ),
}  # fmt: skip
"""What the value of a keyword that holds no schema looks like, for people, and whether one does."""


class _Place:
    """A schema within one.

    @ivar here: those that judge the same place of a value as this one does.
    @ivar children: those that judge a place within it, by which: one that is named, or None for any.
    @ivar named: the members and elements that it names; C{others}: what judges all but those.
    @ivar weight: how much it is to judge a place by it.
    """

    __slots__ = ("children", "here", "named", "others", "ref", "weight", "where")

    def __init__(self, where: str) -> None:
        self.where = where
        self.here: list[int] = []
        self.children: list[tuple[Hashable, int]] = []
        self.others: list[int] = []
        self.named: set[Hashable] = set()
        self.ref: str | None = None
        self.weight = 1

    def hold(self, keyword: str, steps: Hashable, within: int) -> None:
        """Take note of a schema within, by the keyword that has it."""
        if keyword in _HERE:
            self.here.append(within)
        elif keyword in _OTHERS:
            self.others.append(within)
        elif keyword in _KEYED:
            self.children.append((steps, within))
            self.named.add(steps)
        elif keyword not in _ASIDE:
            self.children.append((None, within))


class SchemaCheck:
    """Checks the schemas of one request, which have L{MAX_STEPS} steps together."""

    def __init__(self) -> None:
        self._steps = 0

    def check(self, schema: Any, path: str) -> None:
        """See that something is a JSON Schema, and bounded.

        @param schema: JSON, decoded.
        @param path: the param that it came as.
        @raise InvalidParams: it is not, C{path} says where.
        """
        places: list[_Place] = []
        named: dict[str, int] = {}
        self._read(schema, path, "#", places, named, 0)
        for place in places:
            if place.ref is not None:
                target = named.get(place.ref)
                if target is None:
                    _refuse(f"{place.where}.$ref", "there is no such schema within this one, and none is fetched")
                place.here.append(target)
        self._bound(places, path)

    def _read(
        self, schema: Any, path: str, pointer: str, places: list[_Place], named: dict[str, int], depth: int
    ) -> int:
        """Read a schema and those within it.

        @param pointer: its place in the whole, as a C{$ref} names it.
        @return: its number.
        """
        self._step(path)
        if depth > MAX_DEPTH:
            _refuse(path, f"at most {MAX_DEPTH} schemas are within each other")
        number, place = len(places), _Place(path)
        places.append(place)
        named[pointer] = number
        if isinstance(schema, bool):
            return number
        if not isinstance(schema, dict):
            _refuse(path, "a schema is an object, true or false")

        for keyword, value in schema.items():
            self._step(path)
            if keyword in _REFUSED or (keyword == "$id" and depth):
                _refuse(f"{path}.{keyword}", "it is not taken here")
            for steps, each in _within(keyword, value, path):
                below = "".join(f"/{step.replace('~', '~0').replace('/', '~1')}" for step in steps)
                shown = "".join(f"[{step}]" if step.isdigit() else f".{printable(step)}" for step in steps)
                within = self._read(each, path + shown, pointer + below, places, named, depth + 1)
                place.hold(keyword, steps, within)
                if keyword == "patternProperties":
                    self._pattern(place, steps[1], f"{path}.{keyword}")
            if keyword in _FORMS:
                self._keyword(place, keyword, value, path)
                if keyword == "$anchor":
                    named.setdefault(f"#{value}", number)
        return number

    def _keyword(self, place: _Place, keyword: str, value: Any, path: str) -> None:
        needed, fits = _FORMS[keyword]
        if not fits(value):
            _refuse(f"{path}.{keyword}", f"{needed} is needed")
        if keyword == "$ref":
            place.ref = "#" if value == "" else value
        elif keyword == "pattern":
            self._pattern(place, value, f"{path}.{keyword}")
        elif keyword == "enum":
            place.weight += len(value) // 16

    def _pattern(self, place: _Place, pattern: str, path: str) -> None:
        if len(pattern) > MAX_PATTERN:
            _refuse(path, f"a regular expression has at most {MAX_PATTERN} characters")
        self._step(path, PATTERN_STEPS)
        place.weight += 1

    def _bound(self, places: list[_Place], path: str) -> None:
        """See that each place of any value is judged by few: walk the kinds of places that there are, each once."""
        judges = {number: place.here for number, place in enumerate(places)}
        try:
            order = list(graphlib.TopologicalSorter(judges).static_order())[::-1]
        except graphlib.CycleError as failure:
            _refuse(places[failure.args[1][0]].where, "it refers to itself for the same place of a value")
        ranks = {number: rank for rank, number in enumerate(order)}
        todo: list[Counter[int]] = [Counter({0: 1})]
        known: set[frozenset[tuple[int, int]]] = set()
        while todo:
            judging = self._closed(todo.pop(), places, ranks, path)
            kind = frozenset(judging.items())
            if kind in known:
                continue
            known.add(kind)
            within: dict[Hashable, Counter[int]] = {None: Counter()}
            for number, times in judging.items():
                for key, child in places[number].children:
                    self._step(path)
                    within.setdefault(key, Counter())[child] += times
            anywhere = within[None].copy()
            for key, found in within.items():
                for number, times in judging.items():
                    place = places[number]
                    self._step(path)
                    if key not in place.named:
                        for other in place.others:
                            found[other] += times
                if key is not None:
                    self._step(path, len(anywhere))
                    found.update(anywhere)
                if found:
                    todo.append(found)

    def _closed(self, judging: Counter[int], places: list[_Place], ranks: dict[int, int], path: str) -> Counter[int]:
        """Those that judge a place, with those that they have judge it as well."""
        total = 0
        pending = [(ranks[number], number) for number in judging]
        heapq.heapify(pending)
        while pending:
            _, number = heapq.heappop(pending)
            self._step(path)
            total += judging[number] * places[number].weight
            if total > MAX_JUDGED:
                _refuse(path, f"more than {MAX_JUDGED} schemas would judge one place of a value")
            for other in places[number].here:
                if other not in judging:
                    heapq.heappush(pending, (ranks[other], other))
                judging[other] += judging[number]
        return judging

    def _step(self, path: str, steps: int = 1) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            _refuse(path, "the schemas are too much to check together")


def _within(keyword: str, value: Any, path: str) -> list[tuple[tuple[str, ...], Any]]:
    """The schemas in the value of a keyword, each with the steps that lead to it."""
    if keyword in _ONE:
        return [((keyword,), value)]
    if keyword in _MANY:
        if not isinstance(value, list) or not value:
            _refuse(f"{path}.{keyword}", "an array of schemas is needed, of one at least")
        return [((keyword, str(index)), each) for index, each in enumerate(value)]
    if keyword in _MAPS:
        if not isinstance(value, dict):
            _refuse(f"{path}.{keyword}", "an object of schemas is needed")
        return [((keyword, name), each) for name, each in value.items()]
    return []


def _refuse(path: str, why: str) -> NoReturn:
    raise InvalidParams(f"Invalid params: {path}: {why}", path=path)
