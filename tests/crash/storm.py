"""A storm of reconnects: many subscribers of one channel, cut off at random while it is being published to.

In the calm at the end every subscriber must have got every message since its first one, once and in order. Modes:

- kept: the channel's history, in memory, is long enough for all to recover;
- durable: it is on disk, and memory holds the last few messages only;
- scarce: it is too short on purpose, so that a subscriber misses messages; each time it must have been told;
- trimmed: the same on disk.
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
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

from tests.crash.subscriber import CHANNEL, HOLE, HOWS, Subscriber, content_of
from tests.crash.victim import Victim
from tests.crash.wire import PATIENCE, Connection, Violation, first_failure
from tests.e2e.processes import ADMIN_TOKEN

RATE: Final = 40
"""Messages a second, about,"""
BURST: Final = 8
"""so many at once, at most."""
LIFE: Final = 4.0
"""After so many seconds, on the average, a connection is cut."""
RULE: Final = '[[channels]]\npattern = "storm.>"\n'


class Mode(NamedTuple):
    """How long messages are held, and for how many seconds subscribers stay away at most, usually much less."""

    config: str
    pause: float


MODES: Final = {
    "kept": Mode(f"{RULE}history_size = 100_000\n", 4.0),
    "durable": Mode(f'[gateway]\nhistory_bytes = "8KiB"\n{RULE}durable = true\n', 4.0),
    "scarce": Mode(f"{RULE}history_size = 5\n", 1.0),
    "trimmed": Mode(f'[gateway]\nhistory_bytes = "1KiB"\n{RULE}durable = true\nhistory_size = 10\n', 2.0),
}
COMPLETE: Final = ("kept", "durable")


class Storm:
    """One storm, on a gateway of its own."""

    def __init__(self, victim: Victim, mode: Mode, subscribers: int, seconds: float, chance: random.Random) -> None:
        self._victim = victim
        self._mode = mode
        self._count = subscribers
        self._seconds = seconds
        self._chance = chance
        self._subscribers: list[Subscriber] = []
        self._over = False
        self.published = self.received = self.cuts = 0
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """All of it.

        @raise Violation: someone has a gap or a double, or was told what is not so.
        """
        failed = first_failure()
        port = await asyncio.to_thread(self._victim.start)
        admin = await Connection().open(port)
        await admin.call("auth.authenticate", token=ADMIN_TOKEN)
        minting = {"entity_id": "reader.*", "permissions": ["channel.subscribe:storm.>", "session.*"]}
        token = (await admin.call("auth.generateToken", **minting))["token"]
        for number in range(self._count):
            how = HOWS[number % len(HOWS)]
            self._subscribers.append(
                Subscriber(f"reader.{number}", how, token, port, self._chance, self._mode.pause, self.counts)
            )
        try:
            async with asyncio.TaskGroup() as group:
                for_ever = [group.create_task(subscriber.live()) for subscriber in self._subscribers]
                for_ever.append(group.create_task(wait(failed)))
                publishing = group.create_task(self._publish(admin))
                raging = group.create_task(self._rage())
                await asyncio.sleep(self._seconds)
                raging.cancel()
                self._over = True
                await publishing
                await self._calm()
                for task in for_ever:
                    task.cancel()
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from None
        for subscriber in self._subscribers:
            subscriber.check(self.published)
            self.received += len(subscriber.offsets)
        await asyncio.to_thread(self._victim.stop)

    async def _publish(self, connection: Connection) -> None:
        """Publish, about L{RATE} times a second."""
        while not self._over:
            burst = range(self.published + 1, self.published + 1 + self._chance.randint(1, BURST))
            calls = [connection.call("channel.publish", channel=CHANNEL, message=content_of(each)) for each in burst]
            offsets = [answer["offset"] for answer in await asyncio.gather(*calls)]
            if offsets != list(burst):
                raise Violation(f"messages {burst.start} to {burst.stop - 1} got the offsets {offsets}")
            self.published = offsets[-1]
            await asyncio.sleep(len(burst) / RATE)

    async def _rage(self) -> None:
        """Cut connections at random."""
        while True:
            await asyncio.sleep(self._chance.expovariate(len(self._subscribers) / LIFE))
            self._chance.choice(self._subscribers).cut()
            self.cuts += 1

    async def _calm(self) -> None:
        """Wait until everyone is back and has the newest message."""
        for subscriber in self._subscribers:
            subscriber.calm = True
        deadline = time.monotonic() + PATIENCE
        while behind := [each for each in self._subscribers if each.last != self.published]:
            if time.monotonic() > deadline:
                raise Violation(f"{behind[0].name} stays at {behind[0].last}, the newest is {self.published}")
            await asyncio.sleep(0.05)
        for subscriber in self._subscribers:
            await subscriber.ping()  # whatever would come twice has come by then


async def wait(failed: asyncio.Future[None]) -> None:
    """Raise what fails in a callback."""
    await failed


async def storms(modes: list[str], subscribers: int, seconds: float, seed: int, folder: Path) -> None:
    """One storm for each mode, and what came of it."""
    for name in modes:
        victim = Victim(folder / name, MODES[name].config)
        storm = Storm(victim, MODES[name], subscribers, seconds, random.Random(seed))
        try:
            await storm.run()
        finally:
            victim.end()
        counts = storm.counts
        print(
            f"{name}: {storm.published} messages to {subscribers} subscribers, {storm.received} received; "
            f"{storm.cuts} cuts; " + ", ".join(f"{counts[what]} {what}" for what in sorted(counts)),
            flush=True,
        )
        if name in COMPLETE and counts[HOLE]:
            raise Violation(f"{counts[HOLE]} subscribers lost messages that were held")
        told = "each was told of" if counts[HOLE] else ""
        print(f"{name}: {counts[HOLE]} holes{told and ', '}{told}; nothing else is missing, doubled or out of order")


def main() -> int:
    """The command.

    @return: the exit status: 1 after a violation.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.storm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subscribers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--mode", choices=MODES, action="append", help="may be given several times; else all")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="decides whatever is random")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="storm-"))
    try:
        asyncio.run(storms(options.mode or list(MODES), options.subscribers, options.seconds, options.seed, folder))
    except Violation as problem:
        print(f"VIOLATION with --seed {options.seed}: {problem}\nthe state folder is kept in {folder}")
        return 1
    except BaseException:
        print(f"not finished, --seed {options.seed}, {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
