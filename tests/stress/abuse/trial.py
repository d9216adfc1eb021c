"""One attack against a gateway as it is shipped, beside ten honest sessions, and what these noticed."""

from __future__ import annotations

import asyncio
import math
import re
import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.crash.wire import Lost, Refused
from tests.e2e.processes import ADMIN_TOKEN
from tests.stress.abuse.attacks import Attack
from tests.stress.abuse.goals import goals
from tests.stress.abuse.honest import SESSIONS, Company
from tests.stress.abuse.hostile import MIB, Who, attack
from tests.stress.clients import Lean
from tests.stress.scale.aside import Aside
from tests.stress.scale.figures import percentile
from tests.stress.victim import StressedGateway

RULES: Final = '[[channels]]\npattern = "kept.>"\ndurable = true\nhistory_ttl = 300\n'
QUIET: Final = 4.0
"""Seconds in which nobody is hostile."""

BACK: Final = 60.0
"""Seconds after which the memory has come back."""

BRIEFLY: Final = {"resume_window": 10, "idempotency_window": 10}
FLEETING: Final = RULES + '[[channels]]\npattern = ">"\nhistory_ttl = 10\n'
"""Of a crowd it takes minutes until what it has left is given up. So that this can be seen it is kept for seconds here,
and as much of it as by default.
"""

LEFT: Final = {1: 64 * MIB, 50: 128 * MIB}
"""Maximum bytes of memory that stay when all are gone, by how many they were. Python returns an arena when nothing is
left in it, so some stays of fifty, and most of a thousand, for the next objects.
"""

TIMES: Final = 5.0
"""Maximum of the 99th percentile beside one hostile client, in those of a quiet time."""


class Outcome(NamedTuple):
    """What came of it: 99th percentiles in seconds, memory in bytes, and all that is not as it must be."""

    quiet: float
    p99: float
    worst: float
    grew: int
    left: int
    sent: int
    lost: int
    missed: list[str]


async def trial(kind: Attack, count: int, seconds: float, folder: Path) -> Outcome:
    """Run it.

    @param count: how many are hostile.
    @param seconds: how long they are.
    """
    gateway = await asyncio.to_thread(StressedGateway, folder, *((BRIEFLY, FLEETING) if count > 1 else ({}, RULES)))
    try:
        admin = await Lean("127.0.0.1").open(gateway.port)
        await admin.call("auth.authenticate", token=ADMIN_TOKEN)
        outcome = await _beside(gateway, admin, kind, count, seconds)
        await admin.close()
        await asyncio.to_thread(gateway.stop)
        return outcome
    finally:
        gateway.kill()


async def _beside(gateway: StressedGateway, admin: Lean, kind: Attack, count: int, seconds: float) -> Outcome:
    company, missed = Company(), list[str]()
    honest = (await admin.call("auth.generateToken", entity_id="honest.*"))["token"]
    await company.begin(gateway.port, honest)
    await company.work(1.0)  # what is done for the first time takes longer
    quiet = percentile(await company.work(QUIET), 0.99)
    crowd = [
        Who(
            number,
            gateway.port,
            f"127.100.{number // 250}.{number % 250 + 1}",
            (await admin.call("auth.generateToken", entity_id=f"evil.{number}"))["token"],
        )
        for number in range(count)
    ]
    late = {"admin": ADMIN_TOKEN} if kind.fills and count > 1 else {"admin": ADMIN_TOKEN, "honest.late": honest}
    before = gateway.resident
    async with Aside(attack, kind.act, crowd) as hostile:
        watching = asyncio.create_task(_peak(gateway))
        over = asyncio.Event()
        coming = asyncio.create_task(_comes_in(gateway, late, over, missed))
        took = await company.work(seconds)
        over.set()
        await coming
        sent, lost, ended = await hostile.outcome()
    watching.cancel()
    (peak,) = await asyncio.gather(watching)
    p99 = percentile(took, 0.99)
    goal, longest = goals()[kind.by, count], max(took, default=0.0)
    bound = goal.wait if count > 1 else min(goal.wait, max(TIMES * quiet, 0.005))
    if p99 > bound:
        missed.append(f"p99 is {p99 * 1000:.1f} ms, goal {bound * 1000:.1f} ms")
    grew = peak - before
    if longest > goal.turn:
        missed.append(f"the longest took {longest * 1000:.0f} ms, goal {goal.turn * 1000:.0f} ms")
    if grew > goal.memory:
        missed.append(f"memory grew by {grew / MIB:.0f} MiB, goal {goal.memory / MIB:.0f} MiB")
    for what, times in company.faults.items():
        if not (kind.fills and _has_share(what, count)):
            missed.append(f"honest: {what}, {times} times")
    missed += [f"the attack ended by itself: {what}" for what in ended]
    if gone := await company.lost():
        missed.append(f"{len(gone)} publications did not come to all, the first is {gone[0]}")
    wanted = sum(member.kept for member in company.members)
    if (held := await company.held(admin)) < wanted:
        missed.append(f"of {wanted} durable messages that were acknowledged {held} are held")
    until, left, most = time.monotonic() + BACK, gateway.resident - before, LEFT.get(count, math.inf)
    while left > most and time.monotonic() < until:
        await asyncio.sleep(0.5)
        left = gateway.resident - before
    if left > most:
        missed.append(f"{left / MIB:.0f} MiB are left of it after {BACK:g} s, goal {most / MIB:.0f} MiB")
    missed += [f"log: {line[:300]}" for line in gateway.complaints()[:3]]
    return Outcome(quiet, p99, longest, grew, left, sent, lost, missed)


def _has_share(refusal: str, count: int) -> bool:
    """Whether who was refused has as much of a mailbox as each of those who write to it can have."""
    found = re.search(r"holds (\d+) messages, (\d+) of them yours", refusal)
    return found is not None and int(found[2]) + 1 >= int(found[1]) // (count + SESSIONS)


async def _peak(gateway: StressedGateway) -> int:
    """The most memory that it has had, until this is cancelled."""
    most = 0
    try:
        while True:
            most = max(most, gateway.resident)
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        return most


async def _comes_in(gateway: StressedGateway, late: dict[str, str], over: asyncio.Event, missed: list[str]) -> None:
    """More honest sessions, of these names with these tokens, come in again and again meanwhile."""
    while not over.is_set():
        await asyncio.sleep(1.0)
        for name, bearer in late.items():
            client = Lean("127.200.1.1")
            try:
                await client.open(gateway.port)
                await client.authenticate(bearer, name)
                await client.call("channel.publish", channel="honest.late", message=1)
                await client.close()
            except (Lost, Refused, AssertionError, TimeoutError) as problem:
                if (what := f"{name} can't come in: {problem}") not in missed:
                    missed.append(what)
                client.reset()
