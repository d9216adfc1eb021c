"""A connection that remembers what was done to it."""

from __future__ import annotations

import json
from typing import Any

from zope.interface import implementer

from cell0gw.protocol import jsonrpc
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.messages import Batch
from cell0gw.sessions.client import ClientAddress, Reached
from cell0gw.sessions.session import IConnection, Session, Unfinished

EPOCH = 1_770_892_200.0
"""When the clock of a memory gateway starts: 2026-02-12T10:30:00Z."""


@implementer(IConnection)
class RecordingConnection:
    """A connection that remembers what was done to it.

    @ivar notifications: C{(method, params)}, params as JSON values.
    @ivar messages: what was sent, but for notifications.
    @ivar closed: the code and reason it was closed with.
    @ivar pings: how many pings were sent to it.
    @ivar producer: what has more to write to it.
    @ivar taken_at: when its peer took something last; 0: never.
    """

    def __init__(self, connection_id: str = "conn", opened_at: float = EPOCH, address: str = "192.0.2.1") -> None:
        self.connection_id = connection_id
        self.address = address
        self.client = ClientAddress(address, f"{address}:50000")
        self.reached: Reached | None = None
        self.opened_at = self.last_received = opened_at
        self.session: Session | None = None
        self.closing_since: float | None = None
        self.bad_tokens = 0
        self.backlog = 0
        self.stalled = False
        self.taken_at = 0.0
        self.paused = False
        self.rests_until = 0.0
        self.reading = True
        self.pings = 0
        self.unfinished: Unfinished | None = None
        self.notifications: list[tuple[str, Any]] = []
        self.messages: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.farewell: tuple[int, str] | None = None
        self.aborted = False
        self.producer: Any = None

    @property
    def behind(self) -> bool:
        """See L{IConnection}."""
        return self.backlog > Limits().outbound_limit

    def last_taken(self, since: float = 0.0) -> float:
        """See L{IConnection}."""
        return self.taken_at

    def notify(self, method: str, params: Any) -> None:
        """See L{IConnection}."""
        self.notifications.append((method, json.loads(jsonrpc.encode(params))))

    def send(self, message: bytes) -> None:
        """See L{IConnection}."""
        self.messages.append(message)

    def share(self, batch: Batch) -> bool:
        """See L{IConnection}."""
        return False

    def beat(self, message: bytes) -> None:
        """See L{IConnection}."""
        self.messages.append(message)

    def ping(self) -> None:
        """See L{IConnection}."""
        self.pings += 1

    def session_opened(self, session: Session) -> None:
        """See L{IConnection}."""
        self.session = session

    def close(self, code: int, reason: str) -> None:
        """See L{IConnection}."""
        self.closed = (int(code), reason)
        self.closing_since = self.opened_at

    def close_when_answered(self, code: int, reason: str) -> None:
        """See L{IConnection}."""
        self.farewell = (int(code), reason)

    def rest(self, seconds: float) -> None:
        """See L{IConnection}. What is read of it is up to the test."""

    def resume(self) -> None:
        """See L{IConnection}."""
        self.paused = False

    def fall_behind(self) -> None:
        """See L{IConnection}."""
        self.close(CloseCode.SLOW_CONSUMER, "too slow")

    def write_failed(self) -> None:
        """See L{IConnection}."""
        self.abort()

    def abort(self) -> None:
        """See L{IConnection}."""
        self.aborted = True

    def register_producer(self, producer: Any) -> None:
        """See L{IConnection}."""
        self.producer = producer

    def unregister_producer(self) -> None:
        """See L{IConnection}."""
        self.producer = None
