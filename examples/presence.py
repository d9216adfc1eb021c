"""Shows who is here, and who comes, goes and changes.

    CELL0_TOKEN=cell0_... python presence.py ws://localhost:18801              # everyone
    CELL0_TOKEN=cell0_... python presence.py ws://localhost:18801 "worker.*"   # those whose ids match

A client that only asks once calls presence.get.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from agent import Agent, Gone
from program import command_line, run


class Watcher(Agent):
    """Knows who is here. `here` is what each says of itself, by its id."""

    def __init__(self, url: str, token: str, pattern: str = ">") -> None:
        super().__init__(url, token)
        self.pattern = pattern
        self.here: dict[str, dict[str, Any]] = {}
        self._version = 0
        self._asking: asyncio.Task[None] | None = None

    async def on_online(self) -> None:
        """Say what we do, and ask for the others: the answer is who is here now, and what changes follows."""
        await self.call("presence.update", status="busy", activity="watching")
        await self._ask()

    async def _ask(self) -> None:
        answer = await self.call("presence.subscribe", pattern=self.pattern)
        self._version = answer["version"]
        self.here = {entry["entity_id"]: entry for entry in answer["entries"]}
        print(f"{len(self.here)} here")
        for entry in self.here.values():
            print(f"here: {described(entry)}")

    def on_notification(self, method: str, params: dict[str, Any]) -> None:
        """Take over what has changed."""
        if method != "presence.diff":
            return
        if params["from"] != self._version:  # something in between is missing: begin anew
            self._asking = asyncio.create_task(self._ask_again())
            return
        self._version = params["to"]
        for verb, entries in (("came", params["joins"]), ("changed", params["updates"])):
            for entry in entries:
                self.here[entry["entity_id"]] = entry
                print(f"{verb}: {described(entry)}")
        for entry in params["leaves"]:
            self.here.pop(entry["entity_id"], None)
            print(f"left: {entry['entity_id']}")

    async def _ask_again(self) -> None:
        with contextlib.suppress(Gone):  # once we are connected again, on_online asks
            await self._ask()


def described(entry: dict[str, Any]) -> str:
    """An entity in a line."""
    doing = f", {entry['current_activity']}" if entry["current_activity"] else ""
    return f"{entry['entity_id']} is {entry['status']}{doing}"


if __name__ == "__main__":
    run(Watcher(*command_line("[PATTERN]")).run())
