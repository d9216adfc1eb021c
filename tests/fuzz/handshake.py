"""The opening handshake: any bytes to a connection that has received none."""

from __future__ import annotations

from typing import Any, Final

from websockets.exceptions import InvalidHeader
from websockets.headers import parse_extension
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from cell0gw.testing import MemoryGateway
from tests.fuzz.cuts import cut
from tests.fuzz.findings import check, connect, nothing_is_logged, pass_time, retained

HEAD: Final = 16384
"""What may be kept of a request that has not ended."""

STATUSES: Final = {101, 200, 400, 403, 404, 405, 426, 431, 503, 505}
DEADLINE: Final = 8
"""Seconds after which a connection is open or gone, with one for the tick and one for the closing."""

LINES = (
    b"GET / HTTP/1.1", b"Host: gateway.example:18801", b"Upgrade: websocket", b"Connection: Upgrade",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13",
)  # fmt: skip
REQUEST: Final = b"\r\n".join(LINES) + b"\r\n\r\n"
MORE = (
    b"Origin: https://example.com", b"Sec-WebSocket-Protocol: cell0.v1", b"Sec-WebSocket-Protocol: x, cell0.v1",
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; server_max_window_bits=9",
    b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover, permessage-deflate",
    b"X-Forwarded-For: 198.51.100.7, 2001:db8::1", b"Content-Length: 5", b"Transfer-Encoding: chunked",
    b"Cookie: a=b", b"User-Agent: fuzz/1.0 (x; y)", b"X-Long: " + b"x" * 17_000, b"X-Odd: \x0bHost: a\x85b\x1c",
    b" folded", b"Host : a", b"Host: [::1]:18801", b"Connection: keep-alive, Upgrade", b": empty", b"no colon",
    b"Connection: a/b", b"Upgrade: h2c, a b",
)  # fmt: skip


def request(*lines: bytes, first: bytes = LINES[0]) -> bytes:
    """A request with further lines."""
    return b"\r\n".join([first, *LINES[1:], *lines]) + b"\r\n\r\n"


class Handshake:
    """Whoever sends whatever is refused with a status, or let in, or gone in time."""

    seeds = {
        "plain": REQUEST,
        **{f"more-{number}": request(line) for number, line in enumerate(MORE)},
        **{f"first-{number}": request(first=line) for number, line in enumerate((
            b"GET /ws HTTP/1.1", b"GET /other HTTP/1.1", b"GET /?a=b HTTP/1.1", b"POST / HTTP/1.1", b"GET / HTTP/1.0",
            b"GET http://x/ HTTP/1.1", b"GET  / HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET /%2e HTTP/1.1#", b"GET",
        ))},
        "many": request(*[b"X-%d: y" % number for number in range(70)]),
        "bare": REQUEST.replace(b"\r\n", b"\n"),
        "cut": REQUEST[:-3],
        "endless": REQUEST[:-2] + b"X: " + b"x" * 18_000,
        "page": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "browser": b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html;q=0.9, */*\r\n\r\n",
        "probe": b"GET /health HTTP/1.0\r\n\r\n",
        "policy": b"<policy-file-request/>\0",
        "tls": bytes.fromhex("16030100c8010000c40303"),
        "empty": b"",
        "and-more": REQUEST + b'\x81\x85\0\0\0\0{"a":\x88\x80\0\0\0\0',
    }  # fmt: skip
    words = [*LINES, *MORE[:7], b"\r\n\r\n", b"\r\n", b"HTTP/1.", b"websocket", b"Upgrade", b"keep-alive", b"8, 13",
             b"HEAD /health ", b"Accept: text/html",
             b"permessage-deflate", b"client_max_window_bits", b"server_max_window_bits", b"_no_context_takeover",
             b"Sec-WebSocket-", b"http://", b"null", b"%00", b"\x85"]  # fmt: skip

    def __init__(self) -> None:
        self.gateway = MemoryGateway()
        # A connection's id is its own.
        self.gateway.factory.welcome = lambda connection: {}  # type: ignore[method-assign, assignment, return-value]

    def close(self) -> None:
        """See L{Target}."""
        self.gateway.close()

    def run(self, data: bytes) -> None:
        """See L{Target}."""
        with nothing_is_logged():
            runs = [self._feed(chunks) for chunks in ([data], cut(data))]
            first, other = (self._outcome(data, *run) for run in runs)
            check(first == other, "cut otherwise, answered otherwise", first, other)
            pass_time(self.gateway, DEADLINE)
            for server, transport in runs:
                check(not transport.connected or server.state == server.STATE_OPEN, "neither open nor gone")
                server.abort()

    def _feed(self, chunks: list[bytes]) -> tuple[Any, Any]:
        server, transport = connect(self.gateway)
        for chunk in chunks:
            if transport.connected:
                server.dataReceived(chunk)
        return server, transport

    def _outcome(self, data: bytes, server: Any, transport: Any) -> tuple[Any, ...]:
        answer, state = transport.value(), server.state
        if state == server.STATE_CONNECTING:
            check(not answer, "neither open nor refused, but answered", answer)
            check(retained(server) <= HEAD + 1024, "too much is kept of an endless request", retained(server))
        elif answer.startswith(b"HTTP/1.1 101"):
            self._accepted(data, answer)
        else:
            self._refused(answer)
        return answer, state, transport.connected

    def _refused(self, answer: bytes) -> None:
        if not answer:
            return  # who is beyond answering is dropped
        head, end, _ = answer.partition(b"\r\n\r\n")
        status = head.split(b" ")[1]
        check(end and status.isdigit() and int(status) in STATUSES, "a strange refusal", answer)

    def _accepted(self, data: bytes, answer: bytes) -> None:
        """What is let in is a handshake for others, too: an independent reader sees the same request."""
        other = ServerProtocol()
        other.receive_data(data)
        events = other.events_received()
        check(events, "accepted what is no request", data, other.handshake_exc, other.parser_exc)
        headers = events[0].headers  # type: ignore[union-attr]
        try:
            parse_extension(",".join(headers.get_all("Sec-WebSocket-Extensions")) or "none")
        except InvalidHeader as problem:
            check(False, "accepted extensions that are none", data, problem)
        named = ",".join(headers.get_all("Upgrade")).lower(), ",".join(headers.get_all("Connection")).lower()
        check("websocket" in named[0] and "upgrade" in named[1], "accepted what is no upgrade", data)
        accept = f"Sec-WebSocket-Accept: {accept_key(headers['Sec-WebSocket-Key'])}\r\n"
        check(accept.encode() in answer, "not the answer to the key", answer)
