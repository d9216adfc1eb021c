"""Long compressed messages, which are inflated piece by piece, and others have their turns between two pieces."""

from __future__ import annotations

import zlib
from typing import Any

from autobahn.websocket.compress_deflate import PerMessageDeflateOffer
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.guard.work import Work
from cell0gw.testing import MemoryGateway
from cell0gw.transports import deflate
from cell0gw.transports.deflate import PIECE, Deflate, NotUTF8, accept_deflate
from tests.transports.memory import MemoryTransport
from tests.transports.test_deflate import OFFER, compressed
from tests.transports.websocket.test_chunking import frame
from tests.transports.websocket.test_lean import request
from tests.transports.websocket.test_turns import one_pass


def squeezed(message: bytes) -> bytes:
    """The data of a message."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def pieces(message: bytes, text: bool = True, limit: int = 2**30) -> tuple[bytes, int]:
    """What a message inflates to, and in how many steps."""
    extension = Deflate.create_from_offer_accept(
        True, accept_deflate([PerMessageDeflateOffer(accept_max_window_bits=True)])
    )
    inflating, steps = extension.inflating(squeezed(message), limit, text), 1
    while (whole := inflating.step()) is None:
        steps += 1
    return whole, steps


class PieceTests(SynchronousTestCase):
    """Pieces are put together."""

    def test_steps(self) -> None:
        """No step inflates more than a piece; a short message takes one step."""
        for length, most in ((0, 1), (1, 1), (PIECE - 1, 1), (PIECE, 2), (3 * PIECE, 4)):
            whole, steps = pieces(b"x" * length)
            self.assertEqual((len(whole), steps <= most), (length, True), length)
        self.assertGreater(pieces(b"x" * 3 * PIECE)[1], 2)

    @settings(max_examples=60, deadline=None)
    @given(st.text(min_size=1, max_size=40), st.integers(0, 8))
    def test_characters_that_are_cut(self, text: str, before: int) -> None:
        """A character may begin in one piece and end in the next one."""
        self.patch(deflate, "PIECE", 7)
        message = b"x" * before + text.encode()
        self.assertEqual(pieces(message)[0], message)

    def test_cut_off(self) -> None:
        """Of a stored block that is cut off there is what has come of it."""
        accepted = accept_deflate([PerMessageDeflateOffer(accept_max_window_bits=True)])
        extension = Deflate.create_from_offer_accept(True, accepted)
        self.assertEqual(extension.inflating(b"\x00\xff\xff\x00\x00abc", 2**30, True).step(), b"abc")

    def test_not_utf8(self) -> None:
        """It is told which byte is wrong, wherever the pieces end; binary messages may be anything."""
        self.patch(deflate, "PIECE", 7)
        for index in range(20):
            message = b"x" * index + b"\xff" + b"x" * 5
            with self.assertRaises(NotUTF8) as caught:
                pieces(message)
            self.assertEqual(caught.exception.args, (index,))
            self.assertEqual(pieces(message, text=False)[0], message)
        self.assertRaises(NotUTF8, pieces, b"x" * 13 + "é".encode()[:1])


class TurnTests(SynchronousTestCase):
    """A connection whose message is being inflated."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.server: Any = self.gateway.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        self.addCleanup(self.server.abort)
        self.transport = MemoryTransport(self.server)
        self.server.dataReceived(request(Sec_WebSocket_Extensions=OFFER))
        token = self.gateway.token("a").encode()
        self.server.dataReceived(
            frame(b'{"jsonrpc":"2.0","method":"auth.authenticate","params":{"token":"%b"},"id":1}' % token)
        )
        self.transport.clear()
        self.long = b'{"jsonrpc":"2.0","method":"rpc.ping","x":"%b","id":7}' % (b"x" * 4 * PIECE)

    @property
    def kept(self) -> int:
        """Bytes that are counted as kept of unfinished messages."""
        return self.gateway.guard.arrivals.total

    def test_others_between(self) -> None:
        """Each piece is a turn, what follows is answered after it, and nothing is read meanwhile; what is kept of it is
        counted until it is whole.
        """
        ping = b'{"jsonrpc":"2.0","method":"rpc.ping","id":8}'
        self.server.dataReceived(compressed(self.long) + frame(ping))
        kept = []
        while not self.transport.value():
            self.assertEqual(self.transport.producerState, "paused")
            kept.append(self.kept)
            one_pass(self.gateway.clock)
        self.assertEqual(len(kept), 4)
        self.assertEqual(kept, sorted(kept))
        self.assertGreater(kept[0], PIECE)
        one_pass(self.gateway.clock)
        answers = self.transport.value()
        self.assertLess(answers.index(b'"id":7}'), answers.index(b'"id":8}'))
        self.assertEqual((self.kept, self.transport.producerState), (0, "producing"))

    def test_charged_once(self) -> None:
        """It is charged as if it had been inflated in one go."""
        charged: list[tuple[int, float]] = []
        self.gateway.factory.charge = lambda caller, size, seconds: charged.append((size, seconds))
        self.gateway.factory.work = Work(self.gateway.clock.seconds)
        step = self.server.inflate

        def slow() -> None:
            self.gateway.clock.rightNow += 0.003
            step()

        self.server.inflate = slow
        self.server.dataReceived(compressed(self.long))
        while not self.transport.value():
            one_pass(self.gateway.clock)
        ((size, seconds),) = charged
        self.assertEqual(size, len(self.long))
        self.assertAlmostEqual(seconds, 5 * 0.003, places=5)

    def test_closed_between(self) -> None:
        """Who is closed in the middle of it, or is gone, costs nothing more."""
        for end in (lambda: self.server.close(4000, "over"), self.transport.loseConnection):
            self.server.dataReceived(compressed(self.long))
            self.assertGreater(self.kept, 0)
            end()
            for _ in range(8):
                one_pass(self.gateway.clock)
            self.assertEqual((self.kept, self.server._inflating, self.flushLoggedErrors()), (0, None, []))
            self.tearDown()
            self.setUp()

    def test_too_long(self) -> None:
        """The limit is noticed as soon as it is exceeded."""
        self.server.maxMessagePayloadSize = 2 * PIECE
        self.server.dataReceived(compressed(self.long))
        one_pass(self.gateway.clock)
        one_pass(self.gateway.clock)
        self.assertEqual(self.transport.value()[2:4], (1009).to_bytes(2, "big"))

    def test_of_all_together(self) -> None:
        """What is inflated counts against C{total_inbound_limit}."""
        self.gateway.guard.limits.total_inbound_limit = 3 * PIECE
        self.server.dataReceived(compressed(self.long))
        for _ in range(5):
            one_pass(self.gateway.clock)
        self.assertEqual((self.server.localCloseCode, self.kept), (4013, 0))
