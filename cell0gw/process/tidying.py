"""What a busy time has left in memory goes back to the system in the calm after it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, Final

from twisted.application.internet import TimerService
from twisted.logger import Logger

from cell0gw.process.allocator import trim

EVERY: Final = 10.0
"""Seconds between two looks."""

CALM: Final = 5_000
"""Objects made between two looks, that may be part of a cycle and are there still, up to which a time is calm. Beside a
few hundred calls a second it is."""


class TidyService(TimerService):
    """Looks for the first calm after a busy time, and then has garbage collected and free memory given back.

    By itself Python collects when enough new objects are there, and after a busy time few come: what many connections
    have left, and the free memory around it, would stay until the next busy time. Both take some ten milliseconds,
    which is why they wait for a calm.

    @param clock: calls it.
    @param made: gives how many such objects were made since the last collection; C{collect}: collects those that are
        not old; C{trim}: gives free memory back to the system.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        made: Callable[[], int] = lambda: gc.get_count()[0],
        collect: Callable[[], object] = lambda: gc.collect(1),
        trim: Callable[[], object] = trim,
    ) -> None:
        super().__init__(EVERY, self._look)
        self.clock = clock
        self._made = made
        self._collect = collect
        self._trim = trim
        self._before = 0
        self._busy = False

    def _look(self) -> None:
        made, before = self._made(), self._before
        self._before = made
        if abs(made - before) > CALM:
            self._busy = True
        elif self._busy:
            self._busy = False
            self._collect()
            self._trim()
            self._before = self._made()
