"""An agent that tells a story word by word, as a language model would: `python storyteller.py URL TOKEN`."""

import asyncio
import json
import sys

from agent import Agent

STORY = ["Once", "upon", "a", "time", "there", "was", "a", "gateway", "that", "never", "lost", "a", "word", "."]


class Storyteller(Agent):
    capabilities = ("story",)

    async def on_call(self, call):
        told = 0
        try:
            while told < len(STORY) or call["message"].get("endless"):
                await self.notify("agent.progress", call_id=call["call_id"], data=STORY[told % len(STORY)])
                told += 1
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            print(json.dumps({"stopped": call["call_id"]}), flush=True)
            raise
        return " ".join(STORY)


if __name__ == "__main__":
    asyncio.run(Storyteller(sys.argv[1], sys.argv[2]).run())
