"""Listening: sockets that are opened before the service starts, so that a taken port is known at once."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IProtocolFactory
from twisted.python.failure import Failure

from cell0gw.transports.sockets.binding import described, is_exposed
from cell0gw.transports.sockets.certificates import Certificate
from cell0gw.transports.sockets.endpoints import Endpoint, read_endpoints
from cell0gw.transports.sockets.handshaking import Report
from cell0gw.transports.sockets.poller import Poller, reactor_for_connections
from cell0gw.transports.sockets.port import GatewayPort
from cell0gw.transports.sockets.proxied import ProxiedFactory, Proxies
from cell0gw.transports.sockets.tls import over_tls
from cell0gw.transports.sockets.unix import UNIXPort

Renewal = Callable[[], None]


class ListenError(Exception):
    """An endpoint can't be listened on.

    @ivar text: which one; C{reason}: why; C{errno}: the system's number for that.
    """

    def __init__(self, text: str, problem: OSError) -> None:
        self.text = text
        self.reason = str(problem.strerror or problem)
        self.errno = problem.errno
        super().__init__(f"{text} ({self.reason})")


def listen_on(listening: socket.socket, factory: IProtocolFactory, reactor: Any, connections: Any) -> GatewayPort:
    """Accept connections on a bound socket.

    @param connections: the reactor that serves them, see L{reactor_for_connections}.
    @return: a port that listens, on a descriptor of its own.
    """
    kind = UNIXPort if listening.family == socket.AF_UNIX else GatewayPort
    port: GatewayPort = kind._fromListeningDescriptor(reactor, listening.fileno(), listening.family, factory)
    port.connections_reactor = connections
    port.startListening()
    return port


class ListeningService(Service):
    """Accepts connections on one socket.

    @param listening: it listens already; the service takes it over.
    @param listen: makes a port of the socket and the factory, see L{listen_on}.
    """

    def __init__(
        self, listening: socket.socket, factory: IProtocolFactory, listen: Callable[[Any, Any], GatewayPort]
    ) -> None:
        self._socket: socket.socket | None = listening
        self._factory = factory
        self._listen = listen
        self._listening: GatewayPort | None = None
        self._stopping: Deferred[Any] = succeed(None)

    def startService(self) -> None:
        """See L{IService}."""
        super().startService()
        assert self._socket is not None
        self._listening = self._listen(self._socket, self._factory)
        self._give_up_socket()

    def stopService(self) -> Deferred[Any]:
        """See L{IService}; fires once no more connection is accepted. Those that are open stay open."""
        self._give_up_socket()
        if self.running and self._listening is not None:
            self._stopping = maybeDeferred(self._listening.stopListening)
        super().stopService()
        return self._stopping

    def _give_up_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Listening(MultiService):
    """Accepts connections on several endpoints.

    @param listen: see L{listen_on}.
    @ivar addresses: where, for people: known once it is open.
    @ivar exposed: those of them which other machines may reach, without TLS: known once it serves.
    @ivar port: the first TCP port; 0: none is.
    """

    def __init__(self, endpoints: Sequence[Endpoint], listen: Callable[..., GatewayPort] = listen_on) -> None:
        super().__init__()
        self._listen = listen
        self._endpoints = endpoints
        self._sockets: list[tuple[Endpoint, list[socket.socket]]] = []
        self._own: list[tuple[str, Certificate]] = []
        self._connections: Any = None
        self.addresses: list[str] = []
        self.exposed: list[str] = []
        self.port = 0

    def open(self) -> None:
        """Open every socket; forks after this are fine.

        @raise ListenError: one of them can't be had; then none is.
        """
        for endpoint in self._endpoints:
            try:
                opened = endpoint.binding.open()
            except OSError as problem:
                self.close()
                raise ListenError(endpoint.text, problem) from None
            self._sockets.append((endpoint, opened))
            self.addresses += map(described, opened)
            if not self.port and opened[0].family != socket.AF_UNIX:
                self.port = int(opened[0].getsockname()[1])

    def serve(
        self,
        factory: IProtocolFactory,
        certificate: Certificate | None,
        reactor: Any,
        report: Report,
        proxies: Proxies | None = None,
    ) -> None:
        """Accept connections.

        @param factory: makes their protocols.
        @param certificate: for TCP; who comes by a Unix socket is on this machine, and an C{ssl:} endpoint has its own.
        @param report: called when a handshake of TLS has failed.
        @param proxies: where connections begin with a header of the PROXY protocol; None: nowhere.
        """
        self._connections = reactor_for_connections(reactor)
        secured = factory if certificate is None else over_tls(factory, certificate, reactor, report)
        listen = partial(self._listen, reactor=reactor, connections=self._connections)
        self.addresses = []
        for endpoint, opened in self._sockets:
            local, own = opened[0].family == socket.AF_UNIX, endpoint.tls
            endpoint.stand_in.factory = factory if local or own is not None else secured
            outer: IProtocolFactory = endpoint.stand_in
            if own is not None:
                self._own.append((endpoint.text, renewed := Certificate(own)))
                outer = over_tls(outer, renewed, reactor, report)
            if proxies is not None:
                outer = ProxiedFactory(outer, proxies)
            tls = own is not None or endpoint.stand_in.factory is not factory
            for listening in opened:
                address = described(listening)
                self.addresses.append(f"{address} with TLS" if tls else address)
                if not tls and is_exposed(listening):
                    self.exposed.append(address)
                ListeningService(listening, outer, listen).setServiceParent(self)
        self._sockets = []
        self.startService()

    def read_again(self) -> list[Renewal]:
        """Read the certificates of C{ssl:} endpoints again.

        @return: what has each take hold, for new handshakes.
        @raise EndpointError: one of them can't be used.
        """
        read = [(own, read_endpoints([text])[0].tls) for text, own in self._own]
        return [partial(own.renew, tls) for own, tls in read if tls is not None]

    def stopService(self) -> Deferred[Any]:
        """See L{IService}; fires once no more connection is accepted. Those that are open stay open."""
        Service.stopService(self)
        stopping = gatherResults([maybeDeferred(service.stopService) for service in self])
        return stopping.addCallback(lambda results: self._release())

    def close(self) -> None:
        """Close all that is open, and abort the connections that are left."""
        for _, opened in self._sockets:
            for listening in opened:
                listening.close()
        self._sockets, self.addresses, self.exposed, self.port = [], [], [], 0
        self._release()
        if isinstance(self._connections, Poller):
            self._connections.close(Failure(ConnectionAborted("the gateway has stopped")))
        self._connections = None

    def _release(self) -> None:
        for endpoint in self._endpoints:
            endpoint.binding.release()
