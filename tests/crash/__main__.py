"""Kill a gateway over and over, and prove each time that nothing is lost, doubled or out of order.

Publishers keep calls in flight, some with idempotency keys; the process is killed with SIGKILL at a random instant and
started again on its state folder. What was acknowledged must be there, once, where the answer said; what has a key and
no answer is sent again and must end up there once.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.run import Run
from tests.crash.wire import Violation


async def cycles(run: Run, count: int) -> None:
    """All cycles, with a line for every ten, and the summary."""
    began = time.monotonic()
    for number in range(1, count + 1):
        await run.cycle()
        if number % 10 == 0:
            ledger = run.ledger
            print(
                f"{number:4} cycles, {time.monotonic() - began:4.0f} s: {sum(ledger.verified.values()):7} verified, "
                f"{ledger.acknowledgements:7} answers, {ledger.replays:6} of them replayed",
                flush=True,
            )
    outcome = await run.finish()
    print(f"{count} cycles in {time.monotonic() - began:.0f} s: nothing is lost, doubled or out of order")
    print("killed: " + ", ".join(f"{times} times {when}" for when, times in sorted(run.kills.items())))
    print("; ".join(f"{what}: {times}" for what, times in outcome.items()))
    print(f"received by a subscriber that went on after each kill: {run.received}")


def main() -> int:
    """The command.

    @return: the exit status: 1 after a violation.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="decides whatever is random")
    parser.add_argument("--publishers", type=int, default=6)
    parser.add_argument("--in-flight", type=int, default=16, help="calls of each publisher")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    run = Run(folder, random.Random(options.seed), options.publishers, options.in_flight)
    try:
        asyncio.run(cycles(run, options.cycles))
    except BaseException as problem:
        if isinstance(problem, Violation):
            print(f"VIOLATION with --seed {options.seed}: {problem}\nthe state folder is kept in {folder}")
            return 1
        print(f"not finished, --seed {options.seed}, {folder}: {problem!r}", file=sys.stderr)
        raise
    finally:
        run.end()
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
