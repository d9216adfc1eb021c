"""How much of the floors that strangers reach the unit tests run through: C{make coverage}.

The floors 0 to 4, in lines and in branches; fewer than L{LEAST} per cent of the branches end it with status 1.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import coverage
import pytest

ROOT = Path(__file__).parent.parent
LEAST = 95.0


def measured(path: str) -> bool:
    """Whether a file is on one of these floors."""
    return Path(path).relative_to(ROOT / "cell0gw").parts[0] not in (
        "app",
        "cli.py",
        "config",
        "process",
        "tap.py",
        "testing",
    )


def main() -> int:
    """Run the unit tests, print a table, and the share of branches.

    @return: the status to exit with.
    """
    measurement = coverage.Coverage(branch=True, source=[str(ROOT / "cell0gw")], data_file=None)
    measurement.start()
    failed = pytest.main(["-q", "tests", "--ignore", "tests/e2e", "--ignore", "tests/crash"])
    measurement.stop()
    files = [path for path in measurement.get_data().measured_files() if measured(path)]
    measurement.report(morfs=files, skip_covered=True, show_missing=True)
    with TemporaryDirectory() as folder:
        measurement.json_report(morfs=files, outfile=f"{folder}/totals.json")
        totals = json.loads(Path(folder, "totals.json").read_text())["totals"]
    branches, taken = totals["num_branches"], totals["covered_branches"]
    share = 100 * taken / branches
    print(f"floors 0 to 4: {taken} of {branches} branches, {share:.1f} %")
    return int(bool(failed) or share < LEAST)


if __name__ == "__main__":
    sys.exit(main())
