"""Where peers come from."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.guard.addresses import LOCAL, behind, client_address, network, source
from cell0gw.sessions.client import ClientAddress


class SourceTests(SynchronousTestCase):
    """What limits by address count under."""

    def test_one_peer_one_name(self) -> None:
        """IPv4 is itself however it is written, IPv6 is its network of 64 bits, and a unix socket has a word."""
        for host, counted in {
            "192.0.2.1": "192.0.2.1",
            "::ffff:192.0.2.1": "192.0.2.1",
            "127.0.0.1": "127.0.0.1",
            "::1": "::/64",
            "2001:db8:0:1:aaaa::1": "2001:db8:0:1::/64",
            "2001:DB8:0:1:bbbb::2": "2001:db8:0:1::/64",
            "fe80::1%eth0": "fe80::/64",
            None: LOCAL,
            "/run/gateway.sock": LOCAL,
        }.items():
            self.assertEqual(source(host), counted, host)


class ClientAddressTests(SynchronousTestCase):
    """What logs show."""

    def test_direct(self) -> None:
        """The address is the peer's own, however it is written, and whole; the port stands beside it."""
        for peer, address, shown in (
            ("192.0.2.1:50000", "192.0.2.1", "192.0.2.1:50000"),
            ("::ffff:192.0.2.1:50000", "192.0.2.1", "192.0.2.1:50000"),
            ("2001:DB8::17:50000", "2001:db8::17", "[2001:db8::17]:50000"),
            ("unix:4711", LOCAL, "unix:4711"),
        ):
            self.assertEqual(client_address(peer, None), ClientAddress(address, shown))

    def test_behind_a_proxy(self) -> None:
        """The address is that of the client, and the proxy is another fact."""
        for proxy, shown in (("::ffff:10.0.0.1:50000", "10.0.0.1:50000"), ("unix:4711", "unix:4711")):
            found = client_address(proxy, "203.0.113.5")
            self.assertEqual(found, ClientAddress("203.0.113.5", "203.0.113.5", shown))


class ProxyTests(SynchronousTestCase):
    """Who is behind proxies."""

    def behind(self, host: str | None, *forwarded: str, trusted: tuple[str, ...] = ("10.0.0.0/8",)) -> str | None:
        return behind(host, forwarded, [network(entry) for entry in trusted])

    def test_trusted(self) -> None:
        """A trusted proxy says who it connects for; of several the last one that is not trusted counts."""
        self.assertEqual(self.behind("10.0.0.1", "192.0.2.7"), "192.0.2.7")
        self.assertEqual(self.behind("::ffff:10.0.0.1", "192.0.2.7"), "192.0.2.7")
        self.assertEqual(self.behind("10.0.0.1", "192.0.2.7", "10.0.0.2"), "192.0.2.7")
        self.assertEqual(self.behind("10.0.0.1", "[2001:db8::1]:443"), "2001:db8::1")
        self.assertEqual(self.behind("10.0.0.1", "192.0.2.7:50000"), "192.0.2.7")
        self.assertEqual(self.behind(None, "192.0.2.7", trusted=(LOCAL,)), "192.0.2.7")

    def test_forged(self) -> None:
        """What anybody could have written counts for nothing."""
        self.assertEqual(self.behind("192.0.2.9", "192.0.2.7"), "192.0.2.9")
        self.assertEqual(self.behind("10.0.0.1", "127.0.0.1", "192.0.2.7"), "192.0.2.7")
        self.assertEqual(self.behind("10.0.0.1", "192.0.2.7", trusted=()), "10.0.0.1")
        self.assertEqual(self.behind(None, "192.0.2.7"), None)

    def test_says_nothing(self) -> None:
        """A proxy that names nobody stands for itself."""
        for said in ((), ("unknown",), ("",), ("192.0.2.7", "_hidden")):
            self.assertEqual(self.behind("10.0.0.1", *said), "10.0.0.1", said)

    def test_no_network(self) -> None:
        """What is neither address nor network is refused, as is a network with bits of a host."""
        for text in ("proxy.example", "10.0.0.1/8", ""):
            self.assertRaises(ValueError, network, text)
