"""Peers: gone without a word, slow to read, slow to go, all back at once, too fast."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final

from bench.certificate import make_certificate
from tests.crash.wire import REQUEST, TEXT, client_frame
from tests.e2e.clients import Client, RawClient
from tests.e2e.processes import ADMIN_TOKEN, CHECKOUT, Address, Process, environment
from tests.faults.stage import DURABLE, Stage, expect, history, publish, until

MIB: Final = 1 << 20
SIZE: Final = 4000
NEWS: Final = """
[gateway]
history_bytes = "8MiB"
[[channels]]
pattern = "news"
history_size = 1000
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
    """A subscriber that reads nothing: cut off with 4008, the others have all, memory stays, and it is told so."""
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
        grown = gateway.memory - memory
        expect(grown < 24 * MIB, f"its memory grew by {grown >> 20} MiB")
        try:
            code = await asyncio.to_thread(slow.close_code)
        except ConnectionResetError:  # what waited for it was let go, its close included
            code = None
        expect(code in (4008, None), f"the code was {code}")
    for other in others:
        expect([each["offset"] for each in other.came("channel.message")] == offsets, "the order is another one")
    back = await stage.client(gateway)
    since = {"offset": joined["offset"], "epoch": joined["epoch"]}
    again = await back.call("channel.subscribe", channel="news", since=since)
    expect(again["recovered"] is False and again["oldest"] > 1, f"it was not told what it has missed: {again}")
    stage.note(f"the slowest fifty publications took {max(waits) * 1000:.0f} ms")
    await gateway.stop()


class Stubborn:
    """A client that authenticates and then neither reads nor answers, whatever comes; a close of TLS's own neither.

    @param certificate: to speak TLS with who has it; None: in the clear.
    """

    def __init__(self, port: int, certificate: Path | None) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", port))
        if certificate is not None:
            context = ssl.create_default_context(cafile=certificate)
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")

    def authenticate(self, token: str, entity_id: str) -> None:
        """Become somebody."""
        params = {"token": token, "entity_id": entity_id}
        request = {"jsonrpc": "2.0", "id": 1, "method": "auth.authenticate", "params": params}
        self.socket.sendall(REQUEST + client_frame(TEXT, json.dumps(request).encode()))
        read = b""
        while b'"session_id"' not in read:
            more = self.socket.recv(4096)
            expect(more, f"it was closed: {read!r}")
            read += more


async def never_closes(stage: Stage) -> None:
    """Clients that are sent away and neither read nor answer: out of presence at once, their sockets gone in time."""
    for certificate in (None, make_certificate(stage.folder)):
        await _send_away(stage, certificate)


async def _send_away(stage: Stage, certificate: Path | None) -> None:
    flags: list[str] = []
    options: dict[str, Any] = {}
    if certificate is not None:
        flags = ["--tls-cert", str(certificate)]
        options["ssl"] = ssl.create_default_context(cafile=certificate)
    gateway = await stage.gateway(*flags)
    address = Address(gateway.port, "wss" if certificate else "ws")
    admin = await asyncio.to_thread(lambda: Client(address, ADMIN_TOKEN, **options))
    token = (await asyncio.to_thread(admin.call, "auth.generateToken", entity_id="guest.*"))["token"]
    before = gateway.descriptors
    guests = [Stubborn(gateway.port, certificate) for _ in range(20)]
    for number, guest in enumerate(guests):
        stage.at_the_end(guest.socket.close)
        await asyncio.to_thread(guest.authenticate, token, f"guest.{number}")
    expect(gateway.descriptors == before + 20, "they are not all here")
    answer = await asyncio.to_thread(admin.call, "auth.revokeToken", entity_id="guest.*")
    began = time.monotonic()
    expect(answer["sessions_closed"] == 20, f"{answer}")
    here = await asyncio.to_thread(admin.call, "presence.get")
    expect([each["entity_id"] for each in here] == ["admin"], f"they are in presence still: {here}")
    await until(lambda: gateway.descriptors <= before, "their sockets stay open", 12)
    stage.note(f"{address.scheme}: 20 sockets gone after {time.monotonic() - began:.1f} s")
    admin.connection.close()
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
