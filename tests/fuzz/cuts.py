"""Bytes cut in pieces, as the network may; each input in its own way, and always in that one."""

from __future__ import annotations

import itertools
import random
import zlib
from typing import Final

SHORT: Final = 48
CUTS: Final = 5


def cut(data: bytes) -> list[bytes]:
    """Some bytes in pieces: short ones byte by byte, long ones at a few places."""
    if len(data) <= SHORT:
        return [data[place : place + 1] for place in range(len(data))]
    chance = random.Random(zlib.crc32(data))
    places = sorted(chance.randrange(len(data)) for _ in range(CUTS))
    return [data[start:end] for start, end in itertools.pairwise([0, *places, len(data)]) if start < end]
