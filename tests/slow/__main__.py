"""Lines of 20, 10, 2 and 0.5 Mbit/s bring messages and answers of 1, 3 and 9 MB in each way there is, while heartbeats
and small messages go on; who takes nothing at all is closed in time, and knows why. Much of it is at once. In the end
there is a table of how many seconds each took, for two messages or more.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.certificate import make_certificate
from tests.e2e.processes import ADMIN_TOKEN, GatewayProcess, environment
from tests.slow.cases import SIZES, SPEEDS, Case, Outcome, arriving, failures, perform, stalling, table
from tests.slow.stage import Stage, staged
from tests.slow.ways import WAYS

TRANSPORTS: Final = ("plain", "TLS")
ROOM: Final = (
    "--history-bytes", "64MiB", "--total-history-bytes", "2GiB", "--mailbox-bytes", "64MiB",
    "--heartbeat-interval", "10",
)  # fmt: skip
"""Messages of 9 MB are retained, and wait as mail. Heartbeats come often enough to be waited for, and may be answered
as late as ever. All other options are as they are.
"""
PAUSE: Final = 0.5
"""Seconds between two small messages."""


@contextmanager
def serving(transport: str, folder: Path) -> Iterator[Stage]:
    """A gateway in a folder of its own, and small messages."""
    folder.mkdir()
    started: list[GatewayProcess] = []

    def start(*flags: str, command: Sequence[str | Path], pass_fds: Sequence[int]) -> GatewayProcess:
        env = environment(CELL0_GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN)
        place = folder / "state"
        started.append(GatewayProcess(*flags, state_dir=place, env=env, command=command, pass_fds=pass_fds))
        return started[-1]

    certificate = make_certificate(folder) if transport == "TLS" else None
    try:
        with (
            staged(start, certificate, *ROOM, pause=PAUSE) as stage,
            ThreadPoolExecutor(1) as pool,
        ):
            ticking = pool.submit(stage.tick)
            try:
                yield stage
            finally:
                stage.enough.set()
            ticking.result()
    finally:
        for each in started:
            each.kill()


def run(chosen: argparse.Namespace) -> dict[Case, Outcome]:
    """Run what was asked for."""
    whole = not (chosen.way or chosen.size or chosen.speed)
    speeds = chosen.speed or list(SPEEDS)
    cases: list[Case] = []
    running: dict[Case, Future[Outcome]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="slow-")))
        for transport in chosen.transport or TRANSPORTS:
            stage = stack.enter_context(serving(transport, folder / transport))
            if whole or chosen.stalls:
                cases += stalling(transport, stage, stack)
            if not chosen.stalls:
                cases += arriving(transport, stage, chosen.way or WAYS, chosen.size or SIZES, speeds, stack)
        print(f"{len(cases)} cases", flush=True)
        pools = {speed: stack.enter_context(ThreadPoolExecutor(busy)) for speed, busy in SPEEDS.items()}
        still = stack.enter_context(ThreadPoolExecutor(len(cases)))
        for case in sorted(cases, key=lambda case: -case.size):
            pool = pools.get(case.speed, still) if case.way in WAYS else still
            running[case] = pool.submit(perform, case)
        return {case: running[case].result() for case in cases}


def main() -> int:
    """The command.

    @return: the exit status: 1 when something failed.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.slow", description=__doc__)
    parser.add_argument("--transport", action="append", choices=TRANSPORTS)
    parser.add_argument("--way", action="append", choices=list(WAYS))
    parser.add_argument("--size", action="append", type=float, metavar="MB", help="by default 1, 3 and 9")
    parser.add_argument("--speed", action="append", type=float, metavar="MBIT", help="by default 20, 10, 2 and 0.5")
    parser.add_argument("--stalls", action="store_true", help="nothing but those who take nothing")
    chosen = parser.parse_args()
    began = time.monotonic()
    outcomes = run(chosen)
    print(table(outcomes))
    failed = len(failures(outcomes))
    print(f"{len(outcomes) - failed} of {len(outcomes)} held, in {time.monotonic() - began:.0f} s")
    return 1 if failed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
