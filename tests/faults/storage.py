"""Disks: full, locked, with errors, gone, damaged."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.crash.wire import Answer
from tests.faults.disks import FailingDisk, FullDisk, small_disk
from tests.faults.stage import DURABLE, Patient, Skipped, Stage, expect, history, publish, until


class Ward:
    """A gateway whose disk is going to fail, and those who use it: an admin, an agent, one who subscribes.

    @ivar sent: what was acknowledged, by offset.
    """

    def __init__(self, stage: Stage, gateway: Patient) -> None:
        self.stage = stage
        self.gateway = gateway
        self.sent: dict[int, Any] = {}
        self._count = 0

    async def open(self) -> None:
        """Have everyone come."""
        self.admin = await self.stage.client(self.gateway)
        await self.admin.call("channel.subscribe", channel="$system")
        tokens = {}
        for name in ("agent", "reader", "away", "late", "doomed"):
            tokens[name] = (await self.admin.call("auth.generateToken", entity_id=name))["token"]
        self.agent = await self.stage.client(self.gateway, tokens["agent"])
        self.reader = await self.stage.client(self.gateway, tokens["reader"])
        self.doomed = await self.stage.client(self.gateway, tokens["doomed"])
        self._late = tokens["late"]
        for channel in (DURABLE, "memory.news"):
            await self.reader.call("channel.subscribe", channel=channel)
        await self.publish(5)

    async def publish(self, count: int) -> None:
        """Publish what must be acknowledged."""
        for _ in range(count):
            self._count += 1
            (offset,) = await publish(self.admin, [self._count])
            self.sent[offset] = self._count

    async def is_degraded(self, cause: str, reads: bool = True) -> None:
        """What needs the disk is refused and reaches nobody; all else goes on; and it says what is wrong."""
        await self.reads_all()
        refused = [
            await self.admin.refusal("channel.publish", channel=DURABLE, message="x" * 20_000),
            await self.admin.refusal("agent.send", agent_id="away", message="x" * 20_000),
            await self.admin.refusal("agent.send", agent_id="agent", message="x" * 20_000, receipts=True),
            await self.admin.refusal("auth.generateToken", entity_id="nobody"),
        ]
        expect({each.code for each in refused} == {"unavailable"}, f"refused with {[str(each) for each in refused]}")
        await self.admin.refusal("auth.revokeToken", entity_id="doomed")
        await until(lambda: not self.doomed.there, "a session outlives its token")
        expect(self.doomed.close_code == 4507, f"its code is {self.doomed.close_code}")
        await self.goes_on()
        if reads:
            expect(dict(await history(self.admin)) == self.sent, "what is on disk can't be read as it was")
        health = await self.admin.call("gateway.getHealth")
        expect(health["status"] == "degraded", f"its health is {health}")
        expect([each["cause"] for each in health["problems"]] == [cause], f"its health is {health}")
        expect(self.admin.came("event", "gateway.degraded"), "nobody was told")

    async def goes_on(self) -> None:
        """Presence, memory, messages and calls among those who are here, and newcomers."""
        before = len(self.reader.came("channel.message"))
        await self.admin.call("channel.publish", channel="memory.news", message="still here")
        await until(lambda: len(self.reader.came("channel.message")) > before, "channels in memory stand still")
        came = self.reader.came("channel.message")[before:]
        expect([each["channel"] for each in came] == ["memory.news"], f"what was refused was delivered: {came}")
        sent = await self.admin.call("agent.send", agent_id="agent", message="hello")
        expect(sent["status"] == "sent", f"a message to someone who is here: {sent}")
        await until(lambda: self.agent.came("agent.message"), "messages don't arrive")
        late = await self.stage.client(self.gateway, self._late)
        expect((await late.call("presence.get", entity_id="agent"))["status"] == "online", "presence stands still")
        calling = asyncio.ensure_future(self.admin.call("agent.call", agent_id="agent", message="work"))
        await until(lambda: self.agent.came("agent.invoke"), "calls don't arrive")
        self.agent.answer(self.agent.came("agent.invoke")[-1]["call_id"], "done")
        expect(await calling == "done", "calls are not answered")
        late.drop()

    async def recovers(self, seconds: float = 20.0) -> None:
        """By itself, with no hole and nothing that was refused."""
        began = time.monotonic()
        await until(lambda: self.admin.came("event", "gateway.recovered"), "it does not recover", seconds)
        self.stage.note(f"recovered {time.monotonic() - began:.1f} s after")
        expect((await self.admin.call("gateway.getHealth"))["status"] == "ok", "it is not well")
        await self.publish(5)
        await self.reads_all()
        expect(dict(await history(self.admin)) == self.sent, "the history is not what was acknowledged")

    async def reads_all(self) -> None:
        """The subscriber has all that was acknowledged, in order, and nothing else."""

        def got() -> list[tuple[int, Any]]:
            messages: list[Answer] = self.reader.came("channel.message")
            return [(each["offset"], each["message"]) for each in messages if each["channel"] == DURABLE]

        await until(lambda: len(got()) >= len(self.sent), "the subscriber misses something")
        expect(got() == sorted(self.sent.items()), "the subscriber got something else")

    async def is_quiet(self, seconds: float) -> None:
        """However much is refused, its log has few lines."""
        before, began = len(self.gateway.lines), time.monotonic()
        count = 0
        while time.monotonic() - began < seconds:
            await self.admin.refusal("channel.publish", channel=DURABLE, message="x" * 20_000)
            count += 1
        lines = len(self.gateway.lines) - before
        expect(lines <= 3 * seconds + 3, f"{lines} lines of log for {count} refusals")
        self.stage.note(f"{count} refusals, {lines} lines of log")

    async def survives(self) -> None:
        """After a start all is there that was acknowledged, and what was revoked still is."""
        await self.gateway.stop()
        await self.gateway.start()
        self.admin = await self.stage.client(self.gateway)
        expect(dict(await history(self.admin)) == self.sent, "after a start the history is another one")
        tokens = (await self.admin.call("auth.listTokens"))["tokens"]
        revoked = [each["entity_id"] for each in tokens if each["revoked"]]
        expect(revoked == ["doomed"], f"after a start these are revoked: {revoked}")
        expect(not self.gateway.complaints(), "its log has errors")
        await self.gateway.stop()


async def ward(stage: Stage, gateway: Patient) -> Ward:
    """Have a gateway, and everyone who uses it."""
    made = Ward(stage, gateway)
    await made.open()
    return made


async def disk_full(stage: Stage) -> None:
    """No room: what must be kept is refused and reaches nobody, all else goes on, and with room it is as before."""
    disk = small_disk(stage)
    patients = await ward(stage, await stage.gateway(folder=disk))
    filler = FullDisk(disk)
    # What the write-ahead log has room for may still be taken.
    for _ in range(2000):
        try:
            (offset,) = await publish(patients.admin, ["x" * 20_000])
        except Exception:
            break
        patients.sent[offset] = "x" * 20_000
    await patients.is_degraded("full")
    await patients.is_quiet(1.0 if stage.short else 5.0)
    filler.free()
    await patients.recovers()
    await patients.survives()


async def disk_locked(stage: Stage) -> None:
    """Another program holds a transaction: the same, and reading goes on."""
    gateway = await stage.gateway()
    patients = await ward(stage, gateway)
    other = sqlite3.connect(gateway.state / "gateway.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await patients.is_degraded("locked")
    other.execute("ROLLBACK")
    other.close()
    await patients.recovers()
    await patients.survives()


async def disk_errors(stage: Stage) -> None:
    """Writing, then syncing fails: the file is opened anew and looked at, and nothing comes back that was refused."""
    disk = FailingDisk(stage)
    gateway = await stage.gateway(**disk.variables)
    patients = await ward(stage, gateway)
    for call in ("write", "sync"):
        disk.fail(call, errno.EIO)
        if call == "write":
            await patients.is_degraded("failing")
        else:
            patients.admin.events.clear()
            for _ in range(3):
                await patients.admin.refusal("channel.publish", channel=DURABLE, message="lost")
        await patients.is_quiet(0.5 if stage.short else 5.0)
        disk.mend()
        await patients.recovers()
    await patients.survives()


async def disk_gone(stage: Stage) -> None:
    """The file is moved away: nothing is written to what is lost, no other is made, and it goes on when it is back."""
    gateway = await stage.gateway()
    patients = await ward(stage, gateway)
    here, aside = gateway.state / "gateway.db", gateway.state / "aside.db"
    here.rename(aside)
    await patients.is_degraded("unreachable")
    expect(not here.exists(), "another file was made")
    aside.rename(here)
    await patients.recovers()
    await patients.survives()


async def disks_at_the_start(stage: Stage) -> None:
    """A database that is damaged, locked or can't be written ends the start with one line that says what to do."""
    gateway = await stage.gateway()
    client = await stage.client(gateway)
    await publish(client, ["x" * 500] * 50)
    await gateway.stop()
    file = gateway.state / "gateway.db"
    whole = file.read_bytes()

    async def refused(*words: str) -> None:
        line = await gateway.fails_to_start()
        expect(all(word in line for word in (str(file), *words)), f"it says: {line}")

    file.write_bytes(b"no database at all" * 1000)
    await refused("damaged", "restore a backup")
    page = 4096
    spoilt = bytearray(whole)
    for start in range(page * 12, len(spoilt) - page, page):
        spoilt[start : start + 100] = b"\xff" * 100
    file.write_bytes(spoilt)
    await refused("damaged", "restore a backup")
    file.write_bytes(whole)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    await refused("another program has locked it")
    other.close()
    try:
        _read_only(stage, gateway.state)
    except Skipped as problem:
        stage.note(f"neither read-only nor full: {problem}")
    else:
        line = await gateway.fails_to_start()
        expect("Read-only" in line and str(gateway.state) in line, f"it says: {line}")
        subprocess.run(["umount", "-l", str(gateway.state)], check=True)
        await _full_at_the_start(stage)
    await gateway.start()
    expect(len(await history(await stage.client(gateway))) == 50, "a start that failed has changed something")
    await gateway.stop()


async def _full_at_the_start(stage: Stage) -> None:
    gateway = stage.patient(folder=small_disk(stage))
    for before in ("nothing", "a database"):
        filler = FullDisk(gateway.folder)
        line = await gateway.fails_to_start()
        expect("the disk is full" in line, f"with {before} on it it says: {line}")
        filler.free()
        await gateway.start()
        await gateway.stop()


def _read_only(stage: Stage, folder: Path) -> None:
    for options in ("bind", "remount,bind,ro"):
        mount = ["mount", "-o", options, str(folder), str(folder)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            raise Skipped("this user may not mount a file system")
