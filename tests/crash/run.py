"""Cycles of a gateway that is started, checked, loaded and killed."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final

from tests.crash.command import until
from tests.crash.ledger import Ledger
from tests.crash.load import Publisher, Reader
from tests.crash.victim import Victim
from tests.crash.wire import PATIENCE, Connection, Lost, Refused, Violation, first_failure
from tests.e2e.processes import ADMIN_TOKEN

CHANNELS: Final = ["durable.orders", "durable.audit.log", "durable.chat"]
RULES: Final = """
[[channels]]
pattern = "durable.>"
durable = true
history_size = 10_000_000
"""
PAGE: Final = 1000
LIFE: Final = 0.4
"""Under load a process lives so many seconds at most."""


class Run:
    """One run.

    @param chance: decides whatever is left to chance, when the processes are killed above all.
    @ivar kills: how many there were, by what the gateway was doing.
    """

    def __init__(self, folder: Path, chance: random.Random, publishers: int, in_flight: int) -> None:
        self._chance = chance
        self._publishers = publishers
        self._in_flight = in_flight
        self._victim = Victim(folder, RULES)
        self.ledger = Ledger()
        self._reader = Reader(self.ledger, CHANNELS)
        self._start_takes = 1.0
        self._answers_left: int | None = None
        self.kills: Counter[str] = Counter()

    @property
    def received(self) -> int:
        """How many messages the subscriber got."""
        return self._reader.received

    async def cycle(self) -> None:
        """Start, check, load, kill.

        @raise Violation: a promise was broken.
        """
        failed = first_failure()
        if self.kills.total() == 0 or self._chance.random() < 0.1:
            await self._kill_in_start()
        began = time.monotonic()
        await asyncio.to_thread(self._victim.start)
        self._start_takes = time.monotonic() - began
        early = self._chance.random() < 0.1
        if early:
            asyncio.get_running_loop().call_later(self._chance.uniform(0, 0.1), self._shoot)
        try:
            await until(self._check(), failed)
            if not early:
                self._doom()
            await until(self._load(), failed)
        except Lost:
            pass
        await asyncio.to_thread(self._victim.kill)
        self.kills["while it was being checked" if early else "under load"] += 1
        if failed.done():
            failed.result()

    async def finish(self) -> dict[str, int]:
        """One more start, after which everything must be there, and an end in order.

        @return: what became of the messages.
        """
        failed = first_failure()
        await asyncio.to_thread(self._victim.start)
        await until(self._check(), failed)
        await until(self._repeat(), failed)
        self.ledger.verified.clear()
        await until(self._check(), failed)
        outcome = self.ledger.settle()
        await asyncio.to_thread(self._victim.stop)
        database = sqlite3.connect(self._victim.state / "gateway.db")
        found = database.execute("PRAGMA integrity_check").fetchall()
        database.close()
        if found != [("ok",)]:
            raise Violation(f"the database is damaged: {found}")
        return outcome

    def end(self) -> None:
        """Leave no process behind."""
        self._victim.end()

    async def _kill_in_start(self) -> None:
        self._victim.launch()
        late = self._chance.random() < 0.5  # that is when the state folder is opened
        await asyncio.sleep(self._start_takes * self._chance.uniform(0.7 if late else 0.0, 1.1))
        await asyncio.to_thread(self._victim.kill)
        self.kills["while it was starting"] += 1

    def _doom(self) -> None:
        """Decide when it will be killed: at some moment, or with some answer, before anything else happens."""
        if self._chance.random() < 0.5:
            asyncio.get_running_loop().call_later(self._chance.uniform(0, LIFE), self._shoot)
        else:
            self._answers_left = self._chance.randint(1, 800)

    def _answered(self) -> None:
        if self._answers_left is not None:
            self._answers_left -= 1
            if self._answers_left <= 0:
                self._shoot()

    def _shoot(self) -> None:
        self._answers_left = None
        assert self._victim.process is not None
        self._victim.process.signal(signal.SIGKILL)

    async def _connect(self, reader: Reader | None = None) -> Connection:
        connection = await (Connection() if reader is None else Connection(reader.heard)).open(self._victim.port)
        await connection.call("auth.authenticate", token=ADMIN_TOKEN)
        return connection

    async def _check(self) -> None:
        """Read the channels from where they were last read to their end."""
        ledger = self.ledger
        connection = await self._connect()
        for channel in CHANNELS:
            while True:
                after = ledger.verified[channel]
                since = {"since": {"offset": after, "epoch": ledger.epochs[channel]}} if after else {}
                try:
                    page = await connection.call("channel.history", channel=channel, limit=PAGE, **since)
                except Refused as refusal:
                    if refusal.code != "not_found":
                        raise Violation(f"the history of {channel}: {refusal}") from None
                    ledger.missing(channel)
                    break
                ledger.verified[channel] = ledger.page(channel, page, after)
                if ledger.verified[channel] == page["newest"]:
                    break
                if not page["messages"]:
                    raise Violation(f"{channel} ends at {after} instead of {page['newest']}")
        await connection.close()

    async def _load(self) -> None:
        """Publish and read until the process is gone."""
        reader = await self._connect(self._reader)
        self._reader.begin(reader)
        connections = [await self._connect() for _ in range(self._publishers)]
        publishers = [self._publisher(connection) for connection in connections]
        for publisher in publishers:
            publisher.others = [other for other in publishers if other is not publisher]
            publisher.begin(self._in_flight)
        async with asyncio.timeout(PATIENCE):
            for connection in (reader, *connections):
                await connection.lost

    async def _repeat(self) -> None:
        """Repeat what has a key: all that was not answered, and what was answered last."""
        publisher = self._publisher(await self._connect())
        messages = [*self.ledger.unanswered, *self.ledger.answered]
        self.ledger.unanswered.clear()
        for message in messages:
            answered = asyncio.get_running_loop().create_future()
            publisher.publish(message, partial(answered.set_result, None))
            async with asyncio.timeout(PATIENCE):
                await answered

    def _publisher(self, connection: Connection) -> Publisher:
        return Publisher(connection, self.ledger, CHANNELS, self._chance, self._answered)
