"""Five thousand sessions lose their connections at once and come back at once, while others go on working."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.crash.wire import Lost
from tests.e2e.processes import ADMIN_TOKEN
from tests.stress.clients import Lean
from tests.stress.scale.aside import Aside
from tests.stress.scale.figures import Report, percentile, spread
from tests.stress.victim import StressedGateway

RULES: Final = '[[channels]]\npattern = "storm.>"\nhistory_size = 10_000\n'
PER_CHANNEL: Final = 100
PER_ADDRESS: Final = 500
STEADY: Final = 20
BACK: Final = 30.0
LATENCY: Final = 0.25


class Member:
    """One session of the five thousand, subscribed to one channel.

    @ivar back: when it was back and had recovered, in seconds of the monotonic clock; 0: not yet.
    @ivar faults: gaps, duplicates, and what was not recovered.
    """

    def __init__(self, number: int, port: int, token: str) -> None:
        self._name = f"member.{number}"
        self._address = f"127.2.{number // PER_ADDRESS}.1"
        self._port = port
        self._token = token
        self.channel = f"storm.c{number // PER_CHANNEL}"
        self._secret = self._epoch = ""
        self.last = 0
        self.back = 0.0
        self.tries = 0
        self.by_position = False
        self.faults: list[str] = []
        self.client: Lean

    async def arrive(self) -> None:
        """Open a session and subscribe."""
        await self._connect()
        answer = await self.client.call("channel.subscribe", channel=self.channel)
        self._epoch, self.last = answer["epoch"], answer["offset"]

    async def come_back(self) -> None:
        """Take one's place again; try until it is so, as clients do."""
        secret = self._secret
        while not self.back:
            self.tries += 1
            try:
                await self._connect()
                position = {"offset": self.last, "epoch": self._epoch}
                answer = await self.client.call(
                    "session.resume", resume_token=secret, positions={self.channel: position}
                )
                outcome = answer["channels"].get(self.channel)
                if not answer["resumed"]:
                    self.by_position = True
                    outcome = await self.client.call("channel.subscribe", channel=self.channel, since=position)
                if outcome is None or not outcome["recovered"]:
                    self.faults.append(f"{self._name} was at {self.last} and is told {answer}")
                self.back = time.monotonic()
            except (Lost, TimeoutError):
                await asyncio.sleep(0.5)

    async def _connect(self) -> None:
        self.client = await Lean(self._address, self._heard).open(self._port)
        session = await self.client.authenticate(self._token, self._name)
        self._secret = session["resume_token"]

    def _heard(self, method: str, params: Any) -> None:
        if method == "channel.message":
            if params["offset"] != self.last + 1:
                self.faults.append(f"{self._name} got {params['offset']} after {self.last}")
            self.last = params["offset"]


async def steady(stop: asyncio.Event, ready: Callable[[], None], port: int, token: str) -> Any:
    """Twenty clients that call twenty times a second.

    @return: of each call when it began, and how long it took.
    """
    took: list[tuple[float, float]] = []
    clients = [await Lean("127.3.0.1").open(port) for _ in range(STEADY)]
    for number, client in enumerate(clients):
        await client.authenticate(token, f"steady.{number}")

    async def call(client: Lean, wait: float) -> None:
        await asyncio.sleep(wait)
        while not stop.is_set():
            began = time.monotonic()
            await client.call("rpc.echo", message="x" * 100)
            took.append((began, time.monotonic() - began))
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(call(client, number * 0.05 / STEADY)) for number, client in enumerate(clients)]
    ready()
    await asyncio.gather(*tasks)
    return took


class Fate(NamedTuple):
    """What became of the five thousand: moments are seconds of the monotonic clock."""

    took_to_come: float
    cut_at: float
    back: list[float]
    tries: int
    by_position: int
    published: int
    faults: list[str]
    behind: int


