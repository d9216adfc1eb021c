"""The gateway as a part of a process: its port, its state folder, and its start and stop in both async worlds."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred, succeed
from twisted.internet.ssl import CertificateOptions
from twisted.logger import Logger

from cell0gw.app.awaitable import Awaitable, reactor_of_world
from cell0gw.app.gateway import Gateway
from cell0gw.app.reconfiguration import Reconfigured, reconfigure
from cell0gw.config.options import Config, Option, load
from cell0gw.engines.interfaces import EngineError, IEngine
from cell0gw.engines.sqlite.engine import SQLiteEngine
from cell0gw.process.clocks import make_monotonic
from cell0gw.process.runtime import runtime_of_process
from cell0gw.process.state import StateError, StateFolder
from cell0gw.transports.sockets.binding import TCPBinding
from cell0gw.transports.sockets.endpoints import Endpoint, EndpointError, read_endpoints
from cell0gw.transports.sockets.listening import ListenError, Listening, Renewal
from cell0gw.transports.sockets.tls import Certificate, CertificateError, read_certificate


class StartError(Exception):
    """The gateway can't start; the message is one line that says why and what to do."""


class WebSocketGateway(Gateway):
    """The Cell 0 OS gateway on a WebSocket port.

    >>> gateway = WebSocketGateway(host="0.0.0.0", port=18801, heartbeat_interval=30.0)
    >>> await gateway.start()

    @param config: all options together; without it they are the keywords, the environment, the defaults, in that order.
    @param reactor: None takes the one that runs, or installs one on the asyncio loop that runs.
    @param options: any option by its name, see L{Config}: C{host}, C{port}, C{heartbeat_interval} (seconds),
        C{heartbeat_timeout} (seconds), C{max_message_size} (bytes), C{enable_compression}, ...
    @raise ConfigError: an option can't be so.
    """

    log = Logger()

    def __init__(self, config: Config | None = None, *, reactor: Any = None, **options: Any) -> None:
        warnings: list[str] = []
        if config is None:
            config, warnings = load(options, os.environ, spelling=_keyword)
        elif options:
            raise TypeError("either config or options")
        super().__init__(config)
        for warning in warnings:
            self.log.warn("{problem}", problem=warning)
        assert config.state_dir is not None
        self._folder = Path.cwd()  # a daemon may be somewhere else when it reads certificates again
        self._state = StateFolder(config.state_dir)
        self._reactor = reactor
        self._listening: Listening | None = None
        self._engine: IEngine | None = None
        self._certificate: Certificate | None = None

    @property
    def port(self) -> int:
        """The TCP port that is bound, the first of several; the one asked for, as long as none is."""
        return self.config.port if self._listening is None else self._listening.port

    @property
    def addresses(self) -> list[str]:
        """Where it listens, for people."""
        return [] if self._listening is None else self._listening.addresses

    def start(self) -> Awaitable[None]:
        """Open the port.

        @return: done when clients are served.
        @raise StartError: when awaited: the port is taken, or the state folder can't be used.
        @raise RuntimeError: when awaited: in an asyncio program whose reactor is another than the loop's.
        """
        return Awaitable(maybeDeferred(self._start))

    def stop(self) -> Awaitable[None]:
        """Send everyone away and close the port.

        @return: done when all are gone and all is written.
        """
        return Awaitable(maybeDeferred(self.stopService))

    def prepare(self) -> None:
        """Take the state folder and the sockets, so that what can't work is known before the process goes on.

        Forks after this are fine.

        @raise StartError: one of them can't be had.
        """
        certificate = self._read_certificate(self.config)
        self._certificate = None if certificate is None else Certificate(certificate)
        listening = self._read_endpoints()
        try:
            self._state.lock()
            self._make_engine().probe()
        except StateError as problem:
            raise StartError(str(problem)) from None
        except EngineError as problem:
            self._state.unlock()
            raise StartError(str(problem)) from None
        try:
            listening.open()
        except ListenError as problem:
            self._state.unlock()
            options = "--host and --port" if self.config.listen is None else "--listen"
            raise StartError(
                f"can't listen on {problem}: stop what listens there, or choose another with {options}"
            ) from None
        self._listening = listening

    def reconfigure(self, config: Config) -> Reconfigured:
        """Take over other options, as far as a gateway can that runs; connections stay. The files of certificates are
        read again, whether their names are other ones or not, and hold for new handshakes.

        @raise StartError: a certificate can't be used: nothing has changed.
        """
        renewals: list[Renewal] = []
        if self._certificate is not None and (options := self._read_certificate(config)) is not None:
            renewals.append(partial(self._certificate.renew, options))
        if self._listening is not None:
            try:
                renewals += self._listening.read_again()
            except EndpointError as problem:
                raise StartError(f"can't speak TLS: {problem}") from None
        for renew in renewals:
            renew()
        return reconfigure(self, config)

    def startService(self) -> None:
        """See L{IService}.

        @raise StartError: see L{prepare}.
        """
        self._begin()

    def _read_certificate(self, config: Config) -> CertificateOptions | None:
        path = config.tls_cert
        if path is None:
            return None
        try:
            return read_certificate(self._folder / path, self._folder / (config.tls_key or path))
        except CertificateError as problem:
            raise StartError(f"can't speak TLS: {problem}") from None

    def _read_endpoints(self) -> Listening:
        """Where to listen; nothing is open yet."""
        host, port, listen = self.config.host, self.config.port, self.config.listen
        if listen is None:
            return Listening([Endpoint(f"{host} port {port}", TCPBinding(host, port))])
        try:
            return Listening(read_endpoints(listen))
        except EndpointError as problem:
            raise StartError(f"can't listen on {problem}") from None

    def _make_engine(self) -> IEngine:
        """The engine that keeps what must outlive the process; nothing is open yet."""
        return SQLiteEngine(self._state.database, self.config.max_database_size, self._reactor)

    def _start(self) -> Deferred[None]:
        if self._reactor is None:
            self._reactor = reactor_of_world()
        return self._begin()

    def _begin(self) -> Deferred[None]:
        if self._listening is None:
            self.prepare()
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        try:
            make_monotonic(self._reactor)
            if self._engine is None:
                self._engine = self._make_engine()
                self.compose(runtime_of_process(self._reactor), self._engine, self._state.write_audit)
            self._open(self._engine)
            super().startService()
            has_admin = self._first_token()
            assert self._listening is not None
            self._listening.serve(self.factory, self._certificate, self._reactor)
        except BaseException:
            self._let_go()
            raise
        for address in self.addresses:
            self.log.info("listening on {address}", address=address)
        return has_admin

    def _open(self, engine: IEngine) -> None:
        try:
            engine.open()
        except EngineError as problem:
            raise StartError(str(problem)) from None

    def _let_go(self) -> None:
        """Give back what was taken for a start that did not come about."""
        if self.running:
            super().stopService()
        if self._engine is not None:
            self._engine.close()
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self._state.unlock()

    @inlineCallbacks
    def stopService(self) -> Generator[Deferred[Any], Any, None]:
        """See L{IService}; fires when all are gone and all is written."""
        if not self.running:
            self._let_go()
            return
        assert self._listening is not None and self._engine is not None
        yield self._listening.stopService()
        yield self.drain()
        yield maybeDeferred(super().stopService)
        self._listening.close()
        self._listening = None
        self._engine.close()
        self._state.unlock()
        self.log.info("stopped")

    def _first_token(self) -> Deferred[None]:
        """See to it that someone can do something: with the operator's own token, or with one minted here."""
        if self.config.admin_token is not None:
            self.credentials.accept(self.config.admin_token)
        elif not len(self.credentials):
            minting = self.credentials.mint_admin(self._state.keep_admin_token)
            return Deferred.fromCoroutine(minting).addCallback(lambda minted: self._show(minted.token))
        return succeed(None)

    def _show(self, token: str) -> None:
        self.log.info("the admin token is in {path}", path=str(self._state.admin_token))
        terminal = sys.__stderr__  # sys.stderr is the log by now
        if terminal is not None and terminal.isatty():
            terminal.write(f"The admin token, shown this once (kept in {self._state.admin_token}):\n{token}\n")


def _keyword(option: Option) -> str:
    return f"the keyword {option.name}"
