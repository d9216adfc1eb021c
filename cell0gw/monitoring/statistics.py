"""Counting, and how fast the counts grow."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from zope.interface import Attribute, Interface


class Counts(NamedTuple):
    """Figures by name: C{current} go up and down, C{total} only grow."""

    current: dict[str, int]
    total: dict[str, int]


class Rates:
    """What totals grew by, per second, over the time that the kept samples span.

    @param samples: how many samples are kept.
    """

    def __init__(self, samples: int) -> None:
        self._samples: deque[tuple[float, dict[str, int]]] = deque(maxlen=samples)

    def clear(self) -> None:
        """Forget all samples."""
        self._samples.clear()

    def sample(self, now: float, totals: dict[str, int]) -> None:
        """Keep the totals of a moment, in seconds."""
        self._samples.append((now, totals))

    def per_second(self, now: float, totals: dict[str, int]) -> dict[str, float]:
        """How fast each total grew since the oldest sample."""
        if not self._samples or now <= self._samples[0][0]:
            return dict.fromkeys(totals, 0.0)
        since, before = self._samples[0]
        return {name: round((total - before.get(name, 0)) / (now - since), 3) for name, total in totals.items()}


class IStatistics(Interface):
    """Has figures to show in C{gateway.getStats}."""

    name = Attribute("str: under which they are shown.")

    def statistics() -> Counts:
        """The L{Counts} of now."""
