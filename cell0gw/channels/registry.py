"""All channels that there are, by name, so that those under a pattern are found without a look at all others."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from cell0gw.channels.channel import Channel
from cell0gw.protocol.patterns import PatternTree
from cell0gw.protocol.subjects import beginning, has_wildcard, is_own, matcher

BLOCK: Final = 512
"""Maximum names in a block before it is split, halved: to put one in or take one out moves no more than that."""

MAX_LOOKED: Final = 10_000
"""Maximum names that are compared with a pattern for one page of a list."""

MAX_RECOVERED: Final = 10_000
"""Maximum channels that are recovered at once because patterns cover them, and positions that are looked at for it."""

MAX_VISITED: Final = 100_000
"""Maximum beginnings of patterns that are compared with names at once: patterns with many wildcards have many."""

_LAST: Final = "\x7f"
"""Comes after every character of a name."""


class SortedNames:
    """A set of names in blocks: coming and going costs the same however many there are."""

    def __init__(self) -> None:
        # No block is empty; by its first name each is found.
        self._blocks: list[list[str]] = []
        self._firsts: list[str] = []

    def add(self, name: str) -> None:
        """Add one that is not there."""
        if not self._blocks:
            self._blocks, self._firsts = [[name]], [name]
            return
        place = self._place(name)
        block = self._blocks[place]
        insort(block, name)
        self._firsts[place] = block[0]
        if len(block) > 2 * BLOCK:
            self._blocks[place : place + 1] = block[:BLOCK], block[BLOCK:]
            self._firsts.insert(place + 1, block[BLOCK])

    def remove(self, name: str) -> None:
        """Remove one that is there."""
        place = self._place(name)
        block = self._blocks[place]
        del block[bisect_left(block, name)]
        if block:
            self._firsts[place] = block[0]
        else:
            del self._blocks[place], self._firsts[place]

    def beginning(self, prefix: str, after: str = "") -> Iterator[str]:
        """Those that begin in a way, and come after a name, in order. None may come or go meanwhile."""
        if not self._blocks:
            return
        first = self._place(max(prefix, after))
        for place in range(first, len(self._blocks)):
            block = self._blocks[place]
            start = max(bisect_left(block, prefix), bisect_right(block, after)) if place == first else 0
            for name in block[start:] if start else block:
                if not name.startswith(prefix):
                    return
                yield name

    def count(self, prefix: str) -> int:
        """How many begin in a way."""
        return self._before(prefix + _LAST) - self._before(prefix)

    def _place(self, name: str) -> int:
        return max(bisect_right(self._firsts, name) - 1, 0)

    def _before(self, name: str) -> int:
        """How many are smaller than a text."""
        if not self._blocks:
            return 0
        place = self._place(name)
        return sum(map(len, self._blocks[:place])) + bisect_left(self._blocks[place], name)


class Registry:
    """Channels by name, and those that clients name, in order, by how they begin.

    Its length is how many clients name; iterating gives those.
    """

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}
        self._names = SortedNames()

    def __len__(self) -> int:
        return self._names.count("")

    def __iter__(self) -> Iterator[Channel]:
        return iter([channel for name, channel in self._channels.items() if not is_own(name)])

    def __getitem__(self, name: str) -> Channel:
        return self._channels[name]

    def get(self, name: str) -> Channel | None:
        """A channel, if there is one of that name."""
        return self._channels.get(name)

    def add(self, channel: Channel) -> None:
        """Add a channel, instead of the one of its name if there is one."""
        if channel.name not in self._channels and not is_own(channel.name):
            self._names.add(channel.name)
        self._channels[channel.name] = channel

    def remove(self, channel: Channel) -> None:
        """Remove a channel that is there."""
        del self._channels[channel.name]
        if not is_own(channel.name):
            self._names.remove(channel.name)

    def page(self, pattern: str, after: str, most: int) -> tuple[list[Channel], str | None]:
        """The channels that a pattern covers, sorted by name.

        @param after: leave out those that are not beyond this name.
        @param most: maximum channels.
        @return: the channels; and a name beyond which there may be more, None: there are not.
        """
        if not has_wildcard(pattern):
            channel = self._channels.get(pattern)
            return [channel] if channel is not None and most and pattern > after else [], None
        if not most:
            return [], None
        found: list[Channel] = []
        covered, last = matcher(pattern), after
        for looked, name in enumerate(self._names.beginning(beginning(pattern), after)):
            if looked >= MAX_LOOKED:
                return found, last
            if covered(name):
                if len(found) >= most:
                    return found, last
                found.append(self._channels[name])
            last = name
        return found, None

    def count(self, pattern: str) -> int | None:
        """How many channels a pattern covers; None: more than L{MAX_LOOKED} would have to be looked at."""
        if not has_wildcard(pattern):
            return int(pattern in self._channels)
        prefix = beginning(pattern)
        there = self._names.count(prefix)
        if pattern == f"{prefix}>":
            return there
        covered = matcher(pattern)
        return None if there > MAX_LOOKED else sum(1 for name in self._names.beginning(prefix) if covered(name))

    def published_since(self, tick: int, patterns: Iterable[str]) -> Iterator[str]:
        """The channels that begin as what one of some patterns covers, and that have something newer.

        @param tick: how many publications of all channels there had been.
        @param patterns: with wildcards.
        """
        last = None
        for prefix in sorted({beginning(pattern) for pattern in patterns}):
            if last is None or not prefix.startswith(last):  # else all of them were there before
                last = prefix
                for name in self._names.beginning(prefix):
                    if self._channels[name].history.tick > tick:
                        yield name

    def covered(self, patterns: Mapping[str, int], positions: Iterable[str], begun: dict[str, int]) -> Iterable[str]:
        """Find the channels of which a session may have missed something to which it was subscribed by patterns.

        @param patterns: how many publications there had been when the subscription to each began.
        @param positions: the channels of which the client has a position.
        @param begun: gets the same number for each channel.
        @return: of those with a position what is no longer there; and all patterns if too much would have to be looked
            at, so that something may be missing.
        """
        if not patterns:
            return ()
        tree: PatternTree[int] = PatternTree()
        for pattern, since in patterns.items():
            tree.add(pattern, since)
        gone: list[str] = []
        for name in itertools.chain(positions, self.published_since(min(patterns.values()), patterns)):
            if tree.visited > MAX_VISITED or len(begun) > MAX_RECOVERED:
                return [*gone, *patterns]
            covering = list(tree.match(name))
            if not covering:
                continue
            if self.get(name) is None:
                gone.append(name)
            else:
                begun[name] = min(begun.get(name, covering[0]), *covering)
        return gone
