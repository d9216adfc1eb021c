"""Gives work to whoever can do it, and sends mail that provably arrives.

    CELL0_TOKEN=cell0_... python dispatcher.py ws://localhost:18801 worker.1 "some text" "some other text"

It has the words of each text counted, then sends each text to worker.1, and prints what becomes of it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable
from typing import Any

from agent import Agent
from program import command_line, connected, run

ENDS = {"done", "failed", "expired"}


class Dispatcher(Agent):
    """Calls and writes. `receipts` is what became of each message, by its id."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url, token)
        self.receipts: dict[str, list[str]] = {}
        self._reported = asyncio.Event()

    async def spread(self, capability: str, messages: Iterable[Any]) -> list[Any]:
        """Have each message dealt with by whoever can and has least to do; all at the same time."""
        return await asyncio.gather(
            *(self.call("agent.call", capability=capability, message=message) for message in messages)
        )

    async def post(self, agent_id: str, message: Any) -> dict[str, Any]:
        """Send a message, until we know that it was taken. By its key it is taken once, however often we repeat it."""
        return await self.insist(
            "agent.send", agent_id=agent_id, message=message, receipts=True, idempotency_key=str(uuid.uuid4())
        )

    async def until_over(self, message_ids: Iterable[str]) -> None:
        """Wait until each message has come to an end."""
        wanted = list(message_ids)
        while not all(ENDS.intersection(self.receipts.get(each, ())) for each in wanted):
            self._reported.clear()
            await self._reported.wait()

    def on_receipt(self, params: dict[str, Any]) -> None:
        """One comes twice where a connection broke and nobody knew whether it had arrived."""
        steps = self.receipts.setdefault(params["message_id"], [])
        if params["status"] not in steps:
            steps.append(params["status"])
        self._reported.set()


async def main() -> None:
    """The command."""
    url, token, agent_id, *texts = command_line("AGENT_ID", "TEXT...")
    async with connected(Dispatcher(url, token)) as dispatcher:
        results = await dispatcher.spread("wordcount", ({"text": text} for text in texts))
        for text, result in zip(texts, results, strict=True):
            print(f"{result['words']} words, counted by {result['counted_by']}: {text}")
        message_ids = [(await dispatcher.post(agent_id, text))["message_id"] for text in texts]
        await dispatcher.until_over(message_ids)
        for text, message_id in zip(texts, message_ids, strict=True):
            print(f"{', '.join(dispatcher.receipts[message_id])}: {text}")


if __name__ == "__main__":
    run(main())
