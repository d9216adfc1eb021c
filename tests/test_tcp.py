"""The port: bound before the service starts, given up when it stops."""

import errno
import os
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cell0gw.transports.poller import Poller
from cell0gw.transports.tcp import GatewayPort, GatewayTransport, ListeningService, PlainTransport, bind


class Socket:
    """A bound socket, as far as the service looks; what it has open is a pipe's end."""

    family = socket.AF_INET6

    def __init__(self) -> None:
        self._descriptor, self.other_end = os.pipe()
        self.closed = False

    def getsockname(self) -> tuple[str, int, int, int]:
        return ("::", 40_123, 0, 0)

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
        self.abandoned = 0

    def abandon(self) -> None:
        """See L{GatewayPort}."""
        self.abandoned += 1

    def startListening(self) -> None:
        """See L{IListeningPort}."""

    def stopListening(self) -> Deferred[None]:
        """See L{IListeningPort}."""
        self.asked += 1
        return self.gone

    def getHost(self) -> Any:
        """See L{IListeningPort}."""


class Listener:
    """Listens, or so it says.

    @ivar adopted: descriptor, family and factory; the descriptor was open at that moment.
    """

    def __init__(self) -> None:
        self.adopted: list[tuple[int, int, Any]] = []
        self.port = Port()

    def __call__(self, listening: Socket, factory: Any, reactor: Any) -> Any:
        os.fstat(listening.fileno())
        self.adopted.append((listening.fileno(), listening.family, factory))
        return self.port


class ListeningServiceTests(SynchronousTestCase):
    """L{ListeningService}."""

    def setUp(self) -> None:
        self.socket, self.factory, self.listener = Socket(), ServerFactory(), Listener()
        self.addCleanup(self.socket.close)
        self.service = ListeningService(self.socket, self.factory, None, self.listener)  # type: ignore[arg-type]

    def test_doubles(self) -> None:
        """The doubles of these tests are what they stand for."""
        self.assertTrue(verifyObject(IListeningPort, self.listener.port))

    def test_nothing_before_the_start(self) -> None:
        """Before the start nobody is accepted, but the port's number is known."""
        self.assertEqual(self.service.port, 40_123)
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
        self.assertEqual(self.service.port, 40_123)

    def test_stop(self) -> None:
        """The stop is done when the reactor's port is closed, not before."""
        self.service.startService()
        stopping = self.service.stopService()
        self.assertEqual(self.listener.port.asked, 1)
        self.assertNoResult(stopping)
        self.listener.port.gone.callback(None)
        self.successResultOf(stopping)
        self.assertFalse(self.service.running)

    def test_close(self) -> None:
        """What is connected still when all is over is let go of."""
        self.service.close()
        self.service.startService()
        self.service.close()
        self.assertEqual(self.listener.port.abandoned, 1)

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


class TransportTests(SynchronousTestCase):
    """What a port makes of an accepted socket."""

    def made_on(self, reactor: Any) -> type:
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        port = GatewayPort(0, ServerFactory(), reactor=MemoryReactorClock())  # type: ignore[arg-type]
        port.connections_reactor = reactor
        transport = port.transport(ours, Protocol(), ("127.0.0.1", 1), port, 0, None)
        self.addCleanup(ours.close)
        return type(transport)

    def test_on_a_poller(self) -> None:
        """On a poller connections have the transport that counts on it."""
        poller = Poller(MemoryReactorClock())
        self.addCleanup(poller._epoll.close)
        self.assertIs(self.made_on(poller), GatewayTransport)

    def test_elsewhere(self) -> None:
        """On a reactor that asks who can write until told to stop, they write as Twisted does."""
        self.assertIs(self.made_on(MemoryReactorClock()), PlainTransport)


class BindTests(SynchronousTestCase):
    """L{bind}, where it fails; the end-to-end tests bind."""

    def test_no_host(self) -> None:
        """What can't be the name of a host is an error of the system like any other."""
        for host in ("a..b", "x" * 64, "\ud800"):
            self.assertRaises(OSError, bind, host, 0)

    def test_not_our_address(self) -> None:
        """An address that isn't this machine's is an OSError that says so, and no socket stays open."""
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
        error = self.assertRaises(OSError, bind, "192.0.2.1", 18801)  # an address for documentation, RFC 5737
        self.assertEqual(error.errno, errno.EADDRNOTAVAIL)
        if before is not None:
            self.assertLessEqual(len(os.listdir("/proc/self/fd")), before)
