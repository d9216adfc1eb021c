"""The gateway as a part of a process: its port, its state folder, and its start and stop in both async worlds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.logger import Logger

from cell0gw.app.awaitable import Awaitable, reactor_of_world
from cell0gw.app.entrance import Entrance, StartError
from cell0gw.app.first_token import first_token
from cell0gw.app.gateway import Gateway
from cell0gw.app.reconfiguration import Reconfigured
from cell0gw.app.room import fitting
from cell0gw.auth.credentials import LIFETIME
from cell0gw.auth.principal import EntityType
from cell0gw.channels.channel import Publication
from cell0gw.config.options import Config, load
from cell0gw.config.table import Option
from cell0gw.engines.interfaces import EngineError, IEngine
from cell0gw.engines.sqlite.engine import SQLiteEngine
from cell0gw.monitoring.audit import audit_lines
from cell0gw.process.clocks import make_monotonic
from cell0gw.process.lines import Lines
from cell0gw.process.runtime import runtime_of_process
from cell0gw.process.state import StateError, StateFolder


class WebSocketGateway(Service):
    """The Cell 0 OS gateway on a WebSocket port.

    >>> gateway = WebSocketGateway(host="0.0.0.0", port=18801, heartbeat_interval=30.0)
    >>> await gateway.start()

    @param config: all options together; without it they are the keywords, the environment, the defaults, in that order.
    @param reactor: None takes the one that runs, or installs one on the asyncio loop that runs.
    @param options: any option by its name, see L{Config}: C{host}, C{port}, C{heartbeat_interval} (seconds),
        C{heartbeat_timeout} (seconds), C{max_message_size} (bytes), C{enable_compression}, ...
    @ivar lines: those of the logs that are written here, by name; another one's may be added before the start.
    @ivar changed: each is called, without arguments, when L{summary} may be another than before.
    @raise ConfigError: an option can't be so.
    """

    log = Logger()

    def __init__(self, config: Config | None = None, *, reactor: Any = None, **options: Any) -> None:
        warnings: list[str] = []
        if config is None:
            config, warnings = load(options, os.environ, spelling=_keyword)
        elif options:
            raise TypeError("either config or options")
        for warning in warnings:
            self.log.warn("{problem}", event="options.ignored", problem=warning)
        assert config.state_dir is not None
        self._folder = Path.cwd()  # a daemon may be somewhere else when it reads certificates again
        self._state = StateFolder(config.state_dir)
        self._audit = audit_lines(self._state.write_audit, time.time)
        self.lines: dict[str, Lines] = {"audit": self._audit}
        self._config = config
        self._reactor = reactor
        self._entrance: Entrance | None = None
        self._gateway: Gateway | None = None  # made by the first start, which knows the reactor
        self._registered = MultiService()
        self._hurried = False
        self.changed: list[Callable[[], Any]] = []

    @property
    def config(self) -> Config:
        """The options that hold now."""
        return self._config if self._gateway is None else self._gateway.config

    @property
    def gateway(self) -> Gateway:
        """What is served.

        @raise RuntimeError: it has not started yet.
        """
        if self._gateway is None:
            raise RuntimeError("the gateway has not started yet")
        return self._gateway

    @property
    def summary(self) -> list[str]:
        """Where it listens, and all that is wrong, for a line about the process."""
        problems = [] if self._gateway is None else self._gateway.health.summary
        return [f"listening on {', '.join(self.addresses)}", *problems]

    @property
    def port(self) -> int:
        """The TCP port that is bound, the first of several; the one asked for, as long as none is."""
        return self.config.port if self._entrance is None else self._entrance.port

    @property
    def addresses(self) -> list[str]:
        """Where it listens, for people."""
        return [] if self._entrance is None else self._entrance.addresses

    def start(self) -> Awaitable[None]:
        """Open the port.

        @return: done when clients are served.
        @raise StartError: when awaited: the port is taken, or the state folder can't be used.
        @raise RuntimeError: when awaited: in an asyncio program whose reactor is another than the loop's.
        """
        return Awaitable(maybeDeferred(self._start))

    def stop(self) -> Awaitable[None]:
        """Close all connections and the port.

        @return: done when all are gone and all is written.
        """
        return Awaitable(maybeDeferred(self.stopService))

    def prepare(self) -> None:
        """Take the state folder and the sockets, so that what can't work is known before the process goes on.

        Forks after this are fine.

        @raise StartError: one of them can't be had, or there is no room for connections.
        """
        self._config = fitting(self._config)
        entrance = self._make_entrance()
        try:
            self._state.lock()
            self._make_engine().probe()
        except StateError as problem:
            raise StartError(str(problem)) from None
        except EngineError as problem:
            self._state.unlock()
            raise StartError(str(problem)) from None
        try:
            entrance.open()
        except StartError:
            self._state.unlock()
            raise
        self._entrance = entrance

    def publish(self, channel: str, message: Any, sender: str = "gateway") -> Publication | Awaitable[Publication]:
        """See L{Embedded.publish}."""
        return self.gateway.publish(channel, message, sender)

    def send(self, agent_id: str, message: Any, sender: str = "gateway") -> str | Awaitable[str]:
        """See L{Embedded.send}."""
        return self.gateway.send(agent_id, message, sender)

    def emit(self, type: str, data: Any, channel: str = "$system", source: str = "gateway") -> int:
        """See L{Embedded.emit}."""
        return self.gateway.emit(type, data, channel, source)

    def mint(
        self,
        entity_id: str,
        entity_type: EntityType = "agent",
        permissions: list[str] | None = None,
        expires_in_hours: float = LIFETIME,
        renewable_for_hours: float | None = None,
    ) -> Awaitable[str]:
        """See L{Embedded.mint}."""
        return self.gateway.mint(entity_id, entity_type, permissions, expires_in_hours, renewable_for_hours)

    def hurry(self) -> None:
        """Stop without waiting for newcomers, whatever C{drain_accept} says: somebody sits there and waits."""
        self._hurried = True

    def drain(self) -> Deferred[None]:
        """See L{Gateway.drain}."""
        return self.gateway.drain()

    def register(self, service: IService) -> None:
        """See L{Gateway.register}. Before the start, whether its methods can be called shows at the start."""
        if self._gateway is None:
            service.setServiceParent(self._registered)
        else:
            self._gateway.register(service)

    def reconfigure(self, config: Config) -> Reconfigured:
        """Take over other options, as far as a gateway can that runs; connections stay. The files of certificates are
        read again, whether their names are other ones or not, and hold for new handshakes.

        @raise StartError: a certificate can't be used: nothing has changed.
        """
        config = fitting(config)
        if self._entrance is not None:
            self._entrance.renew(config)
        return self.gateway.reconfigure(config)

    def privilegedStartService(self) -> None:
        """See L{IService}."""
        super().privilegedStartService()
        self._registered.privilegedStartService()

    def startService(self) -> None:
        """See L{IService}.

        @raise StartError: see L{prepare}.
        """
        self._begin()

    def _make_entrance(self) -> Entrance:
        """Where it will listen; nothing is open yet."""
        return Entrance(self.config, self._folder)

    def _make_engine(self) -> IEngine:
        """The engine that keeps what must outlive the process; nothing is open yet."""
        return SQLiteEngine(self._state.database, *self.config.database_bounds, self._reactor)

    def _start(self) -> Deferred[None]:
        if self._reactor is None:
            self._reactor = reactor_of_world()
        return self._begin()

    def _begin(self) -> Deferred[None]:
        if self._entrance is None:
            self.prepare()
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        try:
            make_monotonic(self._reactor)
            self._audit.start()
            gateway = self._gateway = self._gateway or self._make_gateway()
            for service in list(self._registered):
                service.disownServiceParent()
                gateway.register(service)
            gateway.engine.open()
            gateway.startService()
            super().startService()
            has_admin = first_token(gateway.credentials, self.config.admin_token, self._state)
            assert self._entrance is not None
            self._entrance.serve(gateway, self._reactor)
        except EngineError as problem:
            self._let_go()
            raise StartError(str(problem)) from None
        except BaseException:
            self._let_go()
            raise
        for address in self.addresses:
            self.log.info("listening on {address}", event="gateway.listening", address=address)
        if self._entrance.exposed:
            self.log.warn(
                "tokens can be read on the way: other machines reach {addresses} without TLS; "
                "set tls_cert and tls_key, or set host to 127.0.0.1 and put a proxy with TLS in front",
                event="network.unencrypted",
                addresses=" and ".join(self._entrance.exposed),
            )
        return has_admin

    def _make_gateway(self) -> Gateway:
        runtime = runtime_of_process(self._reactor)
        gateway = Gateway(self._config, self._make_engine(), runtime, self._audit.add, self.lines)
        gateway.health.changed.append(self._tell_changed)
        return gateway

    def _tell_changed(self) -> None:
        for tell in self.changed:
            tell()

    def _let_go(self) -> None:
        """Release what was taken for a start that failed."""
        super().stopService()
        if self._gateway is not None:
            if self._gateway.running:
                self._gateway.stopService()
            self._gateway.engine.close()
        if self._entrance is not None:
            self._entrance.close()
            self._entrance = None
        self._audit.stop()
        self._state.unlock()

    @inlineCallbacks
    def stopService(self) -> Generator[Deferred[Any], Any, None]:
        """See L{IService}; fires when all are gone and all is written."""
        if not self.running:
            self._let_go()
            return
        assert self._entrance is not None
        entrance, gateway = self._entrance, self.gateway
        accept = 0.0 if self._hurried else self.config.drain_accept
        refusing, drain = maybeDeferred(entrance.stop, accept, self._reactor), partial(gateway.drain, accept)
        ends = (drain, lambda: refusing, gateway.stopService, super().stopService, entrance.close, gateway.engine.close)
        for end in (*ends, self._audit.stop, self._state.unlock):
            try:
                yield maybeDeferred(end)
            except Exception:
                self.log.failure("a step of the stop failed; the rest is stopped", event="stop.failed")
        self._entrance = None
        self.log.info("stopped", event="gateway.stopped")


def _keyword(option: Option) -> str:
    return f"the keyword {option.name}"
