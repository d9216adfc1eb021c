"""The opening handshake."""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import MemoryGateway
from cell0gw.transports.websocket.handshake import MAX_HEAD, SUBPROTOCOL, Refused, read_request
from tests.transports.memory import MemoryTransport

FIELDS = {
    "Host": "gateway.example:18801",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def request(line: str = "GET / HTTP/1.1", **fields: str | None) -> bytes:
    """A request; C{Name_In_Parts=None} leaves a field out."""
    all_fields = FIELDS | {name.replace("_", "-"): value for name, value in fields.items()}
    rows = [line, *(f"{name}: {value}" for name, value in all_fields.items() if value is not None)]
    return ("\r\n".join(rows) + "\r\n\r\n").encode("latin-1")


def many(count: int, length: int = 1) -> dict[str, str]:
    """So many fields more."""
    return {f"X_{number}": "x" * length for number in range(count)}


REFUSED: dict[str, tuple[int, bytes]] = {
    "another method": (405, request("POST / HTTP/1.1")),
    "HTTP/2 with prior knowledge": (505, b"PRI * HTTP/2.0\r\n\r\n"),
    "HTTP/1.0": (505, request("GET / HTTP/1.0")),
    "HTTP of no known form": (400, request("GET / HTTP/11")),
    "no HTTP": (400, b"\r\n\r\n"),
    "no target": (400, request("GET HTTP/1.1")),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "another path": (404, request("GET /other HTTP/1.1")),
    "a path below": (404, request("GET /ws/ HTTP/1.1")),
    "a path of another form": (404, request("GET // HTTP/1.1")),
    "a token in the query": (400, request("GET /?token=x HTTP/1.1")),
    "a redirect in the query": (400, request("GET /?redirect=http://evil.example&after=1 HTTP/1.1")),
    "a fragment": (400, request("GET /#x HTTP/1.1")),
    "no upgrade": (426, request(Upgrade=None)),
    "another upgrade": (426, request(Upgrade="h2c")),
    "no connection field": (400, request(Connection=None)),
    "a connection option that is none": (400, request(Connection="Upgrade, a/b")),
    "an upgrade that is none": (400, request(Upgrade="websocket, a b")),
    "another connection field": (400, request(Connection="close")),
    "no host": (400, request(Host=None)),
    "no name of a host": (400, request(Host="a b")),
    "two hosts": (400, request().replace(b"Host", b"Host: a\r\nHost")),
    "two origins": (
        400,
        request(Origin="https://a.example").replace(b"Origin", b"Origin: https://b.example\r\nOrigin"),
    ),
    "two keys": (400, request().replace(b"\r\n\r\n", b"\r\nsec-websocket-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")),
    "two versions": (400, request(Sec_WebSocket_Version="13, 13")),
    "version 8": (400, request(Sec_WebSocket_Version="8")),
    "no version": (400, request(Sec_WebSocket_Version=None)),
    "no key": (400, request(Sec_WebSocket_Key=None)),
    "a short key": (400, request(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25j")),
    "a key that is not base64": (400, request(Sec_WebSocket_Key="*" * 22 + "==")),
    "a subprotocol twice": (400, request(Sec_WebSocket_Protocol="x, x")),
    "too many subprotocols": (400, request(Sec_WebSocket_Protocol=", ".join(map(str, range(33))))),
    "nothing but commas": (400, request(Sec_WebSocket_Protocol="," * 4000)),
    "a window of 7 bits": (400, request(Sec_WebSocket_Extensions="permessage-deflate; server_max_window_bits=7")),
    "a window of 16 bits": (400, request(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits=16")),
    "no list of extensions": (400, request(Sec_WebSocket_Extensions="permessage-deflate; a b")),
    "a body": (400, request(Content_Length="5")),
    "a chunked body": (400, request(Transfer_Encoding="chunked")),
    "a line end of other parsers": (400, request(X="\x85Origin: https://good.example")),
    "a vertical tab": (400, request(X="\x0bOrigin: y")),
    "a NUL": (400, request(X="\0")),
    "lines without a carriage return": (400, request().replace(b"\r\n", b"\n")),
    "a carriage return alone": (400, request(X="a\rb")),
    "a line that is continued": (400, request(X="a\r\n folded")),
    "white space before the colon": (400, request().replace(b"Host:", b"Host :")),
    "a field without a colon": (400, request().replace(b"\r\n\r\n", b"\r\nx\r\n\r\n")),
    "too many fields": (431, request(**many(60))),
    "a long field": (431, request(X="x" * 9 * 1024)),
    "no end": (431, b"A" * MAX_HEAD),
}


class ReadingTests(SynchronousTestCase):
    """Which requests are upgrades, and what they say."""

    def status(self, data: bytes) -> int | None:
        """What a request is refused with."""
        try:
            read_request(data)
        except Refused as refusal:
            return refusal.status
        return None

    def test_refused(self) -> None:
        """What is no upgrade to be served, or could be read in two ways, is refused with the status that says why."""
        for name, (status, data) in REFUSED.items():
            if "window" not in name:  # which the extension's own parser knows
                self.assertEqual(self.status(data), status, name)

    def test_however_it_is_cut(self) -> None:
        """A request that comes byte by byte is refused with the same status, at the latest when all of it is there."""
        for name, (status, data) in REFUSED.items():
            if "window" in name or len(data) > 2000:
                continue
            statuses = [self.status(data[:length]) for length in range(len(data) + 1)]
            self.assertEqual([s for s in statuses if s is not None][:1], [status], name)

    def test_accepted(self) -> None:
        """Common requests, those with more fields, with white space and with whole URLs are upgrades."""
        for data in (
            request(), request("GET /ws HTTP/1.1"), request("GET ws://gateway.example/ws HTTP/1.1"),
            request("GET http://gateway.example HTTP/1.1"), request(Connection="keep-alive, Upgrade"),
            request(Upgrade="WebSocket"), request(Host="[::1]:18801"), request(Host="gateway_1"), request(X="\t é \t"),
            request(Content_Length="0"), request(**many(59)), request(X="x" * 7000),
            request(Cookie="a").replace(b"Cookie", b"Cookie: b\r\nCookie"),
        ):  # fmt: skip
            found = read_request(data)
            assert found is not None
            self.assertEqual((found.length, found.key), (len(data), FIELDS["Sec-WebSocket-Key"]), data)

    def test_what_it_says(self) -> None:
        """Subprotocols, extensions, origin, host and those behind proxies are read; lists may come in parts."""
        found = read_request(
            request(Host="Gateway.Example", Origin="null", Sec_WebSocket_Protocol="a,b", X_Forwarded_For="1::1, 2::2")
            .replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: c\r\nSec-WebSocket-Extensions: x; y=1\r\n\r\n\x81\x80")
        )  # fmt: skip
        assert found is not None
        self.assertEqual(found.protocols, ["a", "b", "c"])
        self.assertEqual((found.host, found.origin, found.extensions), ("gateway.example", "null", "x; y=1"))
        self.assertEqual(found.forwarded, ["1::1", "2::2"])

    def test_not_yet(self) -> None:
        """A head that has not come to its end is waited for."""
        data = request()
        for length in range(len(data)):
            self.assertIsNone(read_request(data[:length]))


class HandshakeTests(SynchronousTestCase):
    """Requests and what becomes of them."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)

    def connect(self, data: bytes, autobahn: bool = False) -> tuple[Any, MemoryTransport]:
        """Let a connection get some bytes.

        @param autobahn: whether Autobahn shall judge them.
        """
        server: Any = self.gateway.factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        transport = MemoryTransport(server)
        if autobahn:
            server.processHandshake = lambda: WebSocketServerProtocol.processHandshake(server)
            server.onConnect = lambda request: SUBPROTOCOL if SUBPROTOCOL in request.protocols else None
        server.dataReceived(data)
        return server, transport

    def answer(self, data: bytes, autobahn: bool = False) -> str:
        """The head of the response to a request."""
        server, transport = self.connect(data, autobahn)
        server.abort()
        return transport.value().split(b"\r\n\r\n")[0].decode()

    def test_rfc_6455_example(self) -> None:
        """The key of RFC 6455, section 1.3, gets its answer, and the server does not say what it runs on."""
        answer = self.answer(request())
        self.assertIn("101 Switching Protocols", answer)
        self.assertIn("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", answer)
        self.assertNotIn("Server:", answer)

    def test_subprotocol(self) -> None:
        """Ours is offered back when asked for; others, or none, are fine."""
        self.assertIn("Sec-WebSocket-Protocol: cell0.v1", self.answer(request(Sec_WebSocket_Protocol="x, cell0.v1")))
        for asked in (request(), request(Sec_WebSocket_Protocol="x")):
            answer = self.answer(asked)
            self.assertIn(" 101 ", answer)
            self.assertNotIn("Sec-WebSocket-Protocol", answer)

    def test_refused(self) -> None:
        """A refusal is a response with nothing of the request in it, and the end: what follows is thrown away."""
        for name, (status, data) in REFUSED.items():
            server, transport = self.connect(data)
            response = transport.value().decode()
            self.assertTrue(response.startswith(f"HTTP/1.1 {status} "), (name, response))
            self.assertIn("\r\nConnection: close\r\nContent-Length: 0\r\n", response)
            self.assertTrue(response.endswith("\r\n\r\n"), name)
            for said in ("evil", "Server", "Autobahn", "permessage"):
                self.assertNotIn(said, response)
            server.dataReceived(request())
            self.assertEqual((transport.value().decode(), server.data), (response, b""), name)
            server.abort()
        self.assertEqual(len(self.gateway.guard.connections), 0)

    def test_fields_of_refusals(self) -> None:
        """A refusal says what would be right, where HTTP has a field for it."""
        for field, data in (
            ("Allow: GET", request("PUT / HTTP/1.1")),
            ("Upgrade: websocket", request(Upgrade="h2c")),
            ("Sec-WebSocket-Version: 13", request(Sec_WebSocket_Version="8")),
        ):
            self.assertIn(field, self.answer(data))

    def test_refused_and_talking(self) -> None:
        """Who goes on sending after a refusal is cut off after a while."""
        server, transport = self.connect(request("GET /other HTTP/1.1"))
        for _ in range(5):
            server.dataReceived(b"x" * 65536)
        self.assertTrue(transport.disconnected or not transport.connected)
        self.assertEqual(self.gateway.guard.connections.arriving(), [])

    def test_two_handshakes(self) -> None:
        """What follows a request is frames, if it looks like a request or not."""
        server, transport = self.connect(request() * 2)
        self.assertIn(b"\x88", transport.value())
        self.assertEqual(server.localCloseCode, 1002)

    @settings(max_examples=200, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from([*FIELDS, "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "X-A"]),
            st.none() | st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=255), max_size=12)
            | st.sampled_from(["websocket", "Upgrade", "13", "cell0.v1", "permessage-deflate", "a:1"]),
            max_size=4,
        )
    )  # fmt: skip
    @example({"Sec-WebSocket-Protocol": "cell0.v1"})
    def test_autobahn_agrees(self, fields: dict[str, str | None]) -> None:
        """Whatever is accepted here Autobahn accepts, too, with the same response."""
        data = request(**{name.replace("-", "_"): value for name, value in fields.items()})
        answer = self.answer(data)
        if " 101 " in answer:
            self.assertEqual(self.answer(data, autobahn=True), answer)
