"""Ids of connections, sessions, messages and calls: unique for all practical purposes, and not to be guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_LENGTH: Final = 8
_AT_ONCE: Final = 128


class Ids:
    """Makes ids: C{conn_9f86d081884c7d65}.

    @param random_bytes: gives that many unpredictable bytes; it is asked for many ids' worth at once, since that costs
        hardly more than asking for one.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._ready: list[str] = []

    def __call__(self, prefix: str) -> str:
        if not self._ready:
            digits = self._random_bytes(_LENGTH * _AT_ONCE).hex()
            step = 2 * _LENGTH
            self._ready = [digits[start : start + step] for start in range(0, len(digits), step)]
        return f"{prefix}_{self._ready.pop()}"
