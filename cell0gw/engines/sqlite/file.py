"""Opening a SQLite file, and looking after it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from threading import Timer
from typing import Final

from cell0gw.engines.sqlite.outage import Damaged, Replaced
from cell0gw.engines.sqlite.schema import migrate

PATIENCE: Final = 5.0
"""Maximum seconds for which another program may lock the file, as one that copies it does."""

SPACE: Final = 512 * 1024
"""Minimum free bytes before a disk that was full counts as writable again."""

LOG: Final = 4 * 1024 * 1024
"""Bytes of the write-ahead log from which on it is brought into the file, see L{shorten_log}."""

LONGEST_LOG: Final = 4 * LOG
"""Bytes of it from which on SQLite does so itself, in the middle of a commit."""

_PAGE: Final = 4096


def connect(path: Path) -> sqlite3.Connection:
    """Open a file that is there, as safe as it can be, and bring its schema up to date.

    @raise SchemaTooNew: it is of a later release.
    @raise sqlite3.Error: it can't be opened, read or written.
    """
    name = f"{path.absolute().as_uri()}?mode=rw"  # never a new, empty one
    connection = sqlite3.connect(name, isolation_level=None, check_same_thread=False, timeout=PATIENCE, uri=True)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        # Once all of the log is in the file, the next commit cuts it: its size tells how much is in it.
        connection.execute(f"PRAGMA journal_size_limit={LOG}")
        connection.execute(f"PRAGMA wal_autocheckpoint={LONGEST_LOG // _PAGE}")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def try_out(connection: sqlite3.Connection) -> None:
    """Write as much as a message may be, and leave nothing of it."""
    connection.execute("CREATE TABLE trial AS SELECT zeroblob(65536) AS room")
    connection.execute("DROP TABLE trial")


def shorten_log(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a long write-ahead log into the file. Called after a commit whose results are told already.

    The log itself is never opened: closing it would drop the locks that SQLite holds on it in this process.
    """
    # What is in the log is safe. If the disk fails here, the next commit meets the same.
    with contextlib.suppress(OSError, sqlite3.Error):
        if path.with_name(f"{path.name}-wal").stat().st_size > LOG:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def identify(path: Path, inode: int) -> None:
    """See that a file is where it was.

    @raise Replaced: another one is.
    @raise OSError: none is.
    """
    if path.stat().st_ino != inode:
        raise Replaced("it is not the one that was opened")


def check(connection: sqlite3.Connection, seconds: float) -> None:
    """Check for damage.

    @param seconds: maximum seconds of the check.
    @raise Damaged: there is some.
    """
    alarm = Timer(seconds, connection.interrupt)
    alarm.start()
    try:
        ((found, *_),) = connection.execute("PRAGMA quick_check(1)").fetchall() or [("ok",)]
    except sqlite3.OperationalError as problem:
        if problem.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        found = "ok"  # as far as was seen
    finally:
        alarm.cancel()
        alarm.join()
    if found != "ok":
        raise Damaged(found.splitlines()[-1])


def has_space(path: Path) -> bool:
    """Whether its disk has room again."""
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return True  # whatever is wrong then, writing will tell
    return disk.f_bavail * disk.f_frsize >= SPACE
