"""Agents that rely on each other, all on this machine: `python demo.py`, with `pip install cell0gw websockets`.

Starts a gateway, three workers and a storyteller, each a process of its own, and shows what becomes of calls and mail
when some of them are killed. Every step prints one line of JSON.
"""

import asyncio
import json
import os
import re
import secrets
import signal
import sys
import tempfile
from pathlib import Path

from agent import Agent, Refused

HERE = Path(__file__).parent
PATIENCE = 30


def show(step, **facts):
    print(json.dumps({"step": step, **facts}), flush=True)


class Process:
    """A program, and the lines that it has said."""

    @classmethod
    async def start(cls, *command, **environment):
        self = cls()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=asyncio.subprocess.PIPE, env={**os.environ, **environment}
        )
        return self

    async def line(self, wanted):
        """The next line that holds something."""
        async with asyncio.timeout(PATIENCE):
            while wanted not in (line := (await self.process.stdout.readline()).decode()):
                if not line:
                    raise RuntimeError(f"it ended before it said {wanted}")
        return line

    async def said(self, key):
        return json.loads(await self.line(f'"{key}"'))[key]

    async def end(self, how=signal.SIGTERM):
        if self.process.returncode is None:
            self.process.send_signal(how)
        await self.process.wait()


class Dispatcher(Agent):
    """Has things done, and knows what became of them."""

    async def tell(self, agent_id, message):
        return await self.call("agent.send", agent_id=agent_id, message=message, receipts=True)

    async def became(self, message_id, status):
        """What a message went through until a status."""
        ladder = []
        async with asyncio.timeout(PATIENCE):
            while not ladder or ladder[-1] != status:
                receipt = await self.receipts.get()
                if receipt["message_id"] == message_id:
                    ladder.append(receipt["status"])
        return ladder

    async def until_here(self, capability, count):
        async with asyncio.timeout(PATIENCE):
            while len(await self.call("agent.list", capability=capability)) != count:
                await asyncio.sleep(0.02)

    async def outcome(self, begun):
        try:
            async with asyncio.timeout(PATIENCE):
                return await begun
        except Refused as refusal:
            return refusal.code


async def gateway_in(folder, running):
    """A gateway, and a dispatcher that may do everything there."""
    admin = f"cell0_{secrets.token_hex(20)}_1700000000"
    gateway = await Process.start(
        "-m", "cell0gw", "--host", "127.0.0.1", "--port", "0", "--state-dir", folder, CELL0_GATEWAY_ADMIN_TOKEN=admin
    )
    running["gateway"] = gateway
    port = re.search(r"port (\d+)", await gateway.line("listening on"))[1]
    url = f"ws://127.0.0.1:{port}"
    dispatcher = Dispatcher(url, admin)
    being = asyncio.ensure_future(dispatcher.run())
    await dispatcher.ready.wait()
    return url, dispatcher, being


async def play(folder, running):
    url, dispatcher, being = await gateway_in(folder, running)
    tokens = {}

    async def start(name, program):
        if name not in tokens:
            tokens[name] = (await dispatcher.call("auth.generateToken", entity_id=name))["token"]
        running[name] = await Process.start(str(HERE / program), url, tokens[name])

    workers = ["worker-1", "worker-2", "worker-3"]
    for name in workers:
        await start(name, "worker.py")
    await start("storyteller", "storyteller.py")
    await dispatcher.until_here("uppercase", 3)
    await dispatcher.until_here("story", 1)

    def order(**message):
        return dispatcher.begin("agent.call", capability="uppercase", message=message, timeout_ms=PATIENCE * 1000)

    begun = [order(text=f"word {n}")[1] for n in range(6)]
    loads = {one["entity_id"]: one["inflight"] for one in await dispatcher.call("agent.list", capability="uppercase")}
    show("spread", loads=loads, results=[await dispatcher.outcome(one) for one in begun])

    for name in workers[1:]:
        sent = await dispatcher.tell(name, {"status": "do_not_disturb"})
        await dispatcher.became(sent["message_id"], "done")
    _, begun = order(text="second chance", hesitate=True)
    await running["worker-1"].said("holds")
    begun_elsewhere = order(text="second chance")[1]  # waits for nobody: worker-1 takes two at once
    await dispatcher.outcome(begun_elsewhere)
    explained = await dispatcher.call(
        "gateway.explain", method="agent.call", params={"capability": "uppercase", "message": 1}
    )
    show("explained", reasons={one["entity_id"]: one["reason"] for one in explained["considered"]})
    sent = await dispatcher.tell("worker-2", {"status": "online"})
    await dispatcher.became(sent["message_id"], "done")
    await running["worker-1"].end(signal.SIGKILL)
    passed_on_to = await running["worker-2"].said("holds")
    show("killed_before_it_began", passed_on=bool(passed_on_to))
    await running["worker-2"].end(signal.SIGKILL)
    sent = await dispatcher.tell("worker-3", {"status": "online"})
    await dispatcher.became(sent["message_id"], "done")
    show("nobody_left", code=await dispatcher.outcome(begun))

    _, begun = order(text="lost", get_stuck=True)
    await running["worker-3"].said("stuck")
    await start("worker-2", "worker.py")
    await dispatcher.until_here("uppercase", 2)
    await running["worker-3"].end(signal.SIGKILL)
    show("killed_after_it_began", code=await dispatcher.outcome(begun))
    show("others_go_on", result=await dispatcher.outcome(order(text="still here")[1]))

    await stories(dispatcher, running["storyteller"])

    sent = [await dispatcher.tell("worker-1", {"number": n}) for n in range(5)]
    show("mail_waits", statuses=[one["status"] for one in sent])
    await start("worker-1", "worker.py")
    show("mail_arrives", numbers=[(await running["worker-1"].said("mail"))["number"] for _ in range(5)])
    show("receipts", ladder=await dispatcher.became(sent[-1]["message_id"], "done"))
    being.cancel()


async def stories(dispatcher, storyteller):
    request, begun = dispatcher.begin("agent.call", capability="story", message={}, idle_ms=5000)
    words = dispatcher.progress[request]
    story = await dispatcher.outcome(begun)
    show("stream", words=[words.get_nowait() for _ in range(words.qsize())], story=story)

    request, begun = dispatcher.begin("agent.call", capability="story", message={"endless": True})
    await dispatcher.progress[request].get()
    await dispatcher.call("agent.cancel", request_id=request)
    stopped = await storyteller.said("stopped")
    show("cancel", code=await dispatcher.outcome(begun), stopped=bool(stopped))


async def main():
    running = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            await play(folder, running)
        finally:
            for process in reversed(running.values()):
                await process.end()


if __name__ == "__main__":
    asyncio.run(main())
