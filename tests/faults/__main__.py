"""Faults that a gateway meets, one scenario each, against a real process: kills, disks that fail, too few descriptors,
silent and slow peers, storms, clocks that are set, too little memory. Each looks by itself whether all went as it must.
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
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from tests.crash.wire import Violation
from tests.faults import killing, peers, process, storage, storms
from tests.faults.stage import Skipped, Stage

Scenario = Callable[[Stage], Coroutine[Any, Any, None]]

SCENARIOS: Final[tuple[Scenario, ...]] = (
    killing.killed_while_publishing,
    killing.killed_before_the_answer,
    killing.told_to_go,
    killing.told_twice,
    storage.disk_full,
    storage.disk_locked,
    storage.disk_errors,
    storage.disk_gone,
    storage.disks_at_the_start,
    process.no_descriptors,
    process.two_on_one_folder,
    process.stalled,
    process.little_memory,
    process.clock_is_set,
    peers.half_open,
    peers.slow_reader,
    peers.never_closes,
    storms.reconnect_storm,
    peers.publisher_too_fast,
)
PATIENCE: Final = 300.0


def perform(scenario: Scenario, seed: int, short: bool) -> bool:
    """Run one, and say how it went; after a violation its folder is kept.

    @return: whether it went well.
    """
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    stage = Stage(folder, random.Random(seed), short)

    async def whole() -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await scenario(stage)
        finally:
            await stage.end()

    name, began = scenario.__name__, time.monotonic()
    try:
        asyncio.run(whole())
    except Skipped as reason:
        outcome = f"skipped: {reason}"
    except Exception as problem:
        kind = "VIOLATION" if isinstance(problem, Violation) else type(problem).__name__
        print(f"{name}: {kind} with --seed {seed}: {problem}\nits folder is kept in {folder}", flush=True)
        return False
    else:
        outcome = "; ".join(["well", *stage.notes])
    print(f"{name}: {time.monotonic() - began:.1f} s, {outcome}", flush=True)
    shutil.rmtree(folder)
    return True


def main() -> int:
    """The command.

    @return: the exit status: 1 after a violation.
    """
    names = [scenario.__name__ for scenario in SCENARIOS]
    listed = "\n".join(f"  {scenario.__name__}: {scenario.__doc__}" for scenario in SCENARIOS)
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        epilog=f"scenarios:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", choices=names, action="append", metavar="NAME", help="may be given several times")
    parser.add_argument("--short", action="store_true", help="less of everything: seconds instead of minutes")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="decides whatever is random")
    options = parser.parse_args()
    chosen = [scenario for scenario in SCENARIOS if options.only is None or scenario.__name__ in options.only]
    began = time.monotonic()
    failed = [scenario.__name__ for scenario in chosen if not perform(scenario, options.seed, options.short)]
    print(f"{len(chosen) - len(failed)} of {len(chosen)} went as they must, in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
