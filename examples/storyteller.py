"""An agent that tells a story word by word, as a language model would: {"about": "...", "sentences": 3}.

    CELL0_TOKEN=cell0_... python storyteller.py ws://localhost:18801

Each word is shown to the caller when it is there; the whole is the result. A caller that cancels stops the story.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterator
from typing import Any

from agent import Agent, Gone
from program import command_line, run

PAUSE = 0.01  # seconds a word takes
TURNS = ("walked to the sea", "counted the ships", "forgot the number", "went home again")


def story(about: str, sentences: int) -> Iterator[str]:
    """The words of a story, with what stands between them; the same for the same."""
    turns = itertools.islice(itertools.cycle(TURNS), sentences)
    text = " ".join(f"On day {day} {about} {turn}." for day, turn in enumerate(turns, 1))
    return (word[0] for word in re.finditer(r"\S+\s*", text))


class Storyteller(Agent):
    """Tells any number of stories at once."""

    capabilities = ("story",)

    async def on_online(self) -> None:
        """Say so."""
        print(f"online as {self.name}")

    async def on_call(self, call_id: str, params: dict[str, Any]) -> Any:
        """Tell a story."""
        message = params["message"]
        words: list[str] = []
        try:
            for word in story(message["about"], message.get("sentences", 3)):
                await self.show(call_id, {"number": len(words), "word": word})
                words.append(word)
                await asyncio.sleep(PAUSE)
        except (asyncio.CancelledError, Gone) as stop:
            print(f"stopped {call_id} after {len(words)} words: {stop}")
            raise
        print(f"told {call_id}: {len(words)} words")
        return "".join(words)


if __name__ == "__main__":
    run(Storyteller(*command_line()).run())
