"""Publish and subscribe: what one says on a channel, all who listen to it hear.

    CELL0_TOKEN=cell0_... python pubsub.py ws://localhost:18801 news.weather              # listens
    CELL0_TOKEN=cell0_... python pubsub.py ws://localhost:18801 news.weather "it rains"   # says something, and ends

A listener may give a pattern: `news.*` is one level below news, `news.>` is all of them. What is said while it is away
it does not hear; journal.py shows how to miss nothing.
"""

from __future__ import annotations

import uuid
from typing import Any

from agent import Agent
from program import command_line, connected, run


class Listener(Agent):
    """Prints what is said."""

    def __init__(self, url: str, token: str, channel: str) -> None:
        super().__init__(url, token)
        self.channel = channel

    async def on_online(self) -> None:
        """Subscribe, for the first time or again."""
        await self.call("channel.subscribe", channel=self.channel)
        print(f"listening to {self.channel}")

    def on_notification(self, method: str, params: dict[str, Any]) -> None:
        """Print a message."""
        if method == "channel.message":
            print(f"{params['from']} on {params['channel']}: {params['message']}")


async def say(url: str, token: str, channel: str, texts: list[str]) -> None:
    """Publish each text, and print how many heard it."""
    async with connected(Agent(url, token)) as agent:
        for text in texts:
            # By its key it is published once, however often it is sent before the answer arrives.
            published = await agent.insist(
                "channel.publish", channel=channel, message=text, idempotency_key=str(uuid.uuid4())
            )
            print(f"{published['recipients']} heard: {text}")


if __name__ == "__main__":
    url, token, channel, *texts = command_line("CHANNEL", "[TEXT...]")
    run(say(url, token, channel, texts) if texts else Listener(url, token, channel).run())
