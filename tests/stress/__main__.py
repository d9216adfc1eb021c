"""Put one real gateway under stress: scenarios that know exactly what must come of them, and afterwards a look for
anything left behind.

Those that mostly wait run beside the others; those that use up what all need run alone, at the end.
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
import traceback
from pathlib import Path

from tests.crash.wire import Violation
from tests.e2e.processes import ADMIN_TOKEN
from tests.stress import scenarios
from tests.stress.checks import Failed
from tests.stress.clients import Lean
from tests.stress.leaks import Leaks
from tests.stress.stage import SCENARIOS, Scenario, Stage
from tests.stress.victim import LIMITS, RULES, StressedGateway

assert scenarios  # imported for what it registers


class Suite:
    """One run of the suite.

    @ivar failures: the names of the scenarios that failed.
    """

    def __init__(self, gateway: StressedGateway, admin: Lean, seed: int) -> None:
        self._gateway = gateway
        self._admin = admin
        self._seed = seed
        self._number = 0
        self.failures: list[str] = []

    async def round(self, chosen: list[Scenario]) -> None:
        """Each of these once."""
        waiting = [asyncio.create_task(self.run(one)) for one in chosen if one.waits]
        for one in chosen:
            if not one.waits and not one.alone:
                await self.run(one)
        for task in waiting:
            await task
        for one in chosen:
            if one.alone:
                await self.run(one)

    async def run(self, one: Scenario) -> None:
        """One scenario, with a line for it."""
        self._number += 1
        chance = random.Random(f"{self._seed} {one.name}")
        stage = Stage(self._gateway, self._admin, one.name.replace("_", "-"), self._number, chance)
        began = time.monotonic()
        problem = ""
        try:
            async with asyncio.timeout(90):
                await one.act(stage)
        except (Failed, Violation) as failed:
            problem = str(failed)
        except (Exception, asyncio.CancelledError) as unforeseen:
            problem = "".join(traceback.format_exception(unforeseen)[-8:])
        try:
            await stage.leave()
        except Exception as unforeseen:
            problem = problem or f"leaving: {unforeseen!r}"
        self.report(one.name, time.monotonic() - began, problem)

    def report(self, name: str, seconds: float, problem: str) -> None:
        """Print what came of it."""
        print(f"{'FAILED' if problem else 'ok':6} {name:32} {seconds:5.1f} s", flush=True)
        if problem:
            print("  " + problem.replace("\n", "\n  "), flush=True)
            self.failures.append(name)


async def perform(chosen: list[Scenario], seed: int, repeat: int, folder: Path) -> list[str]:
    """Start a gateway, run the scenarios, look for leaks.

    @return: what failed.
    """
    gateway = await asyncio.to_thread(StressedGateway, folder, LIMITS, RULES)
    try:
        admin = await Lean("127.0.0.1").open(gateway.port)
        await admin.call("auth.authenticate", token=ADMIN_TOKEN)
        suite, leaks = Suite(gateway, admin, seed), await Leaks(gateway, admin).begin()
        for _ in range(repeat):
            await suite.round(chosen)
            for what, problem, seconds in await leaks.look():
                suite.report(what, seconds, problem)
        await admin.close()
        await asyncio.to_thread(gateway.stop)
        return suite.failures
    finally:
        gateway.kill()


def main() -> int:
    """The command.

    @return: the exit status: 1 when something failed.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="decides whatever is random")
    parser.add_argument("--only", action="append", metavar="NAME", choices=SCENARIOS, help="may be given several times")
    parser.add_argument("--repeat", type=int, default=1, metavar="TIMES", help="on the same gateway")
    parser.add_argument("--list", action="store_true", help="what there is, and what each shows")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{one.name:32} {one.about}" for one in SCENARIOS.values()))
        return 0
    chosen = [SCENARIOS[name] for name in options.only or SCENARIOS]
    folder = Path(tempfile.mkdtemp(prefix="stress-"))
    began = time.monotonic()
    failures = asyncio.run(perform(chosen, options.seed, options.repeat, folder))
    ran = f"{len(chosen)} scenarios in {time.monotonic() - began:.0f} s, --seed {options.seed}"
    if failures:
        print(f"{ran}: {len(failures)} FAILED: {', '.join(failures)}\nthe log and the state are kept in {folder}")
        return 1
    shutil.rmtree(folder)
    print(f"{ran}: all is as it must be, and nothing is left behind")
    return 0


if __name__ == "__main__":
    sys.exit(main())
