"""Ends of the process: killed at any moment, killed between a commit and its answer, told to go under load."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

from tests.crash.wire import Answer, Lost, Violation
from tests.e2e.processes import CHECKOUT, Process, environment
from tests.faults.stage import DURABLE, Client, Stage, expect, history, until

DYING = Path(__file__).parent / "programs" / "dying.py"


async def killed_while_publishing(stage: Stage) -> None:
    """Kill -9 at random while much is published: what was acknowledged is there, once, and the rest at most once."""
    cycles = "4" if stage.short else "60"
    command = [sys.executable, "-m", "tests.crash", "--cycles", cycles, "--seed", str(stage.chance.randrange(10**6))]
    run = Process(command, environment(), CHECKOUT)
    stage.at_the_end(run.kill)
    status = await asyncio.to_thread(run.wait, 600.0)
    expect(status == 0, run.output)
    stage.note(run.lines[-4])


async def killed_before_the_answer(stage: Stage) -> None:
    """Kill -9 after the commit and before the answer: whoever repeats its call under its key finds it done, once."""
    gateway = await stage.gateway(command=(sys.executable, DYING, "-n", "--pidfile=", "cell0gw"))
    client = await stage.client(gateway)
    await client.call("channel.publish", channel=DURABLE, message="first", idempotency_key="k1")
    (gateway.folder / "die").touch()
    try:
        await client.call("channel.publish", channel=DURABLE, message="second", idempotency_key="k2")
    except Lost:
        pass
    else:
        raise Violation("it answered, and should have died")
    expect(await asyncio.to_thread(gateway.process.wait) == -signal.SIGKILL, gateway.process.output)
    (gateway.folder / "die").unlink()
    await gateway.start()
    client = await stage.client(gateway)
    expect(await history(client) == [(1, "first"), (2, "second")], "what was committed is not there")
    for name, key, offset in (("first", "k1", 1), ("second", "k2", 2)):
        again = await client.call("channel.publish", channel=DURABLE, message=name, idempotency_key=key)
        expect(again["offset"] == offset, f"{name} was published again: {again}")
    expect(len(await history(client)) == 2, "something is there twice")
    await gateway.stop()


class Load:
    """Someone who publishes for as long as it may, so many calls at a time.

    @ivar acknowledged: what was acknowledged, by offset; C{refused}: the codes of refusals.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name
        self._count = 0
        self.acknowledged: dict[int, str] = {}
        self.refused: list[str] = []

    def begin(self, in_flight: int) -> None:
        """Go on until the connection is gone."""
        for _ in range(in_flight):
            self._next()

    def _next(self) -> None:
        self._count += 1
        message = f"{self._name}:{self._count}"

        def then(answer: Answer | None) -> None:
            if answer is None:
                return
            if "error" in answer:
                self.refused.append(answer["error"]["data"]["code"])
            else:
                self.acknowledged[answer["result"]["offset"]] = message
            asyncio.get_running_loop().call_soon(self._next)

        if self._client.there:
            self._client.send(then, "channel.publish", channel=DURABLE, message=message)


async def told_to_go(stage: Stage) -> None:
    """SIGTERM under load: new work is refused, all that was acknowledged is there, everyone gets 4001, status 0."""
    gateway = await stage.gateway()
    publishers = [await stage.client(gateway) for _ in range(4)]
    idle = [await stage.client(gateway) for _ in range(50 if stage.short else 500)]
    loads = [Load(client, f"p{number}") for number, client in enumerate(publishers)]
    for load in loads:
        load.begin(8)
    await until(lambda: sum(len(load.acknowledged) for load in loads) > 200, "nothing is being published")
    gateway.signal(signal.SIGTERM)
    await until(lambda: not any(client.there for client in publishers + idle), "some are still connected")
    expect(await asyncio.to_thread(gateway.process.wait) == 0, "it did not end with status 0")
    codes = {client.close_code for client in publishers + idle}
    expect(codes == {4001}, f"it closed with {codes}")
    expect({code for load in loads for code in load.refused} <= {"unavailable"}, "calls were refused otherwise")
    await gateway.start()
    kept = dict(await history(await stage.client(gateway)))
    for load in loads:
        lost = [item for item in load.acknowledged.items() if kept.get(item[0]) != item[1]]
        expect(not lost, f"acknowledged and lost: {lost[:5]}")
    acknowledged = sum(len(load.acknowledged) for load in loads)
    refused = sum(len(load.refused) for load in loads)
    stage.note(f"{acknowledged} acknowledged, all kept; {refused} refused; {len(idle) + 4} sent away with 4001")
    await gateway.stop()


async def told_twice(stage: Stage) -> None:
    """A second SIGTERM ends it at once, whoever is still there, with status 1."""
    gateway = await stage.gateway("--drain-timeout", "60s")
    client = await stage.client(gateway)
    client.fall_silent()  # it will not answer the close
    gateway.signal(signal.SIGTERM)
    await asyncio.to_thread(gateway.process.wait_for, "draining")
    gateway.signal(signal.SIGTERM)
    expect(await asyncio.to_thread(gateway.process.wait, 10.0) == 1, "it did not end with status 1")
    expect(not gateway.complaints(), re.sub(r"\s+", " ", gateway.process.output))
