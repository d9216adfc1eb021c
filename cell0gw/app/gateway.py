"""The gateway without a process around it: the services, and the rules they stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from zope.interface import Interface

from cell0gw.agents.agents import Agents
from cell0gw.app.drain import Drain
from cell0gw.app.embedded import Embedded
from cell0gw.app.links import invite_link
from cell0gw.app.reconfiguration import Reconfigured, merge
from cell0gw.auth.credentials import Credentials
from cell0gw.auth.invites import Invites
from cell0gw.channels.channels import Channels
from cell0gw.config.options import Config
from cell0gw.engines.interfaces import IEngine
from cell0gw.guard.guard import Guard
from cell0gw.monitoring.health import Health
from cell0gw.monitoring.session_log import SessionLog
from cell0gw.monitoring.statistics import Counts
from cell0gw.monitoring.tls_failures import TLSFailures
from cell0gw.monitoring.writing import Writing
from cell0gw.presence.presence import Presence
from cell0gw.process.interfaces import IDraining, IReconfigurable, ISweeper
from cell0gw.process.lines import Lines
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.jsonrpc import Response
from cell0gw.rpc.rpc import RPC
from cell0gw.services.agent import AgentService
from cell0gw.services.auth import AuthService
from cell0gw.services.channel import ChannelService
from cell0gw.services.gateway import GatewayService
from cell0gw.services.presence import PresenceService
from cell0gw.services.rpc import RPCService
from cell0gw.services.session import SessionService
from cell0gw.services.task import TaskService
from cell0gw.sessions.observers import IRefreshObserver, ISessionObserver
from cell0gw.sessions.registry import Sessions
from cell0gw.sessions.session import Session
from cell0gw.tasks.attempt import attempt_of
from cell0gw.tasks.tasks import Tasks
from cell0gw.transports.sockets.proxied import Proxies
from cell0gw.transports.websocket.connection import GatewayProtocol
from cell0gw.transports.websocket.factory import GatewayFactory

_Part = TypeVar("_Part", bound=Interface)


class Gateway(MultiService):
    """The services by namespace, as children by name, and the parts that they stand on.

    @param engine: where what must outlive the process is kept; its owner opens and closes it.
    @param audit: takes the lines of the L{cell0gw.monitoring.audit.Audit} log.
    @param lines: see L{Writing}.
    @ivar factory: makes the protocols of connections.
    @ivar proxies: whose headers of the PROXY protocol are believed, where connections begin with one.
    @ivar health: what is wrong, and who is notified of it.
    @ivar tls_failures: counts handshakes of TLS that failed.
    @ivar publish: see L{Embedded}; so for C{send}, C{emit} and C{mint}.
    """

    log = Logger()

    def __init__(
        self,
        config: Config,
        engine: IEngine,
        runtime: Runtime,
        audit: Callable[[bytes], Any] = lambda line: None,
        lines: Mapping[str, Lines] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.config = config
        self.engine = engine
        self._runtime = runtime
        limits = config.limits
        self.channels = channels = Channels(engine.messages, config.channel_options, limits, runtime)
        emit, tell = channels.broker.emit, partial(channels.broker.emit, "$system")
        self.guard = guard = Guard(limits, config.heartbeat_interval, config.heartbeat_timeout, tell, audit, runtime)
        self.sessions = Sessions(runtime, config.resume_window, tell)
        self.presence = presence = Presence(emit, limits, runtime, config.check_inputs)
        self.credentials = Credentials(engine.tokens, runtime, self._grantable)
        self.invites = Invites(self.credentials, engine.tokens, runtime)
        self.agents = agents = Agents(
            engine.mail, limits, config.mail_limits, presence, self.credentials, guard.signs, emit, runtime
        )
        self.tasks = Tasks(engine.tasks, agents, presence.directory, channels.recovery.replay, limits, runtime)
        answered, reads = self._answered, config.anonymous_reads
        self.rpc = rpc = RPC(self, guard, self.sessions, answered, reads, config.idempotency_window, runtime.clock)
        self.health = Health(tell, runtime.wall)
        self.factory = GatewayFactory(
            GatewayProtocol, rpc.dispatcher, guard, self.sessions, config.enable_compression, self.health, runtime
        )
        self.factory.reconfigure(config)
        factory = self.factory
        self.proxies = Proxies(guard.connections, factory.admission.is_proxy, factory.refusals.refused, factory.seconds)
        self.tls_failures = TLSFailures(runtime.clock.seconds)
        self.health.changed += [self.credentials.sweep, self.invites.sweep]
        self._writing = Writing(self.health, lines)
        engine.changed.append(self.health.storage)
        embedded = Embedded(channels.broker, agents.mail, self.credentials)
        self.publish, self.send, self.emit, self.mint = embedded.publish, embedded.send, embedded.emit, embedded.mint
        services = self._namespaces()
        self._parts = (
            SessionLog(), runtime.dates, *guard.parts, self.sessions, *presence.parts, *channels.parts, *services,
            self.factory, self.factory.refusals, *rpc.parts, self.health, *agents.parts, *self.tasks.parts,
            self.credentials, self.invites, self._writing, self.tls_failures,
        )  # fmt: skip
        self.sessions.observers += self._providing(ISessionObserver)
        self.sessions.refresh_observers += self._providing(IRefreshObserver)
        guard.heartbeats.sweepers += self._providing(ISweeper)
        for service in (*services, guard.heartbeats):
            service.setServiceParent(self)

    def _providing(self, interface: type[_Part]) -> list[_Part]:
        """The parts that provide an interface, in the order in which they are notified."""
        return [part for part in self._parts if interface.providedBy(part)]

    def _namespaces(self) -> tuple[Any, ...]:
        """The gateway's own services, thin faces over the parts."""
        runtime = self._runtime
        channels, presence, agents, rpc = self.channels, self.presence, self.agents, self.rpc
        recovery, allows = channels.recovery, rpc.dispatcher.allows
        return (
            RPCService(runtime.wall, rpc.dispatcher.methods, rpc.description),
            AuthService(
                self.credentials,
                self.invites,
                lambda reached, invite: invite_link(self.config, reached, invite),
                self.sessions,
                presence,
                self.guard,
            ),
            SessionService(self.sessions, presence, recovery, allows, self.guard.limits, runtime.dates),
            PresenceService(presence, self.guard.limits),
            ChannelService(channels, rpc.idempotency, allows, self.guard.limits),
            AgentService(presence, agents, self.tasks, rpc.idempotency, self.guard.limits),
            TaskService(self.tasks, presence, self.config.mail_ttl, runtime.wall),
            GatewayService(
                runtime,
                lambda: [*self, self.factory.refusals],
                self._statistics,
                agents,
                self.tasks,
                rpc.dispatcher.examine,
                self.health,
                self.tls_failures.counts,
                self.guard.audit,
            ),
        )

    def startService(self) -> None:
        """See L{IService}."""
        list(self.rpc.dispatcher.methods())  # whatever can't be called shows now
        for part in self._providing(IDraining):
            part.drain(False)
        self.credentials.load()
        self.invites.load()
        self.channels.load()
        self.agents.load()
        self.tasks.load()
        super().startService()
        self.emit("gateway.started", {})

    def drain(self, accept: float = 0.0) -> Deferred[None]:
        """Refuse new work, and close all connections with a code that says reconnect.

        @param accept: seconds for which there may be new ones, which are closed as all others are.
        @return: fires when all are gone, after C{drain_timeout} seconds at the latest.
        """
        self._go_on(self.emit, "gateway.draining", {})
        for part in self._providing(IDraining):
            self._go_on(part.drain, True)
        drain = Drain(self._runtime, self.guard.connections, self.config.drain_timeout, accept)
        # Callers that wait for a write get the answer before the close; but not for ever.
        written = maybeDeferred(self.engine.written).addTimeout(self.config.drain_timeout / 2, self._runtime.clock)
        return written.addBoth(lambda outcome: drain.begin())

    def _go_on(self, step: Callable[..., Any], *arguments: Any) -> None:
        """Take a step of a drain, which goes on whatever that raises."""
        try:
            step(*arguments)
        except Exception:
            name = getattr(step, "__qualname__", repr(step))
            self.log.failure("{step} failed; the drain goes on", event="drain.failed", step=name)

    def reconfigure(self, config: Config) -> Reconfigured:
        """Take over other options, as far as a gateway can that runs; connections stay.

        The caller has seen to the certificates already, and to the log's level.
        """
        self.config, outcome = merge(self.config, config)
        for part in self._providing(IReconfigurable):
            part.reconfigure(self.config)
        return outcome

    def register(self, service: IService) -> None:
        """Add a namespace of one's own: the service's name is the namespace, its C{rpc_} methods are the methods.

        A service that provides L{ISessionObserver} is notified of sessions, one that provides L{IStatistics} is asked
        for its figures.

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
        return {
            **self.rpc.dispatcher.permissions(),
            **self.presence.permissions,
            **self.agents.permissions,
            **self.tasks.permissions,
        }

    def _answered(self, session: Session, response: Response) -> None:
        """A response to a request of the gateway's: of an agent that had a call, or a task."""
        ours = self.agents.calls if attempt_of(response.id) is None else self.tasks.attempts
        ours.answered_by(session, response)

    def _statistics(self) -> Counts:
        return Counts(
            current={
                "connections": len(self.guard.connections),
                "unauthenticated": self.guard.connections.unauthenticated,
                "tokens": len(self.credentials),
                "invites": len(self.invites),
            },
            total={
                "connections_accepted": self.guard.connections.total,
                "calls": self.rpc.dispatcher.calls,
                "errors": self.rpc.dispatcher.errors,
                "stalls": self.guard.heartbeats.stalls,
                **self._writing.dropped,
            },
        )

    def __iter__(self) -> Iterator[Any]:
        return iter(self.services)
