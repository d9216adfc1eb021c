"""Filters: which messages of a channel a subscriber wants, judged on the message itself.

A leaf compares a field, ``{"field": "type", "op": "eq", "value": "done"}``; ``all``, ``any`` and ``not`` combine. A
filter saves work, it guards nothing: a message that can't be judged is delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec

from cell0gw.protocol.printable import printable
from cell0gw.protocol.suggestions import Choices

MAX_NODES: Final = 64
MAX_VALUES: Final = 100
MAX_FIELD: Final = 200
MAX_SIZE: Final = 8192
"""Of a filter as JSON, in bytes: it is kept for as long as the subscription."""

Test = Callable[[Any], bool]

_MISSING: Final = object()
_MEMBERS: Final = ("field", "op", "value")
_SCALARS: Final = (str, int, float, bool, type(None))


class FilterError(ValueError):
    """Not a filter; the message says where and why: C{filter.all[1].op: ...}.

    @ivar where: where; C{near} and C{allowed}: what would fit there, as of L{cell0gw.protocol.errors.InvalidParams}.
    """

    def __init__(self, where: str, why: str, given: str = "", allowed: Collection[str] | None = None) -> None:
        super().__init__(f"{where}: {why}")
        self.where = where
        self.near = None if allowed is None else Choices(allowed).near(given)
        self.allowed = None if allowed is None else list(allowed)


class Filter:
    """A filter, taken apart once. Two that say the same are equal.

    @param tree: as on the wire.
    @raise FilterError: it is none.
    """

    __slots__ = ("_hash", "_source", "_test")

    def __init__(self, tree: Any) -> None:
        self._test = _Compiler().node(tree, "filter")
        self._source = msgspec.json.encode(tree, order="deterministic")
        if len(self._source) > MAX_SIZE:
            raise FilterError("filter", f"it is longer than {MAX_SIZE} bytes")
        self._hash = hash(self._source)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and self._source == other._source

    def __hash__(self) -> int:
        return self._hash

    def wants(self, message: Any) -> bool:
        """Whether a message passes.

        @param message: decoded, see L{decoded}.
        """
        return message is _MISSING or self._test(message)


def decoded(message: bytes) -> Any:
    """A message as L{Filter.wants} judges it.

    @param message: JSON; what no decoder takes, such as a number beyond all bounds, is wanted by everyone.
    """
    try:
        return msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _MISSING


class _Compiler:
    """Makes tests of nodes, as many as one filter may have."""

    def __init__(self) -> None:
        self._nodes = 0

    def node(self, tree: Any, where: str) -> Test:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise FilterError(where, f"a filter has at most {MAX_NODES} nodes")
        if not isinstance(tree, dict):
            raise FilterError(where, "expected an object")
        for name in ("all", "any", "not"):
            if name in tree:
                if len(tree) > 1:
                    raise FilterError(where, f"{name} stands alone")
                return self._combined(name, tree[name], f"{where}.{name}")
        return _leaf(tree, where)

    def _combined(self, name: str, value: Any, where: str) -> Test:
        if name == "not":
            denied = self.node(value, where)
            return lambda message: not denied(message)
        if not isinstance(value, list) or not value:
            raise FilterError(where, "expected an array with a filter or more")
        tests = [self.node(child, f"{where}[{place}]") for place, child in enumerate(value)]
        if name == "all":
            return lambda message: all(test(message) for test in tests)
        return lambda message: any(test(message) for test in tests)


def _leaf(tree: dict[str, Any], where: str) -> Test:
    unknown = tree.keys() - _MEMBERS
    if unknown:
        name = min(unknown)
        raise FilterError(where, f"unknown member {printable(name, MAX_FIELD)}", name, _MEMBERS)
    field, op = tree.get("field"), tree.get("op")
    if not isinstance(field, str) or not 0 < len(field) <= MAX_FIELD or not all(field.split(".")):
        raise FilterError(f"{where}.field", "expected the path of a field, as in payload.type")
    if not isinstance(op, str) or op not in _OPERATORS:
        given = op if isinstance(op, str) else ""
        raise FilterError(f"{where}.op", f"expected one of {' '.join(_OPERATORS)}", given, _OPERATORS)
    check = _OPERATORS[op](tree.get("value", _MISSING), f"{where}.value")
    path = field.split(".")

    def test(message: Any) -> bool:
        for segment in path:
            if not isinstance(message, dict):
                return check(_MISSING)
            message = message.get(segment, _MISSING)
        return check(message)

    return test


def _same(one: Any, other: Any) -> bool:
    """Equality of JSON: 1 is 1.0, but true is not 1."""
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scalar(value: Any, where: str) -> Any:
    if not isinstance(value, _SCALARS):
        raise FilterError(where, "expected a string, a number, true, false or null")
    return value


def _equal(value: Any, where: str) -> Test:
    wanted = _scalar(value, where)
    return lambda found: _same(found, wanted)


def _unequal(value: Any, where: str) -> Test:
    unwanted = _scalar(value, where)
    return lambda found: not _same(found, unwanted)


def _one_of(value: Any, where: str) -> Test:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_VALUES:
        raise FilterError(where, f"expected an array of 1 to {MAX_VALUES} values")
    wanted = [_scalar(each, f"{where}[{place}]") for place, each in enumerate(value)]
    return lambda found: any(_same(found, each) for each in wanted)


def _exists(value: Any, where: str) -> Test:
    if value is not _MISSING and not isinstance(value, bool):
        raise FilterError(where, "expected true or false")
    wanted = value is not False
    return lambda found: (found is not _MISSING) is wanted


def _prefix(value: Any, where: str) -> Test:
    if not isinstance(value, str):
        raise FilterError(where, "expected a string")
    return lambda found: isinstance(found, str) and found.startswith(value)


def _comparison(holds: Callable[[Any, Any], bool]) -> Callable[[Any, str], Test]:
    def make(value: Any, where: str) -> Test:
        if not _is_number(value):
            raise FilterError(where, "expected a number")
        return lambda found: _is_number(found) and holds(found, value)

    return make


_OPERATORS: Final[dict[str, Callable[[Any, str], Test]]] = {
    "eq": _equal,
    "ne": _unequal,
    "in": _one_of,
    "exists": _exists,
    "prefix": _prefix,
    "gt": _comparison(lambda found, bound: found > bound),
    "gte": _comparison(lambda found, bound: found >= bound),
    "lt": _comparison(lambda found, bound: found < bound),
    "lte": _comparison(lambda found, bound: found <= bound),
}
