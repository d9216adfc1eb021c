"""The protocol on the wire: Autobahn's WebSocket, one JSON-RPC message a text frame."""

from __future__ import annotations

import sys

from zope.interface import implementer

from cell0gw.guard.addresses import client_address
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import UNAUTHENTICATED_MESSAGE_SIZE
from cell0gw.sessions.client import ClientAddress, Reached
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.session import Caller, IConnection, Session
from cell0gw.transports.websocket.handshake import UpgradeRequest
from cell0gw.transports.websocket.taking import TakingProtocol


@implementer(IConnection)
class GatewayProtocol(TakingProtocol):
    """One connection.

    An exception that left one of Autobahn's callbacks would drop the connection, so none does.

    @ivar forwarded: for whom a trusted proxy opened it; None: there is no proxy, or it did not say.
    @ivar relay: the proxy that spoke the PROXY protocol, see L{client_address}.
    """

    # Up to thirty names of a class's instances share one table, which Autobahn's own would fill.
    __slots__ = (
        "address",
        "bad_tokens",
        "caller",
        "connection_id",
        "forwarded",
        "host",
        "opened_at",
        "relay",
        "session",
    )

    def __init__(self) -> None:
        super().__init__()
        self.connection_id = self.address = self.host = ""
        self.forwarded: str | None = None
        self.relay: str | None = None
        self.session: Session | None = None
        self.opened_at = 0.0
        self.bad_tokens = 0

    def connectionMade(self) -> None:
        """See L{IProtocol}."""
        super().connectionMade()
        factory = self.factory
        self.opened_at = factory.seconds()
        self.address = factory.admission.source(self.transport.getPeer()) or ""
        self.relay = getattr(self.transport, "relay", None)
        self.caller = Caller(self)
        if hasattr(self.transport, "watch_backlog"):
            self.transport.watch_backlog(factory.limits)
        factory.connections.accepted(self)

    @property
    def client(self) -> ClientAddress:
        """See L{IConnection}."""
        return client_address(self.peer or "", self.forwarded, self.relay)

    @property
    def reached(self) -> Reached:
        """See L{IConnection}."""
        transport = self.transport
        # What a proxy was shown is not what its clients are shown.
        fingerprint = getattr(transport, "self_signed", None) if self.forwarded is None else None
        return Reached(self.host, getattr(transport, "TLS", False), fingerprint)

    def admit(self, request: UpgradeRequest) -> None:
        """See L{Admission.admit}."""
        self.host = sys.intern(request.host)  # nearly all call it by the same name
        self.caller.foreign = self.factory.admission.admit(self, request)

    def onOpen(self) -> None:
        """The handshake is done: welcome."""
        factory = self.factory
        self.opened_at = factory.seconds()
        self.connection_id = factory.new_id("conn")
        self.begin_sending()
        self.maxMessagePayloadSize = self.maxFramePayloadSize = min(
            UNAUTHENTICATED_MESSAGE_SIZE, factory.limits.max_message_size
        )
        factory.connections.opened(self)
        self.slot = factory.heartbeats.opened(self)
        if not factory.connections.has_capacity_for(self.address):
            factory.limit_exceeded("max_connections_per_address", self.address)
            self.close(CloseCode.CONNECTION_LIMIT, "too many connections from this address")
            return
        self.notify("connection.welcome", factory.welcome(self))
        if factory.draining:
            self.close(CloseCode.DRAINING, "the gateway is going down")

    def session_opened(self, session: Session) -> None:
        """See L{IConnection}."""
        self.session = session
        self.maxMessagePayloadSize = self.maxFramePayloadSize = self.factory.limits.max_message_size
        self.factory.connections.forget_unauthenticated(self)
        if hasattr(self.transport, "goes_to_work"):
            self.transport.goes_to_work()

    def violated(self, code: int, reason: str) -> None:
        """See L{HardenedProtocol.violated}."""
        self._log.warn(
            "{connection_id} of {who} is closed: {code} {reason}",
            event="connection.violated",
            connection_id=self.connection_id,
            who=self.caller.entity_id or self.address,
            entity_id=self.caller.entity_id,
            address=self.client.address,
            code=code,
            reason=reason,
        )

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The socket is gone, possibly before any handshake."""
        self.leave(Ending(EndingKind.CLOSED if wasClean else EndingKind.LOST))
        self.factory.connections.closed(self)

    def left(self, slot: int, ending: Ending) -> None:
        """See L{ClosingProtocol.left}."""
        self.factory.heartbeats.closed(self, slot)
        self.factory.connections.forget_unauthenticated(self)
        self.let_go()
        if self.session is not None:
            self.factory.sessions.leave(self.session, ending)
