"""The port: a listening socket that is bound before the service starts, so that a taken port is known at once, and
whose connections write little and often at little cost."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet import tcp
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectionAborted
from twisted.internet.protocol import ServerFactory
from twisted.python.failure import Failure

from cell0gw.transports.poller import Poller, reactor_for_connections

BACKLOG: Final = 1024


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens.

    @param host: an address or a name; IPv4 and IPv6 alike.
    @param port: 0 lets the system choose.
    @raise OSError: the address is taken, is not one of this machine, or is not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:
        raise OSError(errno.EINVAL, "not the name of a host") from None
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


class GatewayTransport(tcp.Server):
    """A connection's socket, on a L{Poller}.

    The two steps that every message takes, C{write} and C{doWrite}, have a short way for the common case: no TLS, no
    producer, nothing left over from before. All else is Twisted's.
    """

    def write(self, data: bytes) -> None:
        """See L{ITransport}."""
        if self.connected and not (self.TLS or self._writeDisconnected or self.producer is not None):
            self._tempDataBuffer.append(data)
            self._tempDataLen += len(data)
            self.reactor.addWriter(self)
        else:
            super().write(data)

    def doWrite(self) -> Any:
        """See L{IWriteDescriptor}. Who has sent all need not say so: a poller asks those only who have more to send."""
        size, chunks = self._tempDataLen, self._tempDataBuffer
        if (
            not 0 < size <= self.SEND_LIMIT
            or self.dataBuffer
            or self.disconnecting
            or self.TLS
            or self.producer is not None
            or self._writeDisconnecting
        ):
            return super().doWrite()
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        try:
            sent = self.socket.send(data)
        except OSError:
            return super().doWrite()  # which knows what each error means
        self._tempDataBuffer = []
        self._tempDataLen = 0
        if sent < size:
            self.dataBuffer, self.offset = data, sent
        return None


class GatewayPort(tcp.Port):
    """Accepts connections and gives them to another reactor, see L{Poller}.

    @ivar connections_reactor: that one.
    """

    connections_reactor: Any

    def transport(  # type: ignore[override]
        self, skt: Any, protocol: Any, address: Any, port: Any, number: int, reactor: Any
    ) -> tcp.Server:
        """Twisted's port looks up the class of its transports here."""
        kind = GatewayTransport if isinstance(self.connections_reactor, Poller) else tcp.Server
        return kind(skt, protocol, address, port, number, self.connections_reactor)

    def abandon(self) -> None:
        """Let go of whatever is connected still."""
        if isinstance(self.connections_reactor, Poller):
            self.connections_reactor.close(Failure(ConnectionAborted("the gateway has stopped")))


def listen_on(listening: socket.socket, factory: ServerFactory, reactor: Any) -> GatewayPort:
    """Accept connections on a bound socket.

    @return: a port that listens, on a descriptor of its own.
    """
    port: GatewayPort = GatewayPort._fromListeningDescriptor(reactor, listening.fileno(), listening.family, factory)
    port.connections_reactor = reactor_for_connections(reactor)
    port.startListening()
    return port


class ListeningService(Service):
    """Accepts connections on a bound socket.

    @param listening: from L{bind}; the service takes it over.
    @param listen: see L{listen_on}.
    """

    def __init__(
        self,
        listening: socket.socket,
        factory: ServerFactory,
        reactor: Any,
        listen: Callable[[Any, Any, Any], GatewayPort] = listen_on,
    ) -> None:
        self._socket: socket.socket | None = listening
        self._factory = factory
        self._reactor = reactor
        self._listen = listen
        self._listening: GatewayPort | None = None
        self._stopping: Deferred[Any] = succeed(None)
        self.port: int = listening.getsockname()[1]

    def startService(self) -> None:
        """See L{IService}."""
        super().startService()
        assert self._socket is not None
        self._listening = self._listen(self._socket, self._factory, self._reactor)
        self._give_up_socket()

    def stopService(self) -> Deferred[Any]:
        """See L{IService}; fires once no more connection is accepted. Those that are open stay open."""
        self._give_up_socket()
        if self.running and self._listening is not None:
            self._stopping = maybeDeferred(self._listening.stopListening)
        super().stopService()
        return self._stopping

    def close(self) -> None:
        """Let go of whatever is connected still."""
        if self._listening is not None:
            self._listening.abandon()

    def _give_up_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
