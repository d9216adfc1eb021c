"""A WebSocket client that does only what it is told, the forbidden included; it reads only when it is told to."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple, Self

from tests.crash.wire import RESET
from tests.stress.checks import Failed

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PATIENCE: Final = 15.0
HEAD: Final = (
    ("Host", "localhost"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
)


def head(*more: tuple[str, str], line: str = "GET / HTTP/1.1", **changed: str | None) -> bytes:
    """The head of a handshake.

    @param more: header lines at the end.
    @param changed: other values of the usual ones, by names with C{_}; None leaves one out.
    """
    usual = [(name, changed.get(name.replace("-", "_").lower(), value)) for name, value in HEAD]
    lines = [f"{name}: {value}" for name, value in (*usual, *more) if value is not None]
    return ("\r\n".join((line, *lines)) + "\r\n\r\n").encode("latin-1")


def frame(
    payload: bytes | str = b"",
    opcode: int = TEXT,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: int | None = None,
    wide: int = 0,
) -> bytes:
    """A frame.

    @param rsv: the reserved bits, 1 to 7; 4 is RSV1.
    @param length: what its head says, if that is not the truth.
    @param wide: 126 or 127 spells a length at least so widely.
    """
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data) if length is None else length
    first, bit = (0x80 if fin else 0) | rsv << 4 | opcode, 0x80 if masked else 0
    if wide == 127 or size >= 65536:
        front = bytes((first, bit | 127)) + size.to_bytes(8, "big")
    elif wide == 126 or size >= 126:
        front = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    else:
        front = bytes((first, bit | size))
    if not masked:
        return front + data
    mask = os.urandom(4)
    whole = (mask * (len(data) // 4 + 1))[: len(data)]
    return front + mask + (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(data), "big")


def request(method: str, number: Any = 1, **params: Any) -> str:
    """A call as text; None as C{number} makes a notification."""
    ident = {} if number is None else {"id": number}
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **ident})


class Frame(NamedTuple):
    """A frame of the gateway's: its first byte, and what is in it."""

    first: int
    payload: bytes

    @property
    def opcode(self) -> int:
        """What it is."""
        return self.first & 0x0F

    @property
    def message(self) -> Any:
        """What a text says."""
        return json.loads(self.payload)

    @property
    def is_answer(self) -> bool:
        """Whether it is a response, or a batch of them."""
        return self.opcode == TEXT and (isinstance(text := self.message, list) or "method" not in text)


class Ending(NamedTuple):
    """How a connection ended.

    C{code}: of the close frame; None without one. C{how}: eof, reset, or open if it has not ended. C{frames}: what
    came before, C{after}: how many bytes came after the close frame. C{seconds}: how long it took from when one looked
    to the close frame, or to the end.
    """

    code: int | None
    how: str
    frames: list[Frame]
    after: int
    seconds: float

    @property
    def answers(self) -> list[Any]:
        """The responses among them."""
        return [frame.message for frame in self.frames if frame.is_answer]


