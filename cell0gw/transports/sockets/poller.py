"""A reactor within the reactor, for connections only: one epoll that the real reactor sees as a single reader.

Twisted pays for each event of each socket: a log context, two lookups, several checks, and two C{epoll_ctl} and one
more wake-up for each write. Here that is paid once a turn: one pass handles all that has arrived, and what was written
meanwhile, to whomever, leaves at its end with one C{send} a connection. Order is kept, since everything that is written
goes through the transport's buffer, Autobahn's handshakes and closes and the records of TLS among it.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.posixbase import _DisconnectSelectableMixin
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

EVENTS_A_PASS: Final = 1024
"""Maximum events that the kernel reports at once."""

ROUNDS_A_PASS: Final = 8
"""Maximum times that new events are looked for before anything is sent."""

MUCH_TO_SEND: Final = 32
"""Connections waiting to be sent something, from which on sending takes much longer than looking for new events."""

BURST: Final = 64
"""Maximum new and closing sockets handled per pass, so that a connection burst does not delay the others. The rest are
the first of a later pass: the kernel reports all in turn."""

WRITABLE: Final = getattr(select, "EPOLLOUT", 0)
READING: Final = getattr(select, "EPOLLIN", 0) | getattr(select, "EPOLLRDHUP", 0)
GOING: Final = (
    READING & ~getattr(select, "EPOLLIN", 0) | getattr(select, "EPOLLHUP", 0) | getattr(select, "EPOLLERR", 0)
)
"""Events of peers that have closed, or are lost."""


def reactor_for_connections(reactor: Any) -> Any:
    """A L{Poller} where there is epoll, else the reactor itself, which is slower and does the same."""
    if hasattr(select, "epoll"):
        return getattr(reactor, "connections", None) or Poller(reactor)
    return reactor


@implementer(IReadDescriptor)
class Poller(_DisconnectSelectableMixin):
    """As much of L{IReactorFDSet} and L{IReactorTime} as a transport asks of its reactor.

    @param reactor: the real one.
    @param epoll: the real one's own, which it polls, see L{GatewayReactor}; None makes one, as a reader of the reactor.
    @param other: takes events that are not a connection's.
    """

    log = Logger()

    def __init__(
        self, reactor: Any, epoll: select.epoll | None = None, other: Callable[[int, int], None] | None = None
    ) -> None:
        self._reactor = reactor
        self._nested = epoll is None
        self._epoll = select.epoll() if epoll is None else epoll
        self._other = other
        self.fileno: Callable[[], int] = self._epoll.fileno
        self._transports: dict[int, Any] = {}
        self._masks: dict[int, int] = {}
        # Transports that have something to send and have not tried yet, in order; and those for which the kernel had no
        # buffer left.
        self._writers: dict[Any, None] = {}
        self._blocked: set[Any] = set()
        self._passing = False
        self.callLater = reactor.callLater
        if self._nested:
            reactor.addReader(self)

    @property
    def seconds(self) -> Callable[[], float]:
        """See L{IReactorTime}. The reactor's clock may be replaced, see L{cell0gw.process.clocks.make_monotonic}."""
        seconds: Callable[[], float] = self._reactor.seconds
        return seconds

    def close(self, reason: Failure) -> None:
        """Disconnect all that are still connected, and close the epoll."""
        for transport in list(self._transports.values()):
            self._disconnectSelectable(transport, reason.value, True)
        if self._nested:
            self._reactor.removeReader(self)
            self._epoll.close()

    def addReader(self, transport: Any) -> None:
        """See L{IReactorFDSet}."""
        self._watch(transport, add=READING)

    def removeReader(self, transport: Any) -> None:
        """See L{IReactorFDSet}."""
        self._watch(transport, remove=READING)

    def addWriter(self, transport: Any) -> None:
        """See L{IReactorFDSet}: it will be asked at the end of the pass, not when the kernel says it may."""
        if transport not in self._blocked:
            self._writers[transport] = None
            if not self._passing:
                self._passing = True
                self._reactor.callLater(0, self._flush)

    def removeWriter(self, transport: Any) -> None:
        """See L{IReactorFDSet}."""
        self._writers.pop(transport, None)
        if transport in self._blocked:
            self._blocked.discard(transport)
            self._watch(transport, remove=WRITABLE)

    def doRead(self) -> None:
        """See L{IReadDescriptor}."""
        self.handle(self._epoll.poll(0, EVENTS_A_PASS))

    def handle(self, events: list[tuple[int, int]]) -> None:
        """One pass over all that has arrived.

        What a connection gets in return leaves at once, what others get at the end. When that is much to do,
        what has arrived meanwhile is handled first, so that it leaves by the same C{send}s.
        """
        self._passing = True
        try:
            self._handle(events)
            for _ in range(ROUNDS_A_PASS):
                if len(self._writers) < MUCH_TO_SEND:
                    break
                self._handle(self._epoll.poll(0, EVENTS_A_PASS))
        finally:
            self._flush()

    def _handle(self, events: list[tuple[int, int]]) -> None:
        transports, writers, blocked = self._transports, self._writers, self._blocked
        if len(events) > BURST:
            events = self._in_turn(events)
        for descriptor, event in events:
            transport = transports.get(descriptor)
            if transport is not None:  # else another one's event has closed it
                if event != WRITABLE:
                    try:
                        why = transport.doRead()
                    except Exception:
                        why = self._failed()
                    if why:
                        self._disconnectSelectable(transport, why, True)
                if transport in writers:
                    del writers[transport]
                    self._try(transport)
                elif event & WRITABLE and transport in blocked:
                    self._try(transport)
            elif self._other is not None:
                self._other(descriptor, event)

    def _in_turn(self, events: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Of many events those that can't wait: all of connections that are at work, some of those that come or go."""
        transports, chosen, quota = self._transports, [], BURST
        for each in events:
            transport = transports.get(each[0])
            if transport is not None and (each[1] & GOING or not transport.at_work):
                quota -= 1
                if quota < 0:
                    continue
            chosen.append(each)
        return chosen

    def connectionLost(self, reason: Failure) -> None:
        """See L{IReadDescriptor}."""

    def logPrefix(self) -> str:
        """See L{ILoggingContext}."""
        return "Poller"

    def _flush(self) -> None:
        """Let everyone who has something to send try; who can't send it all is watched until it can."""
        writers = self._writers
        while writers:
            transports = list(writers)
            writers.clear()
            for transport in transports:
                if transport.disconnected:  # as it may be by what another one's end led to
                    continue
                try:
                    why = transport.doWrite()
                except Exception:
                    why = self._failed()
                if why or transport.dataBuffer:
                    self._remains(transport, why)
        self._passing = False

    def _try(self, transport: Any) -> None:
        """Let one that has something to send try; L{_flush} does the same without a call for each."""
        try:
            why = transport.doWrite()
        except Exception:
            why = self._failed()
        if why or transport.dataBuffer:
            self._remains(transport, why)

    def _remains(self, transport: Any, why: BaseException | None) -> None:
        """Called for a transport that could not send everything: it is gone, or must wait."""
        if why:
            self._disconnectSelectable(transport, why, False)
        elif transport not in self._blocked:
            self._blocked.add(transport)
            self._watch(transport, add=WRITABLE)

    def _failed(self) -> BaseException | None:
        """What was raised by a transport or its protocol; it costs the connection, as everywhere in Twisted."""
        self.log.failure("a transport failed", event="transport.failed")
        return sys.exc_info()[1]

    def _watch(self, transport: Any, add: int = 0, remove: int = 0) -> None:
        descriptor = transport.fileno()
        if descriptor < 0 or self._epoll.closed:
            return
        before = self._masks.get(descriptor, 0)
        mask = (before | add) & ~remove
        if mask == before:
            return
        if not mask:
            self._epoll.unregister(descriptor)
            del self._masks[descriptor], self._transports[descriptor]
            return
        if before:
            self._epoll.modify(descriptor, mask)
        else:
            self._epoll.register(descriptor, mask)
            self._transports[descriptor] = transport
        self._masks[descriptor] = mask
