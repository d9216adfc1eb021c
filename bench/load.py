"""A load generator in plain Python: raw sockets, frames made beforehand, answers counted rather than read.

It can't be faster than it is, so what it says of the gateway is above all the processor time that each operation took.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cell0gw.transports.frames import header

MASK = b"\x12\x34\x56\x78"
REQUEST = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{extensions}\r\n"
)
CALL = re.compile(rb'"id":"(call_[0-9a-f]+)"')
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"


def client_frame(message: dict[str, Any]) -> bytes:
    """A masked text frame with a JSON-RPC message."""
    payload = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode()
    head = bytearray(header(0x81, len(payload)))
    head[1] |= 0x80
    mask = (MASK * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload) ^ int.from_bytes(mask)
    return bytes(head) + MASK + masked.to_bytes(len(payload))


class Connection:
    """One client.

    @param certificate: of the server; None: it speaks no TLS.
    @ivar frames: how many frames have come.
    """

    def __init__(self, port: int, compressed: bool = False, certificate: Path | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if certificate is not None:
            context = ssl.create_default_context(cafile=certificate)
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.frames = 0
        self._rest = b""
        self.socket.sendall(REQUEST.format(extensions=DEFLATE if compressed else "").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.socket.recv(65536)
        self._count(head.partition(b"\r\n\r\n")[2])
        self.wait_for(1)

    def wait_for(self, frames: int) -> None:
        """Read until so many frames have come, all in all."""
        while self.frames < frames:
            self.read()

    def call(self, method: str, **params: Any) -> None:
        """Make a call and wait for the answer, before there is any load."""
        self.socket.sendall(client_frame({"method": method, "params": params, "id": 1}))
        self.wait_for(self.frames + 1)

    def ask(self, method: str, **params: Any) -> Any:
        """Make a call whose answer is of interest.

        @return: its result.
        """
        self.socket.sendall(client_frame({"method": method, "params": params, "id": 1}))
        data = b""
        while not data.endswith(b'"id":1}'):
            data += self.socket.recv(65536)
        return json.loads(data[data.index(b"{") :])["result"]

    def call_all(self, method: str, each: list[dict[str, Any]]) -> None:
        """Make many calls at once and wait for their answers."""
        frames = [client_frame({"method": method, "params": params, "id": 1}) for params in each]
        self.socket.sendall(b"".join(frames))
        self.wait_for(self.frames + len(frames))

    def read(self) -> int:
        """Count what has arrived.

        @return: how many frames that was.
        """
        data = self._rest + self.socket.recv(262_144)
        while isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            data += self.socket.recv(262_144)  # decrypted already: no selector will tell of it
        return self._count(data)

    def _count(self, data: bytes) -> int:
        start, count, end = 0, 0, len(data)
        while end - start >= 2:
            length, body = data[start + 1], start + 2
            if length == 126:
                if end - start < 4:
                    break
                length, body = int.from_bytes(data[start + 2 : start + 4], "big"), start + 4
            if body + length > end:
                break
            count += (data[start] & 0x0F) == 1
            start = body + length
        self._rest = data[start:]
        self.frames += count
        return count


class Agent(Connection):
    """A client that answers what it is asked."""

    _asked = b""

    def answer(self) -> None:
        """Answer every request that has arrived; what else there is, is passed over."""
        data = self._asked + self.socket.recv(262_144)
        end = 0
        answers = []
        for request in CALL.finditer(data):
            end = request.end()
            answers.append(client_frame({"result": "done", "id": request[1].decode()}))
        self._asked = data[end:]
        if answers:
            self.socket.sendall(b"".join(answers))


def processor_seconds(pid: int) -> float:
    """How much processor time a process has used, user's and system's."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid: int) -> int:
    """How much memory a process holds, in KiB."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def keep_busy(
    senders: list[Connection],
    receivers: list[Connection],
    frame: Callable[[int], bytes],
    window: int,
    seconds: float,
) -> dict[str, float]:
    """Keep so many calls of each sender in flight, for so long.

    @param receivers: those that are L{Agent}s answer, the others count what they get.
    @param frame: makes the frame that a sender, by its number, sends over and over.
    @return: answers and deliveries, the seconds it took, and p50 and p99 of an answer's way in milliseconds.
    """
    selector = selectors.DefaultSelector()
    for connection in {*senders, *receivers}:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    frames = {sender: frame(number) for number, sender in enumerate(senders)}
    sent_at: dict[Connection, list[float]] = {}
    waits: list[float] = []
    answers = deliveries = 0
    began = time.perf_counter()
    for sender in senders:
        sender.socket.sendall(frames[sender] * window)
        sent_at[sender] = [began] * window
    while (now := time.perf_counter()) - began < seconds:
        for key, _ in selector.select(0.1):
            connection: Connection = key.data
            if isinstance(connection, Agent):
                connection.answer()
                continue
            count = connection.read()
            if connection not in frames:
                deliveries += count
                continue
            answers += count
            queue = sent_at[connection]
            now = time.perf_counter()
            waits += [now - moment for moment in queue[:count]]
            sent_at[connection] = queue[count:] + [now] * count
            if count:
                connection.socket.sendall(frames[connection] * count)
    elapsed = time.perf_counter() - began
    selector.close()
    waits.sort()
    return {
        "answers": answers,
        "deliveries": deliveries,
        "seconds": elapsed,
        "p50_ms": 1000 * waits[len(waits) // 2] if waits else 0.0,
        "p99_ms": 1000 * waits[len(waits) * 99 // 100] if waits else 0.0,
    }
