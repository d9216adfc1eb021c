"""Descriptions of endpoints: what is read from them, and how those are refused that mean nothing."""

from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.endpoints import _SystemdParser
from twisted.internet.interfaces import ILoggingContext, IProtocolFactory
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.python.systemd import ListenFDs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from bench.certificate import make_certificate
from cell0gw.transports.sockets.binding import InheritedBinding, TCPBinding, UNIXBinding
from cell0gw.transports.sockets.endpoints import Endpoint, EndpointError, StandIn, handed_over, read_endpoints

GIVEN = [("web", 3), ("web", 4), ("local", 5)]


def binding(endpoint: Endpoint) -> dict[str, Any]:
    """What is known of an endpoint's place."""
    return {"kind": type(endpoint.binding)} | vars(endpoint.binding)


class ReadTests(SynchronousTestCase):
    """L{read_endpoints}."""

    def one(self, text: str) -> Endpoint:
        (endpoint,) = read_endpoints([text], GIVEN)
        self.assertEqual(endpoint.text, text)
        return endpoint

    def refusal(self, text: str) -> str:
        message = str(self.assertRaises(EndpointError, read_endpoints, [text], GIVEN))
        self.assertTrue(message.startswith(f"{text}: "), message)
        self.assertNotIn("\n", message)
        return message

    def test_tcp(self) -> None:
        """A port, on all addresses or on one of them; IPv6 in either of Twisted's spellings."""
        for text, host, port in (
            ("tcp:18801", "0.0.0.0", 18801),
            ("tcp:0:interface=127.0.0.1", "127.0.0.1", 0),
            ("tcp:1:interface=\\:\\:", "::", 1),
            ("tcp6:1", "::", 1),
        ):
            known = binding(self.one(text))
            self.assertEqual((known["kind"], known["_host"], known["_port"]), (TCPBinding, host, port))
            self.assertIsNone(self.one(text).tls)

    def test_backlog(self) -> None:
        """Twisted's small queue for those who wait to be accepted becomes a long one; a longer one stays."""
        for text, backlog in (("tcp:1", 1024), ("tcp:1:backlog=4096", 4096), ("unix:/a", 1024)):
            self.assertEqual(binding(self.one(text))["_backlog"], backlog)

    def test_unix(self) -> None:
        """A path, open for its owner and group unless a mode is given."""
        for text, path, mode in (
            ("unix:/run/x.sock", "/run/x.sock", 0o660),
            ("unix:/run/x.sock:mode=600", "/run/x.sock", 0o600),
            ("unix:address=/run/x.sock:lockfile=0", "/run/x.sock", 0o660),
            ("unix:/run/x\\:mode\\=666", "/run/x:mode=666", 0o660),
        ):
            known = binding(self.one(text))
            self.assertEqual((known["kind"], known["_path"], known["_mode"]), (UNIXBinding, Path(path), mode))

    def test_ssl(self) -> None:
        """A port with a certificate of its own, whose files are read."""
        folder = Path(self.mktemp())
        folder.mkdir()
        endpoint = self.one(f"ssl:1:privateKey={make_certificate(folder)}")
        self.assertIsInstance(endpoint.tls, SSL.Context)
        self.assertEqual(binding(endpoint)["_port"], 1)

    def test_handed_over(self) -> None:
        """Sockets that were handed over, all of a name, or one by its number; the domain is the socket's own."""
        for text, expected in (
            ("systemd:name=web", [3, 4]),
            ("systemd:domain=INET:name=web", [3, 4]),
            ("systemd:domain=UNIX:name=local", [5]),
            ("systemd:index=1", [4]),
            ("systemd", [3, 4, 5]),
        ):
            endpoints = read_endpoints([text], GIVEN)
            self.assertEqual([binding(one)["_descriptor"] for one in endpoints], expected)
            self.assertEqual({type(one.binding) for one in endpoints}, {InheritedBinding})

    def test_several(self) -> None:
        """Several are several, each with a stand-in of its own."""
        endpoints = read_endpoints(["tcp:1", "unix:/a", "systemd:name=web"], GIVEN)
        self.assertEqual([one.text for one in endpoints], ["tcp:1", "unix:/a", "systemd:name=web", "systemd:name=web"])
        self.assertEqual(len({one.stand_in for one in endpoints}), 4)

    def test_can_not_be_used(self) -> None:
        """Endpoints that are no sockets, or that put something around what they serve, are refused: the latter would
        leave the gateway's transports, and so its limits, out.
        """
        expected = "endpoints of this kind can't be used here; use tcp:, tcp6:, ssl:, unix: or systemd:"
        for text in (
            "stdio:",
            "stdio",
            "autobahn:tcp\\:9000:url=ws\\://localhost",
        ):
            self.assertEqual(self.refusal(text), f"{text}: {expected}")
        for text in ("18801", "http:1", ""):
            self.assertIn(f"Unknown endpoint type: {text.partition(':')[0]!r}; use tcp:", self.refusal(text))
        self.assertIn("nothing follows the last backslash", self.refusal("tcp:1\\"))

    def test_haproxy(self) -> None:
        """Twisted's endpoint for the PROXY protocol is refused by a line that names the option."""
        for text in (
            "haproxy:tcp:1:interface=127.0.0.1",
            "haproxy:ssl:1:privateKey=/nowhere.pem",
            "haproxy:systemd:domain=INET:index=0",
            "haproxy",
        ):
            self.assertEqual(self.refusal(text), f"{text}: set the option proxy_protocol, and leave haproxy: out")

    def test_ssl_method(self) -> None:
        """A method, which Twisted takes, is refused: the gateway speaks TLS 1.2 and 1.3."""
        self.assertIn("leave sslmethod out", self.refusal("ssl:1:sslmethod=TLSv1_METHOD"))

    def test_ssl_files(self) -> None:
        """Files of an endpoint are named by its own words where one is missing."""
        folder = Path(self.mktemp())
        folder.mkdir()
        certificate, _, key = make_certificate(folder).read_text().partition("-----BEGIN PRIVATE")
        paths = {}
        for name, text in (("keyless", certificate), ("bare", f"-----BEGIN PRIVATE{key}")):
            paths[name] = folder / f"{name}.pem"
            paths[name].write_text(text)
        self.one(f"ssl:1:privateKey={paths['bare']}:certKey={paths['keyless']}:extraCertChain={paths['keyless']}")
        self.one(f"ssl:1:{paths['bare']}:{paths['keyless']}")
        said = self.refusal(f"ssl:1:privateKey={paths['keyless']}")
        self.assertIn("keyless.pem: no private key in it; privateKey= names the file that has it", said)
        self.assertIn("bare.pem: no certificate in it", self.refusal(f"ssl:1:privateKey={paths['bare']}"))

    def test_refused(self) -> None:
        """Whatever is wrong with a description, the error begins with it and is one line."""
        for text, word in (
            ("18801", "nknown endpoint"),
            ("tcp", "port"),
            ("tcp:http", "http"),
            ("tcp:1:interfaces=a", "interfaces"),
            ("unix", "address"),
            ("unix:/a:mode=rw", "rw"),
            ("ssl:1", "server.pem"),
            ("ssl:1:privateKey=/nowhere.pem", "/nowhere.pem: No such file"),
            ("ssl:1:privateKey=/dev/null", ""),
            ("systemd:name=none", "there are: web, web, local"),
            ("systemd:index=3", "no such socket"),
            ("systemd:nmae=web", "nmae"),
        ):
            self.assertIn(word, self.refusal(text))
        message = str(self.assertRaises(EndpointError, read_endpoints, ["systemd"], []))
        self.assertIn("there are: none", message)

    def test_ports(self) -> None:
        """A port that there is none of is refused: the system would take another one for it."""
        for text in ("tcp:65536", "tcp:99999", "tcp:65537:interface=127.0.0.1", "tcp:-1", "tcp6:70000"):
            self.assertIn("a port is 0 to 65535, got ", self.refusal(text))
        folder = Path(self.mktemp())
        folder.mkdir()
        self.assertIn("a port is 0 to 65535", self.refusal(f"ssl:65536:privateKey={make_certificate(folder)}"))
        self.assertEqual(binding(self.one("tcp:65535"))["_port"], 65535)


