"""Frames: any bytes to a connection that is open."""

from __future__ import annotations

import zlib
from collections import deque
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from cell0gw.testing import MemoryGateway
from tests.fuzz.cuts import cut
from tests.fuzz.findings import CLOSE, TEXT, check, connect, nothing_is_logged, pass_time, retained, spoken
from tests.fuzz.handshake import request
from tests.transports.websocket.test_chunking import frame

COMPRESSED, AUTHENTICATED, BUILT = 1, 2, 4
"""Bits of the first byte: compression is negotiated, a token was shown, the rest is built of records."""

FIT, MASK, DEFLATE, MANY = 0x03, 0x04, 0x08, 0x10
"""Bits of a record: how its length is written, unmasked, compressed, a long payload."""

LENGTHS: Final = (None, 0, 2, 8)
LIMIT: Final = 256 * 1024
READ: Final = 64 * 1024
"""A socket gives that much at once."""

LINGER: Final = 7
"""Seconds after which a connection that the gateway has closed is gone, with some for ticks."""

PING: Final = 0x89
HEARTBEAT: Final = b'"method":"heartbeat"'
"""What each connection gets in its own time."""

IN_FLIGHT: Final = 3
LATER: Final = 1
"""Seconds that a late answer takes."""

ROUNDS: Final = 5


