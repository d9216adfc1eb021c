"""Autobahn's test cases: the short form of tests/conformance, whose long one is C{make conformance}."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conformance.__main__ import SETTINGS
from tests.e2e.processes import CHECKOUT, environment

pytestmark = pytest.mark.long


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_verdict(setting: str) -> None:
    """Every case ends as it should, over plain sockets and TLS, with and without compression."""
    command = [sys.executable, "-m", "tests.conformance", "--some", "--only", setting]
    run = subprocess.run(
        command, env=environment(), cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "every case is OK or INFORMATIONAL" in run.stdout
