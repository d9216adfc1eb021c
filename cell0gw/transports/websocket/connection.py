"""The protocol on the wire: Autobahn's WebSocket, one JSON-RPC message a text frame."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from autobahn.websocket.protocol import WebSocketProtocol
from twisted.logger import Logger
from zope.interface import implementer

from cell0gw.guard.addresses import client_address
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import UNAUTHENTICATED_MESSAGE_SIZE
from cell0gw.rpc.dispatch import Answer
from cell0gw.sessions.ending import Ending, EndingKind, closed
from cell0gw.sessions.session import Caller, ClientAddress, IConnection, Session
from cell0gw.transports.frames import read_text_frames
from cell0gw.transports.websocket.handshake import UpgradeRequest
from cell0gw.transports.websocket.lean import unmask_long
from cell0gw.transports.websocket.sending import SendingProtocol

OPEN: Final = WebSocketProtocol.STATE_OPEN


@implementer(IConnection)
class GatewayProtocol(SendingProtocol):
    """One connection.

    An exception that left one of Autobahn's callbacks would drop the connection, so none does.

    @ivar forwarded: for whom a trusted proxy opened it; None: there is no proxy, or it did not say.
    """

    # Autobahn claims `log` and `state`, among others.
    _log = Logger()

    # Up to thirty names of a class's instances share one table, which Autobahn's own would fill.
    __slots__ = (
        "_farewell",
        "_held",
        "_slot",
        "address",
        "bad_tokens",
        "caller",
        "closing_since",
        "connection_id",
        "forwarded",
        "opened_at",
        "session",
    )

    def __init__(self) -> None:
        super().__init__()
        self.connection_id = self.address = ""
        self.forwarded: str | None = None
        self.session: Session | None = None
        self.opened_at = 0.0
        self.closing_since: float | None = None
        self.bad_tokens = 0
        self._slot: int | None = None
        self._farewell: tuple[int, str] | None = None
        self._held: deque[bytes] | None = None

    def connectionMade(self) -> None:
        """See L{IProtocol}."""
        super().connectionMade()
        factory = self.factory
        self.opened_at = factory.seconds()
        self.address = factory.admission.source(self.transport.getPeer()) or ""
        self.caller = Caller(self)
        if hasattr(self.transport, "watch_backlog"):
            self.transport.watch_backlog(factory.limits)
        factory.connections.accepted(self)

    @property
    def client(self) -> ClientAddress:
        """See L{IConnection}."""
        return client_address(self.peer or "", self.forwarded)

    def admit(self, request: UpgradeRequest) -> None:
        """See L{Admission.admit}."""
        self.caller.foreign = self.factory.admission.admit(self, request)

    def onOpen(self) -> None:
        """The handshake is done: welcome."""
        factory = self.factory
        self.opened_at = factory.seconds()
        self.connection_id = factory.new_id("conn")
        self.begin_sending()
        self.maxMessagePayloadSize = self.maxFramePayloadSize = min(
            UNAUTHENTICATED_MESSAGE_SIZE, factory.limits.max_message_size
        )
        factory.connections.opened(self)
        self._slot = factory.heartbeats.opened(self)
        if not factory.connections.has_capacity_for(self.address):
            factory.limit_exceeded("max_connections_per_address", self.address)
            self.close(CloseCode.CONNECTION_LIMIT, "too many connections from this address")
            return
        self.notify("connection.welcome", factory.welcome(self))
        if factory.draining:
            self.close(CloseCode.DRAINING, "the gateway is going down")

    def session_opened(self, session: Session) -> None:
        """See L{IConnection}."""
        self.session = session
        self.maxMessagePayloadSize = self.maxFramePayloadSize = self.factory.limits.max_message_size
        self.factory.connections.forget_unauthenticated(self)
        if hasattr(self.transport, "goes_to_work"):
            self.transport.goes_to_work()

    def dataReceived(self, data: bytes) -> None:
        """Bytes came, of whatever kind: the peer lives.

        Frames of the common kind are read here, as long as Autobahn is between two messages; it gets all else.
        """
        self.last_received = self.factory.seconds()
        if self._between_messages():
            payloads, end = read_text_frames(data, self.maxMessagePayloadSize, unmask_long)
            for payload in payloads:
                if self.closing_since is None:
                    self._handle(payload)
            if end == len(data):
                return
            data = data[end:]
        try:
            self.feed(data)
        except Exception:
            self._log.failure(
                "{connection_id} could not be read", event="connection.failed", connection_id=self.connection_id
            )
            self.abort()

    def processData(self) -> bool:
        """See L{HardenedProtocol.processData}. What is not handled now stays as it is, maybe compressed."""
        return self._held is None and super().processData()

    def _between_messages(self) -> bool:
        """Whether Autobahn waits for the first byte of a message, nothing left over from before."""
        return self.state == OPEN and not self.data and not self.inside_message and self.current_frame is None

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """A whole message came, by way of Autobahn."""
        self.forget_message()
        if self.closing_since is not None:
            return
        if isBinary:
            self.close(CloseCode.UNSUPPORTED_DATA, "binary frames are not spoken here")
        else:
            self._handle(payload)

    def _handle(self, payload: bytes) -> None:
        if self._held is not None:
            self._held.append(payload)
            return
        try:
            answer = self.factory.dispatch(self.caller, payload)
            if answer.__class__ is bytes and self._farewell is None:
                self.send(answer)
            elif answer is None or isinstance(answer, bytes):
                self._answer(answer)
            else:
                answer.addCallback(self._answer).addErrback(self._failed)
                if self.caller.in_flight >= self.factory.limits.max_in_flight:
                    self._pause()
        except Exception:
            self._failed(None)

    @property
    def paused(self) -> bool:
        """See L{IConnection}."""
        return self._held is not None

    def _pause(self) -> None:
        """Read nothing more. What has been read already waits."""
        self._held = deque()
        self.transport.pauseProducing()

    def resume(self) -> None:
        """See L{IConnection}."""
        held, self._held = self._held, None
        if held is None:
            return
        while held and self._held is None and self.closing_since is None:
            self._handle(held.popleft())
        if self._held is not None:  # as many wait again
            self._held.extend(held)
            return
        self._begun = None
        self.last_received = self.factory.seconds()
        self.transport.resumeProducing()
        if self.data:
            self.dataReceived(b"")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The socket is gone, possibly before any handshake."""
        self._leave(Ending(EndingKind.CLOSED if wasClean else EndingKind.LOST))
        self.factory.connections.closed(self)

    def sendCloseFrame(self, *arguments: Any, **options: Any) -> None:
        """Every closing begins here, on either side: the session ends now, not when the peer lets go of the socket."""
        super().sendCloseFrame(*arguments, **options)
        by_gateway: bool = self.closedByMe
        reason = self.localCloseReason if by_gateway else None
        self._leave(
            closed(self.localCloseCode if by_gateway else self.remoteCloseCode, by_gateway, (reason or b"").decode())
        )
        if self.failedByMe:
            self.end_stream()  # nothing more is read, so no reply to the close either

    def _closeConnection(self, abort: bool = False) -> None:
        self._leave(Ending(EndingKind.ABORTED if abort else EndingKind.CLOSED))
        super()._closeConnection(abort)

    def close(self, code: int, reason: str) -> None:
        """See L{IConnection}."""
        # Not sendClose(), which knows only 1000 and 3000 to 4999.
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=int(code), reasonUtf8=reason.encode(), isReply=False)

    def fall_behind(self) -> None:
        """See L{IConnection}."""
        if self.closing_since is None:
            self.factory.limit_exceeded("outbound_limit", self.caller.entity_id or self.address)
            self.close(CloseCode.SLOW_CONSUMER, "too much waits to be read")

    def close_when_answered(self, code: int, reason: str) -> None:
        """See L{IConnection}."""
        self._farewell = (code, reason)

    def abort(self) -> None:
        """See L{IConnection}."""
        self._closeConnection(abort=True)

    def _answer(self, answer: Answer) -> None:
        if answer is not None:
            self.send(answer)
        if self._farewell is not None:
            self.close(*self._farewell)

    def _failed(self, failure: Any) -> None:
        self._log.failure(
            "{connection_id} could not be answered",
            failure,
            event="connection.failed",
            connection_id=self.connection_id,
        )
        self.close(CloseCode.INTERNAL_ERROR, "internal error")

    def _leave(self, ending: Ending) -> None:
        """The connection is on its way out: nobody shall see its entity here, or route to it, any more."""
        if self.closing_since is not None or self._slot is None:
            return
        factory = self.factory
        self.closing_since = factory.clock.seconds()
        self.stop_sending()
        factory.heartbeats.closed(self, self._slot)
        factory.connections.forget_unauthenticated(self)
        if self._held is not None:
            self.resume()
        if self.session is not None:
            factory.sessions.leave(self.session, ending)
