"""Disks that fail on demand: small ones, and some whose system calls do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.faults.stage import Skipped, Stage

SOURCE: Final = Path(__file__).parent / "programs" / "failing_disk.c"


def small_disk(stage: Stage, size: str = "6m") -> Path:
    """A file system of its own, in memory.

    @raise Skipped: this user may not mount one.
    """
    folder = stage.folder / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "faults", str(folder)]
    if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise Skipped("this user may not mount a file system")
    stage.at_the_end(lambda: subprocess.run(["umount", "-l", str(folder)], check=True))
    return folder


class FullDisk:
    """Takes all the room that a file system has left; C{free} gives it back."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "filler"
        with self._file.open("wb", buffering=0) as file:
            size = 1 << 20
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2

    def free(self) -> None:
        """Make room."""
        self._file.unlink()


class FailingDisk:
    """System calls on database files that fail as long as they are told to.

    @ivar variables: for the environment of a process.
    """

    def __init__(self, stage: Stage) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise Skipped("there is no C compiler")
        library = stage.folder / "failing_disk.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
        self._order = stage.folder / "order"
        self.variables = {"LD_PRELOAD": str(library), "FAILING_DISK": str(self._order)}

    def fail(self, call: str, error: int) -> None:
        """From now on a system call fails: C{write} or C{sync}."""
        beside = self._order.with_suffix(".new")
        beside.write_text(f"{call} {error}\n")
        beside.replace(self._order)

    def mend(self) -> None:
        """Nothing fails any more."""
        self._order.unlink()
