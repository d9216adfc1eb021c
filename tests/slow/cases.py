"""What is run: each way by each line, with each size, on each of two gateways; and those who stall."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple

from tests.slow.line import SlowLine
from tests.slow.stage import Stage
from tests.slow.stalls import STALLS, stall
from tests.slow.ways import WAYS

MEGABIT: Final = 1_000_000 / 8
MEGABYTE: Final = 1_000_000
SPEEDS: Final = {20.0: 2, 10.0: 3, 2.0: 8, 0.5: 30}
"""In Mbit/s, each with how many lines of it are busy at once: the machine must not be slower than they are."""
SIZES: Final = (1, 3, 9)
"""In MB."""


class Case(NamedTuple):
    """One of them.

    @ivar size: of each message, in MB.
    @ivar speed: of the line, in Mbit/s.
    @ivar run: does it; returns how many seconds it took.
    """

    transport: str
    way: str
    size: float
    speed: float
    run: Callable[[], float]

    def __str__(self) -> str:
        return f"{self.transport}, {self.way}, {self.size:g} MB, {self.speed:g} Mbit/s"


class Outcome(NamedTuple):
    """What became of a case.

    @ivar problem: empty: none.
    """

    seconds: float
    problem: str


def arriving(
    transport: str, stage: Stage, ways: Iterable[str], sizes: Iterable[float], speeds: Iterable[float], stack: ExitStack
) -> Iterator[Case]:
    """Messages that must arrive, the longest first.

    @param stack: closes the lines.
    """
    for speed in speeds:
        line = stack.enter_context(SlowLine(stage.gateway.port, speed * MEGABIT))
        for size in sorted(sizes, reverse=True):
            for way in ways:
                run = partial(WAYS[way], stage, line, int(size * MEGABYTE))
                yield Case(transport, way, size, speed, run)


def stalling(transport: str, stage: Stage, stack: ExitStack) -> Iterator[Case]:
    """Those who take nothing.

    @param stack: closes the lines.
    """
    speed = max(SPEEDS)
    for kind in STALLS:
        line = stack.enter_context(SlowLine(stage.gateway.port, speed * MEGABIT))
        yield Case(transport, str(kind), kind.size / MEGABYTE, speed, partial(stall, stage, line, kind))


def perform(case: Case) -> Outcome:
    """Run one. What fails is told at once."""
    began = time.monotonic()
    try:
        return Outcome(case.run(), "")
    except Exception as problem:
        said = f"{type(problem).__name__}: {str(problem)[:300]}"
        print(f"{case}: {said}", flush=True)  # it may be minutes until the table comes
        return Outcome(time.monotonic() - began, said)


def failures(outcomes: dict[Case, Outcome]) -> list[str]:
    """A line for each case that failed."""
    return [f"{case}: {outcome.problem}" for case, outcome in outcomes.items() if outcome.problem]


def table(outcomes: dict[Case, Outcome]) -> str:
    """All of it: a line for each way and size, a column for each speed; then what failed."""
    speeds = sorted({case.speed for case in outcomes}, reverse=True)
    rows: dict[tuple[str, str, float], dict[float, str]] = {}
    for case, (seconds, problem) in outcomes.items():
        row = rows.setdefault((case.transport, case.way, case.size), {})
        row[case.speed] = f"{seconds:7.1f} s {'FAILED' if problem else 'ok':6}"
    head = f"{'':6}{'way':36}{'size':>8}" + "".join(f"{f'{speed:g} Mbit/s':>18}" for speed in speeds)
    lines = [
        f"{transport:6}{way:36}{size:5.1f} MB" + "".join(f"{row.get(speed, ''):>18}" for speed in speeds)
        for (transport, way, size), row in sorted(rows.items())
    ]
    return "\n".join([head, *lines, *failures(outcomes)])
