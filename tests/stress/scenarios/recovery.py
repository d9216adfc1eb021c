"""Connections that break while messages come: nothing is missing, nothing comes twice, and holes are told of."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

from tests.crash.subscriber import CHANNEL, HOLE, HOWS, Subscriber, content_of
from tests.crash.wire import Lost
from tests.stress.checks import contiguous, equal, until, within
from tests.stress.clients import Lean
from tests.stress.scenarios.channels import publish_all
from tests.stress.stage import Stage, scenario, together


@scenario()
async def recovery_reconnect(stage: Stage) -> None:
    """Thirty whose sockets are killed at random while somebody publishes: zero gaps, zero duplicates."""
    token = await stage.mint()
    counts: Counter[str] = Counter()
    newest = (await publish_here(stage, 1, 0))[-1]
    subscribers = [
        Subscriber(stage.entity(f"s{n}"), HOWS[n % len(HOWS)], token, stage.port, stage.chance, 0.5, counts)
        for n in range(30)
    ]
    lives = [asyncio.create_task(subscriber.live()) for subscriber in subscribers]
    cuts = 0
    for _ in range(60):
        newest = (await publish_here(stage, stage.chance.randint(1, 15), newest))[-1]
        for subscriber in stage.chance.sample(subscribers, 2):
            subscriber.cut()
            cuts += 1
        await asyncio.sleep(0.03)
    for subscriber in subscribers:
        subscriber.calm = True
    await until(lambda: all(subscriber.last == newest or gone(lives) for subscriber in subscribers), "all have all")
    for task in lives:
        if task.done():
            task.result()
    for subscriber in subscribers:
        await subscriber.ping()
        subscriber.check(newest)
        task = lives.pop(0)
        task.cancel()
        await asyncio.wait([task])
        assert subscriber._connection is not None
        subscriber._connection.drop()
    equal(counts[HOLE], 0, "messages that were held and not recovered")
    within(counts["resumed"] + counts["recovered"], cuts / 4, 1000, f"recoveries: {dict(counts)}")


async def publish_here(stage: Stage, count: int, newest: int) -> list[int]:
    """Publish on the channel of L{Subscriber}s, what they expect there."""
    if not newest:
        listed = (await stage.admin.call("channel.list", pattern=CHANNEL))["channels"]
        newest = listed[0]["offset"] if listed else 0
    burst = range(newest + 1, newest + 1 + count)
    return await publish_all(stage.admin, CHANNEL, [content_of(offset) for offset in burst])


def gone(lives: list[Any]) -> bool:
    """Whether one of them has failed."""
    return any(task.done() for task in lives)


class Returning:
    """One that is subscribed, is lost, and comes back by C{session.resume}."""

    def __init__(self, stage: Stage, number: int, channel: str) -> None:
        self._stage = stage
        self._who = f"r{number}"
        self._address = stage.neighbour(1 + number % 8)
        self.channel = channel
        self.offsets: list[int] = []
        self.client: Lean
        self._secret = ""
        self.epoch = ""

    async def arrive(self) -> None:
        """Subscribe."""
        await self._connect()
        answer = await self.client.call("channel.subscribe", channel=self.channel)
        self.epoch = answer["epoch"]
        self.first = answer["offset"] + 1

    async def come_back(self) -> None:
        """Take one's place again, with what one has."""
        secret = self._secret
        await self._connect()
        last = self.offsets[-1] if self.offsets else self.first - 1
        positions = {self.channel: {"offset": last, "epoch": self.epoch}}
        answer = await self.client.call("session.resume", resume_token=secret, positions=positions)
        equal(answer["resumed"], True, f"whether {self._who} has its place again")
        equal(answer["channels"][self.channel]["recovered"], True, f"whether {self._who} gets what it missed")

    async def _connect(self) -> None:
        self.client = await Lean(self._address, self._heard).open(self._stage.port)
        self._stage.keep(self.client)
        token = await self._stage.token()
        self._secret = (await self.client.authenticate(token, self._stage.entity(self._who)))["resume_token"]

    def _heard(self, method: str, params: Any) -> None:
        if method == "channel.message":
            self.offsets.append(params["offset"])


