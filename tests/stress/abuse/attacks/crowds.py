"""Attacks by very many who are not hostile each by itself, but want all that there is."""

from __future__ import annotations

import asyncio
import itertools

from tests.stress.abuse.attacks import attack
from tests.stress.abuse.hostile import MIB, Hostile, squeezed
from tests.stress.raw import request

TEXT = '"' + "a" * (MIB - 10_000) + '"'


@attack("memory", counts=(1000,))
async def all_pools(hostile: Hostile) -> None:
    """An agent takes what it gets of all: metadata, filters, history, letters, calls, answers that nobody reads."""
    name = hostile.name
    condition = {"any": [{"field": "type", "op": "eq", "value": "x" * 40 + str(n)} for n in range(60)]}
    watches = [request("channel.subscribe", None, channel=f"{name}.{n}", filter=condition) for n in range(12)]
    watches += [request("channel.subscribe", None, channel=f"{name}.{n}.>") for n in range(100)]

    def much(method: str, params: str) -> bytes:
        return squeezed(f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params},"message":', TEXT, "}}")

    calls = [
        much("channel.publish", f'"channel":"{name}.c"'),
        much("channel.publish", f'"channel":"kept.{name}"'),
        much("agent.send", '"agent_id":"evil.gone"'),
        much("agent.call", f'"agent_id":"{name}","timeout_ms":86400000'),
        squeezed(request("channel.history", channel=f"{name}.c")),
    ]

    async def act() -> None:
        introduction = {"metadata": {"x": "y" * 8000}, "capabilities": [f"{name}.{n}" for n in range(100)]}
        async with hostile.session(*watches, deaf=True, **introduction) as raw:
            for call in itertools.cycle(calls):
                await hostile.flood(raw, [call], once=True)
                await asyncio.sleep(0.5)

    await hostile.again(act)
