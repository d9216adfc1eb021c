"""Faults, each against a real process: see tests/faults, of which this is a part; C{make faults} is the whole."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.processes import CHECKOUT, environment

pytestmark = pytest.mark.long

SCENARIOS = (
    "killed_before_the_answer", "told_to_go", "disk_full", "disk_errors", "disk_gone", "two_on_one_folder",
    "slow_reader",
)  # fmt: skip


def test_a_part_of_them() -> None:
    """What must go on goes on, what is refused reaches nobody, and what was acknowledged is there."""
    chosen = [word for name in SCENARIOS for word in ("--only", name)]
    command = [sys.executable, "-m", "tests.faults", "--short", *chosen]
    run = subprocess.run(
        command, env=environment(), cwd=CHECKOUT, capture_output=True, text=True, timeout=600, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(SCENARIOS)} of {len(SCENARIOS)} went as they must" in run.stdout
