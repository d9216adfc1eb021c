"""What is wrong with params, for people and for programs: where, what fits there, and what came.

The decoder says where it stopped, and the types say what would have fitted. All this is looked at only when params are
refused, and little of what a peer has sent comes back to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.inspect import (
    DictType,
    EnumType,
    FrozenSetType,
    ListType,
    LiteralType,
    Metadata,
    SetType,
    StrType,
    StructType,
    TupleType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from cell0gw.auth.permissions import Permission, why_no_permission
from cell0gw.protocol.errors import InvalidParams
from cell0gw.protocol.printable import printable
from cell0gw.protocol.subjects import (
    OWN_CHANNELS,
    ChannelPattern,
    Name,
    Pattern,
    is_own,
    is_pattern,
    why_no_name,
    why_no_pattern,
)
from cell0gw.protocol.suggestions import Choices

MAX_FAULT: Final = 300
"""Maximum characters of what is said of params that don't fit: an unknown name may be as long as a message."""

MAX_ECHO: Final = 60
"""Maximum characters of a name or a value that comes back to the peer that has sent it."""

MAX_READ: Final = 4096
"""Maximum bytes of a param that is read again to show what came, and of what the decoder says at either end."""

# What the decoder says.
_WHERE: Final = re.compile(r"(.*?)(?: - at (`key` in )?`\$([^`]*)`)?", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_NUMBER: Final = re.compile(r"Expected `array` of (?:at least|at most)? ?length \d+(?: to \d+)?(?:, got (\d+))?")
_LENGTH: Final = re.compile(r"Expected `(str|array|object)` of length (>=|<=) (\d+)")
_BOUND: Final = re.compile(r"Expected `(int|float)` (>=|<=|>|<) (\S+)")
_NO_JSON: Final = re.compile(r"JSON is malformed: (.*)|Input data was truncated")
_TYPE: Final = re.compile(r"Expected `(.*)`, got `(.*)`")

_TYPES: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_NUMBERS: Final = {"int": "an integer", "float": "a number"}
_LENGTHS: Final = {"str": "characters", "array": "entries", "object": "members"}
_BOUNDS: Final = {">=": "of at least", "<=": "of at most", ">": "greater than", "<": "less than"}

_TO_A_PATTERN: Final = {
    "channel.publish": "can't publish to a pattern",
    "agent.send": "can't send to a pattern",
    "agent.call": "can't call a pattern",
}


_NOTHING: Final = object()
"""Stands for a value that is not known."""


def _regex(kind: Any) -> str:
    """The regular expression of a type of texts."""
    (meta,) = kind.__metadata__
    return str(meta.pattern)


_CHANNELS: Final = _regex(ChannelPattern)

_REASONS: Final[dict[str | None, Callable[[str], str]]] = {
    _regex(Name): why_no_name,
    _regex(Pattern): why_no_pattern,
    _CHANNELS: why_no_pattern,
    _regex(Permission): why_no_permission,
}


class Faults:
    """Says why params don't fit a method.

    @param method: its name.
    @param params: its params by name, a L{msgspec.Struct}.
    """

    def __init__(self, method: str, params: type[msgspec.Struct]) -> None:
        self._method = method
        self._params = params
        self._names = params.__struct_fields__

    @cached_property
    def _kinds(self) -> Type:
        return type_info(self._params)

    @cached_property
    def _members(self) -> list[Callable[[bytes | memoryview], Any]]:
        """What reads the params by name, and by position, and leaves each of them as it is written."""
        fields: list[Any] = [(name, Raw, Raw()) for name in self._names]
        kinds = [msgspec.defstruct("Members", fields, array_like=listed) for listed in (False, True)]
        return [msgspec.json.Decoder(kind).decode for kind in kinds]

    def explain(self, params: bytes | memoryview, failure: Exception) -> InvalidParams:
        """
        @param params: as they came.
        @param failure: what the decoder said of them.
        """
        said = str(failure)
        if len(said) > 2 * MAX_READ:  # it has what came in its middle
            said = said[:MAX_READ] + said[-MAX_READ:]
        found = _WHERE.fullmatch(said)
        assert found is not None
        what, in_key, path = found[1], found[2], found[3] or ""
        steps = [name or index for name, index in _STEP.findall(path)]
        kinds = self._kinds_at(steps)
        if (unknown := _UNKNOWN.fullmatch(what)) is not None:
            return self._unknown(unknown[1], path, kinds)
        if (missing := _MISSING.fullmatch(what)) is not None:
            return _refusal(f"params{path}.{missing[1]}", "", " is missing")
        if not path and (number := _NUMBER.fullmatch(what)) is not None:
            return self._wrong_number(None if number[1] is None else int(number[1]))
        if (problem := _NO_JSON.fullmatch(what)) is not None:
            return _refusal("params", "", f" are no JSON: {problem[1] or 'an escape is half of a surrogate pair'}")
        about = f" ({self._names[int(steps[0])]})" if path.startswith("[") else ""
        if in_key:  # which name it is the decoder does not say
            kinds = [key for each in kinds if isinstance(each, DictType) for key in _alternatives(each.key_type)]
            return self._unfit(f"params{path}", f"{about}, one of its names", what, kinds, _NOTHING)
        return self._unfit(f"params{path}", about, what, kinds, self._value(params, steps))

    def _unknown(self, name: str, path: str, kinds: list[Type]) -> InvalidParams:
        known = [field.encode_name for each in kinds if isinstance(each, StructType) for field in each.fields]
        there = f"{'known are' if path else f'{self._method} takes'} {', '.join(known) or 'no params'}"
        place = f"params{path}.{printable(name[:MAX_ECHO])}{'…' if len(name) > MAX_ECHO else ''}"
        return _refusal(place, "", f" is unknown; {there}", Choices(known).near(name), known)

    def _wrong_number(self, number: int | None) -> InvalidParams:
        """An array has too many params, or too few.

        @param number: how many there are; None: too many.
        """
        if number is not None and number < len(self._names):
            return _refusal(f"params[{number}]", f" ({self._names[number]})", " is missing")
        takes = f"{self._method} takes {', '.join(self._names) or 'no params'}"
        return _refusal("params", "", f" are too many; {takes}", allowed=self._names)

    def _unfit(self, path: str, about: str, what: str, kinds: list[Type], value: Any) -> InvalidParams:
        """A value does not fit.

        @param about: what else is said of the place.
        """
        regex = next((each.pattern for each in kinds if isinstance(each, StrType) and each.pattern), None)
        allowed = [choice for each in kinds for choice in _choices(each)]
        if isinstance(value, str) and is_own(value) and regex == _CHANNELS:
            allowed = sorted(OWN_CHANNELS)
        if allowed:
            near = Choices(map(str, allowed)).near(value) if isinstance(value, str) else []
            return _refusal(
                path, about, f": expected one of {', '.join(map(str, allowed))}{_got(value)}", near, allowed
            )
        return _refusal(path, about, f": {self._expected(what, regex, value)}")

    def _expected(self, what: str, regex: str | None, value: Any) -> str:
        if (kind := _TYPE.fullmatch(what)) is not None:
            return f"expected {_as_json(kind[1])}, got {_as_json(kind[2])}"
        if "matching regex" in what or (regex in _REASONS and value == ""):
            return f"{self._reason(regex, value if isinstance(value, str) else '')}{_got(value)}"
        if (length := _LENGTH.fullmatch(what)) is not None:
            return f"expected {_BOUNDS[length[2]].removeprefix('of ')} {length[3]} {_LENGTHS[length[1]]}"
        if (bound := _BOUND.fullmatch(what)) is not None:
            return f"expected {_NUMBERS[bound[1]]} {_BOUNDS[bound[2]]} {bound[3].removesuffix('.0')}{_got(value)}"
        return what[:1].lower() + what[1:].replace("`", "")

    def _reason(self, regex: str | None, text: str) -> str:
        why = _REASONS.get(regex)
        if why is None:
            return f"expected a string that matches {regex}"
        if why is why_no_name and is_pattern(text):
            return _TO_A_PATTERN.get(self._method, why(text))
        return why(text)

    def _kinds_at(self, steps: list[str]) -> list[Type]:
        """The types of what may stand at a place."""
        kinds = [self._kinds]
        for step in steps:
            kinds = [inner for each in kinds for kind in _inside(each, step) for inner in _alternatives(kind)]
        return kinds

    def _value(self, params: bytes | memoryview, steps: list[str]) -> Any:
        """What came at a place, if that is not too long to be looked at."""
        listed = params[:1] == b"["
        try:
            members = msgspec.structs.astuple(self._members[listed](params))
            first, *others = steps
            raw = members[int(first) if listed else self._names.index(first)]
            if memoryview(raw).nbytes > MAX_READ:
                return _NOTHING
            value = msgspec.json.decode(raw)
            for step in others:
                value = value[int(step) if isinstance(value, list) else step]
            return value
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, LookupError, ValueError, TypeError):
            return _NOTHING


