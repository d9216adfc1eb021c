"""The state folder: who may use it, and what lies in it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from twisted.python.logfile import LogFile

AUDIT_LOG: Final = "audit.log"
AUDIT_LENGTH: Final = 10 * 1024 * 1024
"""Maximum bytes of an audit log before another one is begun."""

OLD_AUDIT_LOGS: Final = 5
"""Maximum number of audit logs that are kept beside the current one."""


class StateError(Exception):
    """The folder can't be used; the message says why and what to do."""


class StateFolder:
    """A folder that belongs to one process at a time.

    @param path: made, with mode 0700, when there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._audit: LogFile | None = None

    @property
    def database(self) -> Path:
        """Where the database is."""
        return self.path / "gateway.db"

    @property
    def admin_token(self) -> Path:
        """Where the first token is kept."""
        return self.path / "admin.token"

    def lock(self) -> None:
        """Keep others out, until L{unlock} or the end of the process; it outlives a fork.

        @raise StateError: another process has the folder, or it can't be made or written.
        """
        if self._lock is not None:
            return
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as failure:
            raise StateError(
                f"the state folder {self.path} can't be used ({failure.strerror}): choose one with --state-dir"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StateError(
                f"another gateway runs on the state folder {self.path}: stop it, or choose another with --state-dir"
            ) from None
        except OSError as failure:
            os.close(descriptor)
            raise StateError(f"the state folder {self.path} can't be locked ({failure.strerror})") from None
        self._lock = descriptor

    def unlock(self) -> None:
        """Let others in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._audit is not None:
            self._audit.close()
            self._audit = None

    def write_audit(self, line: bytes) -> None:
        """Add a line to the audit log, and begin another file when it has become long.

        @raise OSError: the disk is full, for example.
        """
        if self._audit is None:
            self._audit = LogFile(
                AUDIT_LOG, str(self.path), AUDIT_LENGTH, defaultMode=0o600, maxRotatedFiles=OLD_AUDIT_LOGS
            )
        self._audit.write(line)

    def keep_admin_token(self, token: str) -> None:
        """Write the first token down, readable for the owner alone: whole, or not at all."""
        beside = self.admin_token.with_suffix(".new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(descriptor)
        beside.replace(self.admin_token)
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
