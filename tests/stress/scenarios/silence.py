"""Peers who fall silent, who don't read, or who read too slowly."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from tests.crash.wire import Refused
from tests.stress.checks import contiguous, equal, until, within
from tests.stress.clients import Honest
from tests.stress.raw import PONG, TEXT, Raw, frame, request
from tests.stress.stage import Stage, scenario, together
from tests.stress.victim import LIMITS

MIB = 1024 * 1024
TEXT_4K = "x" * 4096
TINY = 2048
"""The smallest receive buffer that a system gives."""


async def _publish(publisher: Honest, channel: str) -> Any:
    """Publish 4 KiB, however often that is too fast: how much the system takes for who does not read differs a lot."""
    while True:
        try:
            return await publisher.call("channel.publish", channel=channel, message=TEXT_4K)
        except Refused as refused:
            equal(refused.number, -32003, f"the code of {refused}")
            await asyncio.sleep(refused.data["retry_after_ms"] / 1000)


@scenario(waits=True)
async def silent_peers(stage: Stage) -> None:
    """Who reads and never answers is closed with 4002 after four seconds; any byte is a sign of life."""

    async def talk(client: Raw, data: bytes) -> None:
        while await client.send(data):
            await asyncio.sleep(1)

    silent = [await stage.member() for _ in range(20)]
    talking = [await stage.member() for _ in range(3)]
    works = [frame(request("heartbeat", None)), frame(b"", PONG), frame(request("rpc.ping"))]
    tasks = [asyncio.create_task(talk(*pair)) for pair in zip(talking, works, strict=True)]
    others = asyncio.create_task(together(client.ending(8) for client in talking))
    endings = await together(client.ending(9) for client in silent)
    equal({ending.code for ending in endings}, {4002}, "close codes of those who are silent")
    for ending in endings:
        within(ending.seconds, 2.5, 6.5, "how many seconds one was silent")
    equal([ending.how for ending in await others], ["open"] * 3, "those who say something each second")
    for task in tasks:
        task.cancel()


@scenario(waits=True)
async def half_open(stage: Stage) -> None:
    """Who is stopped, neither reading nor writing, is gone from presence and from the gateway in time."""
    stopped = [await stage.member(f"stopped{number}", receive_buffer=TINY) for number in range(10)]
    await asyncio.sleep(LIMITS["heartbeat_timeout"] + 2.5)
    equal(set((await stage.present()).values()), {"away"}, "statuses of those who are stopped, while places are kept")
    await asyncio.sleep(LIMITS["resume_window"] + 1)
    equal(await stage.present(), {}, "who is here after that")
    endings = await together(client.ending(2) for client in stopped)
    equal([ending.how == "open" for ending in endings], [False] * 10, "whether their sockets are open")


@scenario()
async def slow_client(stage: Stage) -> None:
    """Who reads nothing is cut off with 4008 once its bound is reached; others get every message, and none waits."""
    channel = stage.channel()
    readers = [await stage.honest() for _ in range(5)]
    for reader in readers:
        await reader.call("channel.subscribe", channel=channel)
    publisher = await stage.honest()
    before = stage.gateway.resident
    slow = [await stage.member(f"slow{number}", receive_buffer=TINY) for number in range(5)]
    for client in slow:
        await client.call("channel.subscribe", channel=channel)
    count = 0
    recipients = 10
    began = asyncio.get_running_loop().time()
    while recipients > 5:
        answers = await together(_publish(publisher, channel) for _ in range(10))
        recipients, count = answers[-1]["recipients"], count + 10
        within(count, 0, 4000, "how many messages of 4 KiB it took to cut off those who don't read")
        within(asyncio.get_running_loop().time() - began, 0, 15, "how many seconds it took")
    endings = await together(client.ending(8) for client in slow)
    for ending in endings:
        equal(ending.how == "open", False, "whether a slow client's socket is open")
        equal(ending.code in (4008, None), True, f"a close with 4008, or cut off while it did not read: {ending.code}")
    for reader in readers:
        await reader.inbox.wait("channel.message", count)
        contiguous(reader.inbox.offsets, 1, count, "what a client that reads got")
    within((stage.gateway.resident - before) / MIB, -1000, 8, "memory that it cost, in MiB")


@scenario()
async def slow_reader_recovers(stage: Stage) -> None:
    """Who is cut off for reading too slowly comes back, and has lost nothing."""
    channel = stage.channel("long")
    publisher = await stage.honest()
    reader = await stage.member("reader", receive_buffer=TINY)
    first = await reader.call("channel.subscribe", channel=channel)
    offsets: list[int] = []
    count = 0
    while True:
        answers = await together(_publish(publisher, channel) for _ in range(10))
        count += 10
        within(count, 0, 4000, "how many messages of 4 KiB it took to cut off who does not read")
        if answers[-1]["recipients"] == 0:
            break
    ending = await reader.ending(8)
    offsets += [came.message["params"]["offset"] for came in ending.frames if b'"channel.message"' in came.payload]
    contiguous(offsets, 1, len(offsets), "what it got before")
    last = offsets[-1] if offsets else 0
    again = await stage.honest("reader")
    since = {"offset": last, "epoch": first["epoch"]}
    answer = await again.call("channel.subscribe", channel=channel, since=since)
    held = (await again.call("channel.history", channel=channel, limit=1))["oldest"]
    equal(answer["recovered"], held <= last + 1, f"whether it was recovered from {last}, {held} is the oldest held")
    if answer["recovered"]:
        await again.inbox.wait("channel.message", count - last)
        contiguous(again.inbox.offsets, last + 1, count, "what it missed")


@scenario()
async def talks_but_never_reads(stage: Stage) -> None:
    """Who calls and does not read the answers is slowed down or cut off; its answers don't pile up."""
    before = stage.gateway.resident
    client = await stage.member(receive_buffer=TINY)
    call = frame(request("rpc.echo", 1, message="x" * 8000))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(4):
            for _ in range(900):
                await client.send(call)
    within((stage.gateway.resident - before) / MIB, -1000, 6, "memory that its answers cost, in MiB")
    equal(await client.gone(9), True, "whether it is gone in the end")


