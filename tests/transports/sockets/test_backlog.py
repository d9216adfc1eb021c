"""Peers that don't read: what waits for them is bounded."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bench.certificate import make_certificate
from cell0gw.guard.guard import Guard
from cell0gw.guard.heartbeat import LINGER
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.messages import Batch, shareable
from cell0gw.testing import MemoryGateway, RecordingConnection
from cell0gw.testing.stated import stated
from cell0gw.transports.sockets.backlog import STALL
from cell0gw.transports.sockets.certificates import Certificate, read_certificate
from cell0gw.transports.sockets.tcp import GatewayTransport, PlainTransport
from cell0gw.transports.sockets.tls import over_tls
from tests.transports.framing import text_frame
from tests.transports.sockets.pairs import PollerCase, Recorder, unexpected
from tests.transports.sockets.test_tls import Peer
from tests.transports.websocket.test_handshake import request

LIMIT = 100_000


class TransportTests(PollerCase):
    """On sockets whose other end does not read."""

    def watched(self, kind: type[PlainTransport] = GatewayTransport) -> tuple[PlainTransport, socket.socket, list[int]]:
        """A transport with a limit, its other end, and a note for each time it was found to be behind."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        theirs.setblocking(False)
        self.addCleanup(theirs.close)
        protocol = Recorder()
        transport = kind(ours, protocol, ("peer", 1), None, 0, self.poller)  # type: ignore[arg-type]
        protocol.makeConnection(transport)
        notes: list[int] = []
        protocol.fall_behind = lambda: notes.append(transport.backlog)  # type: ignore[attr-defined]
        transport.watch_backlog(Limits(outbound_limit=LIMIT))
        return transport, theirs, notes

    def test_long_messages(self) -> None:
        """However long, one message may wait, and so may one more; of others only as much as the limit says."""
        for kind in (GatewayTransport, PlainTransport):
            transport, _, notes = self.watched(kind)
            transport.write(b"x" * 10 * LIMIT)
            self.reactor.turn()
            transport.writeSequence((b"y", b"y" * 5 * LIMIT))
            for _ in range(LIMIT // 1000):
                transport.write(b"z" * 1000)
                self.reactor.turn()
            self.assertEqual(notes, [])
            waited = transport.backlog
            transport.write(b"z" * 1000)
            self.assertEqual((notes, transport.backlog), ([waited], waited))

    def test_a_third_one(self) -> None:
        """A third long message is too much, also when short ones came first."""
        transport, _, notes = self.watched()
        for length in (10_000, 10 * LIMIT, 2 * LIMIT):
            transport.write(b"x" * length)
            self.reactor.turn()
        self.assertEqual(notes, [])
        transport.write(b"x" * 2 * LIMIT)
        self.assertEqual(len(notes), 1)

    def test_written_in_one_pass(self) -> None:
        """Long messages are known as such when they, and a batch of many short ones, were written in one pass."""
        transport, _, notes = self.watched()
        batch, alone = Batch(), Batch(shareable(b"x" * 10 * LIMIT))  # type: ignore[arg-type]
        for _ in range(LIMIT // 1000 - 1):
            batch.append(b"y" * 1000)
        for each in (batch, alone):
            self.assertTrue(transport.share(each))  # type: ignore[attr-defined]
        transport.writeSequence((b"head", b"z" * 3 * LIMIT))
        self.reactor.turn()
        transport.write(b"y" * 1000)
        self.assertEqual(notes, [])
        transport.write(b"y" * 40_000)
        self.assertEqual(len(notes), 1)

    def test_bytes_now_and_then(self) -> None:
        """A peer that takes a little now and then has no more waiting for it than one that takes nothing."""
        transport, theirs, notes = self.watched()
        transport.write(b"x" * 10 * LIMIT)
        most = 0
        for _ in range(2000):
            self.reactor.advance(1)
            self.reactor.turn()
            theirs.recv(100)
            transport.write(b"y" * 1000)
            most = max(most, transport.backlog)
            if notes:
                break
        self.assertEqual(len(notes), 1)
        self.assertLess(most, 11 * LIMIT)

    def test_stalled(self) -> None:
        """Who takes nothing for a while has fallen behind when more is written; who takes some of it has not."""
        for reads in (False, True):
            transport, theirs, notes = self.watched()
            transport.write(b"x" * 10 * LIMIT)
            self.reactor.turn()
            for _ in range(int(STALL) - 1):
                self.reactor.advance(1)
                self.assertFalse(transport.stalled)
                self.reactor.turn()
                if reads:
                    theirs.recv(20_000)
            transport.write(b"y")
            self.assertEqual(notes, [])
            self.reactor.advance(2)
            self.assertEqual(transport.stalled, not reads)
            transport.write(b"y")
            self.assertEqual(len(notes), int(not reads))

    def test_order_after_a_look(self) -> None:
        """What is written when a peer has just read everything comes in order."""
        transport, theirs, _ = self.watched()
        for end in (transport.socket, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * LIMIT)
        transport.write(b"x" * 100 * LIMIT)
        self.reactor.turn()
        heard = 0
        while heard < 100 * LIMIT:
            try:
                heard += len(theirs.recv(65536))
            except BlockingIOError:
                self.reactor.turn() if transport.backlog > LIMIT + 20_000 else transport.write(b"a")
            if transport.backlog <= LIMIT:
                break
        transport.write(b"b")
        transport.write(b"c")
        self.assertRegex(self.read_all(theirs), b"^x*a*bc$")

    def test_sign_of_life(self) -> None:
        """What a peer takes of much that waits is seen, in the kernel too; that a heartbeat leaves is nothing."""
        transport, theirs, _ = self.watched()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LIMIT)
        transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LIMIT)
        transport.write(b"x" * 50_000)
        self.reactor.turn()
        self.assertEqual(transport.backlog, 0)
        self.reactor.advance(1)
        self.assertEqual(transport.look(), 0.0)
        theirs.recv(49_900)
        self.reactor.advance(1)
        self.assertEqual(transport.look(), 2.0)
        theirs.recv(100)
        for _ in range(3):
            self.reactor.advance(1)
            transport.write(b"ping")
            self.reactor.turn()
            theirs.recv(100)
            self.assertEqual(transport.look(), 2.0)

    def test_of_an_earlier_silence(self) -> None:
        """What was seen before a time that is asked for says nothing of what came since."""
        transport, theirs, _ = self.watched()
        transport.write(b"x" * 10 * LIMIT)
        self.reactor.turn()
        transport.look()
        self.reactor.advance(5)
        theirs.recv(65536)
        self.reactor.turn()
        self.assertEqual(transport.look(since=3.0), 0.0)
        theirs.recv(65536)
        self.reactor.turn()
        self.assertEqual(transport.look(since=3.0), 5.0)

    def test_bounded(self) -> None:
        """Many small messages are found too much at the limit, and that once."""
        for kind in (GatewayTransport, PlainTransport):
            transport, _, notes = self.watched(kind)
            for _ in range(1000):
                transport.write(b"x" * 1000)
                self.reactor.turn()
            self.assertEqual(len(notes), 1)
            self.assertLessEqual(notes[0], LIMIT + 1000)

    def test_reader(self) -> None:
        """Who reads is never behind, however much it gets."""
        transport, theirs, notes = self.watched()
        for _ in range(200):
            transport.write(b"x" * 50_000)
            self.assertEqual(len(self.read_all(theirs)), 50_000)
        self.assertEqual(notes, [])

    def test_read_meanwhile(self) -> None:
        """Who has read since, though the reactor does not know yet, is not behind."""
        transport, theirs, notes = self.watched()
        transport.write(b"x" * (LIMIT + 20_000))
        self.reactor.turn()
        while transport.backlog > LIMIT - 10_000:
            try:
                while theirs.recv(65536):
                    pass
            except BlockingIOError:
                pass
            transport.write(b"y")
        self.assertEqual(notes, [])

    def secured(self) -> tuple[Any, Peer, list[int]]:
        """The transport of a protocol over TLS, its peer, and a note for each time it was found to be behind."""
        folder = Path(self.mktemp())
        folder.mkdir()
        path = make_certificate(folder)
        recorder = Recorder()
        factory = over_tls(Once(recorder), Certificate(read_certificate(path, path)), self.reactor, unexpected)  # type: ignore[arg-type]
        wrapper: Any = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        transport, _, theirs = self.connect()
        transport.protocol = wrapper
        wrapper.makeConnection(transport)
        notes: list[int] = []
        recorder.fall_behind = lambda: notes.append(wrapper.backlog)  # type: ignore[attr-defined]
        wrapper.watch_backlog(Limits(outbound_limit=LIMIT))
        return wrapper, Peer(theirs, self.reactor.turn), notes

    def test_over_tls(self) -> None:
        """What waits to be encrypted and what waits encrypted are one backlog."""
        wrapper, _, notes = self.secured()
        for _ in range(300):
            wrapper.write(b"x" * 1000)  # its peer does not even shake hands
        self.assertEqual(len(notes), 1)
        self.assertLessEqual(notes[0], LIMIT + 1000)

    def test_long_messages_over_tls(self) -> None:
        """Over TLS, too, two long messages wait, and others up to the limit."""
        wrapper, peer, notes = self.secured()
        peer.shake_hands()
        for message in (b"x" * 20_000, b"x" * 10 * LIMIT, b"x" * 5 * LIMIT):
            wrapper.writeSequence((b"head", message))
            self.reactor.turn()
        for _ in range(LIMIT // 2 // 1000):
            wrapper.write(b"z" * 1000)
            self.reactor.turn()
        self.assertEqual(notes, [])
        for _ in range(LIMIT // 1000):
            wrapper.write(b"z" * 1000)
        self.assertEqual(len(notes), 1)
        self.assertLess(notes[0], 17 * LIMIT)

    def test_stalled_over_tls(self) -> None:
        """Over TLS, too, who takes nothing for a while has fallen behind."""
        wrapper, peer, notes = self.secured()
        peer.shake_hands()
        wrapper.write(b"x" * 10 * LIMIT)
        for _ in range(int(STALL)):
            self.reactor.turn()
            self.assertFalse(wrapper.stalled)
            self.reactor.advance(1)
        self.assertTrue(wrapper.stalled)
        wrapper.write(b"y")
        self.assertEqual(len(notes), 1)

    def test_no_room(self) -> None:
        """Over TLS, too, a factory that makes no protocol closes the socket."""
        folder = Path(self.mktemp())
        folder.mkdir()
        path = make_certificate(folder)
        factory = over_tls(Once(None), Certificate(read_certificate(path, path)), self.reactor, unexpected)  # type: ignore[arg-type]
        self.assertIsNone(factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1)))


