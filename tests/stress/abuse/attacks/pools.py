"""Attacks on what all share: histories, the disk, mail, calls, connections, keys, lists."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.stress.abuse.attacks import attack
from tests.stress.abuse.honest import AWAY
from tests.stress.abuse.hostile import MIB, Hostile, squeezed
from tests.stress.checks import Failed
from tests.stress.raw import frame, request


def _call(method: str, params: str) -> str:
    return f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}'


@attack("pools")
async def memory_histories(hostile: Hostile) -> None:
    """An agent publishes 3 MB, compressed to 3 kB, to a channel after another."""
    text = '"' + "a" * (3 * MIB) + '"'
    frames = [
        squeezed(_call("channel.publish", f'"channel":"{hostile.name}.c{n}","message":{text}')) for n in range(200)
    ]

    async def act() -> None:
        async with hostile.session() as raw:
            await hostile.flood(raw, frames)

    await hostile.again(act)


@attack("pools")
async def durable_histories(hostile: Hostile) -> None:
    """An agent publishes 10 MB, compressed to 10 kB, to durable channels."""
    text = '"' + "a" * (10 * MIB - 9000) + '"'
    frames = [
        squeezed(_call("channel.publish", f'"channel":"kept.{hostile.name}.{n}","message":{text}')) for n in range(10)
    ]

    async def act() -> None:
        async with hostile.session() as raw:
            await hostile.flood(raw, frames)

    await hostile.again(act)


@attack("pools")
async def dead_letters(hostile: Hostile) -> None:
    """An agent sends itself 7 MB, compressed to 7 kB, and lets each become a dead letter."""
    text = '"' + "a" * (7 * MIB) + '"'
    letter = squeezed(_call("agent.send", f'"agent_id":"{hostile.name}.gone","ttl_seconds":0.1,"message":{text}'))

    async def act() -> None:
        async with hostile.session() as raw:
            await hostile.flood(raw, [letter])

    await hostile.again(act)


@attack("pools", fills=True)
async def mail_to_the_absent(hostile: Hostile) -> None:
    """An agent fills the mailbox of an agent that is away, and to which the honest ones write."""
    frames = [frame(request("agent.send", agent_id=AWAY, message=1, ttl_seconds=2592000))]

    async def act() -> None:
        async with hostile.session(deflate=False) as raw:
            await hostile.flood(raw, frames)

    await hostile.again(act)


@attack("pools")
async def calls_that_wait(hostile: Hostile) -> None:
    """An agent keeps calls of 1 MB, compressed to 1 kB, from 16 sessions to itself, and answers none."""
    text = '"' + "a" * (MIB - 1000) + '"'
    waiting = f'"agent_id":"{hostile.name}","timeout_ms":86400000,"message":{text}'
    frames = [squeezed(_call("agent.call", waiting))]

    async def one() -> None:
        async with hostile.session() as raw:
            await hostile.flood(raw, frames)

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(hostile.again(one))


@attack("pools", fills=True)
async def connections(hostile: Hostile) -> None:
    """An agent opens as many sessions as it gets, and stays."""

    async def act() -> None:
        async with AsyncExitStack() as stack:
            for _ in range(2000):
                try:
                    await stack.enter_async_context(hostile.session(deflate=False))
                except Failed:
                    hostile.lost += 1
                    await asyncio.sleep(0.02)
            await asyncio.sleep(3600)

    await hostile.again(act)


@attack("pools")
async def rosters(hostile: Hostile) -> None:
    """An agent has 600 sessions with 100 capabilities each, and changes its presence in one of them."""

    def capabilities(session: int) -> list[str]:
        return [f"{hostile.name}.{session}.{n}.{'c' * 100}" for n in range(100)]

    async def act() -> None:
        async with AsyncExitStack() as stack:
            for session in range(600):
                raw = await stack.enter_async_context(
                    hostile.session(deflate=False, capabilities=capabilities(session))
                )
            changes = [request("presence.update", status=status) for status in ("busy", "online")]
            await hostile.flood(raw, [frame(text) for text in changes])

    await hostile.again(act)


@attack("pools")
async def idempotency_keys(hostile: Hostile) -> None:
    """An agent publishes each message under a key of its own."""

    async def act() -> None:
        async with hostile.session(deflate=False) as raw:
            while True:
                texts = [
                    request("channel.publish", channel=hostile.name, message=1, idempotency_key=f"k{key}")
                    for key in (next(hostile.numbers) for _ in range(1000))
                ]
                await hostile.flood(raw, [frame(text) for text in texts], once=True)

    await hostile.again(act)
