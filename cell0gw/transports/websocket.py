"""The protocol on the wire: Autobahn's WebSocket, one JSON-RPC message a text frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from autobahn.websocket.protocol import WebSocketProtocol
from autobahn.websocket.types import ConnectionRequest
from twisted.logger import Logger
from zope.interface import implementer

from cell0gw import jsonrpc
from cell0gw.dispatch import Answer
from cell0gw.errors import CloseCode
from cell0gw.frames import Batch, read_text_frames, text_frame
from cell0gw.interfaces import IConnection
from cell0gw.limits import UNAUTHENTICATED_MESSAGE_SIZE
from cell0gw.printable import printable
from cell0gw.sessions import Caller, Session
from cell0gw.transports.deflate import deflating
from cell0gw.transports.handshake import judge
from cell0gw.transports.lean import LeanProtocol, unmask_long

GOODBYES: Final = (1000, None)
"""How a client closes for good; None is a close without a code, as browsers send it unless told otherwise."""

NO_CODE: Final = 1005
"""What a close without a code is called. RFC 6455, section 7.1.5"""

OPEN: Final = WebSocketProtocol.STATE_OPEN


@implementer(IConnection)
class GatewayProtocol(LeanProtocol):
    """One connection.

    An exception that left one of Autobahn's callbacks would drop the connection, so none does.
    """

    # Autobahn claims `log` and `state`, among others.
    _log = Logger()
    factory: Any

    # Up to thirty names of a class's instances share one table, which Autobahn's own would fill.
    __slots__ = (
        "_farewell",
        "_share",
        "bad_tokens",
        "caller",
        "closing_since",
        "connection_id",
        "last_received",
        "opened_at",
        "session",
    )

    def __init__(self) -> None:
        super().__init__()
        self.connection_id = ""
        self.session: Session | None = None
        self.last_received = self.opened_at = 0.0
        self.closing_since: float | None = None
        self.bad_tokens = 0
        self._share: int | None = None
        self._farewell: tuple[int, str] | None = None

    def connectionMade(self) -> None:
        """See L{IProtocol}."""
        super().connectionMade()
        self.opened_at = self.factory.seconds()
        self.factory.connections.accepted(self)

    def onConnect(self, request: ConnectionRequest) -> str | None:
        """See L{judge}. Must stay synchronous: Autobahn would parse the next bytes as a second handshake."""
        return judge(request)

    def onOpen(self) -> None:
        """The handshake is done: welcome."""
        factory = self.factory
        self.opened_at = factory.seconds()
        self.connection_id = factory.new_id("conn")
        self.caller = Caller(self)
        write: Callable[[bytes], None] = self.transport.write
        extension = self._perMessageCompress
        self.share = getattr(self.transport, "share", self.share)  # type: ignore[method-assign]
        self.write_frame = write if extension is None else deflating(write, extension)  # type: ignore[assignment, method-assign]
        self.maxMessagePayloadSize = self.maxFramePayloadSize = min(
            UNAUTHENTICATED_MESSAGE_SIZE, factory.limits.max_message_size
        )
        factory.connections.opened(self)
        self._share = factory.heartbeats.opened(self)
        self.notify("connection.welcome", factory.welcome(self))
        if factory.draining:
            self.close(CloseCode.DRAINING, "the gateway is going down")

    @property
    def backlog(self) -> int:
        """See L{IConnection}."""
        return getattr(self.transport, "backlog", 0)

    def session_opened(self, session: Session) -> None:
        """See L{IConnection}."""
        self.session = session
        self.maxMessagePayloadSize = self.maxFramePayloadSize = self.factory.limits.max_message_size
        self._log.info(
            "{entity_id} opened {session_id} on {connection_id} from {peer}",
            entity_id=session.entity_id,
            session_id=session.session_id,
            connection_id=self.connection_id,
            peer=self.peer,
            token_id=session.principal.token_id,
        )

    def dataReceived(self, data: bytes) -> None:
        """Bytes came, of whatever kind: the peer lives.

        Frames of the common kind are read here, as long as Autobahn is between two messages; it gets all else.
        """
        self.last_received = self.factory.seconds()
        if self._between_messages():
            payloads, end = read_text_frames(data, self.maxMessagePayloadSize, unmask_long)
            for payload in payloads:
                if self.closing_since is None:
                    self._take_up(payload)
            if end == len(data):
                return
            data = data[end:]
        if self.state == self.STATE_CLOSED:
            return  # Autobahn would keep it
        try:
            self._dataReceived(data)
        except Exception:
            self._log.failure("{connection_id} could not be read", connection_id=self.connection_id)
            self.abort()

    def processData(self) -> bool:
        """Autobahn's next step through its buffer. After a violation the rest of the stream means nothing."""
        if self.failedByMe:
            self.data = b""
            return False
        return super().processData()

    def _fail_connection(self, *arguments: Any, **options: Any) -> None:
        """One violation is told; that the same frame holds another one changes nothing."""
        if not self.failedByMe:
            super()._fail_connection(*arguments, **options)

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
            self._take_up(payload)

    def _take_up(self, payload: bytes) -> None:
        try:
            answer = self.factory.dispatch(self.caller, payload)
            if answer.__class__ is bytes and self._farewell is None:
                self.write_frame(text_frame(answer))
            elif answer is None or isinstance(answer, bytes):
                self._answer(answer)
            else:
                answer.addCallback(self._answer).addErrback(self._failed)
        except Exception:
            self._failed(None)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The socket is gone, possibly before any handshake."""
        self._leave("closed" if wasClean else "lost")
        self.factory.connections.closed(self)

    def sendCloseFrame(self, *arguments: Any, **options: Any) -> None:
        """Whoever begins the closing, it begins here: the session ends now, not when the peer lets go of the socket."""
        super().sendCloseFrame(*arguments, **options)
        self._leave(str(self.localCloseCode if self.closedByMe else self.remoteCloseCode or NO_CODE))
        if self.failedByMe and not getattr(self.transport, "TLS", True):
            # Nothing more is read, so no reply to the close either: say by the end of the stream that it was the last.
            self.transport.loseWriteConnection()

    def _closeConnection(self, abort: bool = False) -> None:
        self._leave("aborted" if abort else "closed")
        super()._closeConnection(abort)

    def notify(self, method: str, params: Any) -> None:
        """See L{IConnection}."""
        self.write_frame(text_frame(jsonrpc.notification(method, params)))

    def write_frame(self, frame: bytes) -> None:
        """See L{IConnection}. While the connection is open the transport's own C{write} stands in this one's place."""

    def share(self, batch: Batch) -> bool:
        """See L{IConnection}. While the connection is open that of the transport stands in this one's place."""
        return False

    def close(self, code: int, reason: str) -> None:
        """See L{IConnection}."""
        # Not sendClose(), which knows only 1000 and 3000 to 4999.
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=int(code), reasonUtf8=reason.encode(), isReply=False)

    def close_when_answered(self, code: int, reason: str) -> None:
        """See L{IConnection}."""
        self._farewell = (code, reason)

    def abort(self) -> None:
        """See L{IConnection}."""
        self._closeConnection(abort=True)

    def _answer(self, answer: Answer) -> None:
        if answer is not None:
            self.write_frame(text_frame(answer))
        if self._farewell is not None:
            self.close(*self._farewell)

    def _failed(self, failure: Any) -> None:
        self._log.failure("{connection_id} could not be answered", failure, connection_id=self.connection_id)
        self.close(CloseCode.INTERNAL_ERROR, "internal error")

    def _for_good(self) -> bool:
        """Whether the session ends with the connection: the client said goodbye, or it must not come back as it is."""
        if self.wasClean and not self.closedByMe:
            return self.remoteCloseCode in GOODBYES
        return (self.localCloseCode or 0) >= CloseCode.BAD_TOKEN

    def register_producer(self, producer: Any) -> None:
        """See L{IConnection}."""
        self.transport.registerProducer(producer, True)

    def unregister_producer(self) -> None:
        """See L{IConnection}."""
        self.transport.unregisterProducer()

    def _leave(self, reason: str) -> None:
        """The connection is on its way out: nobody shall see its entity here, or route to it, any more."""
        if self.closing_since is not None or self._share is None:
            return
        factory = self.factory
        self.closing_since = factory.clock.seconds()
        del self.write_frame, self.share
        factory.heartbeats.closed(self, self._share)
        if self.session is not None:
            factory.sessions.leave(self.session, reason, self._for_good())
            self._log.info(
                "{entity_id} closed {session_id} on {connection_id}: {reason}",
                entity_id=self.session.entity_id,
                session_id=self.session.session_id,
                connection_id=self.connection_id,
                reason=printable(reason),
            )
