"""Kill a gateway over and over while agents write to each other, and prove each time that nothing is lost or doubled.

All processes have one state folder. One is killed while a thousand letters are sent, one while they are brought, one
while they are acknowledged, and so on at random; calls are always in flight. What was answered to a sender must come to
its recipient, in order, and what was answered to a recipient must not come again. A sender repeats what was not
answered under its key, and that must be there once. Receipts must tell every step.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.crash.command import parser, perform, until
from tests.crash.correspondents import Calling, Recipient, Sender, Worker
from tests.crash.letters import Letter, Letters
from tests.crash.victim import Victim
from tests.crash.wire import PATIENCE, Connection, Lost, Violation, first_failure
from tests.e2e.processes import ADMIN_TOKEN

CONFIG: Final = '[gateway]\nmailbox_messages = 1_000_000\nmailbox_bytes = "1GiB"\nsender_messages = 1_000_000\n'
KINDS: Final = ("sending", "draining", "acknowledging")
"""During what a gateway is killed; a run begins with each of them, with L{MANY} letters."""
MANY: Final = 1000
SENDERS: Final = [f"sender.{number}" for number in range(4)]
RECIPIENTS: Final = [f"recipient.{number}" for number in range(3)]
LIFE: Final = 2.0
"""Under load a process lives so many seconds at most."""
KEPT: Final = 5
"""So many calls are in flight whenever it is killed."""


class Run:
    """One run.

    @param chance: decides whatever is left to chance, when the processes are killed above all.
    @ivar kills: how many there were, by what the gateway was doing.
    @ivar late: how many answers to calls came too late, and were dropped.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._chance = chance
        self._victim = Victim(folder, CONFIG)
        self._tokens: dict[str, str] = {}
        self._doom: tuple[str, int] | None = None
        self._count = 0
        self._end_of_life: asyncio.TimerHandle | None = None
        self._connections: list[Connection] = []
        self.letters = Letters()
        self.senders = [Sender(name, self.letters, chance, self._happened) for name in SENDERS]
        self.recipients = [Recipient(name, self.letters, self._happened) for name in RECIPIENTS]
        self.worker = Worker()
        self.calling = Calling()
        self.kills: Counter[str] = Counter()
        self.settled = self.late = 0

    async def cycle(self) -> None:
        """Start, check, load, kill.

        @raise Violation: a promise was broken.
        """
        number = self.kills.total()
        kind, count = KINDS[number % len(KINDS)], MANY
        if number >= len(KINDS):
            kind, count = self._chance.choice(KINDS), self._chance.randint(50, MANY // 2)
        failed = first_failure()
        await asyncio.to_thread(self._victim.start)
        try:
            await until(self._check(), failed)
            if number > len(KINDS) and self._chance.random() < 0.2:
                await until(self._settle(), failed)
            await until(self._load(kind, count), failed)
        except Lost:
            pass
        await asyncio.to_thread(self._victim.kill)
        await self._all_lost()
        self.kills[kind] += 1
        if failed.done():
            failed.result()

    async def finish(self) -> None:
        """One more start, after which nothing may be left, and an end in order."""
        failed = first_failure()
        await asyncio.to_thread(self._victim.start)
        await until(self._check(), failed)
        await until(self._settle(), failed)
        self.calling.ending = True
        await asyncio.to_thread(self._victim.stop)
        await self._all_lost()
        if failed.done():
            failed.result()
        if self.calling.made != self.calling.answered + self.calling.told:
            raise Violation(f"of {self.calling.made} calls {self.calling.answered} have an answer")
        database = sqlite3.connect(self._victim.state / "gateway.db")
        found = database.execute("PRAGMA integrity_check").fetchall()
        database.close()
        if found != [("ok",)]:
            raise Violation(f"the database is damaged: {found}")

    def end(self) -> None:
        """Leave no process behind."""
        self._victim.end()

    def _happened(self, what: str) -> None:
        if self._doom is not None and self._doom[0] == what:
            self._count += 1
            if self._count >= self._doom[1]:
                self._shoot()

    def _shoot(self) -> None:
        self._doom = None
        assert self._end_of_life is not None
        self._end_of_life.cancel()
        assert self._victim.process is not None
        self._victim.process.signal(signal.SIGKILL)

    async def _connect(self, name: str, heard: Any = lambda method, params: None, **said: Any) -> Connection:
        connection = await Connection(heard).open(self._victim.port)
        self._connections.append(connection)
        await connection.call("auth.authenticate", token=self._tokens.get(name, ADMIN_TOKEN), **said)
        return connection

    async def _all_lost(self) -> None:
        """Read all that the process has sent; everyone learns that it is gone."""
        connections, self._connections = self._connections, []
        async with asyncio.timeout(PATIENCE):
            for connection in connections:
                await connection.lost

    async def _check(self) -> None:
        """What is left of the process before: the letters that wait, and the calls that nobody waits for."""
        admin = await self._connect("admin")
        if not self._tokens:
            for name in (*SENDERS, *RECIPIENTS, "worker", "caller"):
                self._tokens[name] = (await admin.call("auth.generateToken", entity_id=name))["token"]
        for recipient in self.recipients:
            recipient.reset()
        least, most = self.letters.bounds(RECIPIENTS)
        waiting = (await self._figures(admin))["messages_waiting"]
        if not least <= waiting <= most:
            raise Violation(f"{waiting} letters wait after the start, and it must be {least} to {most}")
        self.worker.begin(await self._connect("worker", self.worker.heard, capabilities=["ack", "work"]))
        assert self.worker.connection is not None
        await self.worker.connection.call("rpc.ping")
        figures = await self._figures(admin)
        if (figures["answers_late"], figures["calls_inflight"]) != (self.worker.late, 0):
            raise Violation(f"{self.worker.late} answers came late, to no calls: {figures}")
        self.late += self.worker.late
        caller = await self._connect("caller")
        answered = asyncio.get_running_loop().create_future()
        self.calling.call(caller, False, lambda: answered.done() or answered.set_result(None))
        for _ in range(KEPT):
            self.calling.call(caller, True)
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait((answered, caller.lost), return_when=asyncio.FIRST_COMPLETED)
        await caller.call("rpc.ping")

    async def _load(self, kind: str, count: int) -> None:
        """Send and bring letters until the process is gone."""
        if kind != "sending":
            await self._send(count)
        self._doom, self._count = (kind, self._chance.randint(1, count)), 0
        # Early, it is in the middle of a transaction, or between one and its answers.
        life = LIFE if self._chance.random() < 0.5 else LIFE / 8
        self._end_of_life = asyncio.get_running_loop().call_later(self._chance.uniform(0, life), self._shoot)
        connections = [self.worker.connection]
        if kind == "sending":
            if self._chance.random() < 0.5:
                connections += [await self._receive(each) for each in self.recipients]
            connections += [await self._write(each) for each in self.senders]
            for sender in self.senders:
                sender.send(RECIPIENTS, count // len(self.senders))
        else:
            if self._chance.random() < 0.5:
                connections += [await self._write(each) for each in self.senders]
            connections += [await self._receive(each) for each in self.recipients]
        async with asyncio.timeout(PATIENCE):
            for connection in connections:
                assert connection is not None
                await connection.lost

    async def _send(self, count: int) -> None:
        """Send so many letters, and wait until all are answered; then nobody is connected."""
        for sender in self.senders:
            connection = await self._write(sender)
            sender.send(RECIPIENTS, count // len(self.senders))
            await connection.call("rpc.ping")
        for sender in self.senders:
            await self._all_answered(sender)
            assert sender.connection is not None
            await sender.connection.close()

    async def _write(self, sender: Sender) -> Connection:
        if sender.connection is None or sender.connection.lost.done():
            sender.connection = await self._connect(sender.name, sender.heard)
            sender.repeat()
        return sender.connection

    async def _receive(self, recipient: Recipient) -> Connection:
        connection = await self._connect(recipient.name, recipient.heard, capabilities=["ack"])
        recipient.begin(connection)
        return connection

    async def _all_answered(self, sender: Sender) -> None:
        deadline = time.monotonic() + PATIENCE
        assert sender.connection is not None
        while self.letters.waiting[sender.name]:
            if time.monotonic() > deadline:
                raise Violation(f"{sender.name} gets no answer to {len(self.letters.waiting[sender.name])} letters")
            await sender.connection.call("rpc.ping")
            await asyncio.sleep(0.01)

    async def _settle(self) -> None:
        """Send until all is answered, bring until all is acknowledged: then nothing may be left, and all be told."""
        admin = await self._connect("admin")
        for sender in self.senders:
            await self._write(sender)
        for recipient in self.recipients:
            await self._receive(recipient)
        for sender in self.senders:
            await self._all_answered(sender)
        await self._nothing_left(admin)
        self.letters.settle()
        for letter in self.letters.all[self.settled :]:
            if letter.message_id is not None:
                await self._all_told(letter)
        self.settled = len(self.letters.all)
        for each in itertools.chain(self.senders, self.recipients):
            assert each.connection is not None
            await each.connection.close()
        for recipient in self.recipients:
            recipient.reset()

    async def _nothing_left(self, admin: Connection) -> None:
        """Wait until no letter waits, and every acknowledgement is answered."""
        deadline = time.monotonic() + PATIENCE
        while left := (await self._figures(admin))["messages_waiting"] + sum(each.asked for each in self.recipients):
            if time.monotonic() > deadline:
                raise Violation(f"{left} letters and acknowledgements are left, and stay")
            await asyncio.sleep(0.01)

    async def _all_told(self, letter: Letter) -> None:
        """Wait until a letter's sender has been told of all its steps."""
        deadline = time.monotonic() + PATIENCE
        sender = next(sender for sender in self.senders if sender.name == letter.sender)
        assert sender.connection is not None
        while True:
            report = await sender.connection.call("agent.getDelivery", message_id=letter.message_id)
            if self.letters.report(letter, report):
                return
            if time.monotonic() > deadline:
                steps = [receipt["status"] for receipt in report["receipts"]]
                told = self.letters.told.get(letter.message_id or "", [])
                raise Violation(f"{letter} has the ladder {steps}, its sender was told {told}, and no more comes")
            await asyncio.sleep(0.01)

    async def _figures(self, admin: Connection) -> dict[str, int]:
        figures: dict[str, int] = (await admin.call("gateway.getStats"))["services"]["agent"]
        return figures


async def cycles(run: Run, count: int) -> None:
    """All cycles, with a line for every ten, and the summary."""
    began = time.monotonic()
    for number in range(1, count + 1):
        await run.cycle()
        if number % 10 == 0:
            print(f"{number:4} cycles, {time.monotonic() - began:4.0f} s: {len(run.letters.all):6} letters", flush=True)
    await run.finish()
    calling = run.calling
    print(
        f"{count} cycles in {time.monotonic() - began:.0f} s: nothing is lost, doubled or out of order; nothing is left"
    )
    print("killed: " + ", ".join(f"{times} times {when}" for when, times in sorted(run.kills.items())))
    print(f"{len(run.letters.all)} letters; " + "; ".join(f"{w}: {n}" for w, n in sorted(run.letters.counts.items())))
    print(
        f"{calling.made} calls: {calling.answered} answered, {calling.told} ended with their connection; "
        f"{run.late} answers came too late, and were dropped"
    )


def main() -> int:
    """The command."""
    return perform(parser("tests.crash.agents", __doc__, cycles=30).parse_args(), Run, cycles)


if __name__ == "__main__":
    sys.exit(main())
