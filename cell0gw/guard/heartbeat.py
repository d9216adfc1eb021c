"""Heartbeats for all connections, and the end of those that fell silent: one LoopingCall."""

from __future__ import annotations

import math
from typing import Final

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from cell0gw.guard.connections import Connections
from cell0gw.monitoring.alarms import Alarms
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.runtime import Runtime
from cell0gw.protocol import jsonrpc
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import KIB, Limits
from cell0gw.protocol.notifications import Heartbeat
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.session import IConnection, Unfinished
from cell0gw.sessions.signs import Signs

MAX_SLOTS: Final = 3600
"""Maximum slots among which connections are divided; with longer intervals a tick is longer than a second."""

HANDSHAKE: Final = 5.0
"""Seconds that a socket has for its handshake."""

LINGER: Final = 4.0
"""Seconds that a closing connection may linger after its peer was last seen to take something, before it is aborted."""

MAX_LINGER: Final = 60.0
"""Seconds that a closing connection may linger in all: the close frame comes after what waits."""

MESSAGE_TIME: Final = 30.0
"""Seconds that a message may take to arrive, and one more for each L{MESSAGE_SPEED} bytes of it."""

MESSAGE_SPEED: Final = 64 * KIB
"""Minimum bytes per second of a long message."""


class HeartbeatService(Service):
    """Beats, and closes connections that are silent, that don't authenticate in time, or that don't finish closing.

    Connections are divided among the slots of an interval, one each tick, so that they never beat all at once.

    @param interval: seconds between two beats of a connection.
    @param timeout: seconds without a byte from a connection, and without one that it took of much that waits for it,
        after which it is closed. That the system takes a heartbeat for it proves nothing.
    @param limits: C{auth_timeout}: seconds that a connection has to authenticate; 0: unlimited.
        C{total_outbound_limit}: maximum bytes that wait for all connections together; those with most are closed first.
    @param signs: is told whom a beat asks for a sign of life, and swept when what came was read.
    @ivar sweepers: sweep on each tick, in this order.
    @ivar stalls: how often the reactor was blocked for more than a second.
    """

    name = "heartbeat"
    log = Logger()

    def __init__(
        self,
        connections: Connections,
        limits: Limits,
        signs: Signs,
        alarms: Alarms,
        interval: float,
        timeout: float,
        runtime: Runtime,
    ) -> None:
        self._clock = runtime.clock
        self._wall = runtime.wall
        self._connections = connections
        self.sweepers: list[ISweeper] = []
        self.interval = interval
        self.timeout = timeout
        self._limits = limits
        self._signs = signs
        self._limit_exceeded = alarms.limit_exceeded
        slots = max(1, min(math.ceil(interval), MAX_SLOTS))
        self._tick_length = interval / slots
        self._slots: list[dict[str, IConnection]] = [{} for _ in range(slots)]
        self._next_slot = 0
        self._turn = 0
        self._last_tick = 0.0
        # Until then nobody was pinged or heard: it is as if all had been heard then.
        self._deaf_until = -math.inf
        self.stalls = 0
        self._loop = LoopingCall(self._tick)
        self._loop.clock = self._clock

    def startService(self) -> None:
        """See L{IService}."""
        super().startService()
        self._last_tick = self._clock.seconds()
        self._loop.start(self._tick_length, now=False)

    def stopService(self) -> None:
        """See L{IService}."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def opened(self, connection: IConnection) -> int:
        """Let a connection have heartbeats.

        @return: its slot, for L{closed}.
        """
        slot = self._next_slot
        self._next_slot = (slot + 1) % len(self._slots)
        self._slots[slot][connection.connection_id] = connection
        return slot

    def closed(self, connection: IConnection, slot: int) -> None:
        """Stop the heartbeats of a connection."""
        self._slots[slot].pop(connection.connection_id, None)

    def _tick(self) -> None:
        # A LoopingCall that raises has stopped for good.
        for step in (self._look_after, self._beat):
            try:
                step()
            except Exception:
                self.log.failure("a heartbeat failed", event="heartbeat.failed")

    def _beat(self) -> None:
        self._turn = (self._turn + 1) % len(self._slots)
        slot = self._slots[self._turn]
        if slot:
            now = timestamp(self._wall())
            message = jsonrpc.notification("heartbeat", Heartbeat(timestamp=now))
            for connection in list(slot.values()):
                try:
                    if not connection.backlog:  # else data is on its way, which a heartbeat would only wait behind
                        connection.beat(message)
                        if connection.session is not None:
                            self._signs.was_asked(connection.session)
                except Exception:
                    self._give_up(connection)

    def _look_after(self) -> None:
        now = self._clock.seconds()
        stalled = now - self._last_tick - self._tick_length
        self._last_tick = now
        if stalled > 1:
            self.log.warn("the reactor was blocked for {seconds:.1f} s", event="reactor.blocked", seconds=stalled)
            self._deaf_until = now
            self.stalls += 1
        # However busy this process is: what has ended by the clock has ended.
        for sweeper in self.sweepers:
            try:
                sweeper.sweep()
            except Exception:
                self.log.failure("{sweeper!r} failed to sweep", event="sweep.failed", sweeper=sweeper)
        if stalled > 1:
            return  # it was this process that heard nothing: what came meanwhile is read before the next tick
        for connection in self._connections.arriving():
            if connection.opened_at > now - HANDSHAKE:
                break
            connection.abort()
        self._judge_all(now)
        self._signs.sweep()

    def _judge_all(self, now: float) -> None:
        waiting = 0
        for connection in self._connections:
            try:
                backlog = connection.backlog
                waiting += backlog
                if connection.closing_since is not None:
                    self._wait_for_end(connection, connection.closing_since, now)
                elif backlog > self._limits.outbound_limit and connection.stalled:
                    connection.fall_behind()
                else:
                    self._judge(connection, now)
            except Exception:
                self._give_up(connection)
        if 0 < self._limits.total_outbound_limit < waiting:
            self._relieve(waiting - self._limits.total_outbound_limit)

    def _give_up(self, connection: IConnection) -> None:
        """What one connection raises costs no other one its turn."""
        self.log.failure(
            "{connection_id} could not be looked after",
            event="connection.failed",
            connection_id=connection.connection_id,
        )
        connection.abort()

    def _wait_for_end(self, connection: IConnection, since: float, now: float) -> None:
        """Abort a closing connection whose peer takes nothing any more, or has had time enough."""
        moved_at = max(since, connection.last_taken(since))
        if moved_at <= now - LINGER or since <= now - MAX_LINGER:
            connection.abort()

    def _is_silent(self, connection: IConnection, now: float) -> bool:
        """Whether a peer has given no sign of life in time. A ping may wait behind what the peer still takes."""
        # While it rests for what it has sent, nothing that it says is read.
        heard = max(connection.last_received, connection.rests_until, self._deaf_until)
        if heard > now - self.timeout / 2:
            return False
        return max(heard, connection.last_taken(heard)) <= now - self.timeout

    def _judge(self, connection: IConnection, now: float) -> None:
        """Close a connection whose peer is late with something."""
        time_to_authenticate = self._limits.auth_timeout or math.inf
        if connection.paused:
            return  # it may have said a lot
        if self._is_silent(connection, now):
            connection.close(CloseCode.HEARTBEAT_TIMEOUT, "heartbeat timeout")
        elif connection.session is None and connection.opened_at <= now - time_to_authenticate:
            connection.close(CloseCode.AUTHENTICATION_TIMEOUT, "no authentication in time")
        elif connection.unfinished is not None and _is_overdue(connection.unfinished, now):
            connection.close(CloseCode.POLICY_VIOLATION, "a message took too long")

    def _relieve(self, excess: int) -> None:
        """Too much waits for all connections together: abort those for which most does."""
        for connection in sorted(self._connections, key=lambda connection: -connection.backlog):
            if excess <= 0:
                break
            excess -= connection.backlog
            self._limit_exceeded("total_outbound_limit", connection.address)
            connection.close(CloseCode.SLOW_CONSUMER, "too much waits to be read, by all together")
            connection.abort()


def _is_overdue(unfinished: Unfinished, now: float) -> bool:
    return unfinished.since + MESSAGE_TIME + unfinished.size / MESSAGE_SPEED <= now
