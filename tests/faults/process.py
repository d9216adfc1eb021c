"""The process: too few descriptors, too little memory, stopped for a while, two on one folder, clocks that are set."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.crash.wire import Lost, Refused
from tests.faults.stage import DURABLE, Client, Patient, Stage, expect, history, publish, until

STEPPED = Path(__file__).parents[1] / "e2e" / "programs" / "stepped.py"
LIMITED = ("sh", "-c", 'ulimit -n 256; exec "$@"', "limited")
MIB = 1 << 20


async def no_descriptors(stage: Stage) -> None:
    """256 descriptors and more clients than that: who is there stays, the disk is written, and others come later."""
    for flags in ((), ("--max-connections", "1000")):
        one_for_all = ("--max-connections-per-entity", "0")
        folder = _folder(stage, "own" if flags else "default")
        gateway = await stage.gateway(*flags, *one_for_all, under=LIMITED, folder=folder)
        clients = [await stage.client(gateway) for _ in range(40)]
        sockets = [socket.socket() for _ in range(400)]
        for one in sockets:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", gateway.port))
        await asyncio.sleep(0.5)
        worked, began = gateway.worked, time.monotonic()
        await asyncio.sleep(1.0)
        busy = (gateway.worked - worked) / (time.monotonic() - began)
        expect(busy < 0.6, f"it uses {busy:.0%} of a processor for nothing")
        await publish(clients[0], range(5))
        for client in clients:
            expect(await client.call("rpc.ping") == "pong", "one who was there is not served")
        for one in sockets:
            one.close()
        newcomers = await _come(stage, gateway, 40)
        await publish(newcomers[0], range(5))
        expect(len(await history(newcomers[0])) == 10, "something was lost")
        told = len(gateway.complaints("EMFILE"))
        expect(told < 100, f"its log has {told} lines about it")
        expect(not gateway.complaints(r"Traceback"), "\n".join(gateway.lines[-40:]))
        stage.note(f"{' '.join(flags) or 'defaults'}: {busy:.0%} of a processor while full, {len(gateway.lines)} lines")
        await gateway.stop()


async def _come(stage: Stage, gateway: Patient, count: int) -> list[Client]:
    """So many newcomers, once there is room for them."""
    came: list[Client] = []
    deadline = time.monotonic() + 20
    while len(came) < count:
        expect(time.monotonic() < deadline, f"{len(came)} of {count} got in")
        try:
            came.append(await asyncio.wait_for(stage.client(gateway), 5.0))
        except (Lost, AssertionError, TimeoutError):
            await asyncio.sleep(0.1)
    return came


def _folder(stage: Stage, name: str) -> Path:
    folder = stage.folder / name
    folder.mkdir()
    return folder


async def two_on_one_folder(stage: Stage) -> None:
    """A second gateway on the same folder ends with one line; the first one notices nothing."""
    first = await stage.gateway()
    client = await stage.client(first)
    await publish(client, range(3))
    second = stage.patient(folder=stage.folder)
    line = await second.fails_to_start()
    expect("another gateway runs on the state folder" in line, line)
    await publish(client, range(3))
    expect(len(await history(client)) == 6, "the first one lost something")
    expect(not first.complaints(), "the first one complains")
    await first.kill()
    await second.start()  # a lock does not outlive its process
    expect(len(await history(await stage.client(second))) == 6, "the second one does not find all")
    await second.stop()


async def stalled(stage: Stage) -> None:
    """Stopped for longer than the heartbeat timeout: nobody is closed for what it was not able to hear."""
    gateway = await stage.gateway("--heartbeat-interval", "1", "--heartbeat-timeout", "4")
    clients = [await stage.client(gateway) for _ in range(100)]
    await asyncio.sleep(1)
    for _ in range(1 if stage.short else 3):
        gateway.signal(signal.SIGSTOP)
        await asyncio.sleep(6)
        gateway.signal(signal.SIGCONT)
        await asyncio.sleep(3)
        expect(all(client.there for client in clients), "some were closed")
    expect(gateway.complaints("the reactor was blocked for"), "its log does not say so")
    stalls = (await clients[0].call("gateway.getStats"))["services"]["gateway"]["stalls"]
    expect(stalls >= (1 if stage.short else 3), f"it counts {stalls}")
    for client in clients:
        expect(await client.call("rpc.ping") == "pong", "one is not served")
    await gateway.stop()


async def little_memory(stage: Stage) -> None:
    """No more memory in the middle of things: what fails is refused, it lives on or ends, and nothing kept is lost."""
    gateway = await stage.gateway("--total-history-bytes", "1GiB", "--history-bytes", "1GiB")
    client = await stage.client(gateway)
    offsets = await publish(client, range(50))
    used = int(Path(f"/proc/{gateway.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(gateway.pid, resource.RLIMIT_AS, (used + 48 * MIB, resource.RLIM_INFINITY))
    answers: dict[str, int] = {}
    for number in range(60):
        try:
            if not client.there:
                client = await stage.client(gateway)
            await client.call("channel.publish", channel=f"memory.{number}", message="x" * (2 * MIB))
            how = "taken"
        except Refused as refusal:
            how = refusal.code
        except (Lost, TimeoutError, OSError):
            how = "lost"
            if not gateway.process.running:
                break
        answers[how] = answers.get(how, 0) + 1
    expect(answers.keys() - {"taken"}, f"memory did not run out: {answers}")
    lived = gateway.process.running
    stage.note(f"{answers}, and it {'lived on' if lived else 'ended'}")
    if lived:
        resource.prlimit(gateway.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        client = await stage.client(gateway)
        offsets += await publish(client, range(50, 60))
        await gateway.kill()
    await gateway.start()
    kept = await history(await stage.client(gateway))
    expect([offset for offset, _ in kept][: len(offsets)] == offsets, "something that was acknowledged is lost")
    await gateway.stop()


async def clock_is_set(stage: Stage) -> None:
    """The machine's clock an hour forward, and two back, under load: nobody goes, nothing stops, numbers go on."""
    gateway = await stage.gateway(
        "--heartbeat-interval", "0.5", "--heartbeat-timeout", "8",
        command=(sys.executable, STEPPED, "-n", "--pidfile=", "cell0gw"),
    )  # fmt: skip
    admin = await stage.client(gateway)
    token = (await admin.call("auth.generateToken", entity_id="agent.*"))["token"]
    clients = [await stage.client(gateway, token, entity_id=f"agent.{n}") for n in range(50)]
    await admin.call("channel.subscribe", channel=DURABLE)
    offsets: list[int] = []
    for ahead in (3600, -3600, 0):
        offsets += await publish(admin, range(20))
        gateway.process.type(str(ahead))
        await asyncio.to_thread(gateway.process.wait_for, f"ahead by {ahead}")
        before = [client.heartbeats for client in clients]
        await asyncio.sleep(3)
        expect(all(client.there for client in clients), "some were closed")
        beats = [client.heartbeats - count for client, count in zip(clients, before, strict=True)]
        expect(min(beats) >= 3, f"heartbeats stopped: {min(beats)} in three seconds")
        offsets += await publish(admin, range(20))
        shown = (await admin.call("rpc.getServerInfo"))["timestamp"]
        away = datetime.fromisoformat(shown).timestamp() - datetime.now(UTC).timestamp() - ahead
        expect(abs(away) < 60, f"its time is {away:.0f} s off")
        await stage.client(gateway, token, entity_id="agent.new")
    expect(offsets == list(range(1, len(offsets) + 1)), "the numbering has a hole")
    await until(lambda: len(admin.came("channel.message")) == len(offsets), "something was not delivered")
    expect([each["offset"] for each in admin.came("channel.message")] == offsets, "the order is another one")
    expect(len(gateway.complaints("the wall clock was set by")) == 3, "its log does not say so")
    await gateway.stop()