@scenario()
async def recovery_storm(stage: Stage) -> None:
    """Five hundred are lost at once while messages come, and come back at once: zero gaps, zero duplicates."""
    channel = stage.channel("long")
    all_of_them = [Returning(stage, number, channel) for number in range(500)]
    await stage.token()
    for start in range(0, 500, 50):
        await together(one.arrive() for one in all_of_them[start : start + 50])
    publisher = await stage.honest()
    steady = await stage.honest()
    await steady.call("channel.subscribe", channel=channel)
    going, count = True, 0

    async def publish() -> None:
        nonlocal count
        while going:
            count = (await publisher.call("channel.publish", channel=channel, message={"n": count}))["offset"]
            await asyncio.sleep(0.1)

    publishing = asyncio.create_task(publish())
    await asyncio.sleep(0.3)
    for one in all_of_them:
        one.client.reset() if stage.chance.random() < 0.5 else one.client.drop()
    await asyncio.sleep(0.4)
    began = asyncio.get_running_loop().time()
    await together(one.come_back() for one in all_of_them)
    within(asyncio.get_running_loop().time() - began, 0, 15, "how many seconds until five hundred were back")
    going = False
    await publishing
    await until(lambda: all(one.offsets and one.offsets[-1] == count for one in all_of_them), "all have the newest")
    for one in all_of_them:
        contiguous(one.offsets, one.first, count, "what one of them got, before and after")
    contiguous(steady.inbox.offsets, 1, count, "what one got that was not lost")
    await together(one.client.close() for one in all_of_them)


@scenario()
async def unrecoverable_position(stage: Stage) -> None:
    """Who missed more than is held, or comes with a wrong position, is told so, and gets nothing of the past."""
    channel = stage.channel("short")  # which holds five
    publisher = await stage.honest()
    await publish_all(publisher, channel, list(range(20)))
    epoch = (await publisher.call("channel.history", channel=channel))["epoch"]
    cases = [
        (20, epoch, True, []),
        (19, epoch, True, [20]),
        (15, epoch, True, [16, 17, 18, 19, 20]),
        (14, epoch, False, []),
        (0, epoch, False, []),
        (21, epoch, False, []),
        (10**9, epoch, False, []),
        (18, "epoch_0000000000000000", False, []),
        (18, "", False, []),
    ]
    clients = []
    for offset, known, recovered, past in cases:
        client = await stage.lean()
        answer = await client.call("channel.subscribe", channel=channel, since={"offset": offset, "epoch": known})
        equal((answer["recovered"], answer["offset"]), (recovered, 20), f"what is said of {offset} of {known[:9]}")
        equal(answer.get("oldest"), None if recovered else 16, f"the oldest held, as {offset} is told")
        clients.append((client, past))
    for bad in (
        {"offset": -1, "epoch": epoch},
        {"offset": "1", "epoch": epoch},
        {"epoch": epoch},
        {"offset": 1.5, "epoch": epoch},
    ):
        refused = await publisher.refusal("channel.subscribe", channel=channel, since=bad)
        equal(refused.number, -32602, f"a position like {bad}")
    await publish_all(publisher, channel, ["live"])
    for client, past in clients:
        await client.call("rpc.ping")
        equal(client.inbox.offsets, [*past, 21], "what one got, past and live")


@scenario()
async def recovery_across_kinds(stage: Stage) -> None:
    """From memory and from disk alike: who asks from any position gets exactly what follows it."""
    for channel in (stage.channel("long"), stage.channel("durable")):
        publisher = await stage.honest()
        await publish_all(publisher, channel, [{"n": number} for number in range(150)], window=50)
        epoch = (await publisher.call("channel.history", channel=channel, limit=1))["epoch"]
        positions = [0, 149, 150, *(stage.chance.randint(1, 148) for _ in range(17))]
        clients = await stage.crowd(20, "c")

        async def recover(client: Lean, position: int, channel: str = channel, epoch: str = epoch) -> None:
            since = {"offset": position, "epoch": epoch}
            answer = await client.call("channel.subscribe", channel=channel, since=since)
            equal(answer["recovered"], True, f"whether {position} is recovered")

        live = asyncio.create_task(publish_all(publisher, channel, ["live"] * 30, window=3))
        await together(recover(*pair) for pair in zip(clients, positions, strict=True))
        await live
        for client, position in zip(clients, positions, strict=True):
            await client.inbox.wait("channel.message", 180 - position)
            contiguous(client.inbox.offsets, position + 1, 180, f"what one got from {position} on")
        await together(client.close() for client in clients)


@scenario()
async def slow_recovery(stage: Stage) -> None:
    """A hundred bring in a thousand messages each at once, and some go away in the middle: the others get all."""
    channel = stage.channel("long")
    publisher = await stage.honest()
    await publish_all(publisher, channel, ["x" * 200] * 1000, window=100)
    clients = await stage.crowd(60)
    before = stage.gateway.resident

    async def recover(client: Lean) -> None:
        with contextlib.suppress(Lost):
            await client.call("channel.subscribe", channel=channel, history=1000)

    tasks = [asyncio.create_task(recover(client)) for client in clients]
    await asyncio.sleep(0.05)
    for client in clients[:20]:
        client.reset()
    await asyncio.gather(*tasks)
    for client in clients[20:]:
        await client.inbox.wait("channel.message", 1000)
        contiguous(client.inbox.offsets, 1, 1000, "what one got")
    within((stage.gateway.resident - before) / 1048576, -1000, 16, "memory that it cost, in MiB")
