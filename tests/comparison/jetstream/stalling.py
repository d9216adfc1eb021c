"""A subscriber of NATS that stops reading."""

from __future__ import annotations

import json
import socket
import time
from typing import Final

from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from tests.comparison.facts import AFTERWARDS, CAME, TOLD, Told, within
from tests.comparison.jetstream.server import LOOP, PASSWORD, Connection
from tests.e2e.processes import PATIENCE, eventually

AT_ONCE: Final = 5
"""How many are fetched at once: fewer than what may wait for a connection."""


def stall(port: int, told: Told, count: int, size: int) -> None:
    """Publish to one that reads and to one that does not."""
    operator, quick = Connection(port, "operator"), Connection(port, "sender")
    numbers: list[int] = []

    async def arrived(message: Msg) -> None:
        numbers.append(int(message.data.split()[0]))

    LOOP.run(quick.client.subscribe("news.live", cb=arrived))
    LOOP.run(quick.client.flush())
    with socket.socket() as stalled:
        stalled.settimeout(PATIENCE)
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", port))
        options = json.dumps({"verbose": False, "user": "worker", "pass": PASSWORD, "protocol": 1})
        stalled.sendall(f"CONNECT {options}\r\nSUB news.live 1\r\nPING\r\n".encode())
        seen = b""
        while b"PONG" not in seen:
            seen += stalled.recv(65536)
        longest = 0.0
        first = 0
        for number in range(count):
            began = time.monotonic()
            ack = LOOP.run(operator.stream.publish("news.live", b"%d " % number + b"x" * size))
            first = first or ack.seq
            longest = max(longest, time.monotonic() - began)
        eventually(lambda: len(numbers) == count, "what was published")
        told.note(
            CAME,
            f"the one that reads: {len(set(numbers))} of {count}",
            f"the publisher is answered {within(longest)} each time",
        )
        told.note(TOLD, _read_on(stalled))
    again = Connection(port, "worker")
    found = LOOP.run(_recovered(again, first, count))
    whole = "in order" if found == list(range(count)) else "with holes"
    told.note(AFTERWARDS, f"a consumer of the stream from the first number on: {len(found)} of {count}, {whole}")
    for one in (operator, quick, again):
        one.close()


def _read_on(stalled: socket.socket) -> str:
    seen = b""
    while True:
        try:
            data = stalled.recv(1 << 20)
        except TimeoutError:
            return "nothing: it is not closed"
        except ConnectionResetError:
            data = b""
        seen += data
        if not data:
            error = next((line for line in seen.split(b"\r\n") if line.startswith(b"-ERR")), b"").decode()
            return f"`{error}`, and the connection is closed" if error else "cut off without a word"


async def _recovered(connection: Connection, first: int, count: int) -> list[int]:
    consumer = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=first)
    pull = await connection.stream.pull_subscribe("news.live", stream="news", config=consumer)
    found: list[int] = []
    while len(found) < count:
        for message in await pull.fetch(AT_ONCE, timeout=PATIENCE):
            found.append(int(message.data.split()[0]))
            await message.ack()
    return found
