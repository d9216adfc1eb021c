"""Names that look like one that nobody has: a typo should cost a moment, not an afternoon."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

MOST: Final = 5
"""Maximum names that are suggested."""

_NEIGHBOURS: Final = 12
"""Names that are compared on either side of the one in question."""

_LOOKED: Final = 100
"""Maximum names that are looked at on either side for those."""

LONGEST: Final = 64
"""Maximum letters of a name that is compared: what is longer was hardly typed by hand."""

_FEW: Final = 200
"""Maximum changes that are inserted one by one; after more, all is sorted again."""

_SHARE: Final = 0.5
"""Minimum share of letters, and pairs of them, that a choice has in common with a name, from 0 to 1."""

_BEHIND: Final = 0.2
"""Maximum by which the share of a choice is smaller than that of the best one."""


class Suggestions:
    """Names to choose from. Only those are compared that begin or end like the one in question: few, however many
    there are.
    """

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        # Sorted, as of the last question; read backwards the second time, so that endings lie together, too.
        self._forwards: list[str] = []
        self._backwards: list[str] = []
        self._changed: set[str] = set()

    def __len__(self) -> int:
        return len(self._count)

    def add(self, name: str) -> None:
        """One more bearer of a name."""
        self._count[name] += 1
        if self._count[name] == 1:
            self._changed.add(name)

    def discard(self, name: str) -> None:
        """One less."""
        self._count[name] -= 1
        if self._count[name] <= 0:
            del self._count[name]
            self._changed.add(name)

    def near(self, name: str, allowed: Callable[[str], bool] = lambda name: True) -> list[str]:
        """The names most like this one, best first; at most L{MOST}. None is if it is longer than L{LONGEST}.

        @param allowed: whether a name may be shown.
        """
        if len(name) > LONGEST:
            return []
        self._catch_up()
        around = {
            *_around(self._forwards, name, allowed),
            *(other[::-1] for other in _around(self._backwards, name[::-1], lambda other: allowed(other[::-1]))),
        }
        wanted = _letters(name)
        shares = {other: _share(wanted, _letters(other)) for other in around if len(other) <= LONGEST}
        alike = sorted((-share, other) for other, share in shares.items() if share >= _SHARE)
        return [other for _, other in alike[:MOST]]

    def beginning(self, prefix: str) -> Iterator[str]:
        """The names that begin with a prefix, sorted."""
        self._catch_up()
        for place in range(bisect_left(self._forwards, prefix), len(self._forwards)):
            if not self._forwards[place].startswith(prefix):
                return
            yield self._forwards[place]

    def _catch_up(self) -> None:
        changed, self._changed = self._changed, set()
        if len(changed) > _FEW:
            self._forwards = sorted(self._count)
            self._backwards = sorted(other[::-1] for other in self._count)
            return
        for name in changed:
            present = name in self._count
            _put(self._forwards, name, present)
            _put(self._backwards, name[::-1], present)


def _put(ordered: list[str], name: str, present: bool) -> None:
    """Have a sorted list hold a name, or not."""
    place = bisect_left(ordered, name)
    there = ordered[place : place + 1] == [name]
    if present and not there:
        ordered.insert(place, name)
    elif there and not present:
        del ordered[place]


def _around(ordered: list[str], name: str, allowed: Callable[[str], bool]) -> Iterator[str]:
    """The neighbours that may be shown, on either side: those that may not must not take their places."""
    place = bisect_left(ordered, name)
    for side in (ordered[max(0, place - _LOOKED) : place][::-1], ordered[place : place + _LOOKED]):
        yield from itertools.islice(filter(allowed, side), _NEIGHBOURS)


class Choices:
    """A fixed set of names of which one is meant: methods, params, the values of an enum.

    All are compared, by the letters and pairs of letters that they share: a name that nobody has costs a few
    microseconds, and one that is far too long costs nothing.

    @param names: the names.
    @param spellings: how else they may be asked for: another spelling, such as C{publish}, and the name.
    """

    def __init__(self, names: Iterable[str], spellings: Iterable[tuple[str, str]] = ()) -> None:
        self._letters = [(_letters(name), name) for name in names]
        self._longest = 2 * max((len(name) for _, name in self._letters), default=0)
        self._letters += [(_letters(spelling), name) for spelling, name in spellings]

    def near(self, name: str) -> list[str]:
        """The names most like this one, best first; at most L{MOST}."""
        if len(name) > self._longest:
            return []
        wanted = _letters(name)
        shares: dict[str, float] = {}
        for letters, choice in self._letters:
            share = _share(wanted, letters)
            if share >= _SHARE and share > shares.get(choice, 0):
                shares[choice] = share
        best = max(shares.values(), default=0)
        found = [choice for choice, share in shares.items() if share >= best - _BEHIND]
        return sorted(found, key=lambda choice: (-shares[choice], choice))[:MOST]


def _share(one: set[str], other: set[str]) -> float:
    """How much two names have in common, from 0 to 1."""
    return 2 * len(one & other) / (len(one) + len(other) or 1)


def _letters(name: str) -> set[str]:
    """The letters of a name, and each pair of neighbours."""
    name = name.lower()
    return {*name, *map(str.__add__, name, name[1:])}
