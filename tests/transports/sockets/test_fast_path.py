"""Connections whose writes take the fast path, and how they leave it and come back."""

from __future__ import annotations

import contextlib
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.protocol.messages import Batch
from tests.transports.framing import text_frame
from tests.transports.sockets.pairs import PollerCase, Producer

MUCH = b"x" * 300_000
"""More than the kernel keeps for a pair of sockets."""


def batch_of(*messages: bytes) -> Batch:
    """A batch that is open still."""
    batch = Batch()
    for message in messages:
        batch.append(message)
    return batch


def frames(*messages: bytes) -> bytes:
    """What a batch of these messages is on the wire."""
    return b"".join(map(text_frame, messages))


@implementer(IOpenSSLContextFactory)
class AnonymousTLS:
    """TLS without certificates, for both ends."""

    def getContext(self) -> SSL.Context:
        """See L{IOpenSSLContextFactory}."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(b"aNULL:@SECLEVEL=0")
        return context


class ShortWayTests(PollerCase):
    """What a transport keeps until the pass ends."""

    def blocked(self) -> tuple[Any, Any, Any]:
        """A connection with more to send than the kernel has room for."""
        transport, protocol, theirs = self.connect()
        transport.write(MUCH)
        self.reactor.turn()
        self.assertIsNone(transport.outgoing)
        return transport, protocol, theirs

    def test_shared(self) -> None:
        """What is added to a batch after it was shared arrives at all who share it, between what each got apart."""
        (one, _, one_end), (two, _, two_end) = self.connect(), self.connect()
        batch = batch_of(b"a")
        one.write(b"<")
        self.assertTrue(one.share(batch) and two.share(batch))
        batch.append(b"b")
        one.write(b">")
        self.reactor.turn()
        self.assertEqual((one_end.recv(99), two_end.recv(99)), (b"<" + frames(b"a", b"b") + b">", frames(b"a", b"b")))

    def test_shared_in_one_piece(self) -> None:
        """All who have nothing but the batch to send send the very same bytes, put together once."""
        sent: list[Any] = []

        class Socket:
            """Takes all."""

            def send(self, data: Any) -> int:
                sent.append(data)
                return len(data)

        batch = batch_of(b"a", b"b")
        transports = [self.connect()[0] for _ in range(3)]
        ours = [transport.socket for transport in transports]
        for transport in transports:
            transport.share(batch)
            transport.socket = Socket()  # type: ignore[assignment]
        self.reactor.advance(0)
        for transport, socket in zip(transports, ours, strict=True):
            transport.socket = socket
        self.assertEqual((sent, len({id(data) for data in sent})), ([frames(b"a", b"b")] * 3, 1))

    def test_closed_by_what_follows(self) -> None:
        """A batch is closed by whatever one of its readers gets after it, be it bytes or another batch."""
        transport, _, theirs = self.connect()
        first, second = batch_of(b"1"), batch_of(b"2")
        transport.share(first)
        transport.share(second)
        self.assertEqual((first.open, second.open), (False, True))
        transport.writeSequence([b"3", b"4"])
        self.assertFalse(second.open)
        self.reactor.turn()
        self.assertEqual(theirs.recv(99), frames(b"1", b"2") + b"34")

    def test_closed_when_it_leaves(self) -> None:
        """A batch that has left for one of its readers is closed: nothing can be added that this one would miss."""
        transport, _, _ = self.connect()
        batch = batch_of(b"1")
        transport.share(batch)
        self.reactor.advance(0)
        self.assertFalse(batch.open)

    def test_closed_by_each_way_off(self) -> None:
        """Whatever leads off the fast path closes the batch that waits, and no other is taken."""
        for name, arguments in (
            ("loseConnection", ()),
            ("loseWriteConnection", ()),
            ("abortConnection", ()),
            ("registerProducer", (Producer(), True)),
            ("connectionLost", (Failure(ConnectionDone()),)),
        ):
            transport, _, _ = self.connect()
            batch = batch_of(b"1")
            transport.share(batch)
            getattr(transport, name)(*arguments)
            self.assertEqual((batch.open, transport.share(Batch())), (False, False), name)

    def test_written_before_and_after_a_partial_send(self) -> None:
        """What is written while the kernel has no room follows what waits; batches are not taken until all has left."""
        transport, _, theirs = self.blocked()
        self.assertFalse(transport.share(batch_of(b"no")))
        transport.write(b"after")
        self.assertEqual(self.read_all(theirs), MUCH + b"after")
        self.assertEqual(transport.outgoing, [])
        self.assertTrue(transport.share(batch_of(b"yes")))
        self.assertEqual(self.read_all(theirs), frames(b"yes"))

    def test_in_parts(self) -> None:
        """Parts that are written together are not copied, and stay together on and off the fast path."""
        transport, _, theirs = self.connect()
        transport.writeSequence((b"1", MUCH))
        self.assertIs(transport.outgoing[1], MUCH)
        self.reactor.turn()
        self.assertIsNone(transport.outgoing)
        transport.writeSequence((b"2", b"3"))
        self.assertEqual(self.read_all(theirs), b"1" + MUCH + b"23")

    def test_no_room_at_all(self) -> None:
        """What could not even begin to leave waits, and leaves once."""
        transport, _, theirs = self.connect()
        filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += transport.socket.send(b"f" * 1000)
        transport.share(batch_of(b"1", b"2"))
        self.reactor.turn()
        self.assertIsNone(transport.outgoing)
        transport.write(b"3")
        self.assertEqual(self.read_all(theirs), b"f" * filled + frames(b"1", b"2") + b"3")
        self.assertEqual(transport.outgoing, [])

    def test_closing(self) -> None:
        """What waits when a connection is closed leaves first, batches among it; the protocol hears of a good end."""
        transport, protocol, theirs = self.connect()
        transport.write(b"1")
        transport.share(batch_of(b"2"))
        transport.loseConnection()
        self.assertEqual(self.read_all(theirs), b"1" + frames(b"2"))
        self.assertEqual([type(reason.value) for reason in protocol.lost], [ConnectionDone])
        self.assertFalse(self.poller._writers or self.poller._blocked or self.poller._transports)

    def test_half_closing(self) -> None:
        """So it is for the end of our stream only; what is written after the end is dropped."""
        transport, protocol, theirs = self.connect()
        transport.share(batch_of(b"1"))
        transport.loseWriteConnection()
        self.assertEqual(self.read_all(theirs), frames(b"1"))
        transport.write(b"2")
        self.assertFalse(transport.share(batch_of(b"3")))
        self.reactor.turn()
        self.assertEqual((theirs.recv(9), protocol.lost), (b"", []))
        transport.loseConnection()
        self.assertEqual(len(protocol.lost), 1)

    def test_aborting(self) -> None:
        """What waits when a connection is aborted is dropped, batches among it, and what is written then, too."""
        transport, protocol, theirs = self.connect()
        transport.share(batch_of(b"1"))
        transport.write(b"2")
        transport.abortConnection()
        transport.write(b"3")
        self.reactor.turn()
        self.assertEqual(theirs.recv(9), b"")
        self.assertEqual([type(reason.value) for reason in protocol.lost], [ConnectionAborted])
        self.assertFalse(self.poller._writers or self.poller._blocked or self.poller._transports)

    def test_peer_is_gone(self) -> None:
        """A send to nobody ends the connection; those who share the batch have it all the same."""
        (gone, lost, gone_end), (there, _, there_end) = self.connect(), self.connect()
        gone.pauseProducing()  # so that it is the send that finds out
        gone_end.close()
        batch = batch_of(b"1")
        gone.share(batch)
        there.share(batch)
        self.reactor.advance(0)
        self.assertEqual([type(reason.value) for reason in lost.lost], [ConnectionLost])
        self.assertEqual(there_end.recv(9), frames(b"1"))
        gone.write(b"2")
        self.assertFalse(gone.share(batch_of(b"3")))

    def test_producer(self) -> None:
        """What waits when a producer comes leaves before what it makes; when it goes the fast path is open again."""
        transport, _, theirs = self.connect()
        producer = Producer()
        transport.share(batch_of(b"1"))
        transport.registerProducer(producer, True)  # type: ignore[arg-type]
        transport.write(MUCH)
        self.assertEqual(producer.told, ["pause"])
        self.assertEqual(self.read_all(theirs), frames(b"1") + MUCH)
        self.assertEqual((producer.told, transport.outgoing), (["pause", "resume"], None))
        transport.unregisterProducer()
        transport.write(b"2")
        self.assertEqual(self.read_all(theirs), b"2")
        self.assertEqual(transport.outgoing, [])

    def test_pull_producer(self) -> None:
        """One that makes a piece whenever there is room is asked until it ends, and its pieces keep their order."""
        transport, _, theirs = self.connect()
        pieces = [b"%d" % number * 5000 for number in range(8)]

        class Puller(Producer):
            """Makes the pieces."""

            def resumeProducing(self) -> None:
                if self.told:
                    transport.write(self.told.pop(0))  # type: ignore[arg-type]
                else:
                    transport.unregisterProducer()

        puller = Puller()
        puller.told = list(pieces)  # type: ignore[arg-type]
        transport.share(batch_of(b"<"))
        transport.registerProducer(puller, False)  # type: ignore[arg-type]
        self.assertEqual(self.read_all(theirs), frames(b"<") + b"".join(pieces))
        transport.write(b">")
        self.assertEqual(self.read_all(theirs), b">")

    def test_start_tls(self) -> None:
        """What waits when TLS begins leaves in the clear, all that follows is encrypted, and no batch is taken."""
        transport, protocol, theirs = self.connect()
        transport.share(batch_of(b"ready"))
        transport.startTLS(AnonymousTLS())
        self.assertFalse(transport.share(Batch()))
        self.reactor.turn()
        self.assertEqual(theirs.recv(7), frames(b"ready"))
        client = SSL.Connection(AnonymousTLS().getContext())
        client.set_connect_state()
        for _ in range(10):
            try:
                client.do_handshake()
                break
            except SSL.WantReadError:
                self.carry(client, theirs)
        client.send(b"ping")
        self.carry(client, theirs)
        self.assertEqual(protocol.received, b"ping")
        self.assertIsNone(transport.outgoing)

    def carry(self, client: Any, theirs: Any) -> None:
        """Bring records from the client to the transport and back."""
        with contextlib.suppress(SSL.WantReadError):
            theirs.sendall(client.bio_read(65536))
        if arrived := self.read_all(theirs):
            client.bio_write(arrived)
