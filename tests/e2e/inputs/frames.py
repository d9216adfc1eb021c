"""Frames that break the rules of WebSocket or go beyond the limits, and odd ones that don't."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from tests.e2e.inputs.peer import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    compressed,
    deflated,
    fragments,
    frame,
    goodbye,
    text,
)

KIB: Final = 1 << 10
MIB: Final = 1 << 20
LIMIT: Final = 10 * MIB
STRANGERS_LIMIT: Final = 64 * KIB
CALL: Final = '{"jsonrpc":"2.0","method":"rpc.ping","id":1}'

COPIES: Final = 5 * LIMIT + 2 * MIB
"""Maximum growth in bytes while a message of the greatest length is read and checked: its parts, the whole, its text,
two steps of measuring its depth, and some pages of the allocator."""


class Frames(NamedTuple):
    """What is sent on an open connection, and what comes of it.

    @ivar sent: called if it is long.
    @ivar ends: the code that the gateway closes with; None: the connection goes on as if nothing had been.
    @ivar answers: how many answers to L{CALL} come; None: any number.
    @ivar stranger: it is sent without authentication.
    @ivar deflate: compression is agreed on.
    @ivar pongs: how many pongs may come; None: any number.
    @ivar peak: how much memory it may take meanwhile, in bytes.
    """

    name: str
    sent: bytes | Callable[[], bytes | Iterable[bytes]]
    ends: int | None
    answers: int | None = 0
    stranger: bool = False
    deflate: bool = False
    pongs: int | None = None
    peak: int = 8 * MIB
    why: str = ""


def padded(size: int) -> bytes:
    """The call in a message of so many bytes."""
    return CALL.encode().ljust(size)


def halves(payload: bytes) -> bytes:
    """A text message in two frames."""
    middle = len(payload) // 2
    return frame(TEXT, payload[:middle], fin=False) + frame(CONTINUATION, payload[middle:])


def _flood(first: bytes, one: bytes, count: int) -> Iterator[bytes]:
    yield first
    chunk = one * 1000
    for _ in range(count // 1000):
        yield chunk


HEADERS: Final = (
    Frames("an unmasked text", frame(TEXT, CALL.encode(), mask=False), 1002),
    Frames("an unmasked empty text", frame(TEXT, mask=False), 1002),
    Frames("an unmasked ping", frame(PING, mask=False), 1002),
    Frames("an unmasked close", frame(CLOSE, mask=False), 1002),
    Frames("an unmasked text by a stranger", frame(TEXT, CALL.encode(), mask=False), 1002, stranger=True),
    *(Frames(f"reserved bits {rsv:03b}", frame(TEXT, CALL.encode(), rsv=rsv), 1002) for rsv in range(1, 8)),
    *(
        Frames(
            f"reserved bits {rsv:03b} where one has a meaning", frame(TEXT, CALL.encode(), rsv=rsv), 1002, deflate=True
        )
        for rsv in (1, 2, 3, 5, 6, 7)
    ),
    Frames("a compressed ping", frame(PING, b"a", rsv=4), 1002, deflate=True),
    Frames("a compressed close", frame(CLOSE, b"\x03\xe8", rsv=4), 1002, deflate=True),
    Frames(
        "RSV1 on a continuation",
        frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", rsv=4),
        1002,
        deflate=True,
    ),
    *(Frames(f"opcode {code}", frame(code, b"a"), 1002) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    Frames("an empty frame of opcode 3", frame(3), 1002),
    Frames("a ping in fragments", frame(PING, b"a", fin=False), 1002),
    Frames("a pong in fragments", frame(PONG, b"a", fin=False), 1002),
    Frames("a close in fragments", frame(CLOSE, b"\x03\xe8", fin=False), 1002),
    Frames("a ping of 125 bytes", frame(PING, b"a" * 125), None, pongs=1),
    Frames("a ping of 126 bytes", frame(PING, b"a" * 126), 1002),
    Frames("a ping that says it is as long as can be", frame(PING, length=2**63 - 1, field=64), 1002),
    Frames("a close of 126 bytes", frame(CLOSE, b"\x03\xe8" + b"a" * 124), 1002),
    Frames("a continuation of nothing", frame(CONTINUATION, CALL.encode()), 1002),
    Frames("a continuation of nothing that goes on", frame(CONTINUATION, fin=False), 1002),
    Frames("a continuation after a whole message", text(CALL) + frame(CONTINUATION, b"a"), 1002, answers=1),
    Frames("a text within a text", frame(TEXT, b"{", fin=False) + text(CALL), 1002),
    Frames("a binary within a text", frame(TEXT, b"{", fin=False) + frame(BINARY, b"a"), 1002),
    Frames(
        "a ping within a text",
        frame(TEXT, CALL[:9].encode(), fin=False) + frame(PING) + frame(CONTINUATION, CALL[9:].encode()),
        None,
        answers=1,
    ),
    Frames("a second handshake", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 1002),
    Frames("no frames at all", b"\xff" * 1000, 1002),
    Frames("NULs", b"\x00" * 1000, 1002),
    Frames("a frame byte by byte", lambda: (bytes((byte,)) for byte in text(CALL)), None, answers=1),
)

LENGTHS: Final = (
    Frames("a length with its highest bit", frame(TEXT, length=2**63, field=64), 1002),
    Frames("a length of nothing but ones", frame(TEXT, length=2**64 - 1, field=64), 1002),
    Frames("the longest length there is", frame(TEXT, length=2**63 - 1, field=64), 1009),
    Frames("a length of a gibibyte", frame(TEXT, length=1 << 30), 1009),
    Frames("a length of a gibibyte, compressed", frame(TEXT, length=1 << 30, rsv=4), 1009, deflate=True),
    Frames("a length of a gibibyte by a stranger", frame(TEXT, length=1 << 30), 1009, stranger=True),
    Frames("a length of five in 16 bits", frame(TEXT, b"abcde", field=16), 1002),
    Frames("a length of 125 in 16 bits", frame(TEXT, b"a" * 125, field=16), 1002),
    Frames("a length of five in 64 bits", frame(TEXT, b"abcde", field=64), 1002),
    Frames("a length of 65,535 in 64 bits", frame(TEXT, b"a" * 65535, field=64), 1002),
    Frames("a length of nothing in 64 bits", frame(TEXT, field=64), 1002),
    Frames("as long as can be", lambda: text(padded(LIMIT)), None, answers=1, peak=COPIES),
    Frames("a byte longer", lambda: text(padded(LIMIT + 1)), 1009, peak=COPIES),
    Frames(
        "as long as can be in two frames",
        lambda: halves(padded(LIMIT - 2 * 128)),
        None,
        answers=1,
        peak=COPIES,
        why="each fragment is charged 128 bytes",
    ),
    Frames("too long in two frames", lambda: halves(padded(LIMIT + 1)), 1009, peak=COPIES),
    Frames("as long as can be, compressed", lambda: compressed(padded(LIMIT)), None, 1, deflate=True, peak=COPIES),
    Frames("a byte longer, compressed", lambda: compressed(padded(LIMIT + 1)), 1009, deflate=True, peak=COPIES),
    Frames("a stranger's longest", text(padded(STRANGERS_LIMIT)), None, answers=1, stranger=True),
    Frames("a stranger's byte more", text(padded(STRANGERS_LIMIT + 1)), 1009, stranger=True),
    Frames("a stranger's too long in two frames", halves(padded(STRANGERS_LIMIT + 1)), 1009, stranger=True),
    Frames(
        "a stranger's longest, compressed", compressed(padded(STRANGERS_LIMIT)), None, 1, stranger=True, deflate=True
    ),
    Frames(
        "a stranger's byte more, compressed", compressed(padded(STRANGERS_LIMIT + 1)), 1009, stranger=True, deflate=True
    ),
)

FRAGMENTS: Final = (
    Frames("1,024 fragments", fragments(CALL, 1024), None, answers=1),
    Frames("1,025 fragments", fragments(CALL, 1025), 1008),
    Frames("1,024 fragments, compressed", lambda: _in_pieces(1024), None, answers=1, deflate=True),
    Frames("1,025 fragments, compressed", lambda: _in_pieces(1025), 1008, deflate=True),
    Frames(
        "a million empty fragments",
        lambda: _flood(frame(TEXT, fin=False), frame(CONTINUATION, fin=False), 1_000_000),
        1008,
    ),
    Frames(
        "a million fragments of a byte",
        lambda: _flood(frame(TEXT, fin=False), frame(CONTINUATION, b" ", fin=False), 1_000_000),
        1008,
    ),
    Frames("five hundred fragments of a stranger's", fragments(CALL, 500), None, answers=1, stranger=True),
    Frames(
        "six hundred fragments of a stranger's",
        fragments(CALL, 600),
        1008,
        stranger=True,
        why="each is charged 128 bytes of 64 KiB",
    ),
    Frames("fragments of ten messages", fragments(CALL, 100) * 10, None, answers=10),
    Frames("fragments of a thousand messages", lambda: fragments(CALL, 40) * 1000, 4013, answers=None),
)


def _in_pieces(count: int) -> bytes:
    data = deflated(CALL)
    parts = [data[at : at + 1] for at in range(count - 1)] + [data[count - 1 :]]
    return b"".join(
        frame(CONTINUATION if n else TEXT, part, fin=n == count - 1, rsv=0 if n else 4) for n, part in enumerate(parts)
    )


NOT_UTF_8: Final = {
    "a byte that begins nothing": b"\xff",
    "a continuation byte": b"\x80",
    "a surrogate": b"\xed\xa0\x80",
    "an overlong slash": b"\xc0\xaf",
    "an overlong NUL": b"\xe0\x80\x80",
    "beyond the last code point": b"\xf4\x90\x80\x80",
    "a code point that is not finished": b"\xe2\x82\x22",
}
_LONG: Final = "\u20ac" * 400

TEXTS: Final = (
    *(Frames(f"text with {name}", text(b'{"a":"' + bad + b'"}'), 1007) for name, bad in NOT_UTF_8.items()),
    *(
        Frames(
            f"text with {name}, of which the rest never comes", frame(TEXT, b'{"a":"' + bad + b'"', length=1000), 1007
        )
        for name, bad in NOT_UTF_8.items()
    ),
    *(
        Frames(f"a first fragment with {name}", frame(TEXT, b'{"a":"' + bad + b'"', fin=False), 1007)
        for name, bad in NOT_UTF_8.items()
    ),
    Frames("text that ends within a code point", text(b'"\xe2\x82'), 1007),
    Frames(
        "fragments that end within a code point", frame(TEXT, b'"\xe2', fin=False) + frame(CONTINUATION, b"\x82"), 1007
    ),
    Frames(
        "a code point in two fragments",
        frame(TEXT, b'{"jsonrpc":"2.0","method":"rpc.ping","id":1,"x":"\xe2', fin=False)
        + frame(CONTINUATION, b'\x82\xac"}'),
        None,
        answers=1,
    ),
    Frames("long text with a surrogate at its end", text(_LONG.encode() + b"\xed\xa0\x80"), 1007),
    Frames("compressed text with a surrogate", compressed(b'{"a":"\xed\xa0\x80"}'), 1007, deflate=True),
    Frames("text that is not UTF-8 by a stranger", text(b'{"a":"\xff"}'), 1007, stranger=True),
    Frames("a binary message", frame(BINARY, CALL.encode()), 1003),
    Frames("an empty binary message", frame(BINARY), 1003),
    Frames("a binary message in fragments", frame(BINARY, b"a", fin=False) + frame(CONTINUATION, b"b"), 1003),
    Frames("a compressed binary message", frame(BINARY, deflated(CALL), rsv=4), 1003, deflate=True),
    Frames("a binary message by a stranger", frame(BINARY, b"\x00\xff"), 1003, stranger=True),
)

CLOSES: Final = (
    Frames("a close of one byte", frame(CLOSE, b"\x03"), 1002),
    *(
        Frames(f"close code {code}", goodbye(code), 1002)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ),
    *(
        Frames(f"close code {code}", goodbye(code), 1000)
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    ),
    Frames("a close without a code", goodbye(None), 1000),
    Frames("a close with the longest reason", goodbye(1000, b"a" * 123), 1000),
    *(Frames(f"a reason with {name}", goodbye(1000, bad), 1007) for name, bad in NOT_UTF_8.items()),
    Frames("calls after the close", goodbye() + text(CALL) * 100, 1000),
    Frames("nonsense after the close", goodbye() + b"\xff" * 1000, 1000),
    Frames("a megabyte after the close", lambda: goodbye() + text(b" " * MIB), 1000),
    Frames("a thousand closes", goodbye() * 1000, 1000),
    Frames("a close within a message", frame(TEXT, b"{", fin=False) + goodbye(), 1000),
    Frames("calls after a violation", frame(3) + text(CALL) * 100, 1002),
    Frames("a close after a violation", frame(3) + goodbye(), 1002),
    Frames(
        "a frame without end after a violation",
        lambda: (frame(3), frame(PING, length=1 << 40, field=64) + b"a" * 16 * MIB),
        1002,
    ),
    Frames("a close by a stranger", goodbye(), 1000, stranger=True),
)

CONTROL: Final = (
    Frames("a hundred pings at once", b"".join(frame(PING, b"%d" % n) for n in range(100)), None, pongs=100),
    Frames("a hundred thousand pings", lambda: _flood(b"", frame(PING, b"a" * 125), 100_000), 4013, pongs=150),
    Frames(
        "a hundred thousand pings by a stranger",
        lambda: _flood(b"", frame(PING), 100_000),
        4013,
        stranger=True,
        pongs=150,
    ),
    Frames(
        "pings within a message without end",
        lambda: _flood(frame(TEXT, b"{", fin=False), frame(PING), 100_000),
        4013,
        pongs=150,
    ),
    Frames("a hundred pongs that nobody asked for", frame(PONG, b"a") * 100, None, pongs=0),
    Frames("a hundred thousand pongs", lambda: _flood(b"", frame(PONG), 100_000), 4013, pongs=0),
)

DEFLATE: Final = (
    Frames("compressed garbage", frame(TEXT, b"\xff" * 100, rsv=4), 1007, deflate=True),
    Frames("random bytes as compressed ones", frame(TEXT, b"\x07" + os.urandom(1000), rsv=4), 1007, deflate=True),
    Frames(
        "compressed data cut off",
        frame(TEXT, deflated(CALL)[:-5], rsv=4),
        None,
        deflate=True,
        why="half a call: -32700",
    ),
    Frames(
        "a stored block that is cut off",
        frame(TEXT, b"\x00\xff\xff\x00\x00abc", rsv=4),
        None,
        deflate=True,
        why="abc: -32700",
    ),
    Frames("a reference before the beginning", frame(TEXT, bytes.fromhex("02086300"), rsv=4), 1007, deflate=True),
    Frames("64 MiB of zeros", lambda: compressed(b"\x00" * 64 * MIB), 1009, deflate=True, peak=COPIES),
    Frames(
        "64 MiB of zeros in fragments",
        lambda: _split(deflated(b" " * 64 * MIB), 8),
        1009,
        deflate=True,
        peak=COPIES,
    ),
    Frames(
        "8 MiB of zeros by a stranger",
        lambda: compressed(b" " * 8 * MIB),
        1009,
        stranger=True,
        deflate=True,
        peak=4 * MIB,
    ),
    Frames(
        "nothing, compressed",
        frame(TEXT, b"\x02", rsv=4) + compressed(CALL),
        None,
        answers=1,
        deflate=True,
        why="-32700",
    ),
    Frames("compressed and plain by turns", (compressed(CALL) + text(CALL)) * 20, None, answers=40, deflate=True),
    Frames("a compressed message in fragments", _in_pieces(10) * 2, None, answers=2, deflate=True),
)


def _split(data: bytes, count: int) -> bytes:
    size = -(-len(data) // count)
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(
        frame(CONTINUATION if n else TEXT, part, fin=n == len(parts) - 1, rsv=0 if n else 4)
        for n, part in enumerate(parts)
    )


def _much(begin: bytes, one: bytes, end: bytes) -> Callable[[], bytes]:
    return lambda: text(begin + one * ((LIMIT - 1000) // len(one)) + end)


# Each is answered by an error; read into objects, it would be hundreds of megabytes.
MUCH: Final = (
    Frames("a batch of millions of numbers", _much(b"[", b"1,", b"1]"), None, peak=COPIES),
    Frames("a batch of millions of objects", _much(b"[", b"{},", b"1]"), None, peak=COPIES),
    Frames("a batch of millions of brackets in strings", _much(b"[", b'"[",', b"1]"), None, peak=COPIES),
    Frames("millions of arrays in each other", _much(b"", b"[", b""), None, peak=COPIES),
    Frames("millions of arrays beside each other", _much(b"[[", b"[],", b"1]]"), None, peak=COPIES),
    Frames(
        "thousands of arrays as deep as may be",
        _much(b"[[", b"[" * 60 + b"]" * 60 + b",", b"1]]"),
        None,
        peak=COPIES,
    ),
    Frames("no request, of millions of fractions", _much(b'{"a":[', b"1.5,", b"1]}"), None, peak=COPIES),
    Frames("no request, of a million members", _much(b"{", b'"a":[[]],', b'"b":1}'), None, peak=COPIES),
    Frames("a call with millions of escapes", _much(b'["', b"\\u0041", b'"]'), None, peak=COPIES),
    Frames("millions of quotes", _much(b"[[" * 40, b'"', b""), None, peak=COPIES),
)

FRAMES: Final = (*HEADERS, *LENGTHS, *FRAGMENTS, *TEXTS, *CLOSES, *CONTROL, *DEFLATE, *MUCH)
