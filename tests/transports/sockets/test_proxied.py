"""Connections that begin with a header of the PROXY protocol."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from bench.certificate import make_certificate
from cell0gw.guard.heartbeat import HANDSHAKE
from cell0gw.monitoring.refusals import PROXY_CAUSES as CAUSES
from cell0gw.sessions.client import ClientAddress
from cell0gw.sessions.session import IArrival
from cell0gw.testing import MemoryGateway
from cell0gw.transports.sockets.certificates import Certificate, read_certificate
from cell0gw.transports.sockets.proxied import AwaitedHeader, ProxiedFactory
from cell0gw.transports.sockets.tcp import GatewayTransport, PlainTransport
from cell0gw.transports.sockets.tls import over_tls
from cell0gw.transports.sockets.unix import LocalAddress, PlainUNIXTransport, UNIXTransport
from tests.transports.sockets.pairs import PollerCase
from tests.transports.sockets.test_proxy_header import BAD, GOOD, V4_LINE, V6, version_2
from tests.transports.sockets.test_tls import Peer
from tests.transports.websocket.test_handshake import request

PROXY = "192.0.2.1"
LOCAL_HEADER = version_2(b"", 0, 0x20)


class Case(PollerCase):
    """A gateway whose connections begin with a header; their sockets are half of a pair."""

    def make(self, **options: Any) -> MemoryGateway:
        self.gateway = MemoryGateway(**{"trusted_proxies": (PROXY, "local"), "proxy_protocol": True} | options)
        self.addCleanup(self.gateway.close)
        self.factory = ProxiedFactory(self.gateway.factory, self.gateway.proxies)
        return self.gateway

    def come(
        self, data: bytes = b"", peer: str = PROXY, kind: Any = GatewayTransport, reactor: Any = None
    ) -> tuple[Any, socket.socket | None]:
        """A connection.

        @param data: what it sends at once.
        @return: the gateway's transport and the other end; the latter is None if it was closed at once.
        """
        address = LocalAddress() if issubclass(kind, (UNIXTransport, PlainUNIXTransport)) else _address(peer)
        protocol: Any = self.factory.buildProtocol(address)
        if protocol is None:
            return None, None
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self.addCleanup(theirs.close)
        client = (peer, 50_000) if ":" not in peer else (peer, 50_000, 0, 0)
        transport = kind(ours, protocol, client, None, 0, self.poller if reactor is None else reactor)
        # A socket of a pair knows nothing of TCP.
        transport.setTcpNoDelay = lambda enabled: None
        protocol.makeConnection(transport)
        if data:
            theirs.sendall(data)
            self.reactor.turn()
        return transport, theirs

    def refused(self) -> dict[str, int]:
        """The figures of refused handshakes that are not 0."""
        return {cause: count for cause, count in self.gateway.factory.refusals.statistics().total.items() if count}

    def sockets(self) -> tuple[int, int]:
        """How many are in their handshake, and how many addresses are known."""
        connections = self.gateway.guard.connections
        return len(connections.arriving()), len(connections._sources)


def _address(peer: str) -> Any:
    return (IPv6Address if ":" in peer else IPv4Address)("TCP", peer, 50_000)


class HeaderTests(Case):
    """Headers that come, in whatever form."""

    def test_doubles(self) -> None:
        """What waits for a header is what it stands for."""
        self.make()
        self.assertTrue(verifyObject(IArrival, AwaitedHeader(self.factory)))
        self.assertTrue(verifyObject(IProtocolFactory, self.factory))

    def test_client(self) -> None:
        """Limits, the log and the methods see the client of the header, the log the proxy as well."""
        self.make()
        for header, address, peer in (
            (V4_LINE, "203.0.113.9", "203.0.113.9:50000"),
            (version_2(), "203.0.113.9", "203.0.113.9:50000"),
            (version_2(V6, 0x21), "2001:db8::9", "[2001:db8::9]:50000"),
        ):
            transport, theirs = self.come(header + request())
            server = transport.protocol
            self.assertEqual(server.client, ClientAddress(address, peer, f"{PROXY}:50000"))
            self.assertEqual(server.address, "2001:db8::/64" if ":" in address else address)
            assert theirs is not None
            self.assertTrue(self.read_all(theirs).startswith(b"HTTP/1.1 101 "))
            server.abort()

    def test_every_form(self) -> None:
        """With every header that there can be, the request after it becomes a connection."""
        self.make()
        for name, (header, client) in GOOD.items():
            transport, theirs = self.come(header + request())
            assert theirs is not None
            self.assertTrue(self.read_all(theirs).startswith(b"HTTP/1.1 101 "), name)
            self.assertEqual(transport.protocol.address, str(client or PROXY).replace("db8::9", "db8::/64"), name)
            self.assertEqual(transport.protocol.client.proxy, f"{PROXY}:50000" if client else None, name)
            transport.protocol.abort()
        self.reactor.turn()
        self.assertEqual((self.refused(), self.sockets()), ({}, (0, 0)))

    def test_every_cut(self) -> None:
        """Cut in two anywhere, header and request are what they are in one."""
        self.make()
        for header in (V4_LINE, version_2(), LOCAL_HEADER):
            data = header + request()
            for cut in range(1, len(data)):
                transport, theirs = self.come(data[:cut])
                assert theirs is not None
                theirs.sendall(data[cut:])
                self.assertTrue(self.read_all(theirs).startswith(b"HTTP/1.1 101 "), cut)
                transport.protocol.abort()

    def test_byte_by_byte(self) -> None:
        """Nor do its bytes have to come together."""
        self.make()
        transport, theirs = self.come()
        assert theirs is not None
        for byte in version_2() + request():
            theirs.sendall(bytes((byte,)))
            self.reactor.turn()
        self.assertTrue(self.read_all(theirs).startswith(b"HTTP/1.1 101 "))
        self.assertEqual(transport.protocol.address, "203.0.113.9")

    def test_out_of_the_way(self) -> None:
        """After the header nothing is between the socket's transport and the connection."""
        self.make()
        transport, _ = self.come(V4_LINE)
        plain: Any = self.gateway.factory.protocol
        self.assertIsInstance(transport.protocol, plain)
        self.assertIs(transport.protocol.transport, transport)
        self.assertEqual(transport.outgoing, [])

    def test_kinds_of_sockets(self) -> None:
        """On every kind of socket, on a poller and without, a header is read, and a connection of the proxy's own is
        the proxy's."""
        for kind, reactor, own in (
            (GatewayTransport, self.poller, PROXY),
            (UNIXTransport, self.poller, "local"),
            (PlainTransport, MemoryReactorClock(), PROXY),
            (PlainUNIXTransport, MemoryReactorClock(), "local"),
        ):
            self.make()
            for header, address in ((V4_LINE, "203.0.113.9"), (LOCAL_HEADER, own)):
                transport, theirs = self.come(kind=kind, reactor=reactor)
                assert theirs is not None
                theirs.sendall(header)
                transport.doRead()
                self.assertEqual(transport.protocol.client.address, address, kind)
                transport.connectionLost(Failure(ConnectionDone()))

    def test_forwarded(self) -> None:
        """X-Forwarded-For counts where the header names no client, or one that is a trusted proxy itself; what others
        write there does not."""
        for header, expected in (
            (LOCAL_HEADER, ClientAddress("198.51.100.7", "198.51.100.7", f"{PROXY}:50000")),
            (b"PROXY UNKNOWN\r\n", ClientAddress("198.51.100.7", "198.51.100.7", f"{PROXY}:50000")),
            (
                b"PROXY TCP4 10.1.1.1 192.0.2.1 40000 443\r\n",
                ClientAddress("198.51.100.7", "198.51.100.7", "10.1.1.1:40000"),
            ),
            (V4_LINE, ClientAddress("203.0.113.9", "203.0.113.9:50000", f"{PROXY}:50000")),
        ):
            self.make(trusted_proxies=(PROXY, "10.0.0.0/8"))
            transport, _ = self.come(header + request(X_Forwarded_For="198.51.100.7"))
            self.assertEqual(transport.protocol.client, expected)
            self.assertEqual(transport.protocol.address, expected.address)

    def test_limits_by_address(self) -> None:
        """Limits by address count the clients of headers, before their requests have come."""
        self.make(max_unauthenticated_per_address=2)
        kept = [self.come(version_2())[0] for _ in range(2)]
        with capturedLogs() as events:
            _, theirs = self.come(version_2())
        assert theirs is not None
        self.assertEqual(self.read_all(theirs), b"")
        self.assertIn("203.0.113.9", formatEvent(events[0]) or "")
        self.assertEqual(events[0]["limit"], "max_unauthenticated_per_address")
        other, _ = self.come(version_2(V6, 0x21))
        self.assertEqual(other.protocol.address, "2001:db8::/64")
        self.assertEqual(self.sockets(), (3, 2))
        for transport in [*kept, other]:
            transport.protocol.abort()
        self.reactor.turn()
        self.assertEqual(self.sockets(), (0, 0))

    def test_tls(self) -> None:
        """The header comes before the handshake of TLS, whose failure names the client."""
        folder = Path(self.mktemp())
        folder.mkdir()
        path = make_certificate(folder)
        for hello in (None, b"\x80" * 20):
            failed: list[Any] = []
            self.make()
            secured = over_tls(
                self.gateway.factory,
                Certificate(read_certificate(path, path)),
                self.reactor,
                lambda *arguments, failed=failed: failed.append(arguments),
            )
            self.factory = ProxiedFactory(secured, self.gateway.proxies)
            transport, theirs = self.come(version_2() + (hello or b""))
            if hello is None:
                peer = Peer(theirs, self.reactor.turn)
                peer.shake_hands()
                self.assertTrue(peer.say(request()).startswith(b"HTTP/1.1 101 "))
                server = transport.protocol.wrappedProtocol
                self.assertEqual(server.client, ClientAddress("203.0.113.9", "203.0.113.9:50000", f"{PROXY}:50000"))
                server.abort()
                self.assertEqual(failed, [])
            else:
                ((_, client, _),) = failed
                self.assertEqual(client.address, "203.0.113.9")


