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
    channel, going = stage.channel("long"), True
    publisher = await stage.honest("publisher")
    sender = await stage.honest("sender")
    agent = await stage.honest("agent", capabilities=["ack", stage.entity("echo")])
    agent.invoked = lambda params: params["message"]
    watcher = await stage.honest("watcher")
    await watcher.call("channel.subscribe", channel=channel)
    returning = [Returning(stage, number, channel) for number in range(40)]
    await together(one.arrive() for one in returning)
    attacks = attacks_of(stage)

    async def attack(number: int) -> None:
        name = list(attacks)[number % len(attacks)]
        while going:
            client = await stage.raw(stage.neighbour(100 + number)).connect()
            await client.send(attacks[name])
            await client.gone(0.2)
            client.reset() if stage.chance.random() < 0.5 else client.close()

    async def lose_some() -> None:
        while going:
            for one in stage.chance.sample(returning, 4):
                one.client.reset()
                await asyncio.sleep(stage.chance.random() * 0.05)
                await one.come_back()

    async def write() -> None:
        for number in range(150):
            await sender.call("agent.send", agent_id=stage.entity("agent"), message=number, receipts=True)

    async def call() -> None:
        for number in range(0, 300, 10):
            calls = [outcome(sender, capability=stage.entity("echo"), message=n) for n in range(number, number + 10)]
            equal(await together(calls), list(range(number, number + 10)), "answers to calls")

    hostile = [asyncio.create_task(attack(number)) for number in range(2 * len(attacks))]
    losing = asyncio.create_task(lose_some())
    publishing = asyncio.create_task(publish_all(publisher, channel, [{"n": n} for n in range(600)], window=4))
    slow = asyncio.create_task(keep_slow(stage, channel))
    await together([write(), call()])
    offsets = await publishing
    going = False
    await losing
    await together(hostile)
    await slow
    contiguous(offsets, 1, 600, "offsets in the answers")
    await watcher.inbox.wait("channel.message", 600)
    contiguous(watcher.inbox.offsets, 1, 600, "what one got that was never lost")
    await until(lambda: all(one.offsets[-1:] == [600] for one in returning), "all have the newest")
    for one in returning:
        contiguous(one.offsets, one.first, 600, "what one got that was lost again and again")
    letters = await agent.inbox.wait("agent.message", 150)
    equal([params["message"] for params in letters], list(range(150)), "mail as it came")
    for params in letters:
        await agent.call("agent.ack", message_id=params["message_id"], status="done")
    await sender.inbox.wait("agent.receipt", 450)
    within(len(sender.inbox.of("agent.receipt")), 450, 450, "receipts")
    await together(one.client.close() for one in returning)


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
