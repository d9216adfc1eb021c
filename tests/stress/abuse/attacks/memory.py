"""Attacks on the gateway's memory: little on the line, much to keep."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.stress.abuse.attacks import attack
from tests.stress.abuse.hostile import KIB, MIB, Hostile, endless, squeezed
from tests.stress.raw import frame, request

SPREAD = {"m" + str(n): {} for n in range(700)}
"""Metadata of nearly 8 KiB that is many objects."""


@attack("memory", by="stranger")
async def deaf_strangers(hostile: Hostile) -> None:
    """A stranger asks for the description of all methods, a thousand times in one go, and reads nothing."""
    frames = [frame(request("rpc.discover"))]

    async def act() -> None:
        async with hostile.connection(deflate=False, deaf=True) as raw:
            await hostile.flood(raw, frames)

    await hostile.again(act)


@attack("memory")
async def deaf_readers_of_history(hostile: Hostile) -> None:
    """An agent asks for a long history over and over, and reads nothing."""
    filled = [request("channel.publish", None, channel=hostile.name, message="x" * 60 * KIB) for _ in range(60)]

    async def act() -> None:
        async with hostile.session(*filled, deflate=False, deaf=True) as raw:
            await hostile.flood(raw, [frame(request("channel.history", channel=hostile.name, limit=1000))])

    await hostile.again(act)


@attack("memory")
async def padded_calls(hostile: Hostile) -> None:
    """An agent calls itself with a byte in 10 MiB of white space, compressed to 10 kB, and does not answer."""
    head = f'{{"jsonrpc":"2.0","id":1,"method":"agent.call","params":{{"agent_id":"{hostile.name}","message":1,'
    frames = [squeezed(head + " " * (10 * MIB - 300) + '"timeout_ms":86400000}}')]

    async def act() -> None:
        async with hostile.session() as raw:
            await hostile.flood(raw, frames)

    await hostile.again(act)


@attack("memory")
async def unfinished_messages(hostile: Hostile) -> None:
    """An agent begins messages of 10 MiB on a hundred connections, compressed to 10 kB, and ends none of them."""
    begun = endless(10 * MIB - 1000)

    async def act() -> None:
        async with AsyncExitStack() as stack:
            for _ in range(100):
                raw = await stack.enter_async_context(hostile.session())
                await raw.send(begun)
            await asyncio.sleep(3600)

    await hostile.again(act)


@attack("memory")
async def places_with_metadata(hostile: Hostile) -> None:
    """An agent leaves session after session behind, each with 8 KiB of metadata and 100 capabilities."""
    capabilities = [f"{hostile.name}.capability-{n}" for n in range(100)]

    async def act() -> None:
        raw = await hostile.opened()
        try:
            await raw.authenticate(hostile.token, hostile.name, metadata=SPREAD, capabilities=capabilities)
        finally:
            raw.reset()

    await hostile.again(act)


@attack("memory")
async def subscriptions_with_filters(hostile: Hostile) -> None:
    """An agent opens sessions with 1,000 subscriptions each, and each of those with a filter of 5 kB."""
    one = {"any": [{"field": "type", "op": "eq", "value": "x" * 40 + str(n)} for n in range(60)]}

    def watches(session: int) -> list[str]:
        names = [f"{hostile.name}.s{session}.{n}" for n in range(1000)]
        return [request("channel.subscribe", None, channel=name, filter=one) for name in names]

    async def act() -> None:
        async with AsyncExitStack() as stack:
            for session in range(100):
                await stack.enter_async_context(hostile.session(*watches(session), deflate=False))
            await asyncio.sleep(3600)

    await hostile.again(act)


@attack("memory")
async def sessions_resumed(hostile: Hostile) -> None:
    """An agent carries 1,000 subscriptions from session to session, and adds as many each time."""

    async def act() -> None:
        secret = None
        for session in range(20):
            raw = await hostile.opened()
            try:
                newer = (await raw.authenticate(hostile.token, hostile.name))["resume_token"]
                names = [f"{hostile.name}.r{session}.{n}" for n in range(1000)]
                texts = [request("channel.subscribe", None, channel=name) for name in names]
                await hostile.flood(raw, [frame(text) for text in texts], once=True)
                if secret is not None:
                    await raw.ask("session.resume", resume_token=secret)
                await raw.call("rpc.ping")
                secret = newer
            finally:
                raw.reset()

    await hostile.again(act)
