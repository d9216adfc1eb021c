"""What can be wrong with a database file, and how long it is left alone after it was."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from twisted.logger import Logger

from cell0gw.monitoring.health import CAUSES
from cell0gw.protocol.errors import Unavailable

SAME_FILE: Final = frozenset({"full", "locked", "slow"})
"""Causes that leave the connection usable; after any other the file is reopened and checked."""

SHORTEST: Final = 0.1
LONGEST: Final = 5.0
"""Seconds between two tries."""

SILENCE: Final = 1.0
"""Minimum seconds between two lines in the log of the same cause."""

CALM: Final = 10.0
"""Seconds without a failure after which the next outage counts as a new one."""

_OF_SQLITE: Final = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_PERM: "read_only",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_IOERR: "failing",
    sqlite3.SQLITE_PROTOCOL: "failing",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_CANTOPEN: "unreachable",
}
_OF_SYSTEM: Final = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EROFS: "read_only",
    errno.EACCES: "read_only",
    errno.EPERM: "read_only",
    errno.EIO: "failing",
}


class Damaged(Exception):
    """The file is not what it was."""


class Replaced(Exception):
    """Another file is where it was: what is written to the one that is open is lost."""


def cause_of(error: BaseException) -> str | None:
    """What is wrong, by its name in L{CAUSES}; None: the disk is not to blame."""
    if isinstance(error, sqlite3.Error):
        return _OF_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    if isinstance(error, OSError):
        return _OF_SYSTEM.get(error.errno or 0, "unreachable")
    if isinstance(error, Damaged | msgspec.MsgspecError):
        return "damaged"
    return "replaced" if isinstance(error, Replaced) else None


def advice(path: Path, error: BaseException, room: bool = True) -> str:
    """One line on a file that can't be used: what is wrong, and what to do.

    @param room: whether there is some: SQLite calls it an error of the disk when it can't make its smaller files.
    """
    cause = cause_of(error)
    if cause == "failing" and not room:
        cause = "full"
    if cause is None:
        return f"{path} can't be used: {error}"
    wrong, remedy = CAUSES[cause]
    return f"{path} can't be used, {wrong} ({getattr(error, 'strerror', None) or error}): {remedy}"


class Outage:
    """The time in which the file can't be written: it is tried again at once, then after longer and longer.

    @param seconds: tells the time.
    @param tell: called with the cause when it changes; with None when all is in order again.
    @ivar cause: one of L{CAUSES}; None: all is in order.
    """

    log = Logger()

    def __init__(self, path: Path, seconds: Callable[[], float], tell: Callable[[str | None], object]) -> None:
        self._path = path
        self._seconds = seconds
        self._tell = tell
        self._began = self._due = 0.0
        self._delay = 0.0
        self._ended = -CALM
        self._logged: dict[str, float] = {}
        self.cause: str | None = None

    def failed(self, cause: str, error: object) -> None:
        """Called when a try has failed, again or for the first time."""
        now = self._seconds()
        if self.cause is None:
            self._began = now
            if now - self._ended >= CALM:
                self._delay = 0.0
        if cause != self.cause:
            self.cause = cause
            self._tell(cause)
        self._due = now + self._delay
        self._delay = min(max(SHORTEST, 2 * self._delay), LONGEST)
        if now - self._logged.get(cause, -SILENCE) >= SILENCE:
            self._logged[cause] = now
            wrong, remedy = CAUSES[cause]
            self.log.critical(
                "{path} can't be written, {wrong} ({error}): {remedy}",
                event="storage.unavailable", path=str(self._path), wrong=wrong, error=str(error), remedy=remedy,
            )  # fmt: skip

    @property
    def wait(self) -> float | None:
        """Seconds until the next try; None: all is in order."""
        return None if self.cause is None else max(0.0, self._due - self._seconds())

    def refusal(self) -> Unavailable:
        """The error for a write that is refused."""
        wait = self.wait
        hint = {} if wait is None else {"cause": self.cause, "retry_after_ms": int(wait * 1000) + 1}
        return Unavailable("Storage is out of order", **hint)

    def over(self) -> None:
        """Called when the file can be written."""
        if self.cause is not None:
            self._ended = self._seconds()
            seconds = self._ended - self._began
            self.log.warn(
                "storage is in order again, after {seconds:.1f} s", event="storage.recovered", seconds=seconds
            )
            self.cause = None
            self._tell(None)