async def lose_all(
    stop: asyncio.Event, ready: Callable[[], None], port: int, token: str, count: int, wait: float
) -> Fate:
    """Let all come, publish once a second on each channel, cut all of them, let all come back.

    @param wait: how many seconds they have to get the newest in the end.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    publisher = await Lean("127.3.0.2").open(port)
    await publisher.authenticate(token, "publisher")
    members = [Member(number, port, token) for number in range(count)]
    channels = sorted({member.channel for member in members})
    began = time.monotonic()
    for start in range(0, count, 100):
        await asyncio.gather(*(member.arrive() for member in members[start : start + 100]))
    took_to_come = time.monotonic() - began
    newest: dict[str, int] = {}
    going = True

    async def publish() -> None:
        while going:
            for channel in channels:
                answer = await publisher.call("channel.publish", channel=channel, message="x" * 100)
                newest[channel] = answer["offset"]
                await asyncio.sleep(1 / len(channels))

    publishing = asyncio.create_task(publish())
    ready()
    await asyncio.sleep(5)
    cut_at = time.monotonic()
    for member in members:
        member.client.reset()
    await asyncio.gather(*(member.come_back() for member in members))
    await asyncio.sleep(2)
    going = False
    await publishing
    ends = time.monotonic() + wait
    while time.monotonic() < ends and any(member.last != newest[member.channel] for member in members):
        await asyncio.sleep(0.1)
    return Fate(
        took_to_come,
        cut_at,
        [member.back for member in members],
        sum(member.tries for member in members),
        sum(member.by_position for member in members),
        sum(newest.values()),
        [fault for member in members for fault in member.faults][:5],
        sum(member.last != newest[member.channel] for member in members),
    )


async def storm(report: Report, folder: Path, count: int, seconds: float) -> None:
    """The run."""
    gateway = await asyncio.to_thread(StressedGateway, folder, {}, RULES)
    try:
        admin = await Lean("127.0.0.1").open(gateway.port)
        await admin.call("auth.authenticate", token=ADMIN_TOKEN)
        token = (await admin.call("auth.generateToken", entity_id=">"))["token"]
        async with (
            Aside(steady, gateway.port, token) as others,
            Aside(lose_all, gateway.port, token, count, seconds) as losers,
        ):
            memory, (ran, waited) = gateway.resident, gateway.processor
            fate: Fate = await losers.outcome()
            report.figure("since then the gateway ran for, seconds", gateway.processor[0] - ran)
            report.figure("and waited for others on this machine for, seconds", gateway.processor[1] - waited)
            took: list[tuple[float, float]] = await others.outcome()
        tell(report, fate, took, memory)
        report.exactly("faults in the log", gateway.complaints()[:3], [])
        await admin.close()
        await asyncio.to_thread(gateway.stop)
    finally:
        gateway.kill()


def tell(report: Report, fate: Fate, took: list[tuple[float, float]], memory: int) -> None:
    """Figures and goals."""
    back_at = max(fate.back)
    before = [latency for at, latency in took if at + latency < fate.cut_at]
    during = [latency for at, latency in took if fate.cut_at <= at + latency and at < back_at + 2]
    report.figure("seconds until all had come, a hundred at a time", fate.took_to_come)
    report.figure("memory of the gateway then, MiB", memory / 1048576)
    report.figure("connections tried", fate.tries)
    report.figure("came back by their position, and not by their place", fate.by_position)
    report.figure("messages published", fate.published)
    report.figure("half of them were back after, seconds", percentile(fate.back, 0.5) - fate.cut_at)
    report.figure("calls of the steady before", spread(before))
    report.figure("calls of the steady meanwhile", spread(during))
    report.goal("all are back, authenticated and recovered", back_at - fate.cut_at, BACK)
    report.goal("p99 of the steady's calls meanwhile", percentile(during, 0.99), LATENCY)
    report.exactly("gaps, duplicates, and what was not recovered", fate.faults, [])
    report.exactly("sessions without the newest", fate.behind, 0)
