"""Who may connect."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.sessions.client import ClientAddress
from cell0gw.testing import MemoryGateway
from cell0gw.transports.websocket.hardened import HardenedProtocol
from tests.transports.memory import MemoryTransport
from tests.transports.websocket.test_handshake import request


class Transport(MemoryTransport):
    """One whose peer is somewhere.

    @cvar peer: where.
    """

    peer: Any = IPv4Address("TCP", "192.0.2.1", 1)

    def getPeer(self) -> Any:
        return self.peer


class Case(SynchronousTestCase):
    """A gateway, and connections from anywhere."""

    def make(self, **options: Any) -> MemoryGateway:
        gateway = MemoryGateway(**options)
        self.addCleanup(gateway.close)
        return gateway

    def come(self, gateway: MemoryGateway, data: bytes = b"", peer: Any = "192.0.2.1") -> tuple[Any, Any]:
        """A connection; C{(None, None)} if its socket was closed at once.

        @param data: what it sends.
        """
        if isinstance(peer, str):
            peer = (IPv6Address if ":" in peer else IPv4Address)("TCP", peer, 1)
        server: Any = gateway.factory.buildProtocol(peer)
        if server is None:
            return None, None
        transport = type("", (Transport,), {"peer": peer})(server)
        self.addCleanup(server.abort)
        if data:
            server.dataReceived(data)
        return server, transport

    def status(self, gateway: MemoryGateway, data: bytes, peer: Any = "192.0.2.1") -> int:
        """The HTTP status of the response to a request."""
        server, transport = self.come(gateway, data, peer)
        status = int(transport.value()[9:12])
        server.abort()
        return status


class SiteTests(Case):
    """Origins and hosts."""

    def test_any(self) -> None:
        """Unless told otherwise a page from anywhere may connect, and call the gateway what it likes."""
        gateway = self.make()
        for origin in ("https://example.com", "null", "file://", "http://localhost:3000"):
            self.assertEqual(self.status(gateway, request(Origin=origin, Host="attacker.example")), 101)

    def test_origins(self) -> None:
        """Listed ones may, others may not; a client that is no browser has none, and may."""
        gateway = self.make(allowed_origins=("https://app.example.com", "http://localhost:3000"))
        for origin in ("https://app.example.com", "https://APP.example.com:443", "http://localhost:3000", None):
            self.assertEqual(self.status(gateway, request(Origin=origin)), 101, origin)
        for origin in (
            "https://evil.example", "null", "file://", "http://app.example.com", "https://app.example.com:8443",
            "https://app.example.com.evil.example", "https://sub.app.example.com", "http://localhost", "http://127.0.0.1:3000",
        ):  # fmt: skip
            self.assertEqual(self.status(gateway, request(Origin=origin)), 403, origin)

    def test_own_origin(self) -> None:
        """An Origin that is the host of the request may, as some libraries send it: by an address, by localhost, or by
        a name that is listed in allowed_hosts. By another name it may not: anybody's may point here.
        """
        listed = self.make(allowed_origins=("https://app.example",), allowed_hosts=("gateway.example", "[::1]"))
        for gateway, host, origin, status in (
            (listed, "gateway.example:18801", "http://gateway.example:18801", 101),
            (listed, "gateway.example", "https://gateway.example", 101),
            (listed, "Gateway.Example", "http://GATEWAY.example:80", 101),
            (listed, "[::1]:18801", "http://[::1]:18801", 101),
            (listed, "gateway.example", "https://gateway.example:8443", 403),
            (listed, "gateway.example:18801", "http://gateway.example", 403),
            (listed, "gateway.example", "http://sub.gateway.example", 403),
            (listed, "gateway.example", "null", 403), (listed, "gateway.example", "", 403),
            (listed, "gateway.example", "moz-extension://gateway.example", 403),
            (listed, "attacker.example", "http://attacker.example", 403),
        ):  # fmt: skip
            self.assertEqual(self.status(gateway, request(Host=host, Origin=origin)), status, (host, origin))
        unlisted = self.make(allowed_origins=("https://app.example",))
        for host, status in (
            ("127.0.0.1:18801", 101), ("localhost:18801", 101), ("[2001:db8::1]:18801", 101),
            ("attacker.example:18801", 403), ("127.0.0.1.attacker.example", 403), ("localhost.attacker.example", 403),
            ("1.2.3", 403),
        ):  # fmt: skip
            self.assertEqual(self.status(unlisted, request(Host=host, Origin=f"http://{host}")), status, host)

    def test_own_origin_is_no_listed_one(self) -> None:
        """Who says so is no page of a listed site: it sees less before it has authenticated."""
        server, _ = self.come(self.make(allowed_origins=("https://a.example",)), request(Host="a", Origin="http://a"))
        self.assertEqual(server.state, server.STATE_CLOSED)
        server, _ = self.come(
            self.make(allowed_origins=("https://a.example",)), request(Host="127.0.0.1", Origin="http://127.0.0.1")
        )
        self.assertTrue(server.caller.foreign)

    def test_unprintable_origin(self) -> None:
        """What is no text in an Origin can't break a line of the log."""
        gateway = self.make(allowed_origins=("https://a.example",))
        with capturedLogs() as events:
            self.assertEqual(self.status(gateway, request(Origin="https://evil\x85[info] all is well")), 403)
        self.assertIn("a page of https://evil\\x85[info]", formatEvent(events[-1]))

    def test_hosts(self) -> None:
        """The names this gateway is called by are compared exactly; loopback is not special."""
        gateway = self.make(allowed_hosts=("gateway.example:18801",))
        self.assertEqual(self.status(gateway, request(Host="Gateway.Example:18801")), 101)
        for host in ("gateway.example", "attacker.example:18801", "127.0.0.1:18801", "localhost"):
            self.assertEqual(self.status(gateway, request(Host=host)), 403, host)

    def test_hosts_with_any_port(self) -> None:
        """A name without a port is one with any: the port is not what tells this gateway from another."""
        gateway = self.make(allowed_hosts=("gateway.example", "[::1]"))
        for host in ("gateway.example", "gateway.example:18801", "GATEWAY.example:80", "[::1]", "[::1]:18801"):
            self.assertEqual(self.status(gateway, request(Host=host)), 101, host)
        for host in ("example", "gateway.example.evil.example", "gateway.example.evil.example:80", "[::11]:1", "[::2]"):
            self.assertEqual(self.status(gateway, request(Host=host)), 403, host)

    def test_pages_see_less(self) -> None:
        """A page of a site that is not listed sees nobody before it has authenticated."""
        gateway = self.make()
        gateway.connect("agent_1")
        page = gateway.connect()
        page.server.caller.foreign = True
        for method in ("presence.get", "agent.list", "rpc.discover"):
            self.assertEqual(page.refusal(method)["code"], -32001, method)
        for method, params in (("rpc.ping", {}), ("rpc.echo", {"message": 1}), ("rpc.listMethods", {})):
            page.call(method, **params)
        page.call("rpc.getServerInfo")
        page.call("auth.authenticate", token=gateway.token("b"))
        self.assertEqual(len(page.call("agent.list")), 2)
        page.call("rpc.discover")

    def test_who_is_a_page_of_another_site(self) -> None:
        """Those with an Origin that is not listed are; all that have none are not."""
        for options, origin, foreign in (
            ({}, "https://a.example", True), ({}, None, False),
            ({"allowed_origins": ("https://a.example",)}, "https://a.example", False), ({}, "null", True),
        ):  # fmt: skip
            server, _ = self.come(self.make(**options), request(Origin=origin))
            self.assertEqual(server.caller.foreign, foreign, (options, origin))


