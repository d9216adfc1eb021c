"""Compression: negotiated, shared, forgotten."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable
from typing import Any

from autobahn.exception import PayloadCorruptError, PayloadExceededError
from autobahn.websocket.compress import PerMessageDeflateOffer
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.logger import LogEvent, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.messages import LONG, LongMessage, shareable
from cell0gw.testing import MemoryGateway
from cell0gw.transports.deflate import (
    WINDOW,
    Deflate,
    accept_deflate,
    deflated,
)
from cell0gw.transports.websocket.connection import GatewayProtocol
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
    elif length == 127:
        length, start = int.from_bytes(data[2:10], "big"), 10
    assert len(data) == start + length, "more than one frame"
    return zlib.decompress(data[start:] + b"\x00\x00\xff\xff\x01\x00\x00\xff\xff", -window_bits)


def compressed(payload: bytes) -> bytes:
    """A compressed frame as a client sends it."""
    compressor = zlib.compressobj(wbits=-15)
    return frame((compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4], first=0xC1)


class Keeping:
    """A client that keeps its context from one message to the next, as Mojolicious does.

    @param bits: its window.
    """

    def __init__(self, bits: int = 15, level: int = 6) -> None:
        self._compressor = zlib.compressobj(level, zlib.DEFLATED, -bits)

    def compressed(self, payload: bytes) -> bytes:
        """The data of a message."""
        return (self._compressor.compress(payload) + self._compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def extension() -> Deflate:
    """What a connection has, on the gateway's side."""
    accepted = accept_deflate([PerMessageDeflateOffer(accept_max_window_bits=True)])
    made = Deflate.create_from_offer_accept(True, accepted)
    assert isinstance(made, Deflate)
    return made


def read(reader: Deflate, data: bytes, limit: int = 2**30) -> bytes:
    """Have a message read."""
    inflating = reader.inflating(data, limit, text=False)
    while (message := inflating.step()) is None:
        pass
    reader.inflated(message, inflating.by_history)
    return message


MESSAGES = [b'{"jsonrpc":"2.0","method":"rpc.echo","params":{"message":"%d"},"id":%d}' % (n % 7, n) for n in range(50)]


