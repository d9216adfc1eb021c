"""The opening handshake."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import MemoryGateway
from tests.transports import MemoryTransport


class HandshakeTests(SynchronousTestCase):
    """Requests and what becomes of them."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)

    def answer(self, path: str = "/", **headers: str) -> str:
        """The head of the response to a request."""
        server: Any = self.gateway.factory.buildProtocol(None)
        transport = MemoryTransport(server)
        fields = {
            "Host": "gateway.example:18801",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
        server.dataReceived(head.encode())
        return transport.value().split(b"\r\n\r\n")[0].decode()

    def test_rfc_6455_example(self) -> None:
        """The key of RFC 6455, section 1.3, gets its answer, and the server does not say what it runs on."""
        answer = self.answer()
        self.assertIn("101 Switching Protocols", answer)
        self.assertIn("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", answer)
        self.assertNotIn("Server:", answer)

    def test_paths(self) -> None:
        """The root and /ws are served, nothing else is there."""
        for path in ("/", "/ws"):
            self.assertIn(" 101 ", self.answer(path))
        for path in ("/other", "/ws/", "//"):
            self.assertIn(" 404 ", self.answer(path), path)

    def test_subprotocol(self) -> None:
        """Ours is offered back when asked for; others, or none, are fine."""
        self.assertIn("Sec-WebSocket-Protocol: cell0.v1", self.answer(Sec_WebSocket_Protocol="x, cell0.v1"))
        for asked in ({}, {"Sec_WebSocket_Protocol": "x"}):
            answer = self.answer(**asked)
            self.assertIn(" 101 ", answer)
            self.assertNotIn("Sec-WebSocket-Protocol", answer)

    def test_any_origin(self) -> None:
        """A page from anywhere may connect, since it proves nothing by that."""
        for origin in ("https://example.com", "null", "file://", "http://localhost:3000"):
            self.assertIn(" 101 ", self.answer(Origin=origin), origin)

    def test_old_versions(self) -> None:
        """Only version 13 is spoken."""
        for version in ("8", "7", "99"):
            self.assertIn(" 400 ", self.answer(Sec_WebSocket_Version=version))

    def test_no_websocket(self) -> None:
        """A plain request gets no page and no version of anything."""
        answer = self.answer(Upgrade="h2c")
        self.assertNotIn(" 101 ", answer)
        self.assertNotIn("Autobahn", answer)

    def test_no_redirects(self) -> None:
        """A query can't make the gateway send a browser elsewhere."""
        self.assertNotIn("evil", self.answer("/?redirect=http://evil.example&after=1", Upgrade="none"))
