"""Two thousand sockets that have stalled, in TLS, in the handshake or before they authenticate: who else notices?"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import connect

from bench.certificate import make_certificate
from tests.crash.wire import client_frame
from tests.e2e.processes import ADMIN_TOKEN
from tests.stress.raw import TEXT, head, request
from tests.stress.scale.aside import Aside
from tests.stress.scale.figures import Report, percentile, spread
from tests.stress.victim import StressedGateway

HOWS: Final = ("said nothing", "half a ClientHello", "half a head, after TLS", "open and not authenticated")
ADDRESSES: Final = 4
GOAL: Final = 1.0


async def stalled(report: Report, folder: Path, count: int, seconds: float) -> None:
    """The run."""
    certificate = make_certificate(folder)
    gateway = await asyncio.to_thread(StressedGateway, folder, {}, "", "--tls-cert", str(certificate))
    try:
        quiet = await visits(gateway.port, certificate, seconds / 4)
        report.figure("connect and authenticate, over TLS, when nobody else is there", spread(quiet))
        async with Aside(stall, gateway.port, str(certificate), count) as crowd:
            took = await visits(gateway.port, certificate, seconds)
            held, came = await crowd.outcome()
        report.figure("sockets that stalled at the same time, on the average", held)
        for how in HOWS:
            report.figure(f"  of these, connections made: {how}", came[how])
        report.figure("connect and authenticate, with them there", spread(took))
        report.goal("p99 of connect and authenticate", percentile(took, 0.99), GOAL)
        report.exactly("faults in the log", gateway.complaints(), [])
        await asyncio.to_thread(gateway.stop)
    finally:
        gateway.kill()


def trusting(certificate: Path | str) -> ssl.SSLContext:
    """A client's TLS."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    return context


async def visits(port: int, certificate: Path, seconds: float) -> list[float]:
    """Connect, authenticate, leave, over and over: how long it took until the session was there."""
    context, took = trusting(certificate), []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.monotonic()
        async with connect(f"wss://127.0.0.1:{port}/", ssl=context, proxy=None, open_timeout=30) as client:
            await client.send(request("auth.authenticate", token=ADMIN_TOKEN))
            while '"session_id"' not in await client.recv(decode=True):
                pass
            took.append(time.monotonic() - began)
        await asyncio.sleep(0.01)
    return took


async def stall(stop: asyncio.Event, ready: Callable[[], None], port: int, certificate: str, count: int) -> Any:
    """Keep so many stalled sockets open: who is thrown out comes again at once.

    @return: how many there were on the average, and how many connections were made, by kind.
    """
    came: Counter[str] = Counter()
    held: set[int] = set()
    context = trusting(certificate)
    few = asyncio.Semaphore(100)

    async def one(number: int) -> None:
        how = HOWS[number % len(HOWS)]
        source = (f"127.1.0.{1 + number % ADDRESSES}", 0)
        while True:
            try:
                async with few:
                    tls = {} if how in HOWS[:2] else {"ssl": context}
                    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=source, **tls)
                    writer.write(opening(how, context))
                held.add(number)
                came[how] += 1
                while await reader.read(65536):
                    pass
            except (OSError, ssl.SSLError):
                await asyncio.sleep(0.1)
            finally:
                held.discard(number)

    tasks = [asyncio.create_task(one(number)) for number in range(count)]
    until = time.monotonic() + 20
    while len(held) < count * 0.95 and time.monotonic() < until:
        await asyncio.sleep(0.1)
    ready()
    samples = []
    while not stop.is_set():
        samples.append(len(held))
        await asyncio.sleep(0.2)
    for task in tasks:
        task.cancel()
    return round(sum(samples) / max(1, len(samples))), came


def opening(how: str, context: ssl.SSLContext) -> bytes:
    """What one says before it stalls."""
    if how == HOWS[0]:
        return b""
    if how == HOWS[1]:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            context.wrap_bio(incoming, outgoing).do_handshake()
        return outgoing.read()[:60]
    if how == HOWS[2]:
        return head()[:40]
    return head() + client_frame(0x80 | TEXT, request("rpc.ping").encode())
