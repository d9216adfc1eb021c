"""Filters: which messages of a channel a subscriber wants, judged on the message itself.

A leaf compares a field, ``{"field": "type", "op": "eq", "value": "done"}``; ``all``, ``any`` and ``not`` combine. A
filter saves work, it guards nothing: a message that can't be judged is delivered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec
from msgspec import Raw

from cell0gw.protocol.errors import RateLimited, TooLarge
from cell0gw.protocol.limits import MIB, in_share
from cell0gw.protocol.printable import printable
from cell0gw.protocol.suggestions import Choices

MAX_NODES: Final = 64
MAX_VALUES: Final = 100
MAX_FIELD: Final = 200
MAX_SIZE: Final = 8192
"""Maximum bytes of a filter as JSON: it is kept for as long as the subscription."""

MAX_TOTAL: Final = 64 * 1024
"""Maximum bytes of all filters of a session as JSON: a publication may have to be held against each of them."""

MAX_OF_ENTITY: Final = 16 * MIB
"""Maximum bytes that the filters of all sessions of an entity take, taken apart."""

MAX_OF_ALL: Final = 256 * MIB
"""Maximum bytes that all filters take."""

MAX_JUDGED: Final = 64 * 1024
"""Maximum bytes of a message that filters judge; a longer one is delivered. To take a message apart costs many times
what it costs to bring it.
"""

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
    @ivar size: its bytes as JSON; C{memory}: approximate bytes that it takes.
    """

    __slots__ = ("_hash", "_source", "_test", "memory", "size")

    def __init__(self, tree: Any) -> None:
        compiler = _Compiler()
        self._test = compiler.node(tree, "filter")
        self._source = msgspec.json.encode(tree, order="deterministic")
        self.size = len(self._source)
        if self.size > MAX_SIZE:
            raise FilterError("filter", f"it is longer than {MAX_SIZE} bytes")
        self.memory = 8 * self.size + 600 * (compiler.nodes + 1)
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


class FilterShares:
    """How much the filters of each entity take, and all of them: their sessions have them for as long as they like."""

    def __init__(self) -> None:
        self._sizes: Counter[str] = Counter()
        self._total = 0

    def replace(self, entity_id: str, before: Filter | None, after: Filter | None) -> None:
        """A session of an entity has another filter from now on.

        @param before: the one that it had; None, as for C{after}: none.
        @raise TooLarge: the entity would have more than one may have.
        @raise RateLimited: it would have more than it leaves to others.
        """
        more = (0 if after is None else after.memory) - (0 if before is None else before.memory)
        own = self._sizes[entity_id]
        if more > 0:
            if own + more > MAX_OF_ENTITY:
                raise TooLarge("The filters of all your sessions are too long together")
            if not in_share(own, more, self._total, MAX_OF_ALL):
                raise RateLimited("The filters of all are too long together", limit="filters", retry_after_ms=1000)
        self._sizes[entity_id] = own + more
        self._total += more
        if not self._sizes[entity_id]:
            del self._sizes[entity_id]


def decoded(message: bytes | Raw) -> Any:
    """A message as L{Filter.wants} judges it.

    @param message: JSON; what no decoder takes, such as a number beyond all bounds, is wanted by everyone, and so is
        what is longer than L{MAX_JUDGED}.
    """
    if memoryview(message).nbytes > MAX_JUDGED:
        return _MISSING
    try:
        return msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _MISSING


class _Compiler:
    """Makes tests of nodes, as many as one filter may have."""

    def __init__(self) -> None:
        self.nodes = 0

    def node(self, tree: Any, where: str) -> Test:
        self.nodes += 1
        if self.nodes > MAX_NODES:
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


def _key(value: Any) -> tuple[bool, Any]:
    """Two are equal where two scalars are the L{_same}."""
    return isinstance(value, bool), value


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
    wanted = {_key(_scalar(each, f"{where}[{place}]")) for place, each in enumerate(value)}
    return lambda found: isinstance(found, _SCALARS) and _key(found) in wanted


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
