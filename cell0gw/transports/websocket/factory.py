"""What all connections share: the factory of the protocol, with Autobahn's options."""

from __future__ import annotations

from typing import Any, Protocol

from autobahn.twisted.websocket import WebSocketServerFactory
from zope.interface import implementer

from cell0gw.guard.guard import Guard
from cell0gw.monitoring.health import Health
from cell0gw.monitoring.refusals import Refusals
from cell0gw.process.interfaces import IDraining, IReconfigurable
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.notifications import ConnectionWelcome
from cell0gw.protocol.timestamps import timestamp
from cell0gw.protocol.version import CAPABILITIES, PROTOCOL_VERSION, SERVER_VERSION
from cell0gw.rpc.dispatch import Dispatcher
from cell0gw.sessions.registry import Sessions
from cell0gw.sessions.session import IConnection
from cell0gw.transports.deflate import accept_deflate
from cell0gw.transports.websocket.admission import Admission
from cell0gw.transports.websocket.handshake import SUBPROTOCOL, PageRequest, RequestReader
from cell0gw.transports.websocket.lean import LeanProtocol, with_options
from cell0gw.transports.websocket.pages import Pages
from cell0gw.transports.websocket.refusals import REFUSALS, Refused
from cell0gw.transports.websocket.turns import Turns


class _Options(Protocol):
    """What is asked of the options."""

    @property
    def allowed_origins(self) -> tuple[str, ...]: ...

    @property
    def allowed_hosts(self) -> tuple[str, ...]: ...

    @property
    def trusted_proxies(self) -> tuple[str, ...]: ...

    @property
    def max_head_size(self) -> int: ...

    @property
    def path(self) -> str | None: ...


@implementer(IDraining, IReconfigurable)
class GatewayFactory(WebSocketServerFactory):
    """All that a connection needs to know of the gateway.

    @param protocol: what a connection speaks.
    @param compression: whether messages may be compressed.
    @ivar admission: says who may connect.
    @ivar reader: reads requests.
    @ivar refusals: counts the requests that become no connection.
    @ivar draining: whether the gateway is going down; new connections are closed.
    """

    draining = False
    noisy = False

    def __init__(
        self,
        protocol: type[LeanProtocol],
        dispatcher: Dispatcher,
        guard: Guard,
        sessions: Sessions,
        compression: bool,
        health: Health,
        runtime: Runtime,
    ) -> None:
        super().__init__(protocols=[SUBPROTOCOL], server=None, reactor=runtime.clock)
        self.clock = runtime.clock
        self.seconds = runtime.clock.seconds
        self.dispatch = dispatcher.dispatch
        self.connections = guard.connections
        self.arrivals = guard.arrivals
        self.charge = guard.throttle.charge
        self.work = guard.work
        self.spent = guard.anonymous.spent
        self.turns = Turns(runtime.clock)
        self.sessions = sessions
        self.heartbeats = guard.heartbeats
        self.limits = limits = guard.limits
        self.limit_exceeded = guard.alarms.limit_exceeded
        self.admission = Admission(self.connections, self.limit_exceeded)
        self.reader = RequestReader()
        self._pages = Pages(health)
        self.refusals = Refusals(self.seconds, REFUSALS)
        self.new_id = runtime.new_id
        self._wall = runtime.wall
        # Autobahn's own limits are off unless asked for; and setting any option flips allowNullOrigin, so it is named.
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            allowNullOrigin=True,
            failByDrop=False,
            # Autobahn's own timers are off: HeartbeatService looks after those who don't come and those who don't go.
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            maxMessagePayloadSize=limits.max_message_size,
            maxFramePayloadSize=limits.max_message_size,
            perMessageCompressionAccept=accept_deflate if compression else None,
        )
        self.protocol: Any = with_options(protocol, self)

    def drain(self, draining: bool) -> None:
        """See L{IDraining}: connections that open from now on are closed."""
        self.draining = draining

    def reconfigure(self, config: _Options) -> None:
        """See L{IReconfigurable}: handshakes are judged by them from now on."""
        self.admission.allow(config.allowed_origins, config.allowed_hosts, config.trusted_proxies)
        self.reader = RequestReader(config.max_head_size, config.path)

    def buildProtocol(self, addr: Any) -> Any:
        """See L{IProtocolFactory}. None, and so a closed socket, when there is no capacity."""
        return super().buildProtocol(addr) if self.connections.free_capacity(self.admission.source(addr)) else None

    def serve(self, connection: Any, request: PageRequest) -> bytes:
        """Answer a request that asks for no WebSocket.

        @return: the whole response.
        @raise Refused: the gateway is not called as the request calls it. Probes may call it by any address.
        """
        if not request.health:
            self.admission.judge_host(connection, request.host)
        return self._pages.response(request)

    def refused(self, connection: Any, refusal: Refused) -> None:
        """Count a request that becomes no connection, and tell of it."""
        cause = refusal.cause
        if REFUSALS[cause].limit:
            self.refusals.count(cause)
            return
        if connection.forwarded is None:
            connection.forwarded = self.admission.forwarded(connection, refusal.forwarded)
        self.refusals.refused(cause, REFUSALS[cause].reason, connection.client)

    def welcome(self, connection: IConnection) -> ConnectionWelcome:
        """The first message on a connection."""
        return ConnectionWelcome(
            connection_id=connection.connection_id,
            server_version=SERVER_VERSION,
            capabilities=CAPABILITIES,
            timestamp=timestamp(self._wall()),
            protocol=PROTOCOL_VERSION,
            limits=self.limits,
            heartbeat_interval=self.heartbeats.interval,
            heartbeat_timeout=self.heartbeats.timeout,
        )