class CountTests(Case):
    """How many there may be."""

    def test_full(self) -> None:
        """When as many are open as may be, the next one is told by HTTP when to come again; far too many are not."""
        gateway = self.make(max_connections=2)
        first, _ = self.come(gateway, request())
        self.come(gateway, request())
        server, transport = self.come(gateway, request())
        self.assertIn(b"503 Service Unavailable", transport.value())
        self.assertIn(b"Retry-After: 1\r\n", transport.value())
        server.abort()
        waiting = [self.come(gateway) for _ in range(100)]
        self.assertIn((None, None), waiting)
        for server, _ in waiting:
            if server is not None:
                server.abort()
        first.abort()
        self.assertEqual(self.status(gateway, request()), 101)

    def test_of_one_address(self) -> None:
        """Beyond the limit by address a connection is opened, and closed with 4504; other addresses have their own."""
        gateway = self.make(max_connections_per_address=2)
        for _ in range(2):
            self.come(gateway, request(), "2001:db8::1")
        server, _ = self.come(gateway, request(), "2001:db8::2")
        self.assertEqual(server.localCloseCode, 4504)
        other, _ = self.come(gateway, request(), "2001:db8:1::1")
        self.assertIsNone(other.localCloseCode)

    def test_unauthenticated_make_way(self) -> None:
        """When there are too many strangers the oldest goes, if it had its time; else the new one is not let in."""
        for limits in ({"max_unauthenticated": 2}, {"max_unauthenticated_per_address": 2}):
            gateway = self.make(**limits)
            stalled, _ = self.come(gateway)
            silent, _ = self.come(gateway, request())
            self.assertEqual(self.come(gateway), (None, None))
            gateway.clock.advance(1)
            third, _ = self.come(gateway, request())
            self.assertNotIn(stalled, gateway.guard.connections.arriving())
            self.come(gateway, request())
            self.assertEqual((silent.localCloseCode, third.localCloseCode), (4502, None))
            self.assertEqual(gateway.guard.connections.unauthenticated, 2)

    def test_the_authenticated_stay(self) -> None:
        """Who has authenticated is nobody's room."""
        gateway = self.make(max_unauthenticated=1)
        agents = [gateway.connect(name) for name in ("a", "b", "c")]
        gateway.clock.advance(5)
        for _ in range(3):
            self.come(gateway, request())
            gateway.clock.advance(1)
        self.assertEqual([agent.call("rpc.ping") for agent in agents], ["pong"] * 3)

    def test_strangers_fill_the_gateway(self) -> None:
        """Strangers that have every place don't keep an agent out."""
        gateway = self.make(max_connections=5)
        for _ in range(5):
            self.come(gateway, request())
        gateway.clock.advance(1.5)
        gateway.advance(0.5)
        for _ in range(5):
            _, transport = self.come(gateway, request())
            if b" 101 " in transport.value():
                return
            gateway.advance(1)
        self.fail("nobody made room")

    def test_leaves_nothing(self) -> None:
        """When all are gone nothing is kept of where they came from, however they went."""
        gateway = self.make()
        for data in (b"", b"x", request(), request("GET /x HTTP/1.1"), request() + b"\x81\x00"):
            server, _ = self.come(gateway, data)
            server.abort()
        gateway.connect("a").disconnect()
        self.assertEqual((gateway.guard.connections._sources, gateway.guard.connections.unauthenticated), ({}, 0))


