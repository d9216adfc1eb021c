"""A fresh clone of the checkout, and commands that are run in it with nothing of this checkout's own environment."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path, PurePath

from tests.e2e.processes import CHECKOUT, environment


def run(*command: str | Path, cwd: Path, timeout: float = 300, **variables: str | None) -> str:
    """Run a command that must succeed.

    @param timeout: seconds that it may take.
    @param variables: of its environment; None removes one.
    @return: what it printed.
    """
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment(**{"PYTHONPATH": None} | variables),  # what is installed is run, and nothing else
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def files_of_the_checkout() -> set[str]:
    """What the checkout has, by path: what git says, or, in an unpacked source archive, what that lists."""
    if (CHECKOUT / ".git").exists():
        listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=CHECKOUT).split("\0")
    else:
        listed = (CHECKOUT / "cell0gw.egg-info" / "SOURCES.txt").read_text("utf-8").splitlines()
    names = {str(PurePath(name)) for name in listed if name}  # ./cell0gw, setuptools writes, for where the packages are
    return {name for name in names if "egg-info" not in name and (CHECKOUT / name).exists()}


def clone(files: set[str], to: Path) -> Path:
    """Copy the checkout as a fresh clone would have it.

    @param to: where there is nothing yet.
    @return: the same.
    """
    for name in files:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, to / name)
    return to