class ContextTests(SynchronousTestCase):
    """Clients that keep their context although they were told not to."""

    def test_kept(self) -> None:
        """Each of their messages is read, and only what a message may refer to is kept."""
        for bits in (9, 12, 15):
            client, reader = Keeping(bits), extension()
            for message in MESSAGES:
                self.assertEqual(read(reader, client.compressed(message)), message)
            self.assertTrue(reader._history)

    def test_long(self) -> None:
        """A message may refer to the last 32 KiB of all before it together, and to no more."""
        client, reader, dice = Keeping(level=9), extension(), random.Random(1)
        parts = [dice.randbytes(5000) for _ in range(40)]
        for number, part in enumerate(parts):
            message = part + parts[max(0, number - 5)]
            self.assertEqual(read(reader, client.compressed(message)), message)
        self.assertLessEqual(len(reader._history), WINDOW)

    def test_not_kept(self) -> None:
        """Of clients that do as they were told nothing is kept after a few messages."""
        reader = extension()
        for message in MESSAGES:
            self.assertEqual(read(reader, Keeping().compressed(message)), message)
        self.assertEqual(reader._history, b"")

    def test_limits(self) -> None:
        """What is inflated with that at hand is limited as all else is, and may be as long as the limit."""
        for length, fits in ((1000, True), (1001, False)):
            client, reader = Keeping(), extension()
            read(reader, client.compressed(MESSAGES[0]), limit=1000)
            data = client.compressed(MESSAGES[0] + b"x" * (length - len(MESSAGES[0])))
            if fits:
                self.assertEqual(len(read(reader, data, limit=1000)), 1000)
            else:
                self.assertRaises(PayloadExceededError, read, reader, data, 1000)

    def test_nonsense(self) -> None:
        """What is no DEFLATE is refused, at first and later, and so is what refers to nothing."""
        client = Keeping()
        client.compressed(MESSAGES[0])
        second = client.compressed(MESSAGES[1])
        for data in (b"\xff" * 10, second):
            reader = extension()
            self.assertRaises(PayloadCorruptError, read, reader, data)
        reader = extension()
        read(reader, Keeping().compressed(b"x"))
        self.assertRaises(PayloadCorruptError, read, reader, b"\xff" * 10)

    @given(st.lists(st.binary(max_size=200), max_size=12), st.booleans())
    def test_any(self, messages: list[bytes], keeps: bool) -> None:
        """Whatever the messages are, they are read as they were written, once it is clear what the client does."""
        client, reader = Keeping(), extension()
        read(reader, client.compressed(MESSAGES[0]))
        if keeps:
            read(reader, client.compressed(MESSAGES[1]))
        for message in messages:
            data = (client if keeps else Keeping()).compressed(message)
            self.assertEqual(read(reader, data), message)


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

    def test_one_form_is_kept(self) -> None:
        """Of a message that is retained one form stays, for all who can read it; others get it as it is."""
        long = shareable(b"x" * LONG)
        assert isinstance(long, LongMessage)
        for window_bits in (15, 9, 12):
            deflated(long, window_bits)
        long.keep()
        for window_bits in range(9, 16):
            self.assertEqual(inflated(deflated(long, window_bits), window_bits), b"x" * LONG)
        self.assertEqual(set(long.forms), {9})
        long = shareable(b"x" * LONG)
        assert isinstance(long, LongMessage)
        long.keep()
        self.assertTrue(deflated(long, 12))
        self.assertEqual([bool(deflated(long, bits)) for bits in (9, 12, 15)], [False, True, True])
        self.assertEqual(set(long.forms), {12})

    def test_histories(self) -> None:
        """What a channel retains has one form at most, by however many windows it was sent and is replayed."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        readers = [gateway.connect(f"r{bits}") for bits in range(9, 16)]

        def compressing(bits: int, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
            def send(message: bytes) -> None:
                form = deflated(message, bits) if len(message) >= LONG else b""
                write(inflated(form, bits) if form else message)

            return send

        for bits, reader in enumerate(readers, 9):
            connection = reader.server
            connection.send = compressing(bits, connection.send)
            connection.share = lambda batch: False
            reader.call("channel.subscribe", channel="x")
        gateway.publish("x", "y" * 2 * LONG)
        for reader in readers:
            reader.call("channel.subscribe", channel="x", history=1)
            self.assertEqual([m["message"] for m in reader.received("channel.message")], ["y" * 2 * LONG] * 2)
        channel = gateway.channels.broker.get("x")
        assert channel is not None
        ((_, held),) = channel.history.after(0)
        assert isinstance(held.message, LongMessage)
        self.assertEqual(len(held.message.forms), 1)

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
            self.assertIsNone(server._perMessageCompress._decompressor)  # Autobahn's own is never made
            self.assertIsNone(server._perMessageCompress._compressor)
            self.assertEqual(server.data, b"")

    def test_context(self) -> None:
        """A client that keeps its context is understood, uncompressed messages in between included."""
        server, transport = self.connect()
        client = Keeping()
        for number in range(10):
            call = b'{"jsonrpc":"2.0","method":"rpc.echo","params":["number %d"],"id":%d}' % (number, number)
            for data in (frame(client.compressed(call), first=0xC1), frame(call)):
                transport.clear()
                server.dataReceived(data)
                self.assertIn(b"number %d" % number, transport.value())

    def test_violation_is_logged(self) -> None:
        """The log says whose connection is closed, and why; once."""
        events: list[LogEvent] = []
        self.patch(GatewayProtocol, "_log", Logger(observer=events.append))
        server, _ = self.connect()
        for _ in range(2):
            server.dataReceived(frame(b"\xff" * 20, first=0xC1))
        (event,) = events
        self.assertEqual((event["event"], event["code"]), ("connection.violated", 1007))
        self.assertEqual((event["connection_id"], event["entity_id"]), (server.connection_id, "a"))
        self.assertIn("cannot be decompressed", formatEvent(event))

    def test_garbage(self) -> None:
        """What can't be inflated ends the connection with 1007, as it should end."""
        server, transport = self.connect()
        server.dataReceived(frame(b"\xff" * 20, first=0xC1))
        self.assertEqual(transport.value()[2:4], (1007).to_bytes(2, "big"))

    def test_unfinished(self) -> None:
        """A message is inflated when it is whole: until then no more is kept of it than the client has sent."""
        server, transport = self.connect()
        call = b'{"jsonrpc":"2.0","method":"rpc.echo","params":["' + b"x" * 1_000_000 + b'"],"id":1}'
        data = Keeping().compressed(call)
        half = len(data) // 2
        server.dataReceived(frame(data[:half], first=0x41))
        self.assertLess(sum(map(len, server.message_data)), len(data))
        server.dataReceived(frame(data[half:], first=0x80))
        self.gateway.advance(0)
        self.assertGreater(len(transport.value()), 900)

    def test_not_utf8(self) -> None:
        """What inflates to no UTF-8 ends the connection with 1007."""
        server, transport = self.connect()
        server.dataReceived(compressed(b'{"jsonrpc":"2.0","method":"\xff"}'))
        self.assertEqual(transport.value()[2:4], (1007).to_bytes(2, "big"))

    def test_bomb(self) -> None:
        """The limit holds for what a message inflates to, not for what arrives."""
        gateway = MemoryGateway(max_message_size=100_000)
        self.addCleanup(gateway.close)
        self.gateway = gateway
        server, transport = self.connect()
        server.dataReceived(compressed(b" " * 10_000_000))
        self.assertEqual(transport.value()[2:4], (1009).to_bytes(2, "big"))
