"""What a peer may send, below the messages."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.guard.heartbeat import LINGER, MESSAGE_TIME
from cell0gw.protocol.limits import CONTROL_FRAME_RATE, PONG_RATE
from cell0gw.testing import MemoryGateway
from cell0gw.transports.websocket.hardened import DISCARDED
from tests.transports.memory import MemoryTransport
from tests.transports.websocket.test_chunking import frame
from tests.transports.websocket.test_handshake import request

PING, PONG, CLOSE = 0x89, 0x8A, 0x88
BEGIN, GO_ON, END = 0x01, 0x00, 0x80


class Case(SynchronousTestCase):
    """An open connection to write bytes to."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.server: Any = self.gateway.factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        self.transport = MemoryTransport(self.server)
        self.addCleanup(self.server.abort)
        self.server.dataReceived(request())
        self.transport.clear()

    def receive(self, data: bytes) -> bytes:
        """Let it get some bytes.

        @return: what it wrote.
        """
        self.transport.clear()
        self.server.dataReceived(data)
        return self.transport.value()

    @property
    def code(self) -> int | None:
        """What the gateway has closed with."""
        return self.server.localCloseCode if self.server.closedByMe else None


class WrongCloseTests(Case):
    """Closes that break the rules."""

    def test_told_and_not_cut_off(self) -> None:
        """The peer is told by a close code what was wrong, and nothing keeps it from reading that to the end."""
        for payload, code in ((b"\x03\xe7", 1002), (b"\x03\xe8\xff", 1007)):
            self.setUp()
            self.receive(frame(payload, CLOSE))
            self.assertEqual(self.code, code)
            self.assertTrue(self.transport.ended)
            self.assertTrue(self.transport.connected)


class ControlFrameTests(Case):
    """Pings, pongs and closes."""

    def test_ping(self) -> None:
        """A ping has its pong, and several soon after each other have theirs."""
        for number in range(PONG_RATE.burst):
            payload = b"%d" % number
            self.assertEqual(self.receive(frame(payload, PING)), bytes((PONG, len(payload))) + payload)

    def test_sixty_pings(self) -> None:
        """Sixty pings at once have sixty pongs: some clients wait for each, and give up if one is missing."""
        pings = [b"%03d" % number for number in range(60)]
        written = self.receive(b"".join(frame(payload, PING) for payload in pings))
        self.assertEqual(written, b"".join(bytes((PONG, 3)) + payload for payload in pings))

    def test_quick_pings(self) -> None:
        """Of more of them the last one is answered, a little later. RFC 6455, section 5.5.3"""
        written = self.receive(b"".join(frame(b"%03d" % number, PING) for number in range(150)))
        self.assertEqual(written.count(bytes((PONG,))), PONG_RATE.burst)
        self.transport.clear()
        self.gateway.clock.advance(1)
        self.assertEqual(self.transport.value(), bytes((PONG, 3)) + b"149")
        self.assertEqual(self.receive(frame(b"again", PING)), bytes((PONG, 5)) + b"again")

    def test_late_pong_of_the_departed(self) -> None:
        """A pong that is due when the connection is gone is not sent."""
        self.receive(frame(b"", PING) * (PONG_RATE.burst + 1))
        self.server.close(4001, "go")
        self.transport.clear()
        self.gateway.clock.advance(1)
        self.assertEqual(self.transport.value(), b"")

    def test_flood(self) -> None:
        """Too many control frames of whatever kind close the connection, and the rest is not read."""
        for kind in (PING, PONG):
            self.setUp()
            self.receive(frame(b"", kind) * (CONTROL_FRAME_RATE.burst + 1))
            self.assertEqual(self.code, 4013)
            self.assertEqual(self.receive(frame(b"", kind) * 1000), b"")

    def test_many_closes(self) -> None:
        """A close is answered once."""
        self.assertEqual(self.receive(frame(b"\x03\xe8", CLOSE) * 100).count(b"\x88\x02\x03\xe8"), 1)

    def test_steady(self) -> None:
        """A ping every now and then goes on for ever."""
        self.gateway.guard.limits.auth_timeout = 0
        for _ in range(1000):
            self.gateway.clock.advance(0.2)
            self.assertTrue(self.receive(frame(b"", PING)))


