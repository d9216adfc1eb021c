"""An agent that counts words: {"text": "..."}. `"seconds": 60` beside that makes it a long piece of work.

    CELL0_TOKEN=cell0_... python worker.py ws://localhost:18801

Run as many as you like, each with a token of its own: a call for "wordcount" goes to the one that has least to do.
"""

from __future__ import annotations

import asyncio
from typing import Any

from agent import Agent
from program import command_line, run


class Worker(Agent):
    """Works on one call at a time; a second one may wait here."""

    capabilities = ("wordcount",)
    max_inflight = 2

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url, token)
        self._turn = asyncio.Lock()

    async def on_online(self) -> None:
        """Say so."""
        print(f"online as {self.name}")

    async def on_call(self, call_id: str, params: dict[str, Any]) -> Any:
        """Count the words."""
        message = params["message"]
        async with self._turn:
            # Until here the call could go to another worker, should this one die. Now it is ours.
            await self.begin(call_id)
            print(f"began {call_id}: {message['text']}")
            await self.show(call_id, {"begun_by": self.name})
            await asyncio.sleep(message.get("seconds", 0))
            return {"words": len(message["text"].split()), "counted_by": self.name}

    async def on_message(self, params: dict[str, Any]) -> None:
        """Read mail."""
        print(f"mail from {params['from']}: {params['message']}")


if __name__ == "__main__":
    run(Worker(*command_line()).run())
