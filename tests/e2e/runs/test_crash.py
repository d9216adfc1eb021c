"""Kill -9, over and over: see tests/crash, of which this is the short form; C{make crash} is the long one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.processes import CHECKOUT, environment

pytestmark = pytest.mark.long


def test_twenty_kills() -> None:
    """After each of twenty kills what was acknowledged is there once, and what is repeated with its key is, too."""
    command = [sys.executable, "-m", "tests.crash", "--cycles", "20"]
    run = subprocess.run(
        command, env=environment(), cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "20 cycles" in run.stdout
