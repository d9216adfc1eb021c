"""What runs the JavaScript of the documents and the examples."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.documented.fresh import clone, files_of_the_checkout
from tests.e2e.node import node_22

WEBSOCKET_FLAG: Final = "--experimental-websocket"
"""A browser's WebSocket, which Node has from version 22 on without it."""


@pytest.fixture
def node() -> str:
    """Node with a WebSocket like a browser's."""
    path = shutil.which("node")
    probe = [path or "false", WEBSOCKET_FLAG, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
    if path is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no Node with a WebSocket is installed")
    return path


@pytest.fixture(scope="session")
def node22() -> Path:
    """Node 22 or newer, from the machine or from npm."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("neither Node nor npm is installed")
    return node_22()


@pytest.fixture(scope="module")
def files() -> set[str]:
    """What the checkout has, by path."""
    return files_of_the_checkout()


@pytest.fixture(scope="module")
def source(files: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout as a fresh clone would have it."""
    return clone(files, tmp_path_factory.mktemp("source") / "checkout")
