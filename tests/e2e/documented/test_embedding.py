"""The gateway inside of programs: asyncio's and Twisted's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.processes import environment, run_to_end

PROGRAMS = Path(__file__).parents[1] / "programs"


def run(name: str, folder: Path) -> list[str]:
    """Run a program to its end, which must be a good one.

    @return: the lines it printed.
    """
    command = [sys.executable, "-W", "default::ResourceWarning", PROGRAMS / name, folder / "state"]
    outcome = run_to_end(command, environment(), folder)
    lines = outcome.output.splitlines()
    assert (outcome.status, lines[-1:]) == (0, ["done"]), outcome.output
    return lines


@pytest.mark.parametrize("name", ["in_asyncio.py", "in_twisted.py"])
def test_a_program_with_a_gateway(tmp_path: Path, name: str) -> None:
    """Start, mint, publish, send, emit and stop can be awaited; a client in the same loop sees what they do."""
    lines = run(name, tmp_path)
    assert lines == ["connection.welcome", "agent_001", "1", '{"n": 1}', '{"n": 2}', '{"n": 3}', "4001", "done"]


def test_asyncio_with_a_foreign_reactor(tmp_path: Path) -> None:
    """In asyncio with another reactor than the loop's, start raises RuntimeError, in one line that says what to do."""
    refused, reactor, done = run("foreign_reactor.py", tmp_path)
    assert reactor in refused
    assert "asyncio" in refused
    assert "before start()" in refused
    assert done == "done"


def test_start_stop_start(tmp_path: Path) -> None:
    """A gateway can be started again, and another on its folder after it; tokens stay; two at once can't be."""
    *served, refused, done = run("restart.py", tmp_path)
    assert served == ["agent_001"] * 3
    assert refused.startswith("StartError another gateway runs on the state folder")
    assert done == "done"
