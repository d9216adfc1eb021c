"""The port: it accepts connections, and others look after them."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet import tcp

from cell0gw.transports.sockets.poller import BURST, Poller
from cell0gw.transports.sockets.tcp import GatewayTransport, PlainTransport


class GatewayPort(tcp.Port):
    """Accepts connections and gives them to another reactor, see L{Poller}.

    @cvar on_poller: makes the transports of connections on a L{Poller}; C{elsewhere}: on any other reactor.
    @ivar connections_reactor: that one.
    """

    on_poller: ClassVar[type[tcp.Server]] = GatewayTransport
    elsewhere: ClassVar[type[tcp.Server]] = PlainTransport
    connections_reactor: Any

    def doRead(self) -> None:
        """See L{IReadDescriptor}. Of a connection burst a few are accepted at a time, as a L{Poller} serves them."""
        self.numberAccepts = min(self.numberAccepts, BURST)
        super().doRead()

    def transport(  # type: ignore[override]
        self, skt: Any, protocol: Any, address: Any, port: Any, number: int, reactor: Any
    ) -> tcp.Server:
        """Twisted's port looks up the class of its transports here."""
        kind = self.on_poller if isinstance(self.connections_reactor, Poller) else self.elsewhere
        return kind(skt, protocol, address, port, number, self.connections_reactor)
