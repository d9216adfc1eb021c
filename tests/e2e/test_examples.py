"""The examples do what they say, over real sockets, in processes that are really killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def steps() -> dict[str, dict[str, Any]]:
    """What C{examples/demo.py} has shown, by step."""
    run = subprocess.run(
        [sys.executable, "demo.py"], cwd=EXAMPLES, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    shown = [json.loads(line) for line in run.stdout.splitlines()]
    return {line.pop("step"): line for line in shown}


def test_spread(steps: dict[str, dict[str, Any]]) -> None:
    """Calls are spread over the workers, as many to each as it takes, and all are answered."""
    assert steps["spread"]["loads"] == {"worker-1": 2, "worker-2": 2, "worker-3": 2}
    assert steps["spread"]["results"] == [f"WORD {n}" for n in range(6)]


def test_explained(steps: dict[str, dict[str, Any]]) -> None:
    """The gateway says who would get a call, and why the others would not."""
    reasons = steps["explained"]["reasons"]
    assert reasons["worker-1"].startswith("chosen by least_busy")
    assert reasons["worker-2"] == reasons["worker-3"] == "it wants no calls now"


def test_killed_before_it_began(steps: dict[str, dict[str, Any]]) -> None:
    """The call of a worker that was killed before it began goes to another; when none is left, the caller is told."""
    assert steps["killed_before_it_began"]["passed_on"]
    assert steps["nobody_left"]["code"] == -32000


def test_killed_after_it_began(steps: dict[str, dict[str, Any]]) -> None:
    """The caller of a worker that was killed after it began is told, though another could have taken the call."""
    assert steps["killed_after_it_began"]["code"] == -32008
    assert steps["others_go_on"]["result"] == "STILL HERE"


def test_stream(steps: dict[str, dict[str, Any]]) -> None:
    """A stream arrives whole, in order, before the answer."""
    assert " ".join(steps["stream"]["words"]) == steps["stream"]["story"]
    assert len(steps["stream"]["words"]) == 14


def test_cancel(steps: dict[str, dict[str, Any]]) -> None:
    """A call that is cancelled ends for its caller, and the agent stops."""
    assert steps["cancel"] == {"code": -32009, "stopped": True}


def test_mail(steps: dict[str, dict[str, Any]]) -> None:
    """Mail that was sent while an agent was down arrives in order when it is back, and receipts tell all of it."""
    assert steps["mail_waits"]["statuses"] == ["queued"] * 5
    assert steps["mail_arrives"]["numbers"] == list(range(5))
    assert steps["receipts"]["ladder"] == ["queued", "sent", "received", "started", "done"]
