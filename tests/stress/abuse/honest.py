"""Ten honest sessions that call, publish and receive, at a rate that costs next to nothing."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from typing import Any, Final

from tests.crash.wire import Lost, Refused
from tests.stress.clients import Lean

SESSIONS: Final = 10
PAUSE: Final = 0.05
"""Seconds between two things that a session does, each of which is waited for."""

NEWS: Final = "honest.news"
KEPT: Final = "kept.honest"
AWAY: Final = "honest.away"
PATIENCE: Final = 30.0


class Honest:
    """One session.

    @ivar took: how long each call took, and each publication until it came back, in seconds.
    @ivar faults: what was refused, and what was lost.
    @ivar received: how often it has got each publication, by its mark.
    @ivar kept: how many of its publications to the durable channel were acknowledged.
    """

    def __init__(self, number: int, others: list[Honest]) -> None:
        self.name = f"honest.{number}"
        self.client = Lean(f"127.200.0.{number + 1}", self._heard)
        self._others = others
        self._marks = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[float]] = {}
        self.took: list[float] = []
        self.faults: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.kept = 0

    async def begin(self, port: int, token: str) -> None:
        """Open the session, and subscribe."""
        await self.client.open(port)
        await self.client.authenticate(token, self.name)
        for channel in (NEWS, KEPT):
            await self.client.call("channel.subscribe", channel=channel)

    async def work(self, stop: asyncio.Event) -> None:
        """Call, publish and send in turn until it is to stop."""
        doing = itertools.cycle((self._echo, self._publish, self._ask, self._keep, self._write, self._look))
        while not stop.is_set():
            await asyncio.sleep(PAUSE)
            try:
                async with asyncio.timeout(PATIENCE):
                    await next(doing)()
            except Refused as refused:
                self.faults[str(refused)] += 1
            except Lost:
                self.faults[f"its connection is gone ({self.client.close_code})"] += 1
                return
            except TimeoutError:
                self.faults[f"no answer in {PATIENCE:g} s"] += 1

    async def _echo(self) -> None:
        await self._call("rpc.echo", message=self.name)

    async def _publish(self) -> None:
        await self._comes_back(NEWS, {"type": "y"})

    async def _keep(self) -> None:
        await self._comes_back(KEPT, {})
        self.kept += 1

    async def _ask(self) -> None:
        await self._call("agent.call", agent_id=self._others[(self._others.index(self) + 1) % SESSIONS].name, message=1)

    async def _write(self) -> None:
        await self._call("agent.send", agent_id=AWAY, message=self.name)

    async def _look(self) -> None:
        await self._call("presence.get")

    async def _call(self, method: str, **params: Any) -> None:
        began = time.monotonic()
        await self.client.call(method, **params)
        self.took.append(time.monotonic() - began)

    async def _comes_back(self, channel: str, message: dict[str, Any]) -> None:
        mark = f"{self.name} {next(self._marks)}"
        came = self._waiting[mark] = asyncio.get_running_loop().create_future()
        began = time.monotonic()
        await self.client.call("channel.publish", channel=channel, message=message | {"mark": mark})
        self.took.append(await came - began)

    def _heard(self, method: str, params: Any) -> None:
        if method == "agent.invoke":
            self.client.answer(params["call_id"], 1)
        elif method == "channel.message":
            mark = params["message"].get("mark", "")  # others may publish there, too
            self.received[mark] += 1
            if waiting := self._waiting.pop(mark, None):
                waiting.set_result(time.monotonic())

    @property
    def published(self) -> set[str]:
        """The marks of what it published and got back."""
        return {f"{self.name} {number}" for number in range(1, next(self._marks))} - self._waiting.keys()


class Company:
    """All ten."""

    def __init__(self) -> None:
        self.members: list[Honest] = []
        self.members += [Honest(number, self.members) for number in range(SESSIONS)]

    async def begin(self, port: int, token: str) -> None:
        """Open all sessions; one agent more has been there, and is away."""
        away = await Lean("127.200.0.99").open(port)
        await away.authenticate(token, AWAY)
        await away.close()
        for member in self.members:
            await member.begin(port, token)

    async def work(self, seconds: float) -> list[float]:
        """Work for a time.

        @return: how long everything took that was done in it, in seconds.
        """
        before = [len(member.took) for member in self.members]
        stop = asyncio.Event()
        working = [asyncio.create_task(member.work(stop)) for member in self.members]
        await asyncio.sleep(seconds)
        stop.set()
        await asyncio.gather(*working)
        return [took for member, count in zip(self.members, before, strict=True) for took in member.took[count:]]

    @property
    def faults(self) -> Counter[str]:
        """What went wrong for any of them."""
        return sum((member.faults for member in self.members), Counter())

    async def lost(self) -> list[str]:
        """What was published, and did not come to all exactly once."""
        published = set().union(*(member.published for member in self.members))
        for _ in range(100):
            here = [member for member in self.members if not member.client.lost.done()]
            missing = [mark for mark in published if any(member.received[mark] != 1 for member in here)]
            if not missing:
                break
            await asyncio.sleep(0.1)
        return sorted(missing)

    async def held(self, reader: Lean) -> int:
        """How many messages the durable channel holds."""
        held, position = 0, None
        while True:
            since = {} if position is None else {"since": position}
            page = await reader.call("channel.history", channel=KEPT, limit=1000, **since)
            if not page["messages"]:
                return held
            held += len(page["messages"])
            position = {"epoch": page["epoch"], "offset": page["messages"][-1]["offset"]}
