"""A client that sends any bytes at all: it masks, fragments and compresses as it is told, rightly or wrongly.

It shares no code with the gateway, and each one comes from an address of its own, so that nothing it does is held
against another one.
"""

from __future__ import annotations

import itertools
import json
import socket
import zlib
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from tests.e2e.processes import PATIENCE

KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
USUAL: Final = {
    b"Host": b"localhost",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Key": KEY,
    b"Sec-WebSocket-Version": b"13",
}
DEFLATE: Final = b"Sec-WebSocket-Extensions: permessage-deflate"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_MASK: Final = b"\x37\xfa\x21\x3d"
_addresses = itertools.count(1)


def request(*lines: bytes, line: bytes = b"GET / HTTP/1.1", without: Iterable[bytes] = ()) -> bytes:
    """The head of an opening handshake.

    @param lines: header lines that come after the usual ones.
    @param without: names of usual ones that are left out.
    """
    usual = [name + b": " + value for name, value in USUAL.items() if name not in without]
    return b"\r\n".join([line, *usual, *lines, b"", b""])


def masked(data: bytes) -> bytes:
    """Under this client's mask."""
    stream = (_MASK * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bool = True,
    length: int | None = None,
    field: int | None = None,
) -> bytes:
    """One frame, as RFC 6455, section 5.2, has it or not.

    @param rsv: the three reserved bits as a number; 4 is RSV1.
    @param length: what it says of its length; None: the truth.
    @param field: how many bits its length has, 7, 16 or 64; None: as few as needed.
    """
    said = len(payload) if length is None else length
    if field is None:
        field = 7 if said < 126 else 16 if said < 65536 else 64
    marker, tail = {7: (said, b""), 16: (126, b"2"), 64: (127, b"8")}[field]
    if tail:
        tail = said.to_bytes(int(tail), "big")
    head = bytes(((fin << 7) | (rsv << 4) | opcode, (mask << 7) | marker)) + tail
    return head + (_MASK + masked(payload) if mask else payload)


def text(payload: str | bytes) -> bytes:
    """A whole text message in one frame."""
    return frame(TEXT, payload.encode() if isinstance(payload, str) else payload)


def fragments(payload: str | bytes, count: int) -> bytes:
    """A text message in so many frames; the first ones have a byte each, or none if there is too little."""
    data = payload.encode() if isinstance(payload, str) else payload
    parts = [data[at : at + 1] for at in range(count - 1)] + [data[count - 1 :]]
    return b"".join(
        frame(CONTINUATION if number else TEXT, part, fin=number == count - 1) for number, part in enumerate(parts)
    )


def deflated(payload: str | bytes) -> bytes:
    """What stands in a compressed message. RFC 7692, section 7.2.1"""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = payload.encode() if isinstance(payload, str) else payload
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


def compressed(payload: str | bytes) -> bytes:
    """A whole compressed text message in one frame."""
    return frame(TEXT, deflated(payload), rsv=4)


