"""Thousands of connections against a gateway as it is shipped.

stalled: sockets that never get on, and how long it takes an honest client to come in beside them.
storm: sessions that all lose their connections at once, come back at once and miss nothing, and what the others notice.
tokens: wrong tokens, one after the other, from many addresses.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tests.stress.scale.figures import Report
from tests.stress.scale.stalled import stalled
from tests.stress.scale.storm import storm
from tests.stress.scale.tokens import tokens

RUNS = {"stalled": (stalled, 2000, 20.0), "storm": (storm, 5000, 20.0), "tokens": (tokens, 1000, 10.0)}


def main() -> int:
    """The command.

    @return: the exit status: 0 if the goals held.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.stress.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--count", type=int, help="how many sockets, sessions or tokens")
    parser.add_argument("--seconds", type=float, help="how long the honest client goes on, or is waited for")
    options = parser.parse_args()
    run, count, seconds = RUNS[options.run]
    count, seconds = options.count or count, options.seconds or seconds
    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    report = Report()
    print(f"{options.run}, {count}:", flush=True)
    try:
        asyncio.run(run(report, folder, count, seconds))
    finally:
        shutil.rmtree(folder)
    if report.missed:
        print("  missed: " + "; ".join(report.missed))
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