def build(records: bytes) -> bytes:
    """Frames from records: the first byte of the frame, flags, length of the payload, payload; so that mutations find
    frames, not noise.
    """
    frames, place = [], 0
    while place + 3 <= len(records):
        first, flags, length = records[place : place + 3]
        payload = records[place + 3 : place + 3 + length]
        place += 3 + length
        if flags & MANY:
            payload *= 300
        if flags & DEFLATE:
            compressor = zlib.compressobj(wbits=-15)
            payload = (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
        width = LENGTHS[flags & FIT]
        if len(payload) > {0: 125, 2: 65535}.get(width, len(payload)):
            width = None
        frames.append(frame(payload, first, not flags & MASK, width))
    return b"".join(frames) + records[place:]


def record(first: int, payload: bytes, flags: int = 0) -> bytes:
    """See L{build}."""
    return bytes((first, flags, len(payload))) + payload


ENDS = [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x00", b"\x03\xe7", b"\x0f\xa1", b"\x03\xef\xff"]
BUILT_SEEDS = {
    "text": record(0x81, b"{}") * 3,
    "much-later": record(0x81, b"later") * 8 + record(0x81, b"now") + record(0x89, b"?") + record(0x88, b""),
    "later": record(0x81, b"later") + record(0x81, b"now") + record(0x88, b"\x03\xe8"),
    "close": record(0x81, b"close") + record(0x81, b"more"),
    "farewell": record(0x81, b"farewell") + record(0x81, b"more"),
    "abort": record(0x81, b"abort") + record(0x81, b"more"),
    "nothing": record(0x81, b"nothing") + record(0x81, b"more"),
    "utf8": record(0x81, "\u20ac".encode()) + record(0x81, b"\xff"),
    "fragments": record(0x01, b"a") + record(0x89, b"?") + record(0x00, b"\xc3") + record(0x80, b"\xa9"),
    "stray": record(0x80, b"a"),
    "binary": record(0x82, b"\0"),
    "pings": record(0x89, b"1") * 3 + record(0x8A, b"1"),
    "long": record(0x81, b"x" * 250, MANY),
    "unmasked": record(0x81, b"x", MASK),
    "not-shortest": record(0x81, b"x", 2) + record(0x81, b"x", 3),
    "long-ping": record(0x89, b"x" * 126),
    "deflated": record(0xC1, b'{"a":1}', DEFLATE) + record(0xC1, b"x" * 200, DEFLATE | MANY),
    "deflated-parts": record(0x41, b"ab", DEFLATE) + record(0x80, b""),
    "no-deflate": record(0xC1, b"\xff\xff\xff"),
    "bits": record(0xA1, b"") + record(0x91, b"") + record(0xC8, b""),
    "opcodes": record(0x83, b"") + record(0x8B, b"") + record(0x09, b""),
    **{f"end-{number}": record(0x88, payload) + record(0x81, b"x") for number, payload in enumerate(ENDS)},
}
BOMB = zlib.compressobj(9, wbits=-15)
RAW_SEEDS = {
    "raw": frame(b"{}") + frame(b"x" * 200) + frame(b"", 0x88),
    "huge": b"\x81\xff" + b"\x7f" + b"\xff" * 7 + b"\0\0\0\0abc",
    "half": frame(b"x" * 200)[:-1],
    "bomb": frame(BOMB.compress(b"\0" * 2_000_000) + BOMB.flush(zlib.Z_SYNC_FLUSH), 0xC1),
    "many-empty": frame(b"", 0x01) + frame(b"", 0x00) * 300,
}


class Frames:
    """However bytes are cut, and whoever reads them, the same comes of them: messages, answers, an end."""

    seeds = {
        f"{name}-{mode}": bytes((mode | (BUILT if built else 0),)) + data
        for built, seeds in ((True, BUILT_SEEDS), (False, RAW_SEEDS))
        for name, data in seeds.items()
        for mode in (0, COMPRESSED | AUTHENTICATED)
    }
    words = [b"later", b"close", b"farewell", b"abort", b"nothing", b"\x81", b"\x01", b"\x80", b"\xc1", b"\x88\x00\x02",
             b"\x89", b"\x82", b"\x00\x00\xff\xff"]  # fmt: skip

    def __init__(self) -> None:
        self.gateway = MemoryGateway(max_message_size=LIMIT, resume_window=0.0, max_in_flight=IN_FLIGHT)
        self.token = self.gateway.token("a", expires_in_hours=87_600)
        self.gateway.factory.dispatch = self._dispatch  # type: ignore[method-assign]
        self.runs: dict[Any, Run] = {}

    def close(self) -> None:
        """See L{Target}."""
        self.gateway.close()

    def _dispatch(self, caller: Any, payload: bytes) -> Any:
        run = self.runs.get(caller.connection)
        return run.dispatch(caller, payload) if run else self.gateway.rpc.dispatcher.dispatch(caller, payload)

    def run(self, data: bytes) -> None:
        """See L{Target}."""
        mode, rest = data[:1] or b"\0", data[1:]
        stream = build(rest) if mode[0] & BUILT else rest
        with nothing_is_logged():
            runs = [Run(self, mode[0], chunks, short) for chunks, short in (
                ([stream], False), ([stream], True), (cut(stream), True))]  # fmt: skip
            for _ in range(ROUNDS):
                self._compare(runs, stream)
                pass_time(self.gateway, LATER)
                for run in runs:
                    run.feed()
            for run in runs:
                run.after()
            pass_time(self.gateway, LINGER)
            for run in runs:
                run.end()
            self.runs.clear()

    def _compare(self, runs: list[Run], stream: bytes) -> None:
        outcomes = [run.outcome() for run in runs]
        if any(run.waited for run in runs):
            # How much had come before reading paused is a matter of time, but the order is not.
            outcomes = [taken[: min(len(other[0]) for other in outcomes)] for taken, *_ in outcomes]
        for outcome in outcomes[1:]:
            check(outcome == outcomes[0], "cut or read otherwise, answered otherwise", stream, outcomes[0], outcome)


class Run:
    """One connection that is fed as long as it reads.

    @param short_way: False: Autobahn reads all of it.
    @ivar waited: whether it stopped reading for a while.
    """

    def __init__(self, frames: Frames, mode: int, chunks: list[bytes], short_way: bool) -> None:
        self._clock = frames.gateway.clock
        self._chunks = deque(chunk[at : at + READ] for chunk in chunks for at in range(0, len(chunk), READ))
        self._compressed = mode & COMPRESSED
        self.waited = False
        self._taken: list[bytes] = []
        self._unanswered = 0
        self.server, self.transport = server, transport = connect(frames.gateway)
        extension = [b"Sec-WebSocket-Extensions: permessage-deflate"] if mode & COMPRESSED else []
        server.dataReceived(request(*extension))
        if mode & AUTHENTICATED:
            authenticate = '{"jsonrpc":"2.0","method":"auth.authenticate","params":{"token":"%s"},"id":1}'
            server.dataReceived(frame((authenticate % frames.token).encode()))
            check(server.session is not None, "not authenticated")
        transport.clear()
        if not short_way:
            server._between_messages = lambda: False
        frames.runs[server] = self
        self.feed()

    def feed(self) -> None:
        """Let it have what it takes."""
        while self._chunks and self.transport.connected and self.transport.producerState == "producing":
            self.server.dataReceived(self._chunks.popleft())

    def dispatch(self, caller: Any, payload: bytes) -> Any:
        """Answer the length, at once, or in one of the ways that methods have."""
        self._taken.append(payload)
        answer = b'"%d"' % len(payload)
        connection = caller.connection
        if payload.startswith(b"later"):
            deferred: Deferred[Any] = Deferred()
            caller.in_flight += 1
            self._clock.callLater(LATER, deferred.callback, answer)
            return deferred.addCallback(self._arrived, caller)
        if payload.startswith(b"close"):
            connection.close(4001, "go")
        elif payload.startswith(b"farewell"):
            connection.close_when_answered(4500, "enough")
        elif payload.startswith(b"abort"):
            connection.abort()
        elif payload.startswith(b"nothing"):
            self._unanswered += 1
            return None
        return answer

    def _arrived(self, answer: bytes, caller: Any) -> bytes:
        """As the dispatcher has it."""
        caller.in_flight -= 1
        if caller.in_flight in (0, IN_FLIGHT // 2):
            caller.connection.resume()
        return answer

    def outcome(self) -> tuple[Any, ...]:
        """What came of it so far."""
        server = self.server
        self.waited |= server.paused
        said = [frame for frame in spoken(self.transport.value()) if frame[0] != PING and HEARTBEAT not in frame[1]]
        code = server.localCloseCode
        if self._compressed and server.failedByMe:
            # What can't be inflated may be no text either: one of the two is found first.
            said, code = [frame for frame in said if frame[0] != CLOSE], None
        # How long the socket of a violator stays depends on how much more it sends.
        socket = None if server.failedByMe else (server.state, self.transport.connected)
        return self._taken, said, socket, server.failedByMe, code

    def after(self) -> None:
        """What holds when everything was read."""
        server = self.server
        check(server.localCloseCode != 1011, "an internal error", server.localCloseReason)
        check(retained(server) <= server.maxMessagePayloadSize + READ, "too much is kept", retained(server))
        said = spoken(self.transport.value())
        answers = [payload for first, payload in said if first == TEXT and HEARTBEAT not in payload]
        if server.closing_since is None:
            due = len(self._taken) - self._unanswered - server.caller.in_flight
            check(len(answers) == due, "not every message has its answer", self._taken)

    def end(self) -> None:
        """What the gateway has closed is gone by now, unless it was a moment ago; what is open ends here."""
        closing_since = self.server.closing_since
        if closing_since is not None and closing_since <= self._clock.seconds() - LINGER:
            check(not self.transport.connected, "closed and not gone")
        if self.transport.connected:
            self.server.connectionLost(Failure(ConnectionLost()))
