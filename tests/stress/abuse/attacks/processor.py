"""Attacks on the gateway's time: little on the line, much to do."""

from __future__ import annotations

import asyncio
import itertools

from tests.stress.abuse.attacks import attack
from tests.stress.abuse.hostile import KIB, MIB, Hostile, squeezed
from tests.stress.raw import frame, request

LONG = "n" * 190
"""A name of nearly the greatest length."""


@attack("time", by="stranger")
async def stranger_heartbeats(hostile: Hostile) -> None:
    """A stranger sends heartbeats of 64 KiB, compressed to 130 bytes."""
    head = '{"jsonrpc":"2.0","method":"heartbeat","params":{"x":"'
    frames = [squeezed(head + "a" * (64 * KIB - 100) + '"}}')]

    async def act() -> None:
        async with hostile.connection() as raw:
            await hostile.flood(raw, frames)

    await hostile.again(act)


@attack("time", by="stranger")
async def stranger_responses(hostile: Hostile) -> None:
    """A stranger answers what was never asked, in 64 KiB, compressed to 130 bytes."""
    frames = [squeezed('{"jsonrpc":"2.0","id":"none","result":"' + "a" * (64 * KIB - 100) + '"}')]

    async def act() -> None:
        async with hostile.connection() as raw:
            await hostile.flood(raw, frames)

    await hostile.again(act)


@attack("time")
async def small_calls(hostile: Hostile) -> None:
    """An agent makes small calls as fast as it can."""

    async def act() -> None:
        async with hostile.session(deflate=False) as raw:
            await hostile.flood(raw, [frame(request("rpc.ping"))])

    await hostile.again(act)


@attack("time")
async def long_calls(hostile: Hostile) -> None:
    """An agent makes calls of 10 MiB of padding, compressed to 10 kB."""
    frames = [squeezed('{"jsonrpc":"2.0","id":1,"method":"rpc.ping","x":"' + "a" * (10 * MIB - 100) + '"}')]

    async def act() -> None:
        async with hostile.session() as raw:
            await hostile.flood(raw, frames)

    await hostile.again(act)


@attack("time")
async def positions(hostile: Hostile) -> None:
    """An agent resumes with 2,000 positions and 1,000 patterns, over and over."""
    patterns = [request("channel.subscribe", None, channel=f"{hostile.name}.p{n}.>") for n in range(1000)]
    claimed = {f"{hostile.name}.q{n}": {"epoch": "e", "offset": 1} for n in range(2000)}
    kept: list[str] = []

    async def act() -> None:
        raw = await hostile.opened()
        try:
            secret = (await raw.authenticate(hostile.token, hostile.name))["resume_token"]
            if kept:
                await raw.send(squeezed(request("session.resume", resume_token=kept.pop(), positions=claimed)))
                await raw.frame()
            else:
                await hostile.flood(raw, [frame(text) for text in patterns], once=True)
                await raw.call("rpc.ping")
            kept.append(secret)
        finally:
            raw.reset()

    await hostile.again(act)


@attack("time")
async def misspelt_names(hostile: Hostile) -> None:
    """An agent calls names that nobody has, each almost one of 48 long ones that there are."""
    near = [request("agent.send", None, agent_id=f"{LONG}{n}", message=1) for n in range(48)]
    frames = [frame(request("agent.call", agent_id=f"{LONG[:-3]}x{n:02}", message=1)) for n in range(100)]

    async def act() -> None:
        async with hostile.session(*near, deflate=False) as raw:
            await hostile.flood(raw, frames)

    await hostile.again(act)


@attack("time")
async def filtered(hostile: Hostile) -> None:
    """An agent publishes 9 MB of brackets, compressed to 9 kB, to a channel that it filters."""
    condition = {"field": "a", "op": "eq", "value": 1}
    watch = request("channel.subscribe", None, channel=hostile.name, filter=condition)
    message = "[" + "[]," * (3 * 1000 * 1000) + "[]]"
    head = f'{{"jsonrpc":"2.0","id":1,"method":"channel.publish","params":{{"channel":"{hostile.name}","message":'
    frames = [squeezed(head + message + "}}")]

    async def act() -> None:
        async with hostile.session(watch) as raw:
            await hostile.flood(raw, frames)

    await hostile.again(act)


