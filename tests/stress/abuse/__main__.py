"""One hostile client at full speed, and then a crowd of them, against a gateway as it is shipped: ten honest sessions
call, publish and receive beside them, and must hardly notice.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.stress.abuse.attacks import ATTACKS, Attack, crowds, memory, pools, processor
from tests.stress.abuse.hostile import MIB
from tests.stress.abuse.trial import Outcome, trial

KINDS = (processor, memory, pools, crowds)
"""Imported for what they register."""

HEAD = f"{'attack':30} {'of':>3} {'quiet':>8} {'p99':>9} {'worst':>9} {'memory':>9} {'left':>8} {'sent':>9} {'lost':>6}"


def row(kind: Attack, count: int, outcome: Outcome) -> str:
    """A line of the table."""
    times = f"{outcome.quiet * 1000:5.1f} ms {outcome.p99 * 1000:6.1f} ms {outcome.worst * 1000:6.0f} ms"
    sizes = f"{outcome.grew / MIB:5.0f} MiB {outcome.left / MIB:4.0f} MiB {outcome.sent / MIB:5.0f} MiB"
    return f"{kind.name:30} {count:3} {times} {sizes} {outcome.lost:6}  {'MISSED' if outcome.missed else 'held'}"


def perform(chosen: list[Attack], counts: list[int], seconds: float) -> int:
    """Each attack by each number of clients.

    @return: how many missed a goal.
    """
    missed = 0
    print(HEAD)
    for count in counts:
        for kind in chosen:
            if count not in kind.counts:
                continue
            folder = Path(tempfile.mkdtemp(prefix="abuse-"))
            try:
                outcome = asyncio.run(trial(kind, count, seconds, folder))
            finally:
                shutil.rmtree(folder)
            print(row(kind, count, outcome), flush=True)
            for what in outcome.missed:
                print(f"    {what}", flush=True)
            missed += bool(outcome.missed)
    return missed


def main() -> int:
    """The command.

    @return: the exit status: 1 when a goal was missed.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.stress.abuse", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", choices=ATTACKS, help="may be given several times")
    parser.add_argument("--count", action="append", type=int, help="how many are hostile; by default 1, 50, and 1000")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long they are; 10 by default")
    parser.add_argument("--list", action="store_true", help="what attacks there are, and what each does")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{one.name:30} {one.after:8} {one.about}" for one in ATTACKS.values()))
        return 0
    chosen = [ATTACKS[name] for name in options.only or ATTACKS]
    began = time.monotonic()
    missed = perform(chosen, options.count or [1, 50, 1000], options.seconds)
    ran = f"{len(chosen)} attacks in {time.monotonic() - began:.0f} s"
    print(f"{ran}: {missed} missed a goal" if missed else f"{ran}: every goal held")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
