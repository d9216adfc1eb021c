"""A thousand wrong tokens: they are slowed down, the log stays short, and a valid token passes all the while."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.e2e.processes import ADMIN_TOKEN
from tests.stress.clients import Lean
from tests.stress.raw import Raw, request
from tests.stress.scale.aside import Aside
from tests.stress.scale.figures import Report, spread
from tests.stress.victim import StressedGateway

ADDRESSES: Final = 20
EACH: Final = 4
"""So many guesses of a connection; the fifth would close it."""


async def tokens(report: Report, folder: Path, count: int, seconds: float) -> None:
    """The run."""
    gateway = await asyncio.to_thread(StressedGateway, folder, {}, "")
    try:
        logged = gateway.logged
        async with Aside(guess, gateway.port, count) as guessing:
            took, failures = [], 0
            ends = time.monotonic() + seconds
            number = 0
            while time.monotonic() < ends:
                number += 1
                client = await Lean(f"127.4.0.{1 + number % ADDRESSES}").open(gateway.port)
                began = time.monotonic()
                try:
                    await client.call("auth.authenticate", token=ADMIN_TOKEN)
                except Exception:
                    failures += 1
                took.append(time.monotonic() - began)
                await client.close()
                await asyncio.sleep(0.02)
            answers, spent = await guessing.outcome()
        report.figure("wrong tokens, and what was answered", dict(answers))
        report.figure("seconds they took", spent)
        report.figure("a valid token from the same addresses", spread(took))
        report.exactly("valid tokens that did not pass", failures, 0)
        report.exactly("answers", answers.total(), count)
        report.goal("wrong tokens that were looked at", answers[-32001], ADDRESSES * 10, "tokens")
        lines = [line for line in gateway.log(logged) if re.search(r"wrong|invalid|token", line["message"], re.I)]
        report.figure("lines of the log about it", len(lines))
        causes = Counter((line["time"][:19], re.sub(r"[\d.:]+", "#", line["message"])) for line in lines)
        report.goal("lines of one cause in one second", max(causes.values(), default=0), 1, "lines")
        report.goal("lines about it in one second", max(per_second(lines).values(), default=0), 10, "lines")
        report.exactly("faults in the log", gateway.complaints()[:3], [])
        await asyncio.to_thread(gateway.stop)
    finally:
        gateway.kill()


def per_second(lines: list[dict[str, Any]]) -> Counter[str]:
    """How many lines each second has."""
    return Counter(line["time"][:19] for line in lines)


async def guess(stop: asyncio.Event, ready: Callable[[], None], port: int, count: int) -> Any:
    """Guess, a few tokens a connection, from many addresses.

    @return: the answers by their numbers, and how many seconds it took.
    """
    answers: Counter[int] = Counter()
    ready()
    began = time.monotonic()
    for number in range(0, count, EACH):
        client = await Raw(port, f"127.4.0.{1 + number // EACH % ADDRESSES}").open()
        texts = [request("auth.authenticate", n, token=f"cell0_{n:043}_1770892200") for n in range(EACH)]
        await client.tell(*texts)
        while texts:
            came = await client.frame()
            if came is None:
                break
            if b'"id"' in came.payload:
                answers[came.message["error"]["code"]] += 1
                texts.pop()
        client.close()
    spent = time.monotonic() - began
    await stop.wait()
    return answers, spent
