"""Things that happen again and again: told at most once per cause and second, and then as a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

SILENCE: Final = 1.0
"""Seconds that a cause is only counted after it was told."""


class _Cause:
    __slots__ = ("more", "told_at")

    def __init__(self, told_at: float) -> None:
        self.told_at = told_at
        self.more = 0


class Sampler:
    """Tells of some of what happens: a thousand lines a second must not fill the disk.

    @param seconds: tells the time.
    @param tell: called with the cause, what is known of the one that is told, and 0; then, for those that followed,
        with the cause, None, and how many there were.
    """

    def __init__(self, seconds: Callable[[], float], tell: Callable[[str, Any, int], None]) -> None:
        self._seconds = seconds
        self._tell = tell
        self._causes: dict[str, _Cause] = {}

    def happened(self, name: str, details: Any) -> None:
        """Called when something happened.

        @param name: its cause. There are few of them.
        @param details: what is known of it.
        """
        cause = self._causes.get(name)
        if cause is not None:
            cause.more += 1
            return
        self._causes[name] = _Cause(self._seconds())
        self._tell(name, details, 0)

    def sweep(self) -> None:
        """Tell of what has only been counted; called about once a second."""
        now = self._seconds()
        for name, cause in list(self._causes.items()):
            if cause.told_at > now - SILENCE:
                continue
            if not cause.more:
                del self._causes[name]
                continue
            self._tell(name, None, cause.more)
            cause.told_at, cause.more = now, 0
