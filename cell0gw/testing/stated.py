"""A runtime of which a test knows everything."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from cell0gw.process.runtime import Runtime, Wall


def counter() -> Callable[[str], str]:
    """Ids that count, C{conn_1}, C{sess_2}, so that a test can state them."""
    numbers = itertools.count(1)
    return lambda prefix: f"{prefix}_{next(numbers)}"


def stated(clock: IReactorTime, wall: Wall | None = None) -> Runtime:
    """Ids and bytes that count; the least of random numbers.

    @param wall: gives the date; None: as the clock says.
    """
    numbers = itertools.count(1)
    return Runtime(
        clock,
        clock.seconds if wall is None else wall,
        counter(),
        lambda length: next(numbers).to_bytes(length, "big"),
        lambda bound: 0,
        clock.seconds,
    )
