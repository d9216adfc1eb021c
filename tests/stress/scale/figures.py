"""Figures and goals of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence


class Report:
    """Prints figures as they come; knows whether all goals held.

    @ivar missed: the goals that did not.
    """

    def __init__(self) -> None:
        self.missed: list[str] = []

    def figure(self, what: str, value: object) -> None:
        """Something that was measured or counted."""
        print(f"  {what:64} {value:,.3f}" if isinstance(value, float) else f"  {what:64} {value}", flush=True)

    def goal(self, what: str, value: float, most: float, unit: str = "s") -> None:
        """Something that must not be more."""
        held = value <= most
        word = "held" if held else "MISSED"
        print(f"  {what:64} {value:,.3f} {unit}, goal {most:g} {unit}: {word}", flush=True)
        if not held:
            self.missed.append(what)

    def exactly(self, what: str, value: object, wanted: object) -> None:
        """Something that must be just so."""
        held = value == wanted
        print(f"  {what:64} {value}" + (": held" if held else f", must be {wanted}: MISSED"), flush=True)
        if not held:
            self.missed.append(what)


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which that part of them lies; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else 0.0


def spread(values: Sequence[float]) -> str:
    """Median, 99th percentile and worst of some seconds, in milliseconds."""
    shown = [percentile(values, part) * 1000 for part in (0.5, 0.99, 1.0)]
    return "median {:.1f} ms, p99 {:.1f} ms, worst {:.1f} ms".format(*shown) + f" of {len(values)}"
