"""Notifications to systemd, or another supervisor, of the process. See sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

from twisted.logger import Logger

PATIENCE: Final = 1.0
"""Maximum seconds that a supervisor which does not read may hold the process up."""


class Notifier:
    """Notifies the supervisor that the environment names, if it names one.

    @param environment: C{NOTIFY_SOCKET}: where it listens, a path, or C{@} and an abstract name. C{WATCHDOG_USEC}:
        microseconds that it waits for a sign of life; C{WATCHDOG_PID}: whose.
    """

    log = Logger()

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = environment.get("WATCHDOG_USEC", "")
        self._watched = environment.get("WATCHDOG_PID", "")

    def __bool__(self) -> bool:
        return self._address.startswith(("/", "\0"))

    @property
    def heartbeat(self) -> float | None:
        """Seconds between two signs of life: half of what the supervisor waits; None: it does not."""
        if not (self and self._watchdog.isdecimal() and self._watched in ("", str(os.getpid()))):
            return None
        return int(self._watchdog) / 2_000_000 or None

    def tell(self, *lines: str) -> None:
        """Send a notification, each line a C{NAME=value}; a supervisor that can't be reached is no reason to fail."""
        if not self:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
            telling.settimeout(PATIENCE)
            try:
                telling.sendto("\n".join(lines).encode(), self._address)
            except OSError as problem:
                self.log.warn(
                    "systemd can't be told {what}: {problem}",
                    event="systemd.unreachable",
                    what=lines[0],
                    problem=problem,
                )