def _refusal(
    path: str, about: str, text: str, near: Sequence[str] | None = None, allowed: Sequence[Any] | None = None
) -> InvalidParams:
    fault = printable(f"{path}{about}{text}", MAX_FAULT)
    return InvalidParams(f"Invalid params: {fault}", path=path, near=near, allowed=allowed)


def _alternatives(kind: Type) -> Iterator[Type]:
    """The types that a type is one of."""
    if isinstance(kind, UnionType):
        for each in kind.types:
            yield from _alternatives(each)
    elif isinstance(kind, Metadata):
        yield from _alternatives(kind.type)
    else:
        yield kind


def _inside(kind: Type, step: str) -> Iterator[Type]:
    """The type of what stands in a value: under a name, at a position."""
    if isinstance(kind, StructType):
        names = [field.encode_name for field in kind.fields]
        place = int(step) if step.isdigit() else names.index(step) if step in names else len(names)
        yield from (field.type for field in kind.fields[place : place + 1])
    elif isinstance(kind, DictType):
        yield kind.value_type
    elif isinstance(kind, TupleType):
        yield from kind.item_types[int(step) : int(step) + 1]
    elif isinstance(kind, ListType | VarTupleType | SetType | FrozenSetType):
        yield kind.item_type


def _choices(kind: Type) -> list[str | int]:
    """The values of an enum; none for another type."""
    if isinstance(kind, LiteralType):
        return [value for value in kind.values if isinstance(value, str | int)]
    if isinstance(kind, EnumType):
        return [member.value for member in kind.cls]
    return []


def _as_json(kinds: str) -> str:
    """The decoder's names of types, as JSON has them."""
    return " or ".join(_TYPES.get(kind, kind) for kind in kinds.split(" | "))


def _got(value: Any) -> str:
    """What came, if it is short and simple."""
    if isinstance(value, str):
        return f", got '{printable(value, MAX_ECHO)}'"
    if value is None or isinstance(value, bool | int | float):
        return f", got {printable(msgspec.json.encode(value).decode(), MAX_ECHO)}"
    return ""
