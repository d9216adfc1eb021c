"""Messages in many fragments: how many there may be, and how fast they may come."""

from __future__ import annotations

from cell0gw.protocol.limits import FRAGMENT_RATE, FRAGMENT_REST, MAX_FRAGMENTS
from tests.transports.websocket.test_chunking import frame
from tests.transports.websocket.test_hardened import BEGIN, END, GO_ON, Case


class FragmentTests(Case):
    """Messages in many parts."""

    def test_as_many_as_may_be(self) -> None:
        """A message in as many fragments as there may be is a message."""
        self.server.maxMessagePayloadSize = 1_000_000
        ping = b'{"jsonrpc":"2.0","method":"rpc.ping","id":1}'
        written = self.receive(frame(ping[:1], BEGIN) + frame(b"", GO_ON) * (MAX_FRAGMENTS - 2) + frame(ping[1:], END))
        self.assertIn(b'"pong"', written)

    def test_as_some_libraries_compress(self) -> None:
        """A long message in fragments of 236 and 4 bytes by turns, as coder/websocket for Go sends it, is a message; it
        may have one more fragment for each 64 bytes, and no more than that.
        """
        self.server.maxMessagePayloadSize = 1_000_000
        pieces = (frame(b"x" * 236, GO_ON) + frame(b"x" * 4, GO_ON)) * 800
        written = self.receive(frame(b'{"jsonrpc":"2.0","method":"', BEGIN) + pieces + frame(b'","id":1}', END))
        self.assertIn(b"-32601", written)
        self.receive(frame(b"x" * 64 * 10, BEGIN) + frame(b"", GO_ON) * (MAX_FRAGMENTS + 9))
        self.assertIsNone(self.code)
        self.receive(frame(b"", GO_ON))
        self.assertEqual(self.code, 1008)

    def test_as_fast_as_they_are_read(self) -> None:
        """Fragments of a message that holds as much as it should come as fast as they are read, however many: reading
        pauses, and then goes on by itself. Nothing of it is a reason to close.
        """
        self.server.maxMessagePayloadSize = 10_000_000
        count = FRAGMENT_RATE.burst + 300
        whole = (
            frame(b'{"jsonrpc":"2.0","method":"', BEGIN) + frame(b"x" * 120, GO_ON) * count + frame(b'","id":1}', END)
        )
        self.assertEqual(self.receive(whole), b"")
        rests = 0
        while not self.transport.value():
            self.assertIsNone(self.code)
            self.assertEqual(self.transport.producerState, "paused")
            self.gateway.clock.advance(FRAGMENT_REST)
            rests += 1
        self.assertIn(b"-32601", self.transport.value())
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual(rests, 302 // (FRAGMENT_RATE.per_second * FRAGMENT_REST))

    def test_gone_at_rest(self) -> None:
        """Who goes while nothing is read is gone, and nothing is read of it any more."""
        self.server.maxMessagePayloadSize = 10_000_000
        self.receive(frame(b" ", BEGIN) + frame(b" " * 120, GO_ON) * (FRAGMENT_RATE.burst + 1))
        self.assertEqual(self.transport.producerState, "paused")
        self.transport.loseConnection()
        self.gateway.clock.advance(FRAGMENT_REST)
        self.assertFalse(self.server.paused)
        self.assertEqual(self.server.data, b"")

    def test_stranger_at_rest(self) -> None:
        """Who does not authenticate is closed in time, though all the while it sends faster than it is read."""
        ping = frame(b" " * 64, BEGIN) + frame(b" " * 64, GO_ON) * 300
        ping += frame(b'{"jsonrpc":"2.0","method":"rpc.ping","id":1}', END)
        steps = int((self.gateway.guard.limits.auth_timeout + 2) / FRAGMENT_REST)
        rested = 0
        for _ in range(steps):
            while self.transport.producerState == "producing" and self.code is None:
                self.receive(ping)
            rested += self.code is None
            self.gateway.advance(FRAGMENT_REST)
        self.assertEqual(self.code, 4502)
        self.assertGreater(rested, steps / 2)

    def test_empty(self) -> None:
        """Empty fragments count: whoever sends them on and on is closed with 1008, and nothing is kept of them."""
        self.server.maxMessagePayloadSize = 1_000_000
        self.receive(frame(b"", BEGIN) + frame(b"", GO_ON) * (MAX_FRAGMENTS - 1))
        self.assertIsNone(self.code)
        self.receive(frame(b"", GO_ON))
        self.assertEqual(self.code, 1008)
        self.receive(frame(b"", GO_ON) * 1000)
        self.assertEqual(self.server.data, b"")

    def test_each_costs(self) -> None:
        """What fragments cost beside what they hold counts as part of the message."""
        self.receive(frame(b"x" * 65_000, BEGIN))
        self.assertIsNone(self.code)
        self.receive(frame(b"x", GO_ON) * 5)
        self.assertEqual(self.code, 1008)

    def test_whole_message_of_the_limit(self) -> None:
        """One frame may be as long as a message may be."""
        self.receive(frame(b" " * 65_536))
        self.assertIsNone(self.code)
        self.receive(frame(b" " * 65_537))
        self.assertEqual(self.code, 1009)

    def test_rate(self) -> None:
        """Messages in fragments that never end to come are too many at some point, and time makes up for it."""
        message = frame(b"{", BEGIN) + frame(b"", GO_ON) * 98 + frame(b"}", END)
        self.gateway.guard.limits.max_errors = 0
        for _ in range(FRAGMENT_RATE.burst // 100):
            self.receive(message)
        self.gateway.clock.advance(0.1)
        self.receive(message)
        self.assertIsNone(self.code)
        for _ in range(3):
            self.receive(message)
        self.gateway.clock.advance(FRAGMENT_REST)
        self.assertEqual(self.code, 4013)
