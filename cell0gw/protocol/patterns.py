"""Patterns by the names that they cover."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from cell0gw.protocol.errors import InvalidParams
from cell0gw.protocol.subjects import has_wildcard, is_own

MAX_SEGMENTS: Final = 16
"""Maximum segments of a pattern that somebody listens to."""

MAX_STARS: Final = 4
"""Maximum segments C{*} of one. Beside L{MAX_SEGMENTS} it bounds how many patterns can fit a name, or begin as if they
did: some thousands, however many there are.
"""

Value = TypeVar("Value")


def check_width(pattern: str, param: str) -> None:
    """Check that a pattern is one that may be listened to; a name always is.

    @param param: the param that it came as.
    @raise InvalidParams: it has too many segments, or wildcards.
    """
    segments = pattern.split(".")
    if has_wildcard(pattern) and (len(segments) > MAX_SEGMENTS or segments.count("*") > MAX_STARS):
        why = f"a pattern has at most {MAX_SEGMENTS} segments here, {MAX_STARS} of them *"
        raise InvalidParams(f"Invalid params: params.{param}: {why}", path=f"params.{param}")


class _Node(Generic[Value]):
    __slots__ = ("children", "rest", "value")

    def __init__(self) -> None:
        self.children: dict[str, _Node[Value]] = {}
        self.value: Value | None = None
        self.rest: Value | None = None

    @property
    def empty(self) -> bool:
        return not self.children and self.value is None and self.rest is None


class PatternTree(Generic[Value]):
    """A value for each of many patterns, see L{cell0gw.protocol.subjects}.

    Finding those that cover a name takes as long as there are such patterns, or beginnings of them, however many others
    there are.

    @ivar version: changes whenever a pattern comes or goes.
    @ivar visited: how many beginnings of patterns were looked at, in all searches.
    """

    def __init__(self) -> None:
        self._root: _Node[Value] = _Node()
        self._values: dict[str, Value] = {}
        self.version = self.visited = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, pattern: str) -> Value | None:
        """The value of a pattern; None when it has none."""
        return self._values.get(pattern)

    def add(self, pattern: str, value: Value) -> None:
        """Give a pattern a value, instead of the one it may have."""
        node = self._root
        *before, last = pattern.split(".")
        for segment in before if last == ">" else (*before, last):
            node = node.children.setdefault(segment, _Node())
        self._values[pattern] = value
        if last == ">":
            node.rest = value
        else:
            node.value = value
        self.version += 1

    def remove(self, pattern: str) -> None:
        """Forget a pattern that has a value."""
        path = self._path(pattern)
        node = path[-1][0]
        if pattern.endswith(">"):
            node.rest = None
        else:
            node.value = None
        del self._values[pattern]
        self.version += 1
        while len(path) > 1 and path[-1][0].empty:
            _, segment = path.pop()
            del path[-1][0].children[segment]

    def touch(self) -> None:
        """A value has changed in itself."""
        self.version += 1

    def match(self, name: str) -> Iterator[Value]:
        """The values of the patterns that cover a name."""
        if is_own(name):
            return  # no wildcard reaches it
        nodes = [self._root]
        for segment in name.split("."):
            self.visited += len(nodes)
            further = []
            for node in nodes:
                if node.rest is not None:
                    yield node.rest
                for key in (segment, "*"):
                    child = node.children.get(key)
                    if child is not None:
                        further.append(child)
            nodes = further
            if not nodes:
                return
        for node in nodes:
            if node.value is not None:
                yield node.value

    def _path(self, pattern: str) -> list[tuple[_Node[Value], str]]:
        """The nodes from the root to that of a pattern that is there, each with the segment that leads to it."""
        path = [(self._root, "")]
        for segment in pattern.split("."):
            if segment == ">":
                break
            path.append((path[-1][0].children[segment], segment))
        return path
