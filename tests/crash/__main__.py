"""Kill a gateway over and over, and prove each time that nothing is lost, doubled or out of order.

Publishers keep calls in flight, some with idempotency keys; the process is killed with SIGKILL at a random instant and
started again on its state folder. What was acknowledged must be there, once, where the answer said; what has a key and
no answer is sent again and must end up there once.
"""

from __future__ import annotations

import sys
import time

from tests.crash.command import parser, perform
from tests.crash.run import Run


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
    """The command."""
    options = parser("tests.crash", __doc__, cycles=300)
    options.add_argument("--publishers", type=int, default=6)
    options.add_argument("--in-flight", type=int, default=16, help="calls of each publisher")
    given = options.parse_args()
    return perform(given, lambda folder, chance: Run(folder, chance, given.publishers, given.in_flight), cycles)


if __name__ == "__main__":
    sys.exit(main())