@attack("time")
async def many_filters(hostile: Hostile) -> None:
    """An agent listens with 400 filters of 5 kB, to what others publish and to a channel where it publishes itself."""
    one = {"any": [{"field": "type", "op": "eq", "value": "x" * 40 + str(n)} for n in range(60)]}
    own = f"{hostile.name}.news"
    watches = [
        request("channel.subscribe", None, channel=channel, filter=one)
        for channel in ["*", ">", "honest.*", "honest.>", "*.news", "evil.>", own, *(f"honest.{n}" for n in range(393))]
    ]
    frames = [frame(request("channel.publish", channel=own, message={"type": "y"}))]

    async def act() -> None:
        async with hostile.session(*watches, deflate=False) as raw:
            await hostile.flood(raw, frames)

    await hostile.again(act)


@attack("time")
async def deep_patterns(hostile: Hostile) -> None:
    """An agent listens to 990 patterns of 16 segments, and publishes to a name that almost fits all of them."""
    stars = itertools.islice(itertools.combinations(range(15), 4), 990)
    deep = [".".join(["*" if level in chosen else "a" for level in range(15)]) for chosen in stars]
    watches = [request("channel.subscribe", None, channel=f"{pattern}.b") for pattern in deep]
    name = ".".join(["a"] * 15 + ["c"])
    calls = [
        request("channel.publish", channel=name, message=1),
        request("channel.subscribe", channel="evil.*.x"),
        request("channel.unsubscribe", channel="evil.*.x"),
        request("presence.update", status="busy"),
    ]

    async def act() -> None:
        async with hostile.session(*watches, deflate=False) as raw:
            await hostile.flood(raw, [frame(text) for text in calls])

    await hostile.again(act)


@attack("time")
async def left_places(hostile: Hostile) -> None:
    """An agent leaves places with 1,000 patterns each behind, and subscribes and unsubscribes beside them."""
    watches = [request("channel.subscribe", None, channel=f"{hostile.name}.p{n}.*") for n in range(1000)]
    channel = f"{hostile.name}.here"
    calls = [request("channel.subscribe", channel=channel), request("channel.unsubscribe", channel=channel)]

    async def act() -> None:
        for _ in range(50):
            async with hostile.session(*watches, deflate=False) as raw:
                await asyncio.sleep(0.02)
                raw.reset()
        async with hostile.session(deflate=False) as raw:
            await hostile.flood(raw, [frame(text) for text in calls])

    await hostile.again(act)


@attack("time")
async def channel_lists(hostile: Hostile) -> None:
    """An agent makes channels, thousands, and asks for a list of one over and over."""
    made = [request("channel.publish", None, channel=f"{hostile.name}.c{n}", message=1) for n in range(20_000)]

    async def act() -> None:
        async with hostile.session(*made, deflate=False) as raw:
            await hostile.flood(raw, [frame(request("channel.list", limit=1))])

    await hostile.again(act)


@attack("time")
async def sessions_that_end(hostile: Hostile) -> None:
    """An agent opens sessions, hundreds, and drops them all at once."""

    async def act() -> None:
        opened = [await hostile.opened() for _ in range(300)]
        try:
            for raw in opened:
                await raw.send(frame(request("auth.authenticate", 0, token=hostile.token)))
            await asyncio.sleep(0.2)
        finally:
            for raw in opened:
                raw.reset()

    await hostile.again(act)


@attack("time")
async def lists_of_everybody(hostile: Hostile) -> None:
    """An agent changes its presence and asks who is here, over and over."""
    calls = [
        request("presence.update", status="busy", metadata={"x": "y" * 4000}),
        request("presence.get"),
        request("agent.list"),
    ]

    async def act() -> None:
        async with hostile.session(deflate=False) as raw:
            await hostile.flood(raw, [frame(text) for text in calls])

    await hostile.again(act)