class ProxyTests(Case):
    """Behind proxies."""

    def test_forwarded(self) -> None:
        """Limits by address count whom a trusted proxy connects for."""
        gateway = self.make(max_connections_per_address=1, trusted_proxies=("10.0.0.0/8",))
        one, _ = self.come(gateway, request(X_Forwarded_For="192.0.2.7"), "10.0.0.1")
        other, _ = self.come(gateway, request(X_Forwarded_For="192.0.2.8"), "10.0.0.1")
        again, _ = self.come(gateway, request(X_Forwarded_For="192.0.2.8"), "10.0.0.2")
        self.assertEqual([server.localCloseCode for server in (one, other, again)], [None, None, 4504])
        self.assertEqual(one.address, "192.0.2.7")

    def test_in_logs(self) -> None:
        """Logs name the client behind a trusted proxy, whole where limits count a network, and the proxy beside it."""
        gateway = self.make(trusted_proxies=("10.0.0.0/8",))
        for forwarded, client, counted in (
            ("203.0.113.5", ClientAddress("203.0.113.5", "203.0.113.5", "10.0.0.1:1"), "203.0.113.5"),
            ("2001:db8::17", ClientAddress("2001:db8::17", "2001:db8::17", "10.0.0.1:1"), "2001:db8::/64"),
            ("nonsense", ClientAddress("10.0.0.1", "10.0.0.1:1"), "10.0.0.1"),
        ):
            server, _ = self.come(gateway, request(X_Forwarded_For=forwarded), "10.0.0.1")
            self.assertEqual((server.client, server.address), (client, counted))

    def test_forged(self) -> None:
        """From anybody else the field means nothing."""
        server, _ = self.come(self.make(), request(X_Forwarded_For="192.0.2.7"))
        self.assertEqual((server.address, server.client), ("192.0.2.1", ClientAddress("192.0.2.1", "192.0.2.1:1")))

    def test_strangers_behind_a_proxy(self) -> None:
        """Those whom a proxy connects for have their own limits, and the proxy itself none."""
        gateway = self.make(max_unauthenticated_per_address=1, trusted_proxies=("local",))
        proxy = UNIXAddress(b"/run/x")
        for number in range(3):
            server, _ = self.come(gateway, request(X_Forwarded_For=f"192.0.2.{number}"), proxy)
            self.assertEqual(server.address, f"192.0.2.{number}")
        self.assertEqual(self.status(gateway, request(X_Forwarded_For="192.0.2.1"), proxy), 503)

    def test_over_a_unix_socket(self) -> None:
        """Who comes by a unix socket has a word for an address."""
        server, _ = self.come(self.make(), request(), UNIXAddress(b"/run/x"))
        self.assertEqual(server.address, "local")
        self.assertIsInstance(server, HardenedProtocol)
