"""What a scenario demands: when it is not so, what was expected is printed beside what was observed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any


class Failed(Exception):
    """Something is not as it must be."""


def equal(observed: Any, expected: Any, what: str) -> None:
    """It must be exactly that."""
    if observed != expected:
        raise Failed(f"{what}\n  expected: {shown(expected)}\n  observed: {shown(observed)}")


def within(observed: float, low: float, high: float, what: str) -> None:
    """It must be no less and no more."""
    if not low <= observed <= high:
        raise Failed(f"{what}\n  expected: {low:g} to {high:g}\n  observed: {observed:g}")


def contiguous(observed: list[int], first: int, last: int, what: str) -> None:
    """It must be these numbers, each once and in order."""
    if observed == list(range(first, last + 1)):
        return
    wrong = next(
        (f"{got} in place {place + 1}" for place, got in enumerate(observed) if got != first + place), "an early end"
    )
    raise Failed(f"{what}\n  expected: {first} to {last}, in order\n  observed: {len(observed)} numbers, with {wrong}")


def shown(value: Any) -> str:
    """A value, not too long for a terminal."""
    text = repr(value)
    return text if len(text) <= 600 else f"{text[:400]} … {text[-180:]}"


async def until(arrived: Callable[[], Any], what: str, seconds: float = 15.0) -> Any:
    """Look until something is so.

    @return: what C{arrived} returned last, which is true.
    """
    deadline = time.monotonic() + seconds
    while not (outcome := arrived()):
        if time.monotonic() > deadline:
            raise Failed(f"{what}\n  expected: within {seconds:g} s\n  observed: not yet")
        await asyncio.sleep(0.01)
    return outcome
