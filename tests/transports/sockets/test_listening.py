"""Listening: sockets that are opened before the service starts, and given up when it stops."""

import errno
import os
import socket
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from bench.certificate import make_certificate
from cell0gw.transports.sockets.binding import UNIXBinding
from cell0gw.transports.sockets.certificates import Certificate, read_certificate
from cell0gw.transports.sockets.endpoints import Endpoint
from cell0gw.transports.sockets.listening import ListenError, Listening, ListeningService, listen_on
from cell0gw.transports.sockets.unix import UNIXPort
from tests.transports.sockets.pairs import unexpected


class Socket:
    """A bound socket, as far as the service looks; what it has open is a pipe's end."""

    family = socket.AF_INET6

    def __init__(self, name: str = "::") -> None:
        self._name = name
        self._descriptor, self.other_end = os.pipe()
        self.closed = False

    def getsockname(self) -> tuple[str, int, int, int]:
        return (self._name, 40_123, 0, 0)

    def fileno(self) -> int:
        return -1 if self.closed else self._descriptor

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
            os.close(self.other_end)
        self.closed = True


@implementer(IListeningPort)
class Port:
    """A port that is gone when the test says so."""

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()
        self.asked = 0

    def startListening(self) -> None:
        """See L{IListeningPort}."""

    def stopListening(self) -> Deferred[None]:
        """See L{IListeningPort}."""
        self.asked += 1
        return self.gone

    def getHost(self) -> Any:
        """See L{IListeningPort}."""


class Nowhere:
    """A place that is none.

    @ivar names: the addresses of its sockets.
    @ivar sockets: what it has opened; C{released}: how often it was given up.
    """

    def __init__(self, problem: OSError | None = None) -> None:
        self._problem = problem
        self.names = ["::"]
        self.sockets: list[Socket] = []
        self.released = 0

    def open(self) -> Any:
        """See L{cell0gw.transports.sockets.binding.Binding}."""
        if self._problem is not None:
            raise self._problem
        self.sockets = [Socket(name) for name in self.names]
        return self.sockets

    def release(self) -> None:
        """See L{cell0gw.transports.sockets.binding.Binding}."""
        self.released += 1


class Listener:
    """Listens, or so it says.

    @ivar adopted: descriptor, family and factory; the descriptor was open at that moment.
    """

    def __init__(self) -> None:
        self.adopted: list[tuple[int, int, Any]] = []
        self.port = Port()

    def __call__(self, listening: Socket, factory: Any, reactor: Any = None, connections: Any = None) -> Any:
        os.fstat(listening.fileno())
        self.adopted.append((listening.fileno(), listening.family, factory))
        return self.port


class ListeningServiceTests(SynchronousTestCase):
    """L{ListeningService}."""

    def setUp(self) -> None:
        self.socket, self.factory, self.listener = Socket(), ServerFactory(), Listener()
        self.addCleanup(self.socket.close)
        self.service = ListeningService(self.socket, self.factory, self.listener)  # type: ignore[arg-type]

    def test_doubles(self) -> None:
        """The doubles of these tests are what they stand for."""
        self.assertTrue(verifyObject(IListeningPort, self.listener.port))

    def test_nothing_before_the_start(self) -> None:
        """Before the start nobody is accepted."""
        self.assertEqual(self.listener.adopted, [])

    def test_start(self) -> None:
        """The reactor gets the socket, its own family and the factory."""
        descriptor = self.socket.fileno()
        self.service.startService()
        self.assertEqual(self.listener.adopted, [(descriptor, socket.AF_INET6, self.factory)])
        self.assertTrue(self.service.running)

    def test_hands_over(self) -> None:
        """Once the reactor has a descriptor of its own ours is closed, else the port would stay open after the stop."""
        self.service.startService()
        self.assertTrue(self.socket.closed)

    def test_stop(self) -> None:
        """The stop is done when the reactor's port is closed, not before."""
        self.service.startService()
        stopping = self.service.stopService()
        self.assertEqual(self.listener.port.asked, 1)
        self.assertNoResult(stopping)
        self.listener.port.gone.callback(None)
        self.successResultOf(stopping)
        self.assertFalse(self.service.running)

    def test_stop_twice(self) -> None:
        """The port is closed once, however often one asks."""
        self.service.startService()
        stopping = [self.service.stopService(), self.service.stopService()]
        self.listener.port.gone.callback(None)
        for stopped in stopping:
            self.successResultOf(stopped)
        self.assertEqual(self.listener.port.asked, 1)

    def test_stop_before_the_start(self) -> None:
        """A service that never started gives up its socket."""
        self.successResultOf(self.service.stopService())
        self.assertTrue(self.socket.closed)
        self.assertEqual(self.listener.adopted, [])


