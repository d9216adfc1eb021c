"""Peers: gone without a word, slow to read, slow to go, all back at once, too fast."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
import sys
import time
from typing import Final

from tests.crash.wire import TEXT, client_frame
from tests.e2e.clients import RawClient
from tests.e2e.processes import ADMIN_TOKEN, CHECKOUT, Address, Process, environment
from tests.faults.stage import DURABLE, Stage, expect, history, publish, until

MIB: Final = 1 << 20
SIZE: Final = 4000
NEWS: Final = """
[gateway]
history_bytes = "1GiB"
total_history_bytes = "1GiB"
[[channels]]
pattern = "news"
history_size = 100_000
"""
GUEST: Final = """
import json, sys
from websockets.sync.client import connect
client = connect(sys.argv[1], ping_interval=None)
client.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "auth.authenticate", "params": {"token": sys.argv[2]}}))
while True:
    if "result" in json.loads(client.recv()):
        print("there", flush=True)
"""


async def half_open(stage: Stage) -> None:
    """A client that is stopped in mid-air: found dead in time, told of once, and nothing of it stays."""
    flags = ("--heartbeat-interval", "0.5", "--heartbeat-timeout", "2", "--resume-window", "1")
    gateway = await stage.gateway(*flags)
    admin = await stage.client(gateway)
    await admin.call("channel.subscribe", channel="$presence")
    token = (await admin.call("auth.generateToken", entity_id="guest"))["token"]
    before = gateway.descriptors
    guest = Process([sys.executable, "-c", GUEST, f"ws://127.0.0.1:{gateway.port}", token], environment(), CHECKOUT)
    stage.at_the_end(guest.kill)
    await asyncio.to_thread(guest.wait_for, "there")
    guest.signal(signal.SIGSTOP)
    began = time.monotonic()
    await until(lambda: admin.came("event", "presence.changed"), "it was not found dead")
    found = time.monotonic() - began
    await until(lambda: admin.came("event", "presence.left"), "its place is kept for ever")
    expect(found < 6, f"it was found dead after {found:.1f} s")
    await until(lambda: gateway.descriptors <= before, "its socket stays open", 10)
    expect(len(admin.came("event", "presence.left")) == 1, "its end is told twice")
    expect((await admin.call("gateway.getStats"))["services"]["gateway"]["connections"] == 1, "its connection stays")
    stage.note(f"found dead after {found:.1f} s, interval 0.5 s and timeout 2 s")
    await gateway.stop()


async def slow_reader(stage: Stage) -> None:
    """A subscriber that reads nothing: cut off with 4008, the others have all, memory stays, and it can come back."""
    gateway = await stage.gateway(rules=NEWS)
    admin = await stage.client(gateway)
    others = [await stage.client(gateway) for _ in range(10)]
    with RawClient(Address(gateway.port), receive_buffer=4096) as slow:
        await asyncio.to_thread(slow.call, "auth.authenticate", token=ADMIN_TOKEN)
        joined = await asyncio.to_thread(slow.call, "channel.subscribe", channel="news")
        for other in others:
            await other.call("channel.subscribe", channel="news")
        memory, began, cut, offsets = gateway.memory, time.monotonic(), 0.0, []
        count = 4000 if stage.short else 20_000
        waits = []
        for start in range(0, count, 50):
            asked = time.monotonic()
            calls = [admin.call("channel.publish", channel="news", message="x" * SIZE) for _ in range(50)]
            answers = await asyncio.gather(*calls)
            waits.append(time.monotonic() - asked)
            offsets += [answer["offset"] for answer in answers]
            if not cut and answers[-1]["recipients"] == len(others):
                cut = time.monotonic() - began
                stage.note(f"cut off after {cut:.1f} s and {start + 50} messages")
            await asyncio.sleep(max(0.0, began + start / 2000 - time.monotonic()))
        expect(cut, "it was never cut off")
        await until(lambda: all(len(o.came("channel.message")) == count for o in others), "the others miss something")
        grown = gateway.memory - memory - count * (SIZE + 600)  # what the channel holds itself
        expect(grown < 16 * MIB, f"its memory grew by {grown >> 20} MiB")
        code = await asyncio.to_thread(slow.close_code)
        expect(code in (4008, None), f"the code was {code}")
    for other in others:
        expect([each["offset"] for each in other.came("channel.message")] == offsets, "the order is another one")
    back = await stage.client(gateway)
    since = {"offset": joined["offset"], "epoch": joined["epoch"]}
    again = await back.call("channel.subscribe", channel="news", since=since)
    expect(again["recovered"], "it could not recover")
    await until(lambda: len(back.came("channel.message")) == count, "what it missed does not come")
    stage.note(f"the slowest fifty publications took {max(waits) * 1000:.0f} ms")
    await gateway.stop()


async def never_closes(stage: Stage) -> None:
    """Clients that are sent away and neither read nor answer: out of presence at once, their sockets gone in time."""
    gateway = await stage.gateway()
    admin = await stage.client(gateway)
    await admin.call("channel.subscribe", channel="$presence")
    token = (await admin.call("auth.generateToken", entity_id="guest.*"))["token"]
    before = gateway.descriptors
    guests = []
    for number in range(20):
        guest = RawClient(Address(gateway.port), receive_buffer=4096)
        stage.at_the_end(guest.socket.close)
        await asyncio.to_thread(guest.call, "auth.authenticate", token=token, entity_id=f"guest.{number}")
        guests.append(guest)
    answer = await admin.call("auth.revokeToken", entity_id="guest.*")
    began = time.monotonic()
    expect(answer["sessions_closed"] == 20, f"{answer}")
    await until(lambda: len(admin.came("event", "presence.left")) == 20, "they are in presence still", 2)
    await until(lambda: gateway.descriptors <= before, "their sockets stay open", 12)
    stage.note(f"20 sockets gone after {time.monotonic() - began:.1f} s")
    await gateway.stop()


async def publisher_too_fast(stage: Stage) -> None:
    """One that publishes as fast as it can and reads nothing: others are served, and its calls don't pile up."""
    gateway = await stage.gateway()
    admin, other = await stage.client(gateway), await stage.client(gateway)
    token = (await admin.call("auth.generateToken", entity_id="fast"))["token"]
    flood = RawClient(Address(gateway.port), receive_buffer=4096)
    stage.at_the_end(flood.socket.close)
    await asyncio.to_thread(flood.call, "auth.authenticate", token=token)
    flood.socket.setblocking(False)
    request = {"jsonrpc": "2.0", "method": "channel.publish", "params": {"channel": DURABLE, "message": "x" * 500}}
    frames = b"".join(client_frame(TEXT, json.dumps({**request, "id": n}).encode()) for n in range(1000))
    memory, sent, waits, ended = gateway.memory, 0, [], False
    began = time.monotonic()
    rest = memoryview(frames)
    while time.monotonic() - began < (3 if stage.short else 15):
        try:
            for _ in range(20):
                done = flood.socket.send(rest)
                sent += done
                rest = rest[done:] or memoryview(frames)
        except BlockingIOError:
            pass
        except OSError:
            ended = True
        asked = time.monotonic()
        await publish(other, ["mine"])
        waits.append(time.monotonic() - asked)
        await asyncio.sleep(0.01)
    waits.sort()
    grown = gateway.memory - memory
    expect(waits[-1] < 5, f"another publisher waited for {waits[-1]:.1f} s")
    expect(grown < 64 * MIB, f"its memory grew by {grown >> 20} MiB")
    typical, longest = (f"{seconds * 1000:.0f} ms" for seconds in (waits[len(waits) // 2], waits[-1]))
    stage.note(f"{sent >> 20} MiB sent{', then cut off' if ended else ''}")
    stage.note(f"other publishers waited {typical}, {longest} at most; memory grew by {grown >> 20} MiB")
    flood.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    flood.socket.close()
    kept = await history(other)
    expect(sum(message == "mine" for _, message in kept) == len(waits), "something that was acknowledged is lost")
    await gateway.stop()
