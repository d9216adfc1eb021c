"""Connections that begin with a header of the PROXY protocol, before anything else: below TLS, and before HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.guard.addresses import client_address
from cell0gw.guard.connections import Connections
from cell0gw.monitoring.refusals import PROXY_CAUSES
from cell0gw.sessions.client import ClientAddress
from cell0gw.sessions.session import IArrival
from cell0gw.transports.sockets.endpoints import StandIn
from cell0gw.transports.sockets.proxy_header import Header, HeaderError, read_header


class Proxies:
    """Whose headers are believed, and what becomes of connections until theirs has come.

    @param connections: counts them, as those in their handshake, and aborts those that take too long.
    @param trusts: tells whether a header is believed that comes from an address.
    @param refused: called with the cause, what is wrong, and who it is, when a connection is closed for its header.
    @param seconds: tells the time.
    """

    def __init__(
        self,
        connections: Connections,
        trusts: Callable[[Any], bool],
        refused: Callable[[str, str, ClientAddress], None],
        seconds: Callable[[], float],
    ) -> None:
        self.connections = connections
        self.trusts = trusts
        self.seconds = seconds
        self._refused = refused

    def refuse(self, cause: str, peer: Any) -> None:
        """Count a connection that is closed for its header, and tell of it.

        @param cause: one of L{PROXY_CAUSES}.
        @param peer: the address of the other end.
        """
        self._refused(cause, PROXY_CAUSES[cause], client_address(_written(peer), None))


class ProxiedFactory(StandIn):
    """Makes protocols that read the header, and then are out of the way.

    @param factory: makes those of connections whose header has come.
    """

    def __init__(self, factory: IProtocolFactory, proxies: Proxies) -> None:
        self.factory = factory
        self.proxies = proxies

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        """See L{IProtocolFactory}. None, and so a closed socket, for those whose header would not be believed."""
        if not self.proxies.trusts(addr):
            self.proxies.refuse("proxy_untrusted", addr)
            return None
        return AwaitedHeader(self) if self.proxies.connections.free_capacity(None) else None


@implementer(IArrival)
class AwaitedHeader(Protocol):
    """A connection whose header has not all come. Then its transport gets another protocol, and says whom it is for."""

    connection_id = address = ""
    opened_at = 0.0
    transport: Any

    def __init__(self, factory: ProxiedFactory) -> None:
        self._factory = factory
        self._proxies = factory.proxies
        self._received = bytearray()
        self._judged = False
        self._peer: Any = None

    def connectionMade(self) -> None:
        """See L{IProtocol}."""
        self._peer = self.transport.getPeer()
        self.opened_at = self._proxies.seconds()
        self._proxies.connections.accepted(self)

    def dataReceived(self, data: bytes) -> None:
        """See L{IProtocol}. What is kept is never longer than a header may be, and what comes at once."""
        if self._judged:
            return
        self._received += data
        try:
            header = read_header(self._received)
        except HeaderError as problem:
            self._refuse(problem.cause)
            self.transport.loseConnection()
            return
        if header is not None:
            self._make_way(header)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{IProtocol}. A socket on which nothing came is no failure: so are ports probed."""
        self._proxies.connections.closed(self)
        if self._received:
            self._refuse("proxy_incomplete")
        self._judged = True

    def abort(self) -> None:
        """See L{IArrival}."""
        self._refuse("proxy_incomplete")
        self.transport.abortConnection()

    def close(self, code: int, reason: str) -> None:
        """See L{IArrival}."""
        self.abort()

    def _refuse(self, cause: str) -> None:
        if not self._judged:
            self._judged = True
            self._received.clear()
            self._proxies.refuse(cause, self._peer)

    def _make_way(self, header: Header) -> None:
        self._judged = True
        self._proxies.connections.closed(self)
        transport, address = self.transport, self._peer
        if header.client is not None:
            kind = IPv4Address if header.client.version == 4 else IPv6Address
            transport.relay = _written(address)
            transport.client_address = address = kind("TCP", str(header.client), header.port)
        protocol = self._factory.factory.buildProtocol(address)
        if protocol is None:
            transport.abortConnection()
            return
        transport.protocol = protocol
        protocol.makeConnection(transport)
        if rest := bytes(self._received[header.length :]):
            protocol.dataReceived(rest)


def _written(peer: Any) -> str:
    return f"{peer.host}:{peer.port}"
