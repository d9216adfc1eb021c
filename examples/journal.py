"""A durable channel: what was written is read, in order and without a gap, whatever ended meanwhile.

    twistd -n cell0gw --config examples/journal.toml
    CELL0_TOKEN=cell0_... python journal.py ws://localhost:18801 write journal.orders "three apples" "two pears"
    CELL0_TOKEN=cell0_... python journal.py ws://localhost:18801 read journal.orders position.json

A reader keeps in a file how far it has read, and goes on from there. Without the file it begins with the oldest
message.
"""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any

from agent import Agent, Refused
from program import command_line, connected, run

NOT_FOUND = -32006


class Reader(Agent):
    """Prints the messages of a channel. `position` is the last one that it has read."""

    def __init__(self, url: str, token: str, channel: str, file: Path) -> None:
        super().__init__(url, token)
        self.channel = channel
        self._file = file
        self.position: dict[str, Any] | None = json.loads(file.read_text()) if file.exists() else None

    async def on_online(self) -> None:
        """Subscribe from where we are; what we missed comes first."""
        since = self.position or await self._beginning()
        while since is not None:
            print(f"reading {self.channel} after {since['offset']}")
            answer = await self.call("channel.subscribe", channel=self.channel, since=since)
            if answer["recovered"]:
                return
            # The gateway can't bring all that we missed. What there still is begins with the oldest.
            print(f"LOST: messages after {since['offset']} are not held any more")
            since = self.position = answer["beginning"]
        print(f"reading {self.channel} from its beginning")
        answer = await self.call("channel.subscribe", channel=self.channel)
        if self.position is None:  # unless a message has come already
            self._keep(answer["position"])

    async def _beginning(self) -> dict[str, Any] | None:
        """The position before the oldest message; None: nothing was ever published."""
        try:
            page = await self.call("channel.history", channel=self.channel, limit=1)
        except Refused as refusal:
            if refusal.code != NOT_FOUND:
                raise
            return None
        return dict(page["beginning"])

    def on_notification(self, method: str, params: dict[str, Any]) -> None:
        """Read a message. The position moves last: should we die before, it comes again, which is better than never."""
        if method == "channel.message":
            print(f"{params['offset']}: {params['message']}")
            self._keep(params)

    def _keep(self, params: dict[str, Any]) -> None:
        self.position = {"offset": params["offset"], "epoch": params["epoch"]}
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps(self.position))
        written.replace(self._file)  # at once: a file that is half written would be worse than none


async def write(url: str, token: str, channel: str, texts: list[str]) -> None:
    """Publish each text, until it is known to be on disk. By its key it is there once, however often it is sent."""
    async with connected(Agent(url, token)) as agent:
        for text in texts:
            written = await agent.insist(
                "channel.publish", channel=channel, message=text, idempotency_key=str(uuid.uuid4())
            )
            print(f"{written['offset']} is written: {text}")


if __name__ == "__main__":
    url, token, verb, channel, *others = command_line("read|write", "CHANNEL", "FILE|TEXT...")
    if verb == "write":
        run(write(url, token, channel, others))
    elif verb == "read" and len(others) == 1:
        run(Reader(url, token, channel, Path(others[0])).run())
    else:
        sys.exit("journal.py: read CHANNEL FILE, or write CHANNEL TEXT...")
