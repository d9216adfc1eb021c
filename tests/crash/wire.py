"""A lean WebSocket client: hundreds fit in one process. It speaks JSON-RPC and shares no code with the gateway.

What arrives is handed over in order and at once: an answer is dealt with before the message behind it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, Self

REQUEST: Final = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PATIENCE: Final = 60.0
"""How many seconds anything is waited for that will come; a busy machine may need many of them."""

TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
RESET: Final = struct.pack("ii", 1, 0)
"""C{SO_LINGER}: closing the socket sends a reset, and whatever waits in it is gone."""

Answer = dict[str, Any]


class Violation(Exception):
    """A promise was broken; the message says which."""


def first_failure() -> asyncio.Future[None]:
    """What goes wrong in a callback, or in a task that nobody waits for, ends up in this future, too."""
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()

    def note(_: Any, context: dict[str, Any]) -> None:
        problem = context.get("exception") or RuntimeError(context["message"])
        if not isinstance(problem, Lost) and not failed.done():
            failed.set_exception(problem)

    loop.set_exception_handler(note)
    return failed


class Lost(Exception):
    """The connection is gone."""


class Refused(Exception):
    """A call was answered with an error."""

    def __init__(self, error: Answer) -> None:
        super().__init__(f"{error['code']} {error['message']}")
        self.code = error["data"]["code"]
        self.number = error["code"]
        self.data = error["data"]


def client_frame(first: int, payload: bytes) -> bytes:
    """A masked frame."""
    length, mask = len(payload), os.urandom(4)
    if length < 126:
        head = bytes((first, 0x80 | length))
    elif length < 65536:
        head = bytes((first, 0x80 | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, 0x80 | 127)) + length.to_bytes(8, "big")
    whole = (mask * (length // 4 + 1))[:length]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(length, "big")


class Connection(asyncio.Protocol):
    """One connection; C{open} it.

    @param heard: called with each notification's method and params.
    @param address: from which it connects; None: as the system likes.
    @ivar lost: done once the connection is gone.
    @ivar close_code: what the gateway closed it with; None when it said nothing.
    """

    def __init__(
        self, heard: Callable[[str, Any], None] = lambda method, params: None, address: str | None = None
    ) -> None:
        self._heard = heard
        self._address = None if address is None else (address, 0)
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting: dict[int, Callable[[Answer | None], None]] = {}
        self._ids = itertools.count(1)
        self._buffer = b""
        self._transport: Any = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.close_code: int | None = None

    async def open(self, port: int) -> Self:
        """Connect, and do the handshake.

        @raise Lost: nobody is there, it was refused, or the connection was cut meanwhile.
        """
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self, "127.0.0.1", port, local_addr=self._address
            )
        except OSError as problem:
            raise Lost(str(problem)) from None
        async with asyncio.timeout(PATIENCE):
            await self._opened
        return self

    def send(self, then: Callable[[Answer | None], None], method: str, **params: Any) -> int | None:
        """Make a call.

        @param then: called with the response, or with None should the connection be lost before.
        @return: the id of the request; None if the connection is lost already.
        """
        if self.lost.done() or self._transport is None:
            then(None)
            return None
        number = next(self._ids)
        self._waiting[number] = then
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": number}
        if self._there():
            self._transport.write(client_frame(TEXT, json.dumps(request, separators=(",", ":")).encode()))
        return number

    async def call(self, method: str, **params: Any) -> Any:
        """Make a call and wait.

        @return: its result.
        @raise Lost: the connection went before the answer came.
        @raise Refused: the answer is an error.
        """
        arrived: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self.send(lambda answer: arrived.done() or arrived.set_result(answer), method, **params)
        async with asyncio.timeout(PATIENCE):
            answer = await arrived
        if answer is None:
            raise Lost(f"no answer to {method}")
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def answer(self, request_id: str, result: Any) -> None:
        """Answer a request of the gateway's."""
        if self._there():
            response = {"jsonrpc": "2.0", "id": request_id, "result": result}
            self._transport.write(client_frame(TEXT, json.dumps(response, separators=(",", ":")).encode()))

    def reset(self) -> None:
        """Cut it: the gateway sees a reset, and what is on its way is gone."""
        if self._there():
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._transport.abort()

    def drop(self) -> None:
        """Close the socket without a word of goodbye."""
        if self._there():
            self._transport.abort()

    def fall_silent(self) -> None:
        """Lose it as by a broken cable: the gateway knows nothing of that until C{drop}."""
        if self._there():
            self._transport.pause_reading()
            self._gone()

    async def close(self) -> None:
        """Say goodbye."""
        if self._there():
            self._transport.write(client_frame(CLOSE, (1000).to_bytes(2, "big")))
            async with asyncio.timeout(PATIENCE):
                await self.lost

    def connection_made(self, transport: Any) -> None:
        """See L{asyncio.Protocol}."""
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        """See L{asyncio.Protocol}."""
        self._buffer += data
        if not self._opened.done():
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._opened.set_exception(Lost(head.partition(b"\r\n")[0].decode("latin-1")))
                self._transport.abort()
                return
            self._buffer = rest
            self._opened.set_result(None)
        self._read_frames()

    def connection_lost(self, reason: Exception | None) -> None:
        """See L{asyncio.Protocol}."""
        self._gone()

    def _gone(self) -> None:
        if not self._opened.done():
            self._opened.set_exception(Lost("no handshake"))
        if not self.lost.done():
            self.lost.set_result(None)
        waiting, self._waiting = self._waiting, {}
        for then in waiting.values():
            then(None)

    def _there(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _read_frames(self) -> None:
        data, start, end = self._buffer, 0, len(self._buffer)
        while end - start >= 2:
            length, body = data[start + 1], start + 2
            if length == 126:
                length, body = int.from_bytes(data[start + 2 : start + 4], "big"), start + 4
            elif length == 127:
                length, body = int.from_bytes(data[start + 2 : start + 10], "big"), start + 10
            if body + length > end:
                break
            self._take_up(data[start], data[body : body + length])
            start = body + length
        self._buffer = data[start:]

    def _take_up(self, first: int, payload: bytes) -> None:
        if first == TEXT:
            message = json.loads(payload)
            if "method" in message:
                self._heard(message["method"], message["params"])
            elif then := self._waiting.pop(message["id"], None):
                then(message)
        elif first == PING:
            self._transport.write(client_frame(PONG, payload))
        elif first == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else None
            self._transport.write(client_frame(CLOSE, payload[:2]))
        elif first != PONG:
            raise Violation(f"a frame that begins with {first:#x}")