class Once:
    """A factory of one protocol."""

    noisy = False

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: Any) -> Any:
        """See L{IProtocolFactory}."""
        return self._protocol


class GatewayTests(PollerCase):
    """A gateway and a subscriber that does not read."""

    def setUp(self) -> None:
        super().setUp()
        self.gateway = MemoryGateway(outbound_limit=LIMIT)
        self.addCleanup(self.gateway.close)

    def subscriber(self) -> tuple[Any, GatewayTransport, socket.socket]:
        """On a real socket, subscribed to everything."""
        server: Any = self.gateway.factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        transport, _, theirs = self.connect()
        transport.protocol = server
        transport.setTcpNoDelay = lambda enabled: None  # type: ignore[method-assign]
        server.makeConnection(transport)
        server.dataReceived(request())
        token = self.gateway.token("slow")
        for method, params in (("auth.authenticate", {"token": token}), ("channel.subscribe", {"channel": "events"})):
            client_message(server, method, params)
        self.reactor.turn()
        return server, transport, theirs

    def test_slow_consumer(self) -> None:
        """It is closed with 4008 when more than the limit waits, its session gives way at once, and its memory after
        a while; all others get everything."""
        server, transport, _ = self.subscriber()
        quick = self.gateway.connect("quick")
        quick.call("channel.subscribe", channel="events")
        for number in range(200):
            self.gateway.publish("events", {"number": number, "x": "x" * 4000})
            self.reactor.turn()
            self.gateway.clock.advance(0)
        self.assertEqual(server.localCloseCode, 4008)
        self.assertLess(transport.backlog, LIMIT + 10_000)
        self.assertEqual(self.gateway.presence.directory.get("slow").status, "away")  # type: ignore[union-attr]
        self.assertEqual([m["message"]["number"] for m in quick.received("channel.message")], list(range(200)))
        self.gateway.advance(LINGER + 1)
        self.reactor.turn()
        self.assertEqual((transport.backlog, len(self.gateway.guard.connections)), (0, 1))

    def test_pings_of_one_that_does_not_read(self) -> None:
        """Pongs, too, wait only up to the limit, and what comes after them is not written any more."""
        server, transport, _ = self.subscriber()
        for _ in range(2):
            transport.write(text_frame(b"x" * 5 * LIMIT))
        self.reactor.turn()
        for _ in range(LIMIT // 100):
            if server.closing_since is None:
                server.sendPong(b"y" * 100)
        waits = transport.backlog
        server.send(b"z" * 2000)
        self.assertEqual((server.localCloseCode, transport.backlog), (None, waits))
        self.assertLess(waits, 11 * LIMIT + 1000)
        self.gateway.clock.advance(0)
        self.assertEqual(server.localCloseCode, 4008)


def client_message(server: Any, method: str, params: dict[str, Any]) -> None:
    """Let a protocol have a call."""
    from json import dumps

    from tests.transports.websocket.test_chunking import frame

    server.dataReceived(frame(dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).encode()))


class TogetherTests(SynchronousTestCase):
    """What waits for all connections together."""

    def test_worst_first(self) -> None:
        """When it is too much those are let go of for whom most waits, no more of them than it takes."""
        clock, hits = Clock(), []
        runtime, limits = stated(clock), Limits(total_outbound_limit=1000)
        guard = Guard(
            limits, 4.0, 10.0, lambda type, data, about: hits.append(data["limit"]), lambda line: None, runtime
        )
        guard.heartbeats.startService()
        self.addCleanup(guard.heartbeats.stopService)
        backlogs = {"a": 100, "b": 900, "c": 300, "d": 0}
        all_of_them = {}
        for name, backlog in backlogs.items():
            connection = all_of_them[name] = RecordingConnection(name, 0.0)
            connection.session = object()  # type: ignore[assignment]
            connection.backlog = backlog
            guard.connections.opened(connection)
        clock.advance(1)
        closed = {name for name, connection in all_of_them.items() if connection.closed}
        self.assertEqual((closed, hits), ({"b"}, ["total_outbound_limit"]))
        self.assertEqual((all_of_them["b"].closed or (0,))[0], 4008)
        self.assertTrue(all_of_them["b"].aborted)
