"""The port: a listening socket that is bound before the service starts, so that a taken port is known at once."""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorSocket
from twisted.internet.protocol import ServerFactory

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


class ListeningService(Service):
    """Accepts connections on a bound socket.

    @param listening: from L{bind}; the service takes it over.
    """

    def __init__(self, listening: socket.socket, factory: ServerFactory, reactor: IReactorSocket) -> None:
        self._socket: socket.socket | None = listening
        self._factory = factory
        self._reactor = reactor
        self._port: IListeningPort | None = None
        self.port: int = listening.getsockname()[1]

    def startService(self) -> None:
        """See L{IService}."""
        super().startService()
        assert self._socket is not None
        family = self._socket.family
        self._port = self._reactor.adoptStreamPort(self._socket.fileno(), family, self._factory)
        # The port has its own descriptor now.
        self._socket.close()
        self._socket = None

    def stopService(self) -> Deferred[Any]:
        """See L{IService}; fires once no more connection is accepted."""
        super().stopService()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._port is None:
            return maybeDeferred(lambda: None)
        port, self._port = self._port, None
        return maybeDeferred(port.stopListening)