@scenario(alone=True)
async def total_outbound_cap(stage: Stage) -> None:
    """All that waits for all together is bounded, too: those with most go first, and those who read lose nothing."""
    channel, size = stage.channel(), 16_384
    reader, publisher = await stage.honest(), await stage.honest()

    async def publish(length: int) -> int:
        answer = await publisher.call("channel.publish", channel=channel, message="x" * length)
        recipients: int = answer["recipients"]
        return recipients

    probe = await stage.member("probe", receive_buffer=TINY)
    await probe.call("channel.subscribe", channel=channel)
    taken = 0
    while await publish(size):
        taken += 1
    in_kernel = taken - LIMITS["outbound_limit"] // size
    await reader.call("channel.subscribe", channel=channel)
    before = stage.gateway.resident
    slow = [await stage.member(f"slow{number}", receive_buffer=TINY) for number in range(60)]
    for client in slow:
        await client.call("channel.subscribe", channel=channel)
    for _ in range(in_kernel - 3):
        equal(await publish(size), 61, "recipients while the system takes all of it")
    recipients, count = 61, in_kernel - 3
    while recipients == 61 and count < 1000:
        # Slowly: what waits for all is looked at once a second, and meanwhile none of them must reach its own bound.
        recipients, count = await publish(2048), count + 1
        if count % 30 == 0:
            await together(client.send(frame(b"", PONG)) for client in slow)
        await asyncio.sleep(0.03)
    within(recipients, 5, 60, "who is left after the first were let go")
    within((stage.gateway.resident - before) / MIB, -1000, 12, "memory for what waits, in MiB")
    await reader.inbox.wait("channel.message", count)
    contiguous(reader.inbox.offsets, taken + 2, taken + 1 + count, "what the one who reads got")


@scenario()
async def slow_readers_get_all(stage: Stage) -> None:
    """Who reads slowly, but reads, gets everything in order, within its bound."""
    channel = stage.channel()
    client = await stage.member(receive_buffer=16_384)
    await client.call("channel.subscribe", channel=channel)
    publisher = await stage.honest()

    async def publish() -> None:
        for _ in range(150):
            await publisher.call("channel.publish", channel=channel, message="x" * 1000)

    publishing = asyncio.create_task(publish())
    offsets: list[int] = []
    while len(offsets) < 150:
        came = await client.frame()
        assert came is not None, f"closed after {len(offsets)}"
        if came.opcode == TEXT and b'"channel.message"' in came.payload:
            offsets.append(came.message["params"]["offset"])
            await asyncio.sleep(0.004)
    await publishing
    contiguous(offsets, 1, 150, "what a slow reader got")


@scenario()
async def heartbeats_keep_time(stage: Stage) -> None:
    """Heartbeats come once a second to each, and a ping with each."""
    clients = await stage.crowd(40)
    for client in clients:
        client.inbox.clear()
    await asyncio.sleep(3.2)
    for client in clients:
        within(len(client.inbox.of("heartbeat")), 2, 4, "heartbeats in three seconds")
    await until(lambda: not any(client.lost.done() for client in clients), "all are connected", 1)
