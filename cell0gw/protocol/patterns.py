"""Patterns by the names that they cover."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from cell0gw.protocol.subjects import is_own

Value = TypeVar("Value")


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
    """

    def __init__(self) -> None:
        self._root: _Node[Value] = _Node()
        self._count = 0
        self.version = 0

    def __len__(self) -> int:
        return self._count

    def get(self, pattern: str) -> Value | None:
        """The value of a pattern; None when it has none."""
        path = self._path(pattern)
        node = None if path is None else path[-1][0]
        if node is None:
            return None
        return node.rest if pattern.endswith(">") else node.value

    def add(self, pattern: str, value: Value) -> None:
        """Give a pattern a value, instead of the one it may have."""
        node = self._root
        *before, last = pattern.split(".")
        for segment in before if last == ">" else (*before, last):
            node = node.children.setdefault(segment, _Node())
        self._count += self.get(pattern) is None
        if last == ">":
            node.rest = value
        else:
            node.value = value
        self.version += 1

    def remove(self, pattern: str) -> None:
        """Forget a pattern that has a value."""
        path = self._path(pattern)
        assert path is not None
        node = path[-1][0]
        if pattern.endswith(">"):
            node.rest = None
        else:
            node.value = None
        self._count -= 1
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

    def _path(self, pattern: str) -> list[tuple[_Node[Value], str]] | None:
        """The nodes from the root to that of a pattern, each with the segment that leads to it."""
        path = [(self._root, "")]
        for segment in pattern.split("."):
            if segment == ">":
                break
            child = path[-1][0].children.get(segment)
            if child is None:
                return None
            path.append((child, segment))
        return path
