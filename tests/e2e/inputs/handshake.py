"""Opening handshakes that become no connection, and odd ones that do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from tests.e2e.inputs.peer import KEY, USUAL, request

KIB: Final = 1024
EVIL: Final = b"https://evil.example"


class Handshake(NamedTuple):
    """What is sent first on a connection, and the status of the answer: 101, or what refuses it.

    C{sent} is called if it is long. C{headers} the answer must have. A set of statuses: each would do, C{why}.
    """

    name: str
    sent: bytes | Callable[[], bytes | Iterable[bytes]]
    status: int | set[int | None]
    headers: dict[str, str] = {}
    why: str = ""


def with_line(*lines: bytes) -> bytes:
    """The usual request with more header lines."""
    return request(*lines)


def instead(name: bytes, *lines: bytes) -> bytes:
    """The usual request with other lines in the place of a usual one."""
    return request(*lines, without=(name,))


def _endless(byte: bytes, megabytes: int = 64) -> Iterator[bytes]:
    for _ in range(megabytes * 16):
        yield byte * 64 * KIB


HEADS: Final = (
    Handshake("17 KiB without an end of line", b"A" * 17 * KIB, 431),
    Handshake(
        "an endless line",
        lambda: _endless(b"A"),
        {431, None},
        why="while bytes still come, the answer may be lost to the reset of the socket",
    ),
    Handshake("endless line ends", lambda: _endless(b"\r\n"), {400, 431, None}, why="as of an endless line"),
    Handshake("endless NULs", lambda: _endless(b"\x00"), {400, 431, None}, why="as of an endless line"),
    Handshake("a header of 17 KiB", with_line(b"X: " + b"a" * 17 * KIB), 431),
    Handshake("a header of a megabyte", lambda: with_line(b"X: " + b"a" * KIB * KIB), {431, None}, why="as above"),
    Handshake("a path of 17 KiB", request(line=b"GET /" + b"a" * 17 * KIB + b" HTTP/1.1"), 431),
    Handshake("64 headers", with_line(*[b"X-%d: a" % n for n in range(64 - len(USUAL))]), 101),
    Handshake("65 headers", with_line(*[b"X-%d: a" % n for n in range(65 - len(USUAL))]), 431),
    Handshake("65 headers of one name", with_line(*[b"X: a"] * (65 - len(USUAL))), 431),
    Handshake("16 KiB of spaces", with_line(b"X:" + b" " * 16 * KIB + b"a"), 431),
    Handshake(
        "15 KiB of cookies", with_line(*[b"Cookie: " + b"a" * 3 * KIB + b"=b"] * 5), 101, why="browsers send them"
    ),
    Handshake("six KiB of commas and spaces", with_line(b"Sec-WebSocket-Protocol: " + b", " * 3 * KIB), {101, 400}),
)

REQUEST_LINES: Final = (
    Handshake("HTTP/1.0", request(line=b"GET / HTTP/1.0"), 505),
    Handshake("HTTP/2.0", request(line=b"GET / HTTP/2.0"), 505),
    Handshake("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 405, 505}),
    Handshake("HTTP/0.9", b"GET /\r\n\r\n", {400, 505}),
    Handshake("no HTTP", request(line=b"HELO example.com"), 400),
    Handshake("an empty request line", request(line=b""), 400),
    Handshake("a fourth word", request(line=b"GET / HTTP/1.1 x"), 400),
    Handshake("a lower-case version", request(line=b"GET / http/1.1"), {400, 505}),
    Handshake("POST", request(line=b"POST / HTTP/1.1"), 405),
    Handshake("HEAD", request(line=b"HEAD / HTTP/1.1"), 426),
    Handshake("OPTIONS", request(line=b"OPTIONS * HTTP/1.1"), 405),
    Handshake("CONNECT", request(line=b"CONNECT evil.example:443 HTTP/1.1"), 405),
    Handshake("a lower-case method", request(line=b"get / HTTP/1.1"), 405),
    Handshake("no Upgrade", instead(b"Upgrade"), 426),
    Handshake("an Upgrade to something else", instead(b"Upgrade", b"Upgrade: h2c"), 426),
    Handshake("nothing but a request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 426),
    Handshake("no Upgrade by HEAD", b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", 426),
    Handshake("a page", b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n", 200, why="for browsers"),
    Handshake("a probe", b"GET /health HTTP/1.0\r\n\r\n", 200, why="for whatever looks after the process"),
    Handshake("a probe that would upgrade", request(line=b"GET /health HTTP/1.1"), 200),
    Handshake("a probe with a body", b"GET /health HTTP/1.0\r\nContent-Length: 4\r\n\r\nevil", 400),
    Handshake("no Connection", instead(b"Connection"), {400, 426}),
    Handshake("Connection without Upgrade", instead(b"Connection", b"Connection: close"), {400, 426}),
)

TARGETS: Final = (
    Handshake("the second path", request(line=b"GET /ws HTTP/1.1"), 101),
    Handshake("another path", request(line=b"GET /other HTTP/1.1"), 404),
    Handshake("a path below", request(line=b"GET /ws/ HTTP/1.1"), 404),
    Handshake("two slashes", request(line=b"GET // HTTP/1.1"), {400, 404}),
    Handshake("a path that climbs", request(line=b"GET /../ws HTTP/1.1"), 404),
    Handshake("an escaped path", request(line=b"GET /%77s HTTP/1.1"), {400, 404}),
    Handshake("a wrong escape", request(line=b"GET /%zz HTTP/1.1"), {400, 404}),
    Handshake("a fragment", request(line=b"GET /#top HTTP/1.1"), {400, 404}),
    Handshake("a token in the query", request(line=b"GET /?token=secret HTTP/1.1"), 400),
    Handshake("any query", request(line=b"GET /ws?a=b HTTP/1.1"), 400),
    Handshake("a redirect", request(line=b"GET /?redirect=http://evil.example/&after=x HTTP/1.1"), 400),
    Handshake("a redirect without an Upgrade", b"GET /?redirect=http://evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    Handshake(
        "an absolute target", request(line=b"GET http://evil.example/ws HTTP/1.1"), 101, why="RFC 9112, section 3.2.2"
    ),
    Handshake("an absolute target with another path", request(line=b"GET http://localhost/x HTTP/1.1"), 404),
)

HOSTS: Final = (
    Handshake("no Host", instead(b"Host"), 400),
    Handshake("two Hosts", with_line(b"Host: evil.example"), 400),
    Handshake("two equal Hosts", with_line(b"Host: localhost"), 400),
    Handshake("two Hosts of different case", with_line(b"HOST: localhost"), 400),
    Handshake("two Origins", with_line(b"Origin: https://good.example", b"Origin: " + EVIL), 400),
    Handshake("two Upgrades", with_line(b"Upgrade: websocket"), 400),
    Handshake("two keys", with_line(b"Sec-WebSocket-Key: " + KEY), 400),
    Handshake("two versions", with_line(b"Sec-WebSocket-Version: 13"), 400),
    Handshake("any Host", instead(b"Host", b"Host: evil.example"), 101, why="allowed_hosts is not set"),
    Handshake("any Origin", with_line(b"Origin: " + EVIL), 101, why="allowed_origins is not set"),
    Handshake("no page's Origin", with_line(b"Origin: null"), 101, why="allowed_origins is not set"),
)

_TAKEN: Final = {"sec-websocket-version": "13"}
VERSIONS: Final = (
    *(
        Handshake(
            f"version {v.decode()}", instead(b"Sec-WebSocket-Version", b"Sec-WebSocket-Version: " + v), 400, _TAKEN
        )
        for v in (
            b"8",
            b"7",
            b"0",
            b"99",
            b"13, 13",
            b"13,8",
            b"thirteen",
            b"-13",
            b"+13",
            b"013",
            b"13.0",
            b"1_3",
            b"",
        )
    ),
    Handshake("no version", instead(b"Sec-WebSocket-Version"), 400, _TAKEN),
    *(
        Handshake(f"the key {key.decode()!r}", instead(b"Sec-WebSocket-Key", b"Sec-WebSocket-Key: " + key), 400)
        for key in (
            b"",
            b"dGhlIHNhbXBsZSBub25j",  # 15 bytes
            b"dGhlIHNhbXBsZSBub25jZTE=",  # 17 bytes
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"!GhlIHNhbXBsZSBub25jZQ==",
            b"dGhlIHNhbXBsZSBub25jZQ=====",
            b"========================",
            b"a" * 24,
            b"dGhlIHNhbXBs ZSBub25jZQ==",
        )
    ),
    Handshake("no key", instead(b"Sec-WebSocket-Key"), 400),
)

BYTES: Final = (
    *(
        Handshake(
            f"0x{byte:02x} in a value", with_line(b"X: a" + bytes((byte,)) + b"Origin: https://good.example"), 400
        )
        for byte in (
            0x00,
            0x01,
            0x08,
            0x0A,
            0x0B,
            0x0C,
            0x0D,
            0x1B,
            0x1C,
            0x1D,
            0x1E,
            0x1F,
            0x7F,
        )
    ),
    *(
        Handshake(
            f"0x{byte:02x} in a value",
            with_line(b"X: a" + bytes((byte,)) + b"Origin: https://good.example"),
            101,
            why="RFC 9110, section 5.5, lets text of any encoding stand",
        )
        for byte in (0x80, 0x85, 0x9B, 0x9F, 0xA0, 0xFF)
    ),
    Handshake("a cookie in UTF-8", with_line("Cookie: name=Müßig; city=東京".encode()), 101),
    *(
        Handshake(f"0x{byte:02x} in a name", with_line(b"X" + bytes((byte,)) + b": a"), 400)
        for byte in (0x00, 0x0A, 0x0D, 0x1F, 0x7F, 0x85)
    ),
    *(
        Handshake(f"0x{byte:02x} in the path", request(line=b"GET /" + bytes((byte,)) + b" HTTP/1.1"), 400)
        for byte in (0x00, 0x0B, 0x0C, 0x1B, 0x7F, 0x85)
    ),
    Handshake("a bare line feed ends a line", request().replace(b"\r\nUpgrade", b"\nUpgrade"), 400),
    Handshake("bare line feeds end all lines", request().replace(b"\r\n", b"\n") + b"\r\n\r\n", 400),
    Handshake("a bare carriage return ends a line", request().replace(b"\r\nUpgrade", b"\rUpgrade"), 400),
    Handshake("a folded line", with_line(b"X: a", b" Origin: https://good.example"), 400),
    Handshake("a line folded by a tab", with_line(b"X: a", b"\tb"), 400),
    Handshake("a folded first line", request(line=b"GET / HTTP/1.1\r\n X: a"), 400),
    Handshake("a space before the colon", with_line(b"X : a"), 400),
    Handshake("a line without a colon", with_line(b"Origin"), 400),
    Handshake("a header without a name", with_line(b": a"), 400),
    Handshake("a header that is there and empty", with_line(b"X:"), 101),
    Handshake("names in any case", request().replace(b"Upgrade: websocket", b"uPGRADE: WebSocket"), 101),
    Handshake("a ClientHello of TLS", bytes.fromhex("16030100c8010000c403034b") + b"\x00" * 190, {400, None}),
    Handshake("an old ClientHello", bytes.fromhex("802e0100020015000000100100800200") + b"\x80" * 40, {400, None}),
    Handshake("what another protocol begins with", b"\x00\x00\x00\x0cSSH-2.0-x\r\n\r\n", 400),
)

SUBPROTOCOLS: Final = (
    Handshake("an unknown subprotocol", with_line(b"Sec-WebSocket-Protocol: evil"), 101, why="none is taken up"),
    Handshake("no subprotocol", with_line(b"Sec-WebSocket-Protocol:"), 101, why="RFC 9110, section 5.6.1"),
    Handshake("an empty subprotocol", with_line(b"Sec-WebSocket-Protocol: , cell0.v1,"), 101, why="RFC 9110, 5.6.1"),
    Handshake("text that is no subprotocol", with_line(b"Sec-WebSocket-Protocol: caf\xc3\x89"), 400),
    Handshake("text that is no option", instead(b"Connection", b"Connection: Upgrade, \x85"), 400),
    Handshake("text that is no upgrade", instead(b"Upgrade", b"Upgrade: websocket, \x85"), 400),
    Handshake("a subprotocol twice", with_line(b"Sec-WebSocket-Protocol: a, a"), 400),
    Handshake("ours twice", with_line(b"Sec-WebSocket-Protocol: cell0.v1, cell0.v1"), 400),
    Handshake(
        "five hundred subprotocols",
        with_line(b"Sec-WebSocket-Protocol: " + b", ".join(b"p%d" % n for n in range(500))),
        400,
    ),
    Handshake(
        "a subprotocol with ends of line in it",
        with_line(b"Sec-WebSocket-Protocol: a\r\nX-Evil: 1"),
        101,
        why="a header",
    ),
)

EXTENSIONS: Final = tuple(
    Handshake(
        f"the extension {offer.decode()[:60]}",
        with_line(b"Sec-WebSocket-Extensions: " + offer),
        {101, 400},
        why="RFC 7692, section 7.1: such an offer is declined, and the connection may go on without",
    )
    for offer in (
        b"permessage-deflate; client_max_window_bits=7",
        b"permessage-deflate; client_max_window_bits=16",
        b"permessage-deflate; server_max_window_bits=7",
        b"permessage-deflate; server_max_window_bits=16",
        b"permessage-deflate; server_max_window_bits=8",
        b"permessage-deflate; server_max_window_bits=-15",
        b"permessage-deflate; server_max_window_bits=015",
        b"permessage-deflate; server_max_window_bits=1e1",
        b"permessage-deflate; server_max_window_bits",
        b"permessage-deflate; server_max_window_bits=10; server_max_window_bits=11",
        b"permessage-deflate; server_no_context_takeover=1",
        b"permessage-deflate; evil",
        b"permessage-bzip2",
        b"x-webkit-deflate-frame",
        b"permessage-deflate;" * 300,
        b", " * 3000,
        b";=;=,;",
        b'permessage-deflate; client_max_window_bits="10"',
    )
)

HANDSHAKES: Final = (*HEADS, *REQUEST_LINES, *TARGETS, *HOSTS, *VERSIONS, *BYTES, *SUBPROTOCOLS, *EXTENSIONS)
