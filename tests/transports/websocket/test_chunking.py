"""However bytes are cut on their way, and whoever reads them: the fast path and Autobahn agree."""

from __future__ import annotations

import itertools
import os
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import MemoryGateway
from cell0gw.transports.frames import UNMASK_BELOW
from tests.transports.framing import text_frame
from tests.transports.memory import MemoryTransport
from tests.transports.test_frames import xored

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: gateway.example:18801\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
LIMIT = 2048


def frame(payload: bytes, first: int = 0x81, masked: bool = True, length_bytes: int | None = None) -> bytes:
    """A frame as a client sends it, or as none should.

    @param first: its first byte.
    @param length_bytes: 0, 2 or 8 for the length, fitting or not; None: the shortest that fits.
    """
    length = len(payload)
    if length_bytes is None:
        length_bytes = 0 if length < 126 else 2 if length < 65536 else 8
    mark = {0: length & 0x7F, 2: 126, 8: 127}[length_bytes]
    head = bytes((first, mark | (0x80 if masked else 0)))
    if length_bytes:
        head += length.to_bytes(length_bytes, "big")
    mask = b"\x01\x02\xf3\xf4"
    return head + mask + xored(payload, mask) if masked else head + payload


payloads = st.text(max_size=40).map(str.encode) | st.sampled_from(
    [b"", b"x" * 125, b"x" * 126, b"\xc3\xa9" * 63, b"y" * (UNMASK_BELOW - 1), b"y" * UNMASK_BELOW, b"z" * LIMIT]
)
good_frames = payloads.map(frame)
other_frames = st.one_of(
    st.builds(frame, payloads, st.sampled_from([0x01, 0x80, 0x00])),  # fragments, whole or stray
    st.builds(frame, st.binary(max_size=20), st.sampled_from([0x89, 0x8A])),  # pings, pongs
    st.builds(frame, st.sampled_from([b"", b"\x03\xe8", b"\x03\xe8bye", b"\x00", b"\x03\xe7"]), st.just(0x88)),
    st.builds(frame, st.binary(max_size=20)),  # text that may be none
    st.builds(frame, payloads, st.sampled_from([0x82, 0xC1, 0xA1, 0x91, 0x83, 0x8B, 0x09])),
    st.builds(frame, payloads, st.just(0x81), st.just(False)),
    st.builds(frame, payloads.filter(lambda p: len(p) < 126), st.just(0x81), st.just(True), st.sampled_from([2, 8])),
    st.just(frame(b"z" * (LIMIT + 1))),
    st.binary(max_size=10),
)
streams = st.lists(good_frames | other_frames, max_size=6).map(b"".join)


class ChunkingTests(SynchronousTestCase):
    """Bytes in, bytes out."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway(max_message_size=LIMIT)
        self.addCleanup(self.gateway.close)
        self.numbers = itertools.count(1)

    def outcome(self, chunks: list[bytes], short_way: bool) -> tuple[Any, ...]:
        """What came of some bytes: the messages taken up, the bytes written, the state at the end."""
        server: Any = self.gateway.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50000))
        transport = MemoryTransport(server)
        server.dataReceived(REQUEST)
        transport.clear()
        taken: list[bytes] = []

        def dispatch(caller: Any, payload: bytes) -> bytes:
            taken.append(payload)
            return b'"%d"' % len(payload)

        self.gateway.factory.dispatch = dispatch  # type: ignore[method-assign, assignment]
        if not short_way:
            server._between_messages = lambda: False
        for chunk in chunks:
            server.dataReceived(chunk)
        result = (taken, transport.value(), server.state, server.failedByMe, server.localCloseCode)
        server.abort()
        return result

    def cut(self, stream: bytes, places: list[int]) -> list[bytes]:
        ends = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
        return [stream[start:end] for start, end in itertools.pairwise(ends) if end > start]

    @settings(max_examples=400, deadline=None)
    @given(streams, st.lists(st.integers(0, 10_000), max_size=6))
    @example(frame(b"\xff") + frame(b"after"), [])
    @example(frame(b"one") + frame(b"", 0x88) + frame(b"two"), [])
    @example(frame(b"a", 0x01) + frame(b"b") + frame(b"c", 0x80), [])
    @example(frame(b"a", 0x01) + frame(b"\x03\xe8", 0x88) + frame(b"b", 0x80), [])
    @example(frame(b"a", 0x01) + frame(b"", 0x88), [])
    def test_any_cut(self, stream: bytes, places: list[int]) -> None:
        """One chunk or many, the fast path or Autobahn: the same messages, the same bytes out, the same end."""
        expected = self.outcome([stream], short_way=False)
        self.assertEqual(self.outcome([stream], short_way=True), expected)
        self.assertEqual(self.outcome(self.cut(stream, places), short_way=True), expected)
        bytewise = [stream[place : place + 1] for place in range(min(len(stream), 300))] + [stream[300:]]
        self.assertEqual(self.outcome(bytewise, short_way=True), expected)

    def test_short_way_is_taken(self) -> None:
        """Frames of the common kind don't trouble Autobahn."""
        server: Any = self.gateway.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50000))
        MemoryTransport(server)
        server.dataReceived(REQUEST)
        server._dataReceived = lambda data: self.fail("Autobahn got it")
        for payload in (b"", b"{}", b"x" * 126, os.urandom(500).hex().encode()):
            server.dataReceived(frame(payload) * 3)

    def test_answers(self) -> None:
        """Several calls in one chunk have their answers in their order."""
        taken, written, *_ = self.outcome([frame(b"one") + frame(b"three")], short_way=True)
        self.assertEqual((taken, written), ([b"one", b"three"], text_frame(b'"3"') + text_frame(b'"5"')))
