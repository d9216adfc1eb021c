"""The port, and what it makes of connections."""

import os
import socket
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.transports.sockets.poller import BURST, Poller
from cell0gw.transports.sockets.port import GatewayPort
from cell0gw.transports.sockets.tcp import GatewayTransport, PlainTransport
from cell0gw.transports.sockets.unix import LocalAddress, PlainUNIXTransport, UNIXPort, UNIXTransport


class TransportTests(SynchronousTestCase):
    """What a port makes of an accepted socket."""

    def made_by(self, kind: type[GatewayPort], reactor: Any, address: Any) -> Any:
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        port = kind(0, ServerFactory(), reactor=MemoryReactorClock())  # type: ignore[arg-type]
        port.connections_reactor = reactor
        transport = port.transport(ours, Protocol(), address, port, 0, None)
        self.addCleanup(ours.close)
        return transport

    def made_on(self, reactor: Any) -> list[type]:
        """What becomes of connections by TCP and by a Unix socket."""
        return [
            type(self.made_by(GatewayPort, reactor, ("127.0.0.1", 1))),
            type(self.made_by(UNIXPort, reactor, "")),
        ]

    def test_on_a_poller(self) -> None:
        """On a poller connections have the transport that counts on it."""
        poller = Poller(MemoryReactorClock())
        self.addCleanup(poller._epoll.close)
        self.assertEqual(self.made_on(poller), [GatewayTransport, UNIXTransport])

    def test_elsewhere(self) -> None:
        """On a reactor that asks who can write until told to stop, they write as Twisted does."""
        self.assertEqual(self.made_on(MemoryReactorClock()), [PlainTransport, PlainUNIXTransport])

    def test_peer_of_a_unix_socket(self) -> None:
        """Who comes by a Unix socket is known by the process it is, whatever the socket's own name; Nagle is none."""
        for address in ("", "/tmp/client", b"\0abstract"):
            transport = self.made_by(UNIXPort, MemoryReactorClock(), address)
            self.assertEqual(transport.getPeer(), LocalAddress("unix", os.getpid()))
            self.assertTrue(verifyObject(IAddress, transport.getPeer()))
            self.assertIsInstance(transport.getHost(), UNIXAddress)
            transport.setTcpNoDelay(True)

    def test_connection_burst(self) -> None:
        """However many come at once, and however often, they are let in a few at a time."""
        come: list[Any] = []

        class Burst:
            def accept(self) -> tuple[socket.socket, Any]:
                come.append(socket.socketpair())
                return come[-1][0], ("192.0.2.1", 1)

        class Closed(ServerFactory):
            def buildProtocol(self, addr: Any) -> None:
                return None

        port = GatewayPort(0, Closed(), reactor=MemoryReactorClock())  # type: ignore[arg-type]
        port.socket, port.numberAccepts = Burst(), 100  # type: ignore[assignment]
        for passes in range(1, 5):
            port.doRead()
            self.assertEqual(len(come), passes * BURST)
        for _, theirs in come:
            theirs.close()
