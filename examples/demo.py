"""A gateway, three workers, a storyteller and a dispatcher, and what happens when some of them die. Takes seconds.

    make demo

or, in a virtual environment of your own:

    pip install '.[examples]'
    python examples/demo.py

The gateway and the agents are processes of their own; the dispatcher is in this one. Nothing is left behind.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path
from typing import Any

from agent import Refused, Request
from dispatcher import Dispatcher
from program import connected

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds anything may take that will come
WORKERS = ("worker.1", "worker.2", "worker.3")
TEXTS = (
    "a gateway is where agents meet",
    "each has a name",
    "each says what it can do",
    "one asks and another one answers",
)


class Child:
    """A process; what it prints is printed here, behind its name."""

    def __init__(self, name: str, *command: str | Path, **variables: str) -> None:
        self.name = name
        self.lines: list[str] = []
        self._command = [str(word) for word in command]
        # Whatever configures a gateway of yours is not for this one.
        own = {name: value for name, value in os.environ.items() if not name.startswith("CELL0_")}
        self._environment = own | variables
        self._news = asyncio.Event()
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, for the first time or again."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._command, env=self._environment, stdout=PIPE, stderr=STDOUT
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.lines.append(line.decode().rstrip())
            print(f"   [{self.name}] {self.lines[-1]}")
            self._news.set()
        self._news.set()

    async def says(self, pattern: str, count: int = 1) -> list[str]:
        """Wait until `count` lines match; returns what the pattern's group stands for in each."""
        while len(found := [match[1] for line in self.lines if (match := re.search(pattern, line))]) < count:
            if self._reading is not None and self._reading.done():
                sys.exit(f"{self.name} has ended, and did not say {pattern}")
            self._news.clear()
            await self._news.wait()
        return found

    async def kill(self) -> None:
        """End it at once, whatever it does: SIGKILL where there are signals."""
        if self._process is not None and self._reading is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            await self._reading


class Demo:
    """All who take part."""

    def __init__(self, state: Path) -> None:
        self._state = state
        flags = ["--host", "127.0.0.1", "--port", "0", "--state-dir", state, "--log-level", "info"]
        self._gateway = Child("gateway", "-m", "cell0gw", *flags, PYTHONUNBUFFERED="1")
        self._children = {"gateway": self._gateway}
        self._url = ""
        self._tokens: dict[str, str] = {}

    async def run(self) -> None:
        """Start everything, and show it."""
        try:
            await self._gateway.start()
            (port,) = await self._gateway.says(r"listening on 127\.0\.0\.1 port (\d+)")
            self._url = f"ws://127.0.0.1:{port}"
            await self._mint_tokens()
            for name in WORKERS:
                await self._start(name, "worker.py")
            await self._start("storyteller", "storyteller.py")
            for child in self._children.values():
                await child.says(r"(listening on|online as)")
            async with connected(Dispatcher(self._url, self._tokens["dispatcher"])) as dispatcher:
                await self._calls(dispatcher)
                killed = await self._kill(dispatcher)
                await self._stream(dispatcher)
                await self._cancel(dispatcher)
                await self._mail(dispatcher, killed)
        finally:
            for child in reversed(self._children.values()):  # the gateway last: nobody misses it
                await child.kill()

    async def _mint_tokens(self) -> None:
        """The first start has left an admin token; everyone gets one of their own."""
        admin_token = (self._state / "admin.token").read_text().strip()
        async with connected(Dispatcher(self._url, admin_token)) as admin:
            for name in (*WORKERS, "storyteller", "dispatcher"):
                minted = await admin.call("auth.generateToken", entity_id=name, expires_in_hours=1)
                self._tokens[name] = minted["token"]

    async def _start(self, name: str, program: str) -> None:
        child = self._children[name] = Child(name, HERE / program, self._url, CELL0_TOKEN=self._tokens[name])
        await child.start()

    async def _calls(self, dispatcher: Dispatcher) -> None:
        say("1. Twelve calls for the capability wordcount go to whoever has least to do")
        results = await dispatcher.spread("wordcount", ({"text": text} for text in TEXTS * 3))
        for text, result in zip(TEXTS * 3, results, strict=True):
            print(f"{result['words']} words, counted by {result['counted_by']}: {text}")

    async def _kill(self, dispatcher: Dispatcher) -> str:
        say("2. A worker is killed that has two calls: it has begun with one, and not with the other")
        # Calls with one key go to one worker, as long as it lives.
        work: dict[str, Any] = {"capability": "wordcount", "policy": "sticky", "key": "a book", "timeout_ms": 3_600_000}
        long = {"text": "a very long book", "seconds": 3600}
        begun = await dispatcher.request("agent.call", message=long, **work)
        victim = (await first(begun))["begun_by"]
        print(f"{victim} has begun with the first call")
        waiting = await dispatcher.request("agent.call", message={"text": "a short one"}, **work)
        (load,) = [each for each in await dispatcher.call("agent.list") if each["entity_id"] == victim]
        print(f"{victim} has {load['inflight']} calls")
        await self._children[victim].kill()
        print(f"{victim} is killed")
        print(f"the first call: {await refusal(begun)}")
        result = await waiting.answer
        print(f"the second call: {result['words']} words, counted by {result['counted_by']}")
        return victim

    async def _stream(self, dispatcher: Dispatcher) -> None:
        say("3. A story, word by word, and then the whole")
        telling = await dispatcher.request("agent.call", capability="story", message={"about": "a captain"})
        async for shown in telling.progress():
            print(f"word {shown['number']}: {shown['word']}")
        print(f"the whole: {await telling.answer}")

    async def _cancel(self, dispatcher: Dispatcher) -> None:
        say("4. A story that nobody wants to hear to its end")
        message = {"about": "a whale", "sentences": 1_000_000}
        telling = await dispatcher.request("agent.call", capability="story", message=message)
        async for shown in telling.progress():
            if shown["number"] == 5:
                break
        await dispatcher.call("agent.cancel", request_id=telling.id)
        print(f"the call: {await refusal(telling)}")
        await self._children["storyteller"].says("stopped (.*: cancelled)")

    async def _mail(self, dispatcher: Dispatcher, away: str) -> None:
        say(f"5. Mail for {away}, which is dead still")
        message_ids = []
        for number in range(1, 6):
            sent = await dispatcher.post(away, f"letter {number}")
            print(f"letter {number} is {sent['status']}")
            message_ids.append(sent["message_id"])
        await self._children[away].start()
        print(f"{away} is started again")
        await dispatcher.until_over(message_ids)
        await self._children[away].says("mail from .*: (letter .*)", 5)
        for number, message_id in enumerate(message_ids, 1):
            print(f"letter {number} was: {', '.join(dispatcher.receipts[message_id])}")


async def first(request: Request) -> Any:
    """The first that is shown before an answer."""
    async for shown in request.progress():
        return shown
    return await request.answer


async def refusal(request: Request) -> str:
    """What a request is refused with."""
    try:
        return f"no error, but {await request.answer}"
    except Refused as refused:
        return str(refused)


def say(line: str) -> None:
    """Begin with something new."""
    print(f"\n{line}")


async def main() -> None:
    """The command."""
    with tempfile.TemporaryDirectory(prefix="cell0gw-demo-") as folder:
        async with asyncio.timeout(PATIENCE):
            await Demo(Path(folder, "state")).run()
    say("That was all of it.")


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ["no_proxy"] = "127.0.0.1"
    asyncio.run(main())