class DeadlineTests(Case):
    """Messages that don't come to their end."""

    def wait(self, seconds: float) -> None:
        """Time passes, and the peer shows life by pongs."""
        for _ in range(int(seconds)):
            self.gateway.advance(1)
            self.server.dataReceived(frame(b"", PONG))

    def setUp(self) -> None:
        super().setUp()
        self.gateway.guard.limits.auth_timeout = 0

    def test_never_finished(self) -> None:
        """A message that was begun and does not go on is too late at some time: 1008."""
        self.receive(frame(b"{", BEGIN))
        self.wait(MESSAGE_TIME - 2)
        self.assertIsNone(self.code)
        self.wait(4)
        self.assertEqual(self.code, 1008)

    def test_within_a_frame(self) -> None:
        """A frame that comes byte by byte is no exception."""
        data = frame(b"x" * 60_000)
        self.receive(data[:5])
        for number in range(int(MESSAGE_TIME) + 3):
            self.gateway.advance(1)
            self.receive(data[5 + number : 6 + number])
        self.assertEqual(self.code, 1008)

    def test_one_after_the_other(self) -> None:
        """Messages that never stop coming, in chunks that end in the middle of one, are in time each."""
        data = frame(b" " * 5000, BEGIN) + frame(b"{}", END)
        self.gateway.guard.limits.max_errors = 0
        self.receive(data[:100])
        for _ in range(int(2 * MESSAGE_TIME)):
            self.gateway.advance(1)
            self.receive(data[100:] + data[:100])
        self.assertIsNone(self.code)

    def test_long_messages_have_longer(self) -> None:
        """A long message has a second more for each 64 KiB of it."""
        self.server.maxMessagePayloadSize = self.server.maxFramePayloadSize = 10_000_000
        self.receive(frame(b"x" * 2_000_000, BEGIN))
        self.wait(MESSAGE_TIME + 25)
        self.assertIsNone(self.code)
        self.wait(10)
        self.assertEqual(self.code, 1008)


class ViolationTests(Case):
    """After a violation."""

    def test_nothing_is_kept(self) -> None:
        """What follows is thrown away, and a peer that does not stop is cut off."""
        self.receive(frame(b"x", masked=False))
        self.assertEqual(self.code, 1002)
        self.server.maxMessagePayloadSize = 65_536
        for _ in range(DISCARDED // 65_536):
            self.receive(b"x" * 65_536)
            self.assertEqual(self.server.data, b"")
        self.assertEqual(len(self.gateway.guard.connections), 1)
        self.receive(b"x")
        self.assertEqual(len(self.gateway.guard.connections), 0)

    def test_message_that_is_too_long(self) -> None:
        """Twice as much as a message may have is thrown away before the peer is cut off: who has begun to send one that
        is too long sees why the connection ends.
        """
        self.server.maxMessagePayloadSize = self.server.maxFramePayloadSize = 1_000_000
        message = frame(b"x" * 1_900_000)
        for start in range(0, len(message), 65_536):
            self.receive(message[start : start + 65_536])
        self.assertEqual(self.code, 1009)
        self.assertEqual(len(self.gateway.guard.connections), 1)
        self.receive(b"x" * 200_000)
        self.assertEqual(len(self.gateway.guard.connections), 0)

    def test_nothing_is_kept_of_what_came_before(self) -> None:
        """Of a message that has come in part nothing is left after a violation, and nothing once the peer is gone."""
        for end in (lambda: self.receive(frame(b"x", 0x83)), self.lose):
            for begin in (frame(b"x" * 50_000, BEGIN), frame(b"x" * 50_000)[:-1], b"\x89\xfe"):
                self.setUp()
                self.receive(begin)
                end()
                self.assertLess(self.held(), 100)

    def held(self) -> int:
        """How many bytes the server has of what came."""
        parts = [
            part for value in vars(self.server).values() for part in (value if isinstance(value, list) else [value])
        ]
        return sum(len(part) for part in parts if isinstance(part, bytes))

    def lose(self) -> None:
        """The peer is gone without a word."""
        self.server.connectionLost()

    def test_control_frame_without_end(self) -> None:
        """A control frame that says it is endless is refused at its head."""
        self.receive(b"\x89\xff" + (2**40).to_bytes(8, "big") + b"mask" + b"x" * 1000)
        self.assertEqual((self.code, self.server.data), (1002, b""))

    def test_close_that_is_a_violation(self) -> None:
        """A close with a code that nobody may send, or a reason that is no text, is told so, and nothing is reset."""
        for payload, code in ((b"\x00\x00", 1002), (b"\x03\xed", 1002), (b"\x13\x88", 1002), (b"\x03\xe8\xff", 1007)):
            self.setUp()
            told = self.receive(frame(payload, CLOSE))
            self.assertEqual((told[0], told[2:4], self.code), (0x88, code.to_bytes(2, "big"), code))
            self.assertEqual((self.transport.ended, self.transport.connected), (True, True))

    def test_reply_to_a_close(self) -> None:
        """After both have closed the stream ends, and nothing is reset: a reset may overtake the close frame."""
        self.server.close(4001, "bye")
        self.receive(frame(b"\x0f\xa1", CLOSE))
        self.assertTrue(self.server.wasClean)
        self.assertEqual((self.transport.connected, self.transport.aborted), (False, False))

    def test_silent_end(self) -> None:
        """A peer that says nothing more is let go of after a while."""
        self.server.closing_since = None
        self.receive(frame(b"x", 0x83))
        self.gateway.advance(LINGER + 2)
        self.assertEqual(len(self.gateway.guard.connections), 0)