def goodbye(code: int | None = 1000, reason: bytes = b"") -> bytes:
    """A close frame."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def _number(digits: str) -> int | str:
    """Python reads no numbers of thousands of digits."""
    return int(digits) if len(digits) < 4000 else digits


class Response(NamedTuple):
    """What a handshake was answered with; C{status} None: nothing at all."""

    status: int | None
    head: bytes
    headers: dict[str, str]


class Peer:
    """One socket.

    @param source: the address to come from; None: one that nobody has had.
    @ivar messages: the JSON messages that came, heartbeats and the welcome apart.
    @ivar texts: the same as they were written.
    @ivar pongs: the payloads of the pongs that came.
    @ivar close_code: what the gateway closed with; None: it has not, or without a word.
    @ivar ended: whether the stream has ended.
    @ivar silent: whether it leaves the gateway's close without the reply that is due.
    """

    def __init__(self, port: int, source: str | None = None) -> None:
        number = next(_addresses)
        self.source = source or f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE, (self.source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.messages: list[Any] = []
        self.texts: list[str] = []
        self.welcome: Any = None
        self.pongs: list[bytes] = []
        self.close_code: int | None = None
        self.closes = 0
        self.ended = False
        self.silent = False
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send(self, *chunks: bytes | Iterable[bytes]) -> bool:
        """Send bytes.

        @return: False when the gateway has let go of the socket meanwhile.
        """
        try:
            for chunk in chunks:
                for part in (chunk,) if isinstance(chunk, bytes) else chunk:
                    self.socket.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def open(self, *lines: bytes) -> Self:
        """Do the opening handshake, with these header lines beside the usual ones, and await the welcome."""
        self.send(request(*lines))
        response = self.response()
        assert response.status == 101, response
        while self.welcome is None:
            assert self.read(), "no welcome"
        return self

    def response(self) -> Response:
        """Read what a handshake is answered with."""
        while b"\r\n\r\n" not in self._buffer and self._receive():
            pass
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        if not head:
            return Response(None, b"", {})
        line, *lines = head.decode("latin-1").split("\r\n")
        version, status, *_ = line.split(" ", 2)
        assert version == "HTTP/1.1", line
        pairs = [entry.partition(":")[::2] for entry in lines]
        return Response(int(status), head, {name.lower(): value.strip() for name, value in pairs})

    def rest(self) -> bytes:
        """Everything up to the end of the stream, as it is."""
        while self._receive():
            pass
        return self._buffer

    def ask(self, method: str, /, **params: Any) -> Any:
        """Make a call.

        @return: its whole answer.
        """
        self.send(text(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": "asked"})))
        return self.answer("asked")

    def call(self, method: str, /, **params: Any) -> Any:
        """Make a call that must succeed.

        @return: its result.
        """
        answer = self.ask(method, **params)
        assert "result" in answer, f"{method}: {answer}"
        return answer["result"]

    def answer(self, request_id: Any) -> Any:
        """Wait for the answer with an id, and take it out of what came."""
        while True:
            for position, message in enumerate(self.messages):
                if isinstance(message, dict) and message.get("id") == request_id and "method" not in message:
                    self.texts.pop(position)
                    return self.messages.pop(position)
            assert self.read(), f"closed with {self.close_code} before the answer to {request_id}; got {self.texts}"

    def answers(self, *payloads: str | bytes) -> list[Any]:
        """Send messages, and wait until the gateway has dealt with them.

        @return: what came meanwhile.
        """
        self.send(*map(text, payloads), text('{"jsonrpc":"2.0","method":"rpc.ping","id":"the last"}'))
        self.answer("the last")
        return self.messages

    def notification(self, method: str) -> Any:
        """Wait for a notification, or a request, of a name, and take it out of what came."""
        while True:
            for position, message in enumerate(self.messages):
                if isinstance(message, dict) and message.get("method") == method:
                    self.texts.pop(position)
                    return self.messages.pop(position)
            assert self.read(), f"closed with {self.close_code} before {method}; got {self.texts}"

    def until_the_end(self) -> int | None:
        """Read until the gateway lets go of the socket.

        @return: the close code; None: it dropped the connection without a word.
        """
        while self.read():
            pass
        assert self.ended
        return self.close_code

    def leave(self) -> None:
        """Say goodbye, as one does, and wait for the end."""
        self.send(goodbye())
        self.until_the_end()

    def read(self) -> bool:
        """Read one frame; False at the end of the stream."""
        while (parsed := self._frame()) is None:
            if not self._receive():
                return False
        first, payload = parsed
        assert not self.closes or first & 15 == CLOSE, f"{payload!r} came after the close"
        if first & 0x40:
            payload = zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")
        if first & 15 == TEXT:
            self._heard(payload.decode())
        elif first & 15 == PONG:
            self.pongs.append(payload)
        elif first & 15 == CLOSE:
            self.closes += 1
            self.close_code = int.from_bytes(payload[:2], "big") or None
            if not self.silent:
                self.send(goodbye())
        return True

    def _heard(self, written: str) -> None:
        message = json.loads(written, parse_int=_number)
        method = message.get("method") if isinstance(message, dict) else None
        if method == "connection.welcome":
            self.welcome = message["params"]
        elif method != "heartbeat":
            self.texts.append(written)
            self.messages.append(message)

    def _frame(self) -> tuple[int, bytes] | None:
        data = self._buffer
        if len(data) < 2:
            return None
        length, at = data[1], 2
        assert length < 128, "the gateway masks"
        if length >= 126:
            width = 2 if length == 126 else 8
            length, at = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
        if len(data) < at + length:
            return None
        self._buffer = data[at + length :]
        return data[0], data[at : at + length]

    def _receive(self) -> bool:
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        self._buffer += data
        self.ended = not data
        return bool(data)