class RefusalTests(Case):
    """Headers that are not believed."""

    def test_untrusted(self) -> None:
        """Who is no trusted proxy is closed at once, and told of once a second."""
        self.make(trusted_proxies=(PROXY,))
        with capturedLogs() as events:
            for _ in range(3):
                self.assertEqual(self.come(V4_LINE, "198.51.100.1"), (None, None))
            self.assertEqual(self.come(V4_LINE, kind=UNIXTransport), (None, None))
        (event,) = events
        self.assertEqual(
            formatEvent(event),
            f"a handshake from 198.51.100.1:50000 was refused, proxy_untrusted: {CAUSES['proxy_untrusted']}",
        )
        with capturedLogs() as events:
            self.gateway.advance(3)
        self.assertEqual([formatEvent(event) for event in events], ["3 more handshakes were refused, proxy_untrusted"])
        self.assertEqual((self.refused(), self.sockets()), ({"proxy_untrusted": 4}, (0, 0)))

    def test_trusted_from_now_on(self) -> None:
        """Whom the options trust later is believed then."""
        self.make()
        self.gateway.factory.admission.allow((), (), ("198.51.100.1",))
        self.assertEqual(self.come(V4_LINE), (None, None))
        transport, _ = self.come(V4_LINE, "198.51.100.1")
        self.assertEqual(transport.protocol.address, "203.0.113.9")

    def test_bad(self) -> None:
        """What is no header closes the connection, whatever follows, with its cause; nothing is left of it."""
        for name, (data, cause) in BAD.items():
            self.make()
            with capturedLogs() as events:
                _, theirs = self.come(data + request())
            assert theirs is not None
            self.assertEqual(self.read_all(theirs), b"", name)
            self.assertEqual([event["cause"] for event in events], [cause], name)
            self.assertEqual(events[0]["reason"], CAUSES[cause])
            self.assertEqual(events[0]["peer"], f"{PROXY}:50000")
            self.assertEqual((self.refused(), self.sockets()), ({cause: 1}, (0, 0)), name)

    def test_garbage_does_not_gather(self) -> None:
        """After a refusal nothing is kept of what comes, nor counted again."""
        self.make()
        awaited = self.come()[0].protocol
        for _ in range(10):
            awaited.dataReceived(b"x" * 65_536)
            self.assertEqual(len(awaited._received), 0)
        self.assertEqual(self.refused(), {"proxy_missing": 1})

    def test_broken_off(self) -> None:
        """A header that ends in the middle is counted; a socket on which nothing came is not."""
        self.make()
        for data, expected in ((b"", {}), (V4_LINE[:20], {"proxy_incomplete": 1})):
            _, theirs = self.come(data)
            assert theirs is not None
            theirs.close()
            self.reactor.turn()
            self.assertEqual((self.refused(), self.sockets()), (expected, (0, 0)))

    def test_late(self) -> None:
        """A header that has not come in the time for handshakes is none, whether some of it has or not."""
        self.make()
        transports = [self.come(data)[0] for data in (b"", version_2()[:20])]
        with capturedLogs() as events:
            self.gateway.advance(HANDSHAKE + 1.5)
            self.reactor.turn()
        self.assertEqual([event["cause"] for event in events], ["proxy_incomplete"] * 2)
        self.assertEqual([event.get("more", 0) for event in events], [0, 1])
        self.assertEqual((self.refused(), self.sockets()), ({"proxy_incomplete": 2}, (0, 0)))
        self.assertTrue(all(transport.disconnected for transport in transports))

    def test_room(self) -> None:
        """Those whose header has not come count as connections, and the oldest go when there is no room."""
        self.make(max_unauthenticated=2)
        first, _ = self.come()
        self.come()
        self.assertEqual(self.come(), (None, None))
        self.gateway.clock.advance(1.5)
        third, _ = self.come(V4_LINE)
        self.reactor.turn()
        self.assertTrue(first.disconnected)
        self.assertEqual(self.sockets(), (2, 2))
        third.protocol.abort()

    def test_in_the_figures(self) -> None:
        """The causes are among the figures of refused handshakes."""
        self.make()
        self.come(b"GET / HTTP/1.1\r\n")
        client = self.gateway.connect(token=self.gateway.token("admin", "system", ["*"]))
        figures = client.call("gateway.getStats")["services"]["handshake"]
        self.assertEqual({cause: figures[cause] for cause in CAUSES}, dict.fromkeys(CAUSES, 0) | {"proxy_missing": 1})
