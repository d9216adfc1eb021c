"""Packages of Node's, which npm installs once for all tests, and a Node that is as new as the documents want it."""

from __future__ import annotations

import fcntl
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.e2e.processes import CHECKOUT

PACKAGES: Final = CHECKOUT / ".cache" / "node"
ARCHITECTURE: Final = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
NODE: Final = f"node-{sys.platform}-{ARCHITECTURE}"
"""The package that has nothing but Node's own program, for this machine."""
VERSIONS: Final = {"@mermaid-js/tiny": "11", NODE: "22", "undici": "7", "websocket": "1", "ws": "8"}
"""The major version of each that is asked for."""


def node_modules(package: str) -> Path:
    """A folder of Node's modules with a package in it.

    @param package: one of L{VERSIONS}.
    """
    folder = PACKAGES / package  # one for each: npm takes away what it was not asked for
    found = folder / "node_modules"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (found / package / "package.json").exists():
            wanted = f"{package}@{VERSIONS[package]}"
            command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder), wanted]
            subprocess.run(command, check=True, timeout=180, stdin=subprocess.DEVNULL)
    return found


def node_22() -> Path:
    """A Node that has a browser's WebSocket without a flag: the machine's own, if it is 22 or newer, or npm's."""
    if own := shutil.which("node"):
        asked = subprocess.run([own, "--version"], capture_output=True, text=True, check=True)
        if int(asked.stdout.removeprefix("v").partition(".")[0]) >= int(VERSIONS[NODE]):
            return Path(own)
    return node_modules(NODE) / NODE / "bin" / "node"