class HandedOverTests(SynchronousTestCase):
    """L{handed_over}."""

    def test_twisted_knows(self) -> None:
        """It is Twisted that has read how many there are; their names are in the environment still."""
        self.assertIsInstance(_SystemdParser._sddaemon, ListenFDs)
        environ = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}
        self.patch(_SystemdParser, "_sddaemon", ListenFDs([3, 4], ["a", "b"]))
        self.patch(__import__("os"), "environ", environ)
        self.assertEqual(handed_over(), [("a", 3), ("b", 4)])

    def test_none(self) -> None:
        """Without any, or with some that are another process's, there are none."""
        self.patch(_SystemdParser, "_sddaemon", ListenFDs([], []))
        self.patch(__import__("os"), "environ", {"LISTEN_FDNAMES": "a:b"})
        self.assertEqual(handed_over(), [])


class StandInTests(SynchronousTestCase):
    """L{StandIn}."""

    def test_leads_to_the_factory(self) -> None:
        """It makes the factory's protocols, and starts and stops it."""
        stand_in, factory = StandIn(), ServerFactory.forProtocol(Protocol)
        self.assertTrue(verifyObject(IProtocolFactory, stand_in))
        self.assertTrue(verifyObject(ILoggingContext, stand_in))
        stand_in.factory = factory
        stand_in.doStart()
        self.assertEqual(factory.numPorts, 1)
        self.assertIsInstance(stand_in.buildProtocol(None), Protocol)  # type: ignore[arg-type]
        stand_in.doStop()
        self.assertEqual(factory.numPorts, 0)
