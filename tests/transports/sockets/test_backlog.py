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
from cell0gw.testing import MemoryGateway, RecordingConnection
from cell0gw.testing.stated import stated
from cell0gw.transports.sockets.tcp import GatewayTransport, PlainTransport
from cell0gw.transports.sockets.tls import over_tls, read_certificate
from tests.transports.framing import text_frame
from tests.transports.sockets.pairs import PollerCase, Recorder
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

    def test_one_long_frame(self) -> None:
        """However long one frame is, an empty buffer takes it; only the next one finds it too much."""
        for kind in (GatewayTransport, PlainTransport):
            transport, _, notes = self.watched(kind)
            transport.write(b"x" * 10 * LIMIT)
            self.reactor.turn()
            self.assertEqual(notes, [])
            transport.write(b"y")
            self.assertEqual(len(notes), 1)
            self.assertGreater(notes[0], LIMIT)

    def test_bounded(self) -> None:
        """Many small frames are found too much soon after the limit, and that once."""
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

    def test_over_tls(self) -> None:
        """What waits to be encrypted and what waits encrypted are one backlog."""
        folder = Path(self.mktemp())
        folder.mkdir()
        path = make_certificate(folder)
        recorder = Recorder()
        factory = over_tls(Once(recorder), read_certificate(path, path), self.reactor)  # type: ignore[arg-type]
        wrapper: Any = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        transport, _, _ = self.connect()
        transport.protocol = wrapper
        wrapper.makeConnection(transport)
        notes: list[int] = []
        recorder.fall_behind = lambda: notes.append(wrapper.backlog)  # type: ignore[attr-defined]
        wrapper.watch_backlog(Limits(outbound_limit=LIMIT))
        for _ in range(300):
            wrapper.write(b"x" * 1000)  # its peer does not even shake hands
        self.assertEqual(len(notes), 1)
        self.assertLessEqual(notes[0], LIMIT + 1000)

    def test_no_room(self) -> None:
        """Over TLS, too, a factory that makes no protocol closes the socket."""
        folder = Path(self.mktemp())
        folder.mkdir()
        path = make_certificate(folder)
        factory = over_tls(Once(None), read_certificate(path, path), self.reactor)  # type: ignore[arg-type]
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
        self.assertEqual(server.localCloseCode, 4008)
        self.assertLess(transport.backlog, LIMIT + 10_000)
        self.assertEqual(self.gateway.presence.directory.get("slow").status, "away")  # type: ignore[union-attr]
        self.assertEqual([m["message"]["number"] for m in quick.received("channel.message")], list(range(200)))
        self.gateway.advance(LINGER + 1)
        self.reactor.turn()
        self.assertEqual((transport.backlog, len(self.gateway.guard.connections)), (0, 1))

    def test_pings_of_one_that_does_not_read(self) -> None:
        """Pongs, too, wait only up to the limit."""
        server, transport, _ = self.subscriber()
        transport.write(text_frame(b"x" * 5 * LIMIT))
        self.reactor.turn()
        server.onPing(b"")
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
        guard = Guard(limits, 4.0, 10.0, lambda type, data: hits.append(data["limit"]), lambda line: None, runtime)
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
