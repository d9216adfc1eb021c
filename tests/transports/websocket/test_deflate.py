"""Compression: negotiated, shared, forgotten."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

from autobahn.websocket.compress import PerMessageDeflate, PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.messages import LONG, LongMessage, shareable
from cell0gw.testing import MemoryGateway
from cell0gw.transports.websocket.deflate import accept_deflate, deflated
from tests.transports.framing import text_frame
from tests.transports.memory import MemoryTransport
from tests.transports.websocket.test_chunking import frame
from tests.transports.websocket.test_lean import request

OFFER = "permessage-deflate; client_max_window_bits"


def inflated(data: bytes, window_bits: int = 15) -> bytes:
    """The payload of one compressed frame, read by the letter of RFC 7692, section 7.2.2, without any context."""
    assert data[0] == 0xC1, "not one final compressed text frame"
    length, start = data[1], 2
    if length == 126:
        length, start = int.from_bytes(data[2:4], "big"), 4
    assert len(data) == start + length, "more than one frame"
    return zlib.decompress(data[start:] + b"\x00\x00\xff\xff\x01\x00\x00\xff\xff", -window_bits)


def compressed(payload: bytes) -> bytes:
    """A compressed frame as a client sends it."""
    compressor = zlib.compressobj(wbits=-15)
    return frame((compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4], first=0xC1)


class NegotiationTests(SynchronousTestCase):
    """What is agreed on."""

    def answer(self, *offers: PerMessageDeflateOffer) -> str | None:
        accepted = accept_deflate(list(offers))
        return None if accepted is None else accepted.get_extension_string()

    def test_no_context_on_either_side(self) -> None:
        """Both sides forget after each message, whether the client asked for it or not."""
        for asked in (True, False):
            self.assertEqual(
                self.answer(PerMessageDeflateOffer(request_no_context_takeover=asked)),
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            )

    def test_window(self) -> None:
        """A smaller window that the client asks for is granted."""
        offer = PerMessageDeflateOffer(accept_max_window_bits=True, request_max_window_bits=10)
        self.assertIn("; server_max_window_bits=10", self.answer(offer) or "")

    def test_windows_of_256_bytes(self) -> None:
        """An offer with an 8-bit window, which zlib can't do, is declined; the next one is taken."""
        small = PerMessageDeflateOffer(accept_max_window_bits=True, request_max_window_bits=9)
        small.request_max_window_bits = 8
        self.assertIsNone(self.answer(small))
        self.assertIsNotNone(self.answer(small, PerMessageDeflateOffer()))

    def test_assumptions(self) -> None:
        """Autobahn keeps its codecs where they are let go of, and makes new ones when they are gone."""
        extension = PerMessageDeflate.create_from_offer_accept(
            True, PerMessageDeflateOfferAccept(PerMessageDeflateOffer(), True, 0, True)
        )
        self.assertEqual((extension._compressor, extension._decompressor), (None, None))
        for _ in range(2):
            extension._decompressor = None
            extension.start_decompress_message()
            self.assertIsNotNone(extension._decompressor)


class FrameTests(SynchronousTestCase):
    """Frames in their other form."""

    @settings(max_examples=50, deadline=None)
    @given(st.text(min_size=1).map(lambda text: text * LONG), st.integers(9, 15))
    def test_same_message(self, text: str, window_bits: int) -> None:
        """A compressed frame holds the message, for the window that was negotiated."""
        long = shareable(text.encode())
        self.assertEqual(inflated(deflated(long, window_bits), window_bits), text.encode())

    def test_compressed_once(self) -> None:
        """One form serves all who negotiated the same window."""
        long = shareable(b"x" * LONG)
        assert isinstance(long, LongMessage)
        self.assertIs(deflated(long, 15), deflated(long, 15))
        self.assertEqual(set(long.forms), {15})
        deflated(long, 9)
        self.assertEqual(set(long.forms), {15, 9})

    def test_what_does_not_shrink(self) -> None:
        """A message that compression would make longer has no compressed form, and that is remembered, too."""
        long = shareable(random.Random(1).randbytes(LONG))
        assert isinstance(long, LongMessage)
        self.assertEqual((deflated(long, 15), long.forms), (b"", {15: b""}))

    def test_for_one_reader(self) -> None:
        """A message that is nobody else's is compressed, and nothing of it is kept."""
        self.assertEqual(inflated(deflated(b"x" * LONG, 15), 15), b"x" * LONG)


class ConnectionTests(SynchronousTestCase):
    """Connections that negotiated it."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)

    def connect(self, extensions: str | None = OFFER) -> tuple[Any, MemoryTransport]:
        server: Any = self.gateway.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        transport = MemoryTransport(server)
        server.dataReceived(request(Sec_WebSocket_Extensions=extensions))
        call = {"jsonrpc": "2.0", "method": "auth.authenticate", "params": {"token": self.gateway.token("a")}, "id": 1}
        server.dataReceived(frame(json.dumps(call).encode()))
        server.dataReceived(
            frame(b'{"jsonrpc":"2.0","method":"channel.subscribe","params":{"channel":"events"},"id":2}')
        )
        transport.clear()
        return server, transport

    def test_publication(self) -> None:
        """A long publication reaches those who negotiated compression compressed, the others plain."""
        _, with_it = self.connect()
        _, without = self.connect(None)
        self.gateway.publish("events", "x" * 5000)
        plain = without.value()
        self.assertEqual(text_frame(inflated(with_it.value())), plain)
        self.assertLess(len(with_it.value()), len(plain) // 10)

    def test_short_publication(self) -> None:
        """A short one goes plain to everyone."""
        transports = [self.connect(extensions)[1] for extensions in (OFFER, None)]
        self.gateway.publish("events", "x")
        self.assertEqual(transports[0].value(), transports[1].value())

    def test_answers(self) -> None:
        """Calls may come compressed, and long answers leave compressed."""
        server, transport = self.connect()
        call = {"jsonrpc": "2.0", "method": "rpc.echo", "params": {"message": "y" * 5000}, "id": 7}
        server.dataReceived(compressed(json.dumps(call).encode()))
        self.assertEqual(json.loads(inflated(transport.value()))["result"], "y" * 5000)

    def test_nothing_is_kept(self) -> None:
        """After a compressed message nothing of it stays with the connection."""
        server, transport = self.connect()
        for _ in range(2):
            transport.clear()
            server.dataReceived(compressed(b'{"jsonrpc":"2.0","method":"rpc.ping","id":1}'))
            self.assertIn(b"pong", transport.value())
            self.assertIsNone(server._perMessageCompress._decompressor)
            self.assertIsNone(server._perMessageCompress._compressor)
            self.assertEqual(server.data, b"")

    def test_garbage(self) -> None:
        """What can't be inflated ends the connection with 1007, as it should end."""
        server, transport = self.connect()
        server.dataReceived(frame(b"\xff" * 20, first=0xC1))
        self.assertEqual(transport.value()[2:4], (1007).to_bytes(2, "big"))

    def test_bomb(self) -> None:
        """The limit holds for what a message inflates to, not for what arrives."""
        gateway = MemoryGateway(max_message_size=100_000)
        self.addCleanup(gateway.close)
        self.gateway = gateway
        server, transport = self.connect()
        server.dataReceived(compressed(b" " * 10_000_000))
        self.assertEqual(transport.value()[2:4], (1009).to_bytes(2, "big"))
