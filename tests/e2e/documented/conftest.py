"""What runs the JavaScript of the documents and the examples."""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

import pytest

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
