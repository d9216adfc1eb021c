"""The opening handshake."""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.config.options import Config
from cell0gw.protocol.limits import MAX_HEAD_SIZE
from cell0gw.testing import MemoryGateway
from cell0gw.transports.websocket.handshake import SUBPROTOCOL, PageRequest, RequestReader, UpgradeRequest
from cell0gw.transports.websocket.refusals import REFUSALS, Refused
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


REFUSED: dict[str, tuple[str, bytes]] = {
    "another method": ("method", request("POST / HTTP/1.1")),
    "HEAD": ("no_upgrade", request("HEAD / HTTP/1.1")),
    "HTTP/2 with prior knowledge": ("http_version", b"PRI * HTTP/2.0\r\n\r\n"),
    "HTTP/1.0": ("http_version", request("GET / HTTP/1.0")),
    "HTTP of no known form": ("request_line", request("GET / HTTP/11")),
    "no HTTP": ("request_line", b"\r\n\r\n"),
    "no target": ("request_line", request("GET HTTP/1.1")),
    "TLS": ("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "another path": ("path", request("GET /other HTTP/1.1")),
    "a path below": ("path", request("GET /ws/ HTTP/1.1")),
    "a path of another form": ("path", request("GET // HTTP/1.1")),
    "a token in the query": ("query", request("GET /?token=x HTTP/1.1")),
    "a redirect in the query": ("query", request("GET /?redirect=http://evil.example&after=1 HTTP/1.1")),
    "a fragment": ("query", request("GET /#x HTTP/1.1")),
    "no upgrade": ("no_upgrade", request(Upgrade=None)),
    "another upgrade": ("no_upgrade", request(Upgrade="h2c")),
    "no connection field": ("connection", request(Connection=None)),
    "a connection option that is none": ("field_list", request(Connection="Upgrade, a/b")),
    "an upgrade that is none": ("field_list", request(Upgrade="websocket, a b")),
    "another connection field": ("connection", request(Connection="close")),
    "no host": ("host", request(Host=None)),
    "no name of a host": ("host", request(Host="a b")),
    "two hosts": ("field_twice", request().replace(b"Host", b"Host: a\r\nHost")),
    "two origins": (
        "field_twice",
        request(Origin="https://a.example").replace(b"Origin", b"Origin: https://b.example\r\nOrigin"),
    ),
    "two keys": (
        "field_twice",
        request().replace(b"\r\n\r\n", b"\r\nsec-websocket-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
    ),
    "two versions": ("version", request(Sec_WebSocket_Version="13, 13")),
    "version 8": ("version", request(Sec_WebSocket_Version="8")),
    "no version": ("version", request(Sec_WebSocket_Version=None)),
    "no key": ("key", request(Sec_WebSocket_Key=None)),
    "a short key": ("key", request(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25j")),
    "a key that is not base64": ("key", request(Sec_WebSocket_Key="*" * 22 + "==")),
    "a subprotocol twice": ("subprotocols", request(Sec_WebSocket_Protocol="x, x")),
    "too many subprotocols": ("subprotocols", request(Sec_WebSocket_Protocol=", ".join(map(str, range(33))))),
    "nothing but commas": ("subprotocols", request(Sec_WebSocket_Protocol="," * 4000)),
    "a window of 7 bits": (
        "extensions",
        request(Sec_WebSocket_Extensions="permessage-deflate; server_max_window_bits=7"),
    ),
    "a window of 16 bits": (
        "extensions",
        request(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits=16"),
    ),
    "no list of extensions": ("field_list", request(Sec_WebSocket_Extensions="permessage-deflate; a b")),
    "a body": ("body", request(Content_Length="5")),
    "a chunked body": ("body", request(Transfer_Encoding="chunked")),
    "text in a name": ("field_line", request().replace(b"Host", b"X\x85: a\r\nHost")),
    "text in the path": ("request_line", request("GET /\xe9 HTTP/1.1")),
    "text in a host": ("host", request(Host="caf\xe9.example")),
    "a host longer than names are": ("host", request(Host="a" * 257)),
    "text in a key": ("key", request(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZ\xe9==")),
    "text in a subprotocol": ("subprotocols", request(Sec_WebSocket_Protocol="cell0.v1, caf\x85")),
    "text in a list": ("field_list", request(Connection="Upgrade, caf\xe9")),
    "text in an extension": ("field_list", request(Sec_WebSocket_Extensions="caf\xe9")),
    "a vertical tab": ("characters", request(X="\x0bOrigin: y")),
    "a NUL": ("characters", request(X="\0")),
    "lines without a carriage return": ("characters", request().replace(b"\r\n", b"\n")),
    "a carriage return alone": ("characters", request(X="a\rb")),
    "a line that is continued": ("field_line", request(X="a\r\n folded")),
    "white space before the colon": ("field_line", request().replace(b"Host:", b"Host :")),
    "a field without a colon": ("field_line", request().replace(b"\r\n\r\n", b"\r\nx\r\n\r\n")),
    "too many fields": ("head_fields", request(**many(60))),
    "a long field": ("head_size", request(X="x" * 17 * 1024)),
    "no end": ("head_size", b"A" * MAX_HEAD_SIZE),
}


class ReadingTests(SynchronousTestCase):
    """Which requests are upgrades, and what they say."""

    def cause(self, data: bytes, seen: int = 0) -> str | None:
        """Why a request is refused."""
        try:
            RequestReader().read(data, seen)
        except Refused as refusal:
            return refusal.cause
        return None

    def test_refused(self) -> None:
        """What is no upgrade to be served, or could be read in two ways, is refused for the cause that it has."""
        for name, (cause, data) in REFUSED.items():
            if "window" not in name:  # which the extension's own parser knows
                self.assertEqual(self.cause(data), cause, name)

    def test_every_cause(self) -> None:
        """Each cause that lies in the request itself is tried."""
        tried = {cause for cause, _ in REFUSED.values()}
        self.assertEqual(
            REFUSALS.keys() - tried, {"allowed_hosts", "allowed_origins", "max_connections", "unauthenticated"}
        )

    def test_however_it_is_cut(self) -> None:
        """A request that comes byte by byte is refused for the same cause, at the latest when all of it is there."""
        for name, (cause, data) in REFUSED.items():
            if "window" in name or len(data) > 2000:
                continue
            causes = [self.cause(data[:length], max(0, length - 1)) for length in range(len(data) + 1)]
            self.assertEqual([found for found in causes if found is not None][:1], [cause], name)

    def test_accepted(self) -> None:
        """Common requests, those with more fields, with white space and with whole URLs are upgrades."""
        for data in (
            request(), request("GET /ws HTTP/1.1"), request("GET ws://gateway.example/ws HTTP/1.1"),
            request("GET http://gateway.example HTTP/1.1"), request(Connection="keep-alive, Upgrade"),
            request(Upgrade="WebSocket"), request(Host="[::1]:18801"), request(Host="gateway_1"), request(X="\t é \t"),
            request(Content_Length="0"), request(**many(59)), request(X="x" * 15000),
            request(Cookie="a").replace(b"Cookie", b"Cookie: b\r\nCookie"), request(Sec_WebSocket_Protocol=""),
            request(Sec_WebSocket_Protocol=" , cell0.v1,,"), request(X="\x85Origin: https://good.example"),
        ):  # fmt: skip
            found = RequestReader().read(data)
            assert isinstance(found, UpgradeRequest)
            self.assertEqual((found.length, found.key), (len(data), FIELDS["Sec-WebSocket-Key"]), data)

    def test_what_it_says(self) -> None:
        """Subprotocols, extensions, origin, host and those behind proxies are read; lists may come in parts."""
        found = RequestReader().read(
            request(Host="Gateway.Example", Origin="null", Sec_WebSocket_Protocol="a,b", X_Forwarded_For="1::1, 2::2")
            .replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: c\r\nSec-WebSocket-Extensions: x; y=1\r\n\r\n\x81\x80")
        )  # fmt: skip
        assert isinstance(found, UpgradeRequest)
        self.assertEqual(found.protocols, ["a", "b", "c"])
        self.assertEqual((found.host, found.origin, found.extensions), ("gateway.example", "null", "x; y=1"))
        self.assertEqual(found.forwarded, ["1::1", "2::2"])

    def test_text_in_values(self) -> None:
        """Values of fields that nobody here uses may have any byte from 0x80 on, as names in UTF-8 do, and those alone
        end no line: cookies of other servers on the host, and what proxies add.
        """
        for name in ("Müßig", "Éric", "Łódź", "東京", "€", "🙂"):
            data = request(Cookie="name=PLACE", Cf_Ipcity="PLACE").replace(b"PLACE", name.encode())
            found = RequestReader().read(data)
            assert isinstance(found, UpgradeRequest)
            self.assertEqual((found.length, found.origin), (len(data), None), name)
        for byte in range(0x80, 0x100):
            found = RequestReader().read(request(X=f"a{chr(byte)}Origin: https://good.example"))
            assert isinstance(found, UpgradeRequest)
            self.assertIsNone(found.origin)

    def test_empty_subprotocols(self) -> None:
        """Empty elements of a list, and a list of nothing else, count for nothing."""
        for value, named in (("", []), (",", []), ("cell0.v1,", ["cell0.v1"]), (" ,, a ,\t, b", ["a", "b"])):
            found = RequestReader().read(request(Sec_WebSocket_Protocol=value))
            assert isinstance(found, UpgradeRequest)
            self.assertEqual(found.protocols, named)

    def test_maximum_size(self) -> None:
        """A head may be as long as it is said that it may, and not a byte longer, however it comes."""
        for size in (1024, 16 * 1024, 64 * 1024):
            reader = RequestReader(size)
            exact = request(X="x" * (size - len(request(X=""))))
            self.assertEqual(len(exact), size)
            self.assertIsInstance(reader.read(exact), UpgradeRequest)
            self.assertIsInstance(reader.read(exact, size - 2), UpgradeRequest)
            for data in (exact.replace(b"X: ", b"X: x"), exact[:-4] + b"xxxx"):
                with self.assertRaises(Refused) as caught:
                    reader.read(data)
                self.assertEqual(caught.exception.cause, "head_size")

    def test_looked_at_once(self) -> None:
        """Bytes that were read before are not read again, so a head that comes byte by byte is no work."""
        data = request(X="a\0")
        self.assertIsNone(RequestReader().read(data[:-2], len(data) - 2))

    def test_one_path(self) -> None:
        """Where an operator has chosen a path, that is the one, as it is written, beside that for probes."""
        reader = RequestReader(path="/gateway/a%20b")
        self.assertIsInstance(reader.read(request("GET /gateway/a%20b HTTP/1.1")), UpgradeRequest)
        self.assertIsInstance(reader.read(request("GET /health HTTP/1.1")), PageRequest)
        self.assertIsInstance(
            reader.read(request("GET /gateway/a%20b HTTP/1.1", Upgrade=None, Accept="text/html")), PageRequest
        )
        for path in ("/", "/ws", "/gateway/a%20b/", "/gateway/a%20B", "/gateway"):
            with self.assertRaises(Refused) as caught:
                reader.read(request(f"GET {path} HTTP/1.1"))
            self.assertEqual(caught.exception.cause, "path", path)

    def test_not_yet(self) -> None:
        """A head that has not come to its end is waited for."""
        data = request()
        for length in range(len(data)):
            self.assertIsNone(RequestReader().read(data[:length]))
            self.assertIsNone(RequestReader().read(data[:length], max(0, length - 1)))
        self.assertIsInstance(RequestReader().read(data, len(data) - 1), UpgradeRequest)


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
        self.assertIn("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", answer)

    def test_subprotocol(self) -> None:
        """Ours is offered back when asked for; others, or none, are fine."""
        self.assertIn("Sec-WebSocket-Protocol: cell0.v1", self.answer(request(Sec_WebSocket_Protocol="x, cell0.v1")))
        for asked in (request(), request(Sec_WebSocket_Protocol="x")):
            answer = self.answer(asked)
            self.assertIn(" 101 ", answer)
            self.assertNotIn("Sec-WebSocket-Protocol", answer)

    def test_refused(self) -> None:
        """A refusal is a response with nothing of the request in it, and the end: what follows is thrown away."""
        for name, (cause, data) in REFUSED.items():
            server, transport = self.connect(data)
            response = transport.value().decode()
            self.assertTrue(response.startswith(f"HTTP/1.1 {REFUSALS[cause].status} "), (name, response))
            for said in ("evil", "Server", "Autobahn", "permessage"):
                self.assertNotIn(said, response)
            server.dataReceived(request())
            self.assertEqual((transport.value().decode(), server.data), (response, b""), name)
            server.abort()
        self.assertEqual(len(self.gateway.guard.connections), 0)

    def test_bodies_of_refusals(self) -> None:
        """A refusal tells in a line of plain text what is wrong; to HEAD it only says how long that line would be."""
        for name, (cause, data) in REFUSED.items():
            _, transport = self.connect(data)
            head, _, body = transport.value().decode().partition("\r\n\r\n")
            reason = REFUSALS[cause].reason + "\n"
            self.assertEqual(body, "" if name == "HEAD" else reason, name)
            self.assertIn(f"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(reason)}\r\n", head)

    def test_end_of_the_connection(self) -> None:
        """A refusal ends its connection. One that names a protocol says that this is of the connection, too."""
        for name, (cause, data) in REFUSED.items():
            connection = "close, Upgrade" if cause == "no_upgrade" else "close"
            self.assertIn(f"\r\nConnection: {connection}\r\n", self.answer(data), name)

    def test_fields_of_refusals(self) -> None:
        """A refusal says what would be right, where HTTP has a field for it."""
        for field, data in (
            ("Allow: GET, HEAD", request("PUT / HTTP/1.1")),
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

    def test_byte_by_byte(self) -> None:
        """A request that comes byte by byte becomes a connection, and what is wrong in it is found all the same."""
        server, transport = self.connect(b"")
        for byte in request(Cookie="name=M\xfc\x9fig"):
            server.dataReceived(bytes((byte,)))
        self.assertIn(b" 101 ", transport.value())
        server, transport = self.connect(b"")
        for byte in request(Cookie="a\0b"):
            server.dataReceived(bytes((byte,)))
        self.assertIn(b" 400 ", transport.value())

    def test_other_options(self) -> None:
        """Another path, and another size of heads, hold for handshakes from then on, also for those that have begun."""
        server, transport = self.connect(request("GET /gateway HTTP/1.1", Cookie="x" * 2000)[:-1])
        self.gateway.reconfigure(Config(path="/gateway"))
        server.dataReceived(b"\n")
        self.assertIn(b" 101 ", transport.value())
        self.assertIn(" 404 ", self.answer(request()))
        self.gateway.reconfigure(Config(path="/gateway", max_head_size=1024))
        self.assertIn(" 431 ", self.answer(request("GET /gateway HTTP/1.1", Cookie="x" * 2000)))

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
            # It takes a byte for the end of a line that is text here.
            agreed = self.answer(data.replace(b"\x85", b"\xe9"), autobahn=True).replace(
                "Upgrade: WebSocket", "Upgrade: websocket"
            )
            self.assertEqual(agreed, answer)
