"""What hostile clients may cost, as docs/operations.md promises it: each line of its table is held to."""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

from tests.documents import OPERATIONS, rows, section

HEADING: Final = "What anybody can cost"
_UNITS: Final = {"ms": 0.001, "s": 1.0, "MiB": float(2**20), "GiB": float(2**30)}


class Goals(NamedTuple):
    """What some clients may cost together.

    @ivar memory: bytes by which the gateway may grow.
    @ivar wait: the longest that ninety-nine of a hundred calls of others may take, in seconds.
    @ivar turn: the longest that any may take, in seconds: it has to wait for the longest turn.
    """

    memory: float
    wait: float
    turn: float


@cache
def goals() -> dict[tuple[str, int], Goals]:
    """Those of each line, by whom it is about: C{stranger} or C{agent}, and how many."""
    table = {}
    for who, memory, wait, turn, *_ in rows(section(OPERATIONS, HEADING)):
        if found := re.fullmatch(r"(An?|[\d,]+) (stranger|agent)s?", who):
            count = 1 if found[1].startswith("A") else int(found[1].replace(",", ""))
            table[found[2], count] = Goals(_amount(memory), _amount(wait), _amount(turn))
    return table


def _amount(text: str) -> float:
    number, unit = text.split()
    return float(number) * _UNITS[unit]
