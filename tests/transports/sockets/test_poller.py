"""The reactor for connections, over pairs of sockets."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionAborted, ConnectionDone

from cell0gw.transports.sockets.poller import BURST, MUCH_TO_SEND
from tests.transports.sockets.pairs import PollerCase, Producer


class PollerTests(PollerCase):
    """Transports on a poller."""

    def test_read_and_answer(self) -> None:
        """What arrives is received, and the answer has left when the pass is over."""
        _, protocol, theirs = self.connect()
        protocol.answer = b"pong"
        theirs.send(b"ping")
        self.reactor.turn()
        self.assertEqual((protocol.received, theirs.recv(10)), (b"ping", b"pong"))

    def test_written_outside_of_a_pass(self) -> None:
        """What is written by a timer, say, leaves with the next turn, however much it was, by one send."""
        transport, _, theirs = self.connect()
        for part in (b"a", b"b", b"c"):
            transport.write(part)
        self.assertRaises(BlockingIOError, theirs.recv, 10)
        self.reactor.advance(0)
        self.assertEqual(theirs.recv(10), b"abc")

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.integers(0, 30_000), max_size=8), st.integers(0, 8))
    def test_order_and_completeness(self, sizes: list[int], pause: int) -> None:
        """Whatever the kernel takes at a time, everything arrives, once and in order."""
        transport, _, theirs = self.connect()
        expected, arrived = b"", b""
        for number, size in enumerate(sizes):
            part = bytes((number + 1,)) * size
            transport.write(part)
            expected += part
            if number == pause:
                arrived += self.read_all(theirs, turns=3)
        arrived += self.read_all(theirs)
        self.assertEqual(arrived, expected)
        self.assertFalse(self.poller._writers or self.poller._blocked)
        transport.abortConnection()
        self.reactor.advance(0)

    def test_burst_of_connections(self) -> None:
        """In a connection burst those who are at work are served in the same pass, the others by and by."""
        newcomers = [self.connect() for _ in range(4 * BURST)]
        at_work, protocol, theirs = self.connect()
        at_work.goes_to_work()
        protocol.answer = b"pong"
        for _, _, peer in newcomers:
            peer.send(b"hello")
        theirs.send(b"ping")
        self.reactor.turn()
        self.assertEqual(theirs.recv(10), b"pong")
        for passes in range(1, 6):
            self.assertEqual(sum(bool(each.received) for _, each, _ in newcomers), min(passes, 4) * BURST)
            self.reactor.turn()
        self.assertEqual({each.received for _, each, _ in newcomers}, {b"hello"})

    def test_burst_of_losses(self) -> None:
        """When many are lost at once, those who stay are served in the same pass; the loss is seen by and by."""
        going = [self.connect() for _ in range(3 * BURST)]
        _, protocol, theirs = self.connect()
        for transport in self.poller._transports.values():
            transport.goes_to_work()
        protocol.answer = b"pong"
        for number, (_, _, peer) in enumerate(going):
            if number % 2:
                peer.send(b"last words")
            peer.close()
        theirs.send(b"ping")
        self.reactor.turn()
        self.assertEqual((theirs.recv(10), sum(bool(each.lost) for _, each, _ in going) <= BURST), (b"pong", True))
        for _ in range(12):
            self.reactor.turn()
        self.assertEqual([len(each.lost) for _, each, _ in going], [1] * len(going))
        self.assertEqual({each.received for _, each, _ in going}, {b"", b"last words"})

    def test_slow_reader_blocks_nobody(self) -> None:
        """A peer that does not read keeps what is for it waiting, and nothing else."""
        slow, _, _ = self.connect()
        transport, _, theirs = self.connect()
        slow.write(b"x" * 1_000_000)
        transport.write(b"quick")
        self.reactor.turn()
        self.assertEqual(theirs.recv(10), b"quick")
        self.assertIn(slow, self.poller._blocked)

    def test_lose_connection_writes_first(self) -> None:
        """Closing waits for what was written before; the protocol hears of it once."""
        transport, protocol, theirs = self.connect()
        transport.write(b"x" * 100_000)
        transport.loseConnection()
        self.assertEqual(len(self.read_all(theirs)), 100_000)
        self.assertEqual([type(reason.value) for reason in protocol.lost], [ConnectionDone])

    def test_half_close(self) -> None:
        """After the end of our stream theirs is read on, until they end it."""
        transport, protocol, theirs = self.connect()
        transport.write(b"bye")
        transport.loseWriteConnection()
        self.assertEqual(self.read_all(theirs), b"bye")
        theirs.send(b"still here")
        self.reactor.turn()
        self.assertEqual(protocol.received, b"still here")
        theirs.close()
        self.reactor.turn()
        self.assertEqual(len(protocol.lost), 1)

    def test_abort(self) -> None:
        """Aborting drops what waits, and is told as what it is."""
        transport, protocol, _ = self.connect()
        transport.write(b"x" * 1_000_000)
        self.reactor.turn()
        transport.abortConnection()
        self.reactor.turn()
        self.assertEqual([type(reason.value) for reason in protocol.lost], [ConnectionAborted])
        self.assertFalse(self.poller._writers or self.poller._blocked or self.poller._transports)
        transport.write(b"to nobody")
        self.reactor.turn()

    def test_peer_leaves(self) -> None:
        """The end of their stream ends the connection, and nothing of it stays."""
        _, protocol, theirs = self.connect()
        theirs.close()
        self.reactor.turn()
        self.assertEqual(len(protocol.lost), 1)
        self.assertFalse(self.poller._transports or self.poller._masks)

    def test_clock(self) -> None:
        """Transports keep time by the reactor's clock, whichever it has by then."""
        transport, _, _ = self.connect()
        self.reactor.seconds = lambda: 1234.0  # type: ignore[method-assign]
        self.assertEqual(transport.seconds(), 1234.0)

    def test_bad_protocol(self) -> None:
        """An exception of one protocol costs its connection only, and is logged."""
        _, bad, bad_end = self.connect()
        _, good, good_end = self.connect()
        bad.bad = True
        bad_end.send(b"x")
        good_end.send(b"y")
        self.reactor.turn()
        self.assertEqual((len(bad.lost), good.lost, good.received), (1, [], b"y"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_pause(self) -> None:
        """A paused transport reads nothing until it is resumed."""
        transport, protocol, theirs = self.connect()
        transport.pauseProducing()
        theirs.send(b"x")
        self.reactor.turn()
        self.assertEqual(protocol.received, b"")
        transport.resumeProducing()
        self.reactor.turn()
        self.assertEqual(protocol.received, b"x")

    def test_producer(self) -> None:
        """A producer is paused while much waits, and resumed when all has left."""
        transport, _, theirs = self.connect()
        producer = Producer()
        transport.registerProducer(producer, True)  # type: ignore[arg-type]
        transport.write(b"x" * 200_000)
        self.assertEqual(producer.told, ["pause"])
        self.assertEqual(len(self.read_all(theirs)), 200_000)
        self.assertEqual(producer.told, ["pause", "resume"])
        transport.unregisterProducer()

    def test_gathers_when_there_is_much_to_send(self) -> None:
        """What arrives while much waits to be sent is handled first and leaves by the same sends."""
        audience = [self.connect() for _ in range(MUCH_TO_SEND)]
        first, publisher, end = self.connect()
        publisher.audience = [transport for transport, _, _ in audience]
        original = first.doRead

        def read_and_hear_more() -> Any:
            why = original()
            if publisher.received == b"1":
                end.send(b"2")
            return why

        first.doRead = read_and_hear_more  # type: ignore[method-assign]
        end.send(b"1")
        self.reactor.turn()
        self.assertEqual({theirs.recv(10) for _, _, theirs in audience}, {b"12"})

    def test_close(self) -> None:
        """A poller that is closed lets go of all that is connected, and of the reactor."""
        connections = [self.connect() for _ in range(3)]
        self.close()
        for _, protocol, theirs in connections:
            self.assertEqual([type(reason.value) for reason in protocol.lost], [ConnectionAborted])
            self.assertEqual(theirs.recv(1), b"")
        self.assertEqual(self.reactor.readers, [])
