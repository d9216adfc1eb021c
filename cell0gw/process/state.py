"""The state folder: who may use it, and what lies in it."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Final

from twisted.logger import Logger
from twisted.python.logfile import LogFile

AUDIT_LOG: Final = "audit.log"
TOKEN_LOG: Final = "tokens.log"
"""What became of tokens: the lines of the audit log whose action begins with C{token.}."""

_ACTION_OF_TOKEN: Final = b'"action":"token.'

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

    log = Logger()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._logs: dict[str, LogFile] = {}

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
        self._look_for_others()

    def unlock(self) -> None:
        """Let others in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        for log in self._logs.values():
            log.close()
        self._logs.clear()

    def write_audit(self, lines: bytes) -> None:
        """Add lines to the audit log, and begin another file when it has become long. Those of tokens are in a log of
        their own as well, which no number of refusals rolls over.

        @raise OSError: the disk is full, for example.
        """
        of_tokens = b"".join(line for line in lines.splitlines(keepends=True) if _ACTION_OF_TOKEN in line)
        for name, text in ((AUDIT_LOG, lines), (TOKEN_LOG, of_tokens)):
            if text:
                self._log(name).write(text)

    def _look_for_others(self) -> None:
        """Warn if somebody else can change what is in the folder: that somebody can make tokens."""
        found = self.path.stat()
        others = [
            f"belongs to the user {found.st_uid}" if found.st_uid not in (0, os.geteuid()) else "",
            "can be written by its group" if found.st_mode & stat.S_IWGRP else "",
            "can be written by everybody" if found.st_mode & stat.S_IWOTH else "",
        ]
        if any(others):
            self.log.warn(
                "the state folder {path} {why}: tokens can be made by writing there; let it belong to the user of "
                "the gateway, with mode 0700",
                event="state.shared",
                path=str(self.path),
                why=" and ".join(filter(None, others)),
            )

    def _log(self, name: str) -> LogFile:
        log = self._logs.get(name)
        if log is None:
            kept = {"defaultMode": 0o600, "maxRotatedFiles": OLD_AUDIT_LOGS}
            log = self._logs[name] = LogFile(name, str(self.path), AUDIT_LENGTH, **kept)
        return log

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
