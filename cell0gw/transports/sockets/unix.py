"""Connections by Unix sockets: as those by TCP, but that their ends have no addresses."""

from __future__ import annotations

import socket
import struct
from typing import Any, NamedTuple, Self

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress, IProtocolFactory
from zope.interface import implementer

from cell0gw.transports.sockets.binding import described
from cell0gw.transports.sockets.port import GatewayPort
from cell0gw.transports.sockets.tcp import GatewayTransport, PlainTransport

_CREDENTIALS = struct.Struct("3i")


@implementer(IAddress)
class LocalAddress(NamedTuple):
    """Somebody on this machine. C{port} is the id of the process that connected; 0: it is not known."""

    host: str = "unix"
    port: int = 0


class _Local:
    """What a transport says of its ends."""

    socket: socket.socket
    client_address: Any

    def __init__(self, skt: Any, protocol: Any, address: Any, *arguments: Any) -> None:
        super().__init__(skt, protocol, LocalAddress(), *arguments)  # type: ignore[call-arg]

    def getPeer(self) -> Any:
        """See L{PlainTransport.getPeer}."""
        if self.client_address is not None:
            return self.client_address
        if not hasattr(socket, "SO_PEERCRED"):
            return LocalAddress()
        credentials = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return LocalAddress(port=_CREDENTIALS.unpack(credentials)[0])

    def getHost(self) -> UNIXAddress:
        """See L{ITransport}."""
        return UNIXAddress(self.socket.getsockname())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See L{ITCPTransport}. Nothing is ever delayed."""


class UNIXTransport(_Local, GatewayTransport):
    """A connection's socket on a L{Poller}."""


class PlainUNIXTransport(_Local, PlainTransport):
    """A connection's socket on whatever reactor there is."""


class UNIXPort(GatewayPort):
    """Accepts connections of a Unix socket."""

    on_poller = UNIXTransport
    elsewhere = PlainUNIXTransport
    _name = ""

    @property  # type: ignore[override]
    def _realPortNumber(self) -> str:
        """What Twisted's lines in the log call it."""
        return self._name

    @_realPortNumber.setter
    def _realPortNumber(self, number: object) -> None:
        """Ignored: it would be a letter of the path."""

    @classmethod
    def _fromListeningDescriptor(
        cls, reactor: Any, fd: int, addressFamily: socket.AddressFamily, factory: IProtocolFactory
    ) -> Self:
        port = cls(0, factory, reactor=reactor)
        port._preexistingSocket = listening = socket.fromfd(fd, addressFamily, cls.socketType)
        port._name = described(listening)
        return port

    def _buildAddr(self, address: Any) -> LocalAddress:
        return LocalAddress()

    def getHost(self) -> UNIXAddress:
        """See L{IListeningPort}."""
        return UNIXAddress(self.socket.getsockname())
