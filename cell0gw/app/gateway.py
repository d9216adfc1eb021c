"""The gateway without a process around it: the services, and the rules they stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cell0gw.agents.agents import Agents
from cell0gw.app.drain import Drain
from cell0gw.app.embedded import Embedded
from cell0gw.app.reconfiguration import Reconfigured, merge
from cell0gw.auth.credentials import Credentials
from cell0gw.channels.channels import Channels
from cell0gw.config.options import Config
from cell0gw.engines.interfaces import IEngine
from cell0gw.guard.guard import Guard
from cell0gw.guard.heartbeat import HeartbeatService
from cell0gw.monitoring.health import Health
from cell0gw.monitoring.statistics import Counts
from cell0gw.presence.presence import Presence
from cell0gw.process.interfaces import IDraining, IReconfigurable, ISweeper
from cell0gw.process.runtime import Runtime
from cell0gw.rpc.rpc import RPC
from cell0gw.services.agent import AgentService
from cell0gw.services.auth import AuthService
from cell0gw.services.channel import ChannelService
from cell0gw.services.gateway import GatewayService
from cell0gw.services.presence import PresenceService
from cell0gw.services.rpc import RPCService
from cell0gw.services.session import SessionService
from cell0gw.sessions.observers import IRefreshObserver, ISessionObserver
from cell0gw.sessions.registry import Sessions
from cell0gw.transports.websocket.factory import GatewayFactory


class Gateway(MultiService):
    """The services by namespace, as children by name, and the parts that they stand on.

    @param engine: where what must outlive the process is kept; whoever made it opens and closes it.
    @param audit: takes the lines of the L{cell0gw.monitoring.audit.Audit} log.
    @ivar factory: makes the protocols of connections.
    @ivar health: what is wrong, and who is to hear of it.
    @ivar publish: see L{Embedded}; so for C{send}, C{emit} and C{mint}.
    """

    log = Logger()

    def __init__(
        self,
        config: Config,
        engine: IEngine,
        runtime: Runtime,
        audit: Callable[[bytes], Any] = lambda line: None,
    ) -> None:
        super().__init__()
        self.config = config
        self.engine = engine
        self._runtime = runtime
        limits = config.limits
        self.channels = channels = Channels(engine.messages, config.channel_options, limits, runtime)
        emit, tell = channels.broker.emit, partial(channels.broker.emit, "$system")
        self.guard = guard = Guard(limits, tell, audit, runtime)
        self.sessions = Sessions(runtime, config.resume_window, tell)
        self.presence = presence = Presence(emit, runtime)
        self.credentials = Credentials(engine.tokens, runtime, self._grantable)
        self.agents = agents = Agents(
            engine.mail, config.mail_limits, presence.directory, self.credentials, emit, runtime
        )
        self.rpc = rpc = RPC(
            self, guard, agents.calls.answered_by, config.anonymous_reads, config.idempotency_window, runtime.clock
        )
        for room in (guard, presence, channels, agents):
            self.sessions.observers += room.observers
        sweepers: list[ISweeper] = [runtime.dates, self.sessions, *channels.sweepers, *rpc.sweepers]
        heartbeats = HeartbeatService(
            guard,
            [*sweepers, *agents.sweepers, *guard.sweepers, self.credentials],
            config.heartbeat_interval,
            config.heartbeat_timeout,
            runtime,
        )
        self.factory = GatewayFactory(
            runtime, rpc.dispatcher, guard, self.sessions, heartbeats, config.enable_compression
        )
        self.factory.reconfigure(config)
        self.health = Health(tell, runtime.wall)
        self.health.changed.append(self.credentials.sweep)
        engine.changed.append(self.health.storage)
        embedded = Embedded(channels.broker, agents.mail, self.credentials)
        self.publish, self.send, self.emit, self.mint = embedded.publish, embedded.send, embedded.emit, embedded.mint
        self._draining: list[IDraining] = [self.factory, rpc.dispatcher, self.health, agents.calls]
        self._reconfigurable: list[IReconfigurable] = [guard, channels, self.factory, rpc.dispatcher]
        for service in (*self._namespaces(), heartbeats):
            service.setServiceParent(self)
            if IRefreshObserver.providedBy(service):
                self.sessions.refresh_observers.append(service)
        self.sessions.refresh_observers.append(agents.workers)

    def _namespaces(self) -> tuple[Any, ...]:
        """The gateway's own services, thin faces over the parts."""
        runtime = self._runtime
        channels, presence, agents, rpc = self.channels, self.presence, self.agents, self.rpc
        recovery, allows = channels.recovery, rpc.dispatcher.allows
        return (
            RPCService(runtime.wall, rpc.dispatcher.methods),
            AuthService(self.credentials, self.sessions, presence.directory, self.guard),
            SessionService(self.sessions, presence, recovery, allows, runtime.dates),
            PresenceService(presence),
            ChannelService(channels, rpc.idempotency, allows),
            AgentService(presence, agents, rpc.idempotency),
            GatewayService(runtime, lambda: list(self), self._statistics, agents, rpc.dispatcher.examine, self.health),
        )

    def startService(self) -> None:
        """See L{IService}."""
        list(self.rpc.dispatcher.methods())  # whatever can't be called shows now
        for part in self._draining:
            part.drain(False)
        self.credentials.load()
        self.channels.load()
        self.agents.load()
        super().startService()
        self.emit("gateway.started", {})

    def drain(self) -> Deferred[None]:
        """Refuse new work, and send everyone away, with a code that says reconnect.

        @return: fires when all are gone, after C{drain_timeout} seconds at the latest.
        """
        self.emit("gateway.draining", {})
        for part in self._draining:
            part.drain(True)
        drain = Drain(self._runtime, self.guard.connections, self.config.drain_timeout)
        # Whoever waits for a write has the answer before the goodbye; but not for ever.
        written = self.engine.written().addTimeout(self.config.drain_timeout / 2, self._runtime.clock)
        return written.addBoth(lambda outcome: drain.begin())

    def reconfigure(self, config: Config) -> Reconfigured:
        """Take over other options, as far as a gateway can that runs; connections stay.

        Whoever calls this has seen to the certificates already, and to the log's level.
        """
        self.config, outcome = merge(self.config, config)
        for part in self._reconfigurable:
            part.reconfigure(self.config)
        return outcome

    def register(self, service: IService) -> None:
        """Add a namespace of one's own: the service's name is the namespace, its C{rpc_} methods are the methods.

        A service that provides L{ISessionObserver} hears of sessions, one that provides L{IStatistics} is asked for
        its figures.

        @raise TypeError: a method declares no permission, or can't be called.
        @raise RuntimeError: the name is taken.
        """
        service.setServiceParent(self)
        try:
            for method in self.rpc.dispatcher.methods():
                assert method
        except TypeError:
            self.rpc.dispatcher.forget(service.name)
            service.disownServiceParent()
            raise
        if ISessionObserver.providedBy(service):
            self.sessions.observers.append(service)

    def _grantable(self) -> dict[str, bool]:
        """See L{cell0gw.auth.grants.Grantable}: the credentials need it of the dispatcher, which is made after them."""
        return {**self.rpc.dispatcher.permissions(), **self.agents.permissions}

    def _statistics(self) -> Counts:
        return Counts(
            current={
                "connections": len(self.guard.connections),
                "unauthenticated": self.guard.connections.unauthenticated,
                "tokens": len(self.credentials),
            },
            total={
                "connections_accepted": self.guard.connections.total,
                "calls": self.rpc.dispatcher.calls,
                "errors": self.rpc.dispatcher.errors,
                "stalls": self.factory.heartbeats.stalls,
            },
        )

    def __iter__(self) -> Iterator[Any]:
        return iter(self.services)
