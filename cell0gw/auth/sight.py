"""Sight: whom the bearer of a token sees. Here it is judged, for all that shows entities."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Final

from cell0gw.protocol.patterns import PatternTree
from cell0gw.protocol.subjects import covers, has_wildcard

SEE: Final = "presence.get"
"""The permission to see entities, C{presence.get:<pattern>}. A token that does not name it sees everyone."""


class Sight:
    """Whom somebody sees: everyone, or those that some patterns cover, and itself.

    Two are equal if they see the same by the same patterns.

    @param patterns: of entity ids; None: it sees everyone.
    @param named: whether a permission C{<method>:<pattern>} covers an entity.
    @ivar everyone: whether it sees everyone.
    """

    __slots__ = ("_named", "_own", "_patterns", "_tree", "everyone")

    def __init__(
        self,
        patterns: Iterable[str] | None = None,
        named: Callable[[str, str], bool] = lambda method, entity_id: False,
    ) -> None:
        self.everyone = patterns is None
        self._patterns = frozenset(patterns or ())
        self._named = named
        self._own = ""
        self._tree: PatternTree[bool] = PatternTree()
        for pattern in self._patterns:
            self._tree.add(pattern, True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sight) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def of(self, entity_id: str) -> Sight:
        """The same for one of the bearers, which sees itself in any case."""
        if self.sees(entity_id):
            return self
        own = copy.copy(self)
        own._own = entity_id
        return own

    def sees(self, entity_id: str) -> bool:
        """Whether it sees an entity."""
        return self.everyone or entity_id == self._own or any(self._tree.match(entity_id))

    def knows(self, method: str, entity_id: str) -> bool:
        """Whether it may learn of an entity by calling a method on it: it sees it, or a permission for the method names
        it by a pattern.

        @param entity_id: an entity, or a pattern of them: then all that it stands for.
        """
        if has_wildcard(entity_id):
            seen = self.everyone or any(covers(pattern, entity_id) for pattern in self._patterns)
        else:
            seen = self.sees(entity_id)
        return seen or self._named(method, entity_id)

    @property
    def _key(self) -> tuple[bool, str, frozenset[str]]:
        return self.everyone, self._own, self._patterns


EVERYONE: Final = Sight()
"""That of those who see everyone."""
