"""The benchmark runs, and measures something."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]


def test_bench(tmp_path: Path) -> None:
    """Every scenario of C{make bench} ends with figures, in the table and in the JSON."""
    results = tmp_path / "results.json"
    run = subprocess.run(
        [sys.executable, "-m", "bench", "--seconds", "0.4", "--json", str(results)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    figures = json.loads(results.read_text())
    assert len(figures) == 22
    for name, row in figures.items():
        assert row["per_second"] > 0, name
        assert f"| {name} |" in run.stdout