class Raw:
    """One socket."""

    def __init__(self, port: int, address: str, receive_buffer: int | None = None) -> None:
        self._where = ("127.0.0.1", port)
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.bind((address, 0))
        self._buffer = b""
        self.received = 0

    async def connect(self) -> Self:
        """Connect, and say nothing."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_connect(self.socket, self._where)
        return self

    async def open(self, *more: tuple[str, str], **changed: str | None) -> Self:
        """Connect and do the handshake, which must succeed; the welcome is taken, too."""
        await self.connect()
        await self.send(head(*more, **changed))
        status, _ = await self.response()
        if status != 101:
            raise Failed(f"a handshake\n  expected: 101\n  observed: {status}")
        await self.frame()
        return self

    async def authenticate(self, token: str, entity_id: str, **more: Any) -> dict[str, Any]:
        """Open a session, which must succeed."""
        return await self.call("auth.authenticate", token=token, entity_id=entity_id, **more)

    async def send(self, data: bytes) -> bool:
        """Send bytes as they are.

        @return: False if the connection is gone.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().sock_sendall(self.socket, data)
        except OSError:
            return False
        return True

    async def tell(self, *texts: str) -> bool:
        """Send texts, each as one frame, all at once."""
        return await self.send(b"".join(frame(text) for text in texts))

    async def ask(self, method: str, **params: Any) -> Any:
        """Make a call, one at a time.

        @return: the whole answer; what else came before is passed over.
        """
        await self.tell(request(method, "asked", **params))
        while True:
            came = await self.frame()
            if came is None or came.opcode == CLOSE:
                raise Failed(f"{method}\n  expected: an answer\n  observed: the end of the connection, {came}")
            if came.opcode == TEXT and isinstance(said := came.message, dict) and said.get("id") == "asked":
                return said

    async def call(self, method: str, **params: Any) -> Any:
        """Make a call that must succeed."""
        answer = await self.ask(method, **params)
        if "result" not in answer:
            raise Failed(f"{method}\n  expected: a result\n  observed: {answer}")
        return answer["result"]

    async def response(self) -> tuple[int, dict[str, str]]:
        """The answer to a handshake: its status, and its headers by lower-case name; status 0 is none at all."""
        while b"\r\n\r\n" not in self._buffer:
            if not await self._read():
                return 0, {}
        text, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = text.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), {name.lower(): value for name, value in headers.items()}

    async def frame(self) -> Frame | None:
        """The next frame; None at the end of the stream."""
        while (found := self._cut()) is None:
            if not await self._read():
                return None
        return found

    async def frames(self, seconds: float) -> AsyncIterator[Frame]:
        """What comes within a time."""
        try:
            async with asyncio.timeout(seconds):
                while (came := await self.frame()) is not None:
                    yield came
        except TimeoutError:
            return

    async def with_answers(self, count: int, moment: float = 0.3) -> list[Frame]:
        """What comes until that many answers have, and a moment longer, for an answer that should not come.

        @param moment: seconds.
        """
        came = list[Frame]()
        try:
            async with asyncio.timeout(PATIENCE):
                while sum(each.is_answer for each in came) < count and (found := await self.frame()) is not None:
                    came.append(found)
        except TimeoutError:
            return came
        return came + [each async for each in self.frames(moment)]

    async def answers(self, count: int) -> list[Any]:
        """Answers as they came, of which there should be that many."""
        return [each.message for each in await self.with_answers(count) if each.is_answer]

    async def ending(self, patience: float = PATIENCE) -> Ending:
        """Read until the end of the stream; a close is answered unless it tells of a violation."""
        began, frames, code, after, how, seconds = time.monotonic(), list[Frame](), None, 0, "eof", None
        try:
            async with asyncio.timeout(patience):
                while (came := await self.frame()) is not None:
                    if code is not None:
                        after += len(came.payload) + 1
                    elif came.opcode == CLOSE:
                        code, seconds = int.from_bytes(came.payload[:2], "big"), time.monotonic() - began
                        if code == 1003 or code >= 3000:
                            await self.send(frame(came.payload[:2], CLOSE))
                    else:
                        frames.append(came)
        except TimeoutError:
            how = "open"
        if self._reset:
            how = "reset"
        return Ending(code, how, frames, after, time.monotonic() - began if seconds is None else seconds)

    async def gone(self, seconds: float) -> bool:
        """Whether the connection ends within that time; whatever comes is thrown away."""
        return (await self.ending(seconds)).how != "open"

    def reset(self) -> None:
        """Close the socket by a reset."""
        if self.socket.fileno() >= 0:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.close()

    def close(self) -> None:
        """Let go of the socket."""
        if self.socket.fileno() >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self.socket)
            loop.remove_writer(self.socket)
            self.socket.close()

    _reset = False

    async def _read(self) -> bool:
        try:
            data = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
        except OSError:
            self._reset, data = True, b""
        self._buffer += data
        self.received += len(data)
        return bool(data)

    def _cut(self) -> Frame | None:
        data = self._buffer
        if len(data) < 2:
            return None
        length, body = data[1], 2
        if length == 126 and len(data) >= 4:
            (length,), body = struct.unpack_from("!H", data, 2), 4
        elif length == 127 and len(data) >= 10:
            (length,), body = struct.unpack_from("!Q", data, 2), 10
        elif length >= 126:
            return None
        if len(data) < body + length:
            return None
        self._buffer = data[body + length :]
        return Frame(data[0], data[body : body + length])