class ListeningTests(SynchronousTestCase):
    """L{Listening}: several places at once."""

    def setUp(self) -> None:
        self.places = [Nowhere(), Nowhere()]
        self.listener, self.factory = Listener(), ServerFactory.forProtocol(Protocol)
        self.reactor = MemoryReactorClock()
        self.addCleanup(lambda: [opened.close() for binding in self.places for opened in binding.sockets])
        self.endpoints = [Endpoint(f"place {number}", binding) for number, binding in enumerate(self.places)]

    def listening(self) -> Listening:
        return Listening(self.endpoints, self.listener)

    def certificate(self) -> Any:
        folder = Path(self.mktemp())
        folder.mkdir()
        return read_certificate(path := make_certificate(folder), path)

    def test_open(self) -> None:
        """Once open it says where; nobody is accepted yet."""
        listening = self.listening()
        listening.open()
        self.addCleanup(listening.close)
        self.assertEqual((listening.addresses, listening.port), ([":: port 40123"] * 2, 40_123))
        self.assertEqual(self.listener.adopted, [])

    def test_all_or_none(self) -> None:
        """When one place can't be had the error names it, and the others are given up."""
        self.endpoints.append(Endpoint("tcp:1", Nowhere(OSError(errno.EACCES, "Permission denied"))))
        listening = self.listening()
        problem = self.assertRaises(ListenError, listening.open)
        self.assertEqual(str(problem), "tcp:1 (Permission denied)")
        self.assertEqual([binding.sockets[0].closed for binding in self.places], [True, True])
        self.assertEqual((listening.addresses, listening.port), ([], 0))

    def test_serve(self) -> None:
        """Each socket is listened on, for the gateway's factory behind the endpoint's stand-in."""
        listening = self.listening()
        listening.open()
        listening.serve(self.factory, None, self.reactor, unexpected)
        self.assertEqual([factory for _, _, factory in self.listener.adopted], [one.stand_in for one in self.endpoints])
        self.assertIsInstance(self.endpoints[0].stand_in.buildProtocol(None), Protocol)  # type: ignore[arg-type]
        self.assertEqual(listening.addresses, [":: port 40123"] * 2)
        self.assertEqual(listening.exposed, listening.addresses)
        self.listener.port.gone.callback(None)
        self.successResultOf(listening.stopService())
        listening.close()

    def test_exposed(self) -> None:
        """Other machines reach all but loopback and Unix sockets; where they may is known once it serves."""
        for name, exposed in {
            "0.0.0.0": True, "::": True, "192.0.2.1": True, "2001:db8::1": True, "fe80::1%eth0": True,
            "::ffff:192.0.2.1": True, "127.0.0.1": False, "127.3.2.1": False, "::1": False, "::ffff:127.0.0.1": False,
        }.items():  # fmt: skip
            self.places[0].names = [name]
            listening = Listening(self.endpoints[:1], self.listener)
            listening.open()
            self.assertEqual(listening.exposed, [])
            listening.serve(self.factory, None, self.reactor, unexpected)
            self.assertEqual(listening.exposed, [f"{name} port 40123"] if exposed else [], name)
            listening.close()
            self.assertEqual(listening.exposed, [])

    def test_several_addresses(self) -> None:
        """A place with several addresses is listened on at each, and has one certificate of its own for all."""
        self.places[0].names = ["::1", "127.0.0.1", "192.0.2.1"]
        listening = self.listening()
        listening.open()
        ours = [":: port 40123"]
        self.assertEqual(listening.addresses, ["::1 port 40123", "127.0.0.1 port 40123", "192.0.2.1 port 40123", *ours])
        listening.serve(self.factory, None, self.reactor, unexpected)
        self.assertEqual(len(self.listener.adopted), 4)
        self.assertEqual(listening.exposed, ["192.0.2.1 port 40123", *ours])
        listening.close()
        self.assertTrue(all(opened.closed for opened in self.places[0].sockets))
        self.listener.adopted.clear()
        self.endpoints[0].tls = self.certificate()
        listening = self.listening()
        listening.open()
        listening.serve(self.factory, None, self.reactor, unexpected)
        factories = [factory for _, _, factory in self.listener.adopted]
        self.assertEqual(len({id(factory) for factory in factories[:3]}), 1)
        self.assertIsInstance(factories[0], TLSMemoryBIOFactory)
        self.assertEqual(listening.addresses[2:], ["192.0.2.1 port 40123 with TLS", *ours])
        self.assertEqual(listening.exposed, ours)
        listening.close()

    def test_tls(self) -> None:
        """With a certificate the stand-in leads to TLS; with one of its own an endpoint's TLS stands before it."""
        self.endpoints[1].tls = self.certificate()
        listening = self.listening()
        listening.open()
        listening.serve(self.factory, Certificate(self.certificate()), self.reactor, unexpected)
        first, second = (factory for _, _, factory in self.listener.adopted)
        self.assertIs(first, self.endpoints[0].stand_in)
        self.assertIsInstance(self.endpoints[0].stand_in.factory, TLSMemoryBIOFactory)
        self.assertIsInstance(second, TLSMemoryBIOFactory)
        self.assertIs(self.endpoints[1].stand_in.factory, self.factory)
        self.assertEqual(listening.addresses, [":: port 40123 with TLS"] * 2)
        self.assertEqual(listening.exposed, [])
        listening.close()

    def test_stop(self) -> None:
        """The stop is done when every port is closed; then the places are given up."""
        listening = self.listening()
        listening.open()
        listening.serve(self.factory, None, self.reactor, unexpected)
        stopping = listening.stopService()
        self.assertEqual((self.listener.port.asked, self.places[0].released), (2, 0))
        self.assertNoResult(stopping)
        self.listener.port.gone.callback(None)
        self.successResultOf(stopping)
        self.assertEqual([binding.released for binding in self.places], [1, 1])
        listening.close()

    def test_unix_in_the_clear(self) -> None:
        """Who comes by a Unix socket meets no TLS, and is accepted by a port made for them, on the reactor for
        connections."""
        folder = Path(self.mktemp())
        folder.mkdir()
        path = os.path.relpath(folder / "gateway.sock")
        endpoint = Endpoint(f"unix:{path}", UNIXBinding(path, 0o600))
        listening = Listening([endpoint])
        listening.open()
        self.assertEqual((listening.addresses, listening.exposed, listening.port), ([path], [], 0))
        with capturedLogs() as events:
            listening.serve(self.factory, Certificate(self.certificate()), self.reactor, unexpected)
        self.assertIn(f"Gateway starting on {path}", [formatEvent(event) for event in events])
        self.assertIs(endpoint.stand_in.factory, self.factory)
        (service,) = listening
        port = service._listening
        self.assertIsInstance(port, UNIXPort)
        self.assertTrue(verifyObject(IListeningPort, port))
        self.assertEqual(port.getHost().name, os.fsencode(path))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            port.doRead()
        stopping = listening.stopService()
        self.reactor.advance(0)
        self.successResultOf(stopping)
        self.assertFalse(Path(path).exists())
        listening.close()
        self.assertIs(listen_on, listening._listen)
