"""Everything at once that clients can do to a gateway: see tests/stress; C{make stress} runs it, too, and at scale."""

from __future__ import annotations

import sys

import pytest

from tests.e2e.processes import CHECKOUT, Process, environment

pytestmark = pytest.mark.long

SECONDS = 400
"""It takes less than two minutes where nothing else runs."""


def run(*command: str) -> tuple[int, str]:
    """Run a module to its end.

    @return: its exit status, and what it printed.
    """
    process = Process([sys.executable, "-m", *command], environment(), CHECKOUT)
    try:
        return process.wait(SECONDS), process.output
    finally:
        process.kill()


def test_all_scenarios() -> None:
    """Each scenario comes out as it must, and afterwards nothing is left of any."""
    status, output = run("tests.stress")
    assert status == 0, output
    assert "all is as it must be, and nothing is left behind" in output


def test_list() -> None:
    """The list names what each scenario shows."""
    status, output = run("tests.stress", "--list")
    assert status == 0
    lines = output.splitlines()
    assert len(lines) >= 60
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines), output


@pytest.mark.parametrize(("name", "count", "goals"), [("stalled", "60", 2), ("storm", "150", 5), ("tokens", "320", 6)])
def test_at_scale(name: str, count: str, goals: int) -> None:
    """The runs at scale come to their end and find all in order; how fast that is depends on the machine."""
    status, output = run("tests.stress.scale", name, "--count", count, "--seconds", "2")
    assert status in (0, 1), output
    assert len([line for line in output.splitlines() if line.endswith((": held", ": MISSED"))]) == goals, output
    assert ", must be " not in output
