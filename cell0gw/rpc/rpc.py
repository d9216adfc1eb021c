"""Calls by JSON-RPC, put together: the dispatcher, and what it has answered under idempotency keys."""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.service import MultiService
from twisted.internet.interfaces import IReactorTime

from cell0gw.guard.guard import Guard
from cell0gw.protocol.jsonrpc import Response
from cell0gw.protocol.version import SERVER_VERSION
from cell0gw.rpc.dispatch import Dispatcher
from cell0gw.rpc.idempotency import Idempotency
from cell0gw.rpc.openrpc import Description
from cell0gw.sessions.registry import Sessions
from cell0gw.sessions.session import Session


class RPC:
    """The parts, by name.

    @param services: C{channel.publish} is the method C{rpc_publish} of the one named C{channel}.
    @param sessions: see L{Dispatcher}.
    @param answered: called with a session and its L{Response} to a request of the gateway's.
    @param anonymous_reads: whether anonymous clients may use methods declared as L{cell0gw.rpc.access.anonymous_read}.
    @param key_window: seconds for which an idempotency key stands for its call.
    @ivar parts: what is notified of sessions, sweeps, drains and changed options, in this order.
    """

    def __init__(
        self,
        services: MultiService,
        guard: Guard,
        sessions: Sessions,
        answered: Callable[[Session, Response], None],
        anonymous_reads: bool,
        key_window: float,
        clock: IReactorTime,
    ) -> None:
        self.dispatcher = Dispatcher(services, guard, sessions, answered, anonymous_reads)
        self.description = Description(self.dispatcher.methods, SERVER_VERSION)
        self.idempotency = Idempotency(clock, key_window)
        self.parts = (self.dispatcher, self.idempotency)
