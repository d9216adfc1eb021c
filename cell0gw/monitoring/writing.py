"""The log and the audit log, as far as they can't be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from zope.interface import implementer

from cell0gw.monitoring.health import Health
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.lines import Lines

NAMES: Final = {"log": "The log", "audit": "The audit log"}


@implementer(ISweeper)
class Writing:
    """Reports logs whose lines are dropped.

    @param lines: those of each log that the gateway writes, by its name; others are written elsewhere.
    """

    def __init__(self, health: Health, lines: Mapping[str, Lines]) -> None:
        self._health = health
        self._lines = lines

    @property
    def dropped(self) -> dict[str, int]:
        """How many lines of each were dropped, by the name of the figure."""
        lines = self._lines
        return {f"{name}_lines_dropped": lines[name].dropped if name in lines else 0 for name in NAMES}

    def sweep(self) -> None:
        """See L{ISweeper}."""
        for name, lines in self._lines.items():
            if lines.stands_still:
                self._health.report(
                    name,
                    "dropped",
                    f"{NAMES[name]} lacks lines: see that what reads it goes on, or that its disk has room",
                )
            else:
                self._health.clear(name)
