"""A storm with all at once that disturbs a gateway: slow readers, connections that are cut, kills, and narrow limits.

Little may wait for a connection (C{outbound_limit} is 64 KiB), so that it falls behind in the middle of whatever is
going on. Writers send letters with receipts, callers call workers, and a publisher floods them all. Now and then the
gateway is killed. In the calm at the end every letter that was taken has come and is over, its sender has been told
every step, and every call has ended once. At last the storm goes on, the gateway is told to stop, and everybody who is
connected learns it by 4001.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path
from typing import Any, Final

from tests.crash.command import parser, perform
from tests.crash.errands import Caller, Calls, Mail, Recipient, Worker, Writer
from tests.crash.parties import Books, Party, Publisher
from tests.crash.victim import Victim
from tests.crash.wire import PATIENCE, Connection, Refused, Violation, first_failure
from tests.e2e.processes import ADMIN_TOKEN

CONFIG: Final = """
[gateway]
outbound_limit = "64KiB"
resume_window = 3
calls_per_second = 100
calls_burst = 40
entity_calls_per_second = 120
entity_calls_burst = 60
mailbox_messages = 40
sender_messages = 60
drain_timeout = 60
"""
CUTS: Final = 1.0
"""Connections that are cut in a second."""
LIFE: Final = (4.0, 10.0)
"""Seconds after which a process is killed."""
RATES: Final = 0.02
"""Seconds between two things that the parties do."""


class Run:
    """One storm."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._chance = chance
        self._victim = Victim(folder, CONFIG)
        self.books = Books(chance)
        self.mail, self.calls = Mail(), Calls()
        recipients = [f"recipient.{number}" for number in range(3)]
        self._writers = [Writer(f"writer.{n}", self.books, n % 2 == 0, self.mail, recipients) for n in range(4)]
        self._callers = [Caller(f"caller.{n}", self.books, n % 2 == 0, self.calls) for n in range(4)]
        self._publisher = Publisher("publisher", self.books, False)
        self._parties: list[Party] = [
            *self._writers,
            *self._callers,
            self._publisher,
            *(Recipient(name, self.books, name != recipients[0], self.mail) for name in recipients),
            *(Worker(f"worker.{n}", self.books, n % 2 == 0, self.calls) for n in range(4)),
        ]

    async def rage(self, kills: int) -> None:
        """All of it.

        @raise Violation: a promise was broken.
        """
        failed = first_failure()
        await asyncio.to_thread(self._victim.start)
        self.books.port = self._victim.port
        admin = await self._admin()
        for party in self._parties:
            self.books.tokens[party.name] = (await admin.call("auth.generateToken", entity_id=party.name))["token"]
        try:
            async with asyncio.TaskGroup() as group:
                living = [group.create_task(party.live()) for party in self._parties]
                watching = group.create_task(_wait(failed))
                storm = [group.create_task(self._cut()), group.create_task(self._work())]
                for _ in range(kills):
                    await asyncio.sleep(self._chance.uniform(*LIFE))
                    await asyncio.to_thread(self._victim.kill)
                    await asyncio.to_thread(self._victim.start)
                    self.books.port = self._victim.port
                await asyncio.sleep(LIFE[1])
                for task in storm:
                    task.cancel()
                await self._calm()
                await self._drain(group)
                for task in (watching, *living):
                    task.cancel()
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from None

    def end(self) -> None:
        """Leave no process behind."""
        self._victim.end()

    async def _admin(self) -> Connection:
        connection = await Connection().open(self._victim.port)
        await connection.call("auth.authenticate", token=ADMIN_TOKEN)
        return connection

    async def _cut(self) -> None:
        while True:
            await asyncio.sleep(self._chance.expovariate(CUTS))
            self._chance.choice(self._parties).cut()

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(RATES)
            self._publisher.publish()
            self._chance.choice(self._writers).write()
            self._chance.choice(self._callers).ring()

    async def _calm(self) -> None:
        """Wait until all is over, and look whether all of it is told."""
        self.books.calm = True
        await self._until(self.mail.settled, lambda: f"{self._left()} letters are not over, and stay so")
        await self._until(lambda: not self.calls.open, lambda: f"the calls {sorted(self.calls.open)} do not end")
        admin = await self._admin()
        deadline = time.monotonic() + PATIENCE
        while True:
            figures = (await admin.call("gateway.getStats"))["services"]["agent"]
            left = {what: figures[what] for what in ("messages_waiting", "calls_inflight", "calls_waiting")}
            if not any(left.values()):
                break
            if time.monotonic() > deadline:
                raise Violation(f"all is over, and the gateway has {left}")
            await asyncio.sleep(0.1)
        for writer in self._writers:
            for message_id in writer.taken:
                await self._told(writer, message_id, deadline)
        await admin.close()

    async def _told(self, writer: Writer, message_id: str, deadline: float) -> None:
        """Wait until a writer has been told every step of a letter of its own."""
        while writer.line is not None:
            try:
                report = await writer.line.call("agent.getDelivery", message_id=message_id)
            except Refused as refused:
                if not refused.data["retryable"]:
                    raise
                await asyncio.sleep(refused.data["retry_after_ms"] / 1000)
                continue
            if self.mail.check(message_id, report):
                return
            if time.monotonic() > deadline:
                raise Violation(f"{message_id}: its sender was told {self.mail.told[message_id]}, no more comes")
            await asyncio.sleep(0.1)
        raise Violation(f"{writer.name} lost its connection in the calm")

    def _left(self) -> list[int]:
        return sorted(set(range(1, self.mail.written + 1)) - self.mail.done)

    async def _until(self, holds: Any, complaint: Any) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                raise Violation(complaint())
            await asyncio.sleep(0.05)

    async def _drain(self, group: asyncio.TaskGroup) -> None:
        """Once more a storm, and SIGTERM in the middle of it: all learn why their connections end."""
        self.books.calm = False
        working = group.create_task(self._work())
        await asyncio.sleep(LIFE[0])
        self.books.ending = True
        lines = {party.name: party.line for party in self._parties if party.line is not None}
        stopping = asyncio.create_task(asyncio.to_thread(self._victim.stop))
        await asyncio.sleep(0.2)
        working.cancel()
        await stopping
        for line in lines.values():
            async with asyncio.timeout(PATIENCE):
                await line.lost
        codes = {name: line.close_code for name, line in lines.items()}
        if set(codes.values()) != {4001}:
            raise Violation(f"the gateway has stopped, and the connections ended with {codes}")
        self.books.counts["told of the stop"] += len(codes)
        if self.calls.open:
            raise Violation(f"the gateway has stopped, and the calls {sorted(self.calls.open)} have no end")


async def _wait(failed: asyncio.Future[None]) -> None:
    """Raise what fails in a callback."""
    await failed


async def storm(run: Run, kills: int) -> None:
    """The storm, and the summary."""
    began = time.monotonic()
    await run.rage(kills)
    mail, calls = run.mail, run.calls
    again = sum(mail.arrived.values()) - len(mail.arrived)
    print(f"{kills} kills in {time.monotonic() - began:.0f} s; " + _listed(run.books.counts))
    print(f"{len(mail.sent)} letters, all over, {again} brought again; each sender was told every step")
    print(f"{calls.made} calls, each ended once: {_listed(calls.ended)}; {len(calls.begun)} were begun, none twice")


def _listed(counts: Any) -> str:
    return ", ".join(f"{what}: {count}" for what, count in sorted(counts.items()))


def main() -> int:
    """The command."""
    return perform(parser("tests.crash.narrow", __doc__, cycles=5).parse_args(), Run, storm)


if __name__ == "__main__":
    sys.exit(main())
