"""All of it at once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from tests.crash.wire import Lost
from tests.stress.checks import contiguous, equal, until, within
from tests.stress.raw import PING, frame, head, request
from tests.stress.scenarios.calls import outcome
from tests.stress.scenarios.channels import publish_all
from tests.stress.scenarios.recovery import Returning
from tests.stress.stage import Stage, scenario, together


@scenario(alone=True)
async def mixed_everything(stage: Stage) -> None:
    """While others attack in every way, honest clients publish, recover, write and call, and all of it is exact."""
    channel, over = stage.channel("long"), asyncio.Event()
    publisher = await stage.honest("publisher")
    sender = await stage.honest("sender")
    agent = await stage.honest("agent", capabilities=["ack", stage.entity("echo")])
    agent.invoked = lambda params: params["message"]
    watcher = await stage.honest("watcher")
    await watcher.call("channel.subscribe", channel=channel)
    returning = [Returning(stage, number, channel) for number in range(40)]
    await together(one.arrive() for one in returning)

    async def lose_some() -> None:
        while not over.is_set():
            for one in stage.chance.sample(returning, 4):
                one.client.reset()
                await asyncio.sleep(stage.chance.random() * 0.05)
                await one.come_back()

    async def write() -> None:
        for number in range(100):
            await sender.call("agent.send", agent_id=stage.entity("agent"), message=number, receipts=True)

    async def read() -> list[Any]:
        letters: list[Any] = []
        while len(letters) < 100:
            done, letters = len(letters), await agent.inbox.wait("agent.message", len(letters) + 1)
            for params in letters[done:]:
                await agent.call("agent.ack", message_id=params["message_id"], status="done")
        return letters

    async def call() -> None:
        for number in range(0, 200, 10):
            calls = [outcome(sender, capability=stage.entity("echo"), message=n) for n in range(number, number + 10)]
            equal(await together(calls), list(range(number, number + 10)), "answers to calls")

    attacks = [*attacks_of(stage).values()] * 2
    hostile = [asyncio.create_task(attack(stage, number, data, over)) for number, data in enumerate(attacks)]
    losing = asyncio.create_task(lose_some())
    publishing = asyncio.create_task(publish_all(publisher, channel, [{"n": n} for n in range(400)], window=4))
    slow = asyncio.create_task(keep_slow(stage, channel))
    reading = asyncio.create_task(read())
    await together([write(), call()])
    offsets = await publishing
    over.set()
    await losing
    await together(hostile)
    await slow
    contiguous(offsets, 1, 400, "offsets in the answers")
    await watcher.inbox.wait("channel.message", 400)
    contiguous(watcher.inbox.offsets, 1, 400, "what one got that was never lost")
    await until(lambda: all(one.offsets[-1:] == [400] for one in returning), "all have the newest")
    for one in returning:
        contiguous(one.offsets, one.first, 400, "what one got that was lost again and again")
    letters = await reading
    equal([params["message"] for params in letters], list(range(100)), "mail as it came")
    await sender.inbox.wait("agent.receipt", 300)
    within(len(sender.inbox.of("agent.receipt")), 300, 300, "receipts")
    await together(one.client.close() for one in returning)


async def attack(stage: Stage, number: int, data: bytes, over: asyncio.Event) -> None:
    """Send this from a new connection, again and again."""
    while not over.is_set():
        client = await stage.raw(stage.neighbour(100 + number)).connect()
        await client.send(data)
        await client.gone(0.2)
        client.reset() if stage.chance.random() < 0.5 else client.close()


def attacks_of(stage: Stage) -> dict[str, bytes]:
    """What the hostile send, from the first byte on."""
    guess = frame(request("auth.authenticate", token="cell0_wrong_1", entity_id="admin"))
    return {
        "garbage": stage.chance.randbytes(2000),
        "half a head": head()[:60],
        "a long head": head(("X-Long", "x" * 20_000)),
        "unmasked": head() + frame("{}", masked=False) * 50,
        "errors": head() + frame("{") * 200,
        "guesses": head() + guess * 20,
        "pings": head() + frame(b"x", PING) * 500,
        "fragments": head() + frame(b"[", fin=False) + frame(b"", 0, fin=False) * 3000,
        "depth": head() + frame("[" * 60_000),
        "large": head() + frame(b"x" * 70_000),
    }


async def keep_slow(stage: Stage, channel: str) -> None:
    """Ten that subscribe and never read."""
    clients: list[Any] = []
    for number in range(10):
        client = await stage.member(f"slow{number}", receive_buffer=2048)
        clients.append(client)
        await client.call("channel.subscribe", channel=channel)
    await asyncio.sleep(1)
    for client in clients:
        with contextlib.suppress(Lost):
            client.reset()
