"""A worker that can write in capitals: `python worker.py URL TOKEN`. It says what it does in lines of JSON."""

import asyncio
import json
import sys

from agent import Agent


def say(**what):
    print(json.dumps(what), flush=True)


class Worker(Agent):
    capabilities = ("uppercase",)
    max_inflight = 2

    async def on_call(self, call):
        order = call["message"]
        if order.get("hesitate"):
            say(holds=call["call_id"])
            await asyncio.sleep(3600)
        await self.call("agent.ack", message_id=call["call_id"], status="started")
        if order.get("get_stuck"):
            say(stuck=call["call_id"])
            await asyncio.sleep(3600)
        await asyncio.sleep(0.05)
        return order["text"].upper()

    async def on_message(self, message):
        if "status" in message["message"]:
            await self.call("presence.update", status=message["message"]["status"])
        say(mail=message["message"])


if __name__ == "__main__":
    asyncio.run(Worker(sys.argv[1], sys.argv[2]).run())
