"""The reactor that C{twistd cell0gw} takes where there is epoll, unless it was asked for another: Twisted's own, but
that connections are looked after by a L{Poller} on the very same epoll. A call takes three system calls.
"""

from __future__ import annotations

import time

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.python import log

from cell0gw.transports.sockets.poller import EVENTS_A_PASS, Poller


class GatewayReactor(EPollReactor):
    """Twisted's reactor with a second one inside, and timers that don't follow the wall clock when it is set.

    @ivar connections: the reactor for connections, see L{reactor_for_connections}.
    """

    seconds = staticmethod(time.monotonic)

    def __init__(self) -> None:
        super().__init__()
        self.connections = Poller(self, self._poller, self._other)

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events and handle them."""
        self.connections.handle(self._poller.poll(timeout, EVENTS_A_PASS))

    doIteration = doPoll

    def _other(self, descriptor: int, event: int) -> None:
        """An event of the reactor's own, as its superclass handles it."""
        selectable = self._selectables.get(descriptor)
        if selectable is not None:
            log.callWithLogger(selectable, self._doReadOrWrite, selectable, descriptor, event)


def install() -> None:
    """Make it the reactor of the process, which must have none yet."""
    installReactor(GatewayReactor())
