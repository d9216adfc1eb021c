"""Everyone is cut off at once, and comes back at once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from tests.crash.wire import Answer, Connection, Lost, Violation
from tests.faults.stage import Client, Patient, Stage, expect, until

RULES = '[[channels]]\npattern = "news"\nhistory_size = 100_000\n'
AT_ONCE = 100
"""So many connect at the same time, each in its turn."""


class Guest:
    """A subscriber that comes back by itself.

    @ivar offsets: of all that it got, as it came.
    """

    def __init__(self, stage: Stage, gateway: Patient, name: str, token: str, epoch: str) -> None:
        self._stage = stage
        self._gateway = gateway
        self._name = name
        self._token = token
        self._epoch = epoch
        self.connection: Connection
        self.offsets: list[int] = []
        self.told: Counter[bool] = Counter()

    async def come(self) -> None:
        """Connect and go on where it was; again, until it is there."""
        while True:
            self.connection = Connection(self._got)
            try:
                await self.connection.open(self._gateway.port)
                await self.connection.call("auth.authenticate", token=self._token, entity_id=self._name)
                since = {"offset": self.offsets[-1] if self.offsets else 1, "epoch": self._epoch}
                answer = await self.connection.call("channel.subscribe", channel="news", since=since)
            except Lost:
                await asyncio.sleep(self._stage.chance.uniform(0.05, 0.5))
            else:
                self.told[answer["recovered"]] += 1
                return

    def _got(self, method: str, params: Answer) -> None:
        if method == "channel.message":
            self.offsets.append(params["offset"])


class Publisher:
    """Publishes all the time, beside one who only pings.

    @ivar published: how many messages; C{waits}: how long each ping took, in seconds.
    """

    def __init__(self, admin: Client, steady: Client) -> None:
        self._admin = admin
        self._steady = steady
        self.published = 1
        self.waits: list[float] = []
        self.over = False

    async def run(self) -> None:
        """Until it is over."""
        while not self.over:
            await self._admin.call("channel.publish", channel="news", message=self.published)
            self.published += 1
            asked = time.monotonic()
            await self._steady.call("rpc.ping")
            self.waits.append(time.monotonic() - asked)
            await asyncio.sleep(0.02)


async def all_come(guests: list[Guest]) -> float:
    """
    @return: how many seconds it took.
    """
    began, slots = time.monotonic(), asyncio.Semaphore(AT_ONCE)

    async def in_turn(guest: Guest) -> None:
        async with slots:
            await guest.come()

    await asyncio.gather(*(in_turn(guest) for guest in guests))
    return time.monotonic() - began


async def reconnect_storm(stage: Stage) -> None:
    """Everyone is cut off at once and comes back at once: all are back soon, with no gap and no double."""
    gateway = await stage.gateway(rules=RULES)
    admin, steady = await stage.client(gateway), await stage.client(gateway)
    token = (await admin.call("auth.generateToken", entity_id="guest.*"))["token"]
    epoch = (await admin.call("channel.publish", channel="news", message=0))["epoch"]
    count = 200 if stage.short else 1500
    guests = [Guest(stage, gateway, f"guest.{number}", token, epoch) for number in range(count)]
    await all_come(guests)
    publisher = Publisher(admin, steady)
    publishing = asyncio.ensure_future(publisher.run())
    for _ in range(1 if stage.short else 3):
        await asyncio.sleep(0.5)
        publisher.waits.clear()
        for guest in guests:
            guest.connection.reset()
        back = await all_come(guests)
        worst = sorted(publisher.waits)[int(len(publisher.waits) * 0.99)]
        stage.note(f"{count} back after {back:.1f} s, pings meanwhile {worst * 1000:.0f} ms (99 %)")
    publisher.over = True
    await publishing
    whole = list(range(2, publisher.published + 1))
    await until(lambda: all(guest.offsets and guest.offsets[-1] == whole[-1] for guest in guests), "some are behind")
    wrong = [guest.offsets for guest in guests if guest.offsets != whole]
    if wrong:
        raise Violation(f"{len(wrong)} subscribers have a gap or a double, such as {wrong[0][-20:]}")
    expect(not any(guest.told[False] for guest in guests), "some could not recover")
    for guest in guests:
        guest.connection.drop()
    await gateway.stop()
