"""Autobahn's server protocol, hardened: what a peer sends costs it more than it costs the gateway.

Autobahn keeps reading after a violation, counts no fragments, answers every ping, and waits for the end of a head
however long it gets. No option changes that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from autobahn.websocket.compress import PerMessageDeflate, PerMessageDeflateOffer
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from cell0gw.protocol.buckets import Bucket, Rate
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import CONTROL_FRAME_RATE, FRAGMENT_COST, FRAGMENT_RATE, KIB, MAX_FRAGMENTS, PONG_RATE
from cell0gw.sessions.session import Unfinished
from cell0gw.transports.websocket.factory import GatewayFactory
from cell0gw.transports.websocket.handshake import Refused, UpgradeRequest, read_request
from cell0gw.transports.websocket.lean import LeanProtocol

DISCARDED = 256 * KIB
"""Maximum bytes discarded after a fatal error before the socket is aborted."""


class HardenedProtocol(LeanProtocol):
    """A connection whose peer is limited in everything it can send.

    @cvar max_fragments: maximum fragments of a message.
    @cvar fragment_cost: bytes that each counts for.
    @ivar last_received: when anything came last, in seconds of the monotonic clock.
    """

    max_fragments: ClassVar[int] = MAX_FRAGMENTS
    fragment_cost: ClassVar[int] = FRAGMENT_COST
    fragment_rate: ClassVar[Rate] = FRAGMENT_RATE
    control_frame_rate: ClassVar[Rate] = CONTROL_FRAME_RATE
    pong_rate: ClassVar[Rate] = PONG_RATE

    factory: GatewayFactory
    maxMessagePayloadSize: int
    perMessageCompressionAccept: Callable[[list[Any]], Any]
    # Not in the table of names that a class's instances share, which holds at most thirty.
    __slots__ = ("_begun", "_buckets", "_discarded", "_fragments", "_late_pong", "last_received")

    def __init__(self) -> None:
        super().__init__()
        self.last_received = 0.0
        self._begun: float | None = None
        self._buckets: dict[Rate, Bucket] | None = None
        self._discarded = 0
        self._fragments = 0
        self._late_pong: bytes | None = None

    def admit(self, request: UpgradeRequest) -> None:
        """Judge a request that is well-formed.

        @raise Refused: it can't become a connection.
        """

    def processHandshake(self) -> None:
        """See L{WebSocketServerProtocol}, whose own reads on without end."""
        try:
            request = read_request(self.data)
            if request is None:
                return
            self.admit(request)
        except Refused as refusal:
            self._refuse(refusal)
            return
        self.data = self.data[request.length :]
        self._accept(request)

    def _accept(self, request: UpgradeRequest) -> None:
        """See L{WebSocketServerProtocol.succeedHandshake}, whose own keeps all that was said."""
        extension = ""
        if request.extensions:
            try:
                extension = self._negotiate(request.extensions)
            except Exception:  # Autobahn's parsers of parameters raise many
                self._refuse(Refused(400))
                return
        self.transport.write(request.response(extension))
        self.state = self.STATE_OPEN
        self.onOpen()
        if self.data:
            self.consumeData()

    def _negotiate(self, extensions: str) -> str:
        """
        @param extensions: what the client offers.
        @return: what is accepted of it, as it stands in the response; empty: nothing.
        """
        offers = [
            PerMessageDeflateOffer.parse(parameters)
            for name, parameters in self._parseExtensionsHeader(extensions)
            if name == PerMessageDeflateOffer.EXTENSION_NAME
        ]
        accepted = self.perMessageCompressionAccept(offers)
        if accepted is None:
            return ""
        self._perMessageCompress = PerMessageDeflate.create_from_offer_accept(True, accepted)
        return str(accepted.get_extension_string())

    def feed(self, data: bytes) -> None:
        """Let Autobahn read some bytes, unless nobody listens any more."""
        if self.failedByMe or self.state == self.STATE_CLOSED:
            self._discarded += len(data)
            if self._discarded > DISCARDED:
                self._closeConnection(abort=True)
            return
        self._dataReceived(data)
        if self.failedByMe:
            self._forget_everything()
        if not (self.inside_message or self.data or self.current_frame is not None):
            self._begun = None
        elif self._begun is None:
            self._begun = self.last_received

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{IProtocol}."""
        super().connectionLost(reason)
        self._forget_everything()

    def _forget_everything(self) -> None:
        """Let go of a message that will never be whole: it may be a while until garbage is collected, and megabytes
        of it don't make that come sooner.
        """
        self.data = b""
        for name in ("message_data", "frame_data", "control_frame_data"):
            self.__dict__.pop(name, None)
        self.forget_message()

    @property
    def unfinished(self) -> Unfinished | None:
        """See L{IConnection}."""
        if self._begun is None:
            return None
        return Unfinished(self._begun, self.__dict__.get("message_data_total_length", 0))

    def forget_message(self) -> None:
        """See L{LeanProtocol.forget_message}."""
        super().forget_message()
        self._begun = None

    def processData(self) -> bool:
        """See L{WebSocketProtocol}. After a violation the rest of the stream means nothing."""
        if self.failedByMe:
            self.data = b""
            return False
        return super().processData()

    def _fail_connection(self, *arguments: Any, **options: Any) -> None:
        """Only the first violation is reported; a second one in the same frame changes nothing."""
        if not self.failedByMe:
            super()._fail_connection(*arguments, **options)

    def _protocol_violation(self, reason: str) -> bool:
        """See L{WebSocketProtocol}, whose own goes on with what is wrong: with a wrong close as if it were a reply."""
        super()._protocol_violation(reason)
        return True

    def _invalid_payload(self, reason: str) -> bool:
        """See L{_protocol_violation}."""
        super()._invalid_payload(reason)
        return True

    def onMessageBegin(self, isBinary: bool) -> None:
        """See L{WebSocketProtocol}."""
        super().onMessageBegin(isBinary)
        self._fragments = 0

    def onMessageFrameBegin(self, length: int) -> None:
        """See L{WebSocketProtocol}, whose own counts only what fragments hold: empty ones are for nothing."""
        super().onMessageFrameBegin(length)
        self._fragments += 1
        if self._fragments == 1 and self.current_frame.fin:
            return
        size = self.message_data_total_length + self.fragment_cost * (self._fragments - 1)
        if self._fragments > self.max_fragments or size > self.maxMessagePayloadSize:
            self._fail_connection(CloseCode.POLICY_VIOLATION, "too many fragments")
        elif not self._take(self.fragment_rate):
            self._fail_connection(CloseCode.TOO_MANY_REQUESTS, "too many fragments")

    def processControlFrame(self) -> bool:
        """See L{WebSocketProtocol}."""
        if self._take(self.control_frame_rate):
            return super().processControlFrame()
        self._fail_connection(CloseCode.TOO_MANY_REQUESTS, "too many control frames")
        return False

    def onPing(self, payload: bytes) -> None:
        """See L{WebSocketProtocol}. Of pings in quick succession the last one is answered, a little later."""
        if self._late_pong is None and self._take(self.pong_rate):
            self.sendPong(payload)
            return
        if self._late_pong is None:
            self.factory.clock.callLater(1 / self.pong_rate.per_second, self._send_late_pong)
        self._late_pong = payload

    def onPong(self, payload: bytes) -> None:
        """See L{WebSocketProtocol}: that it came says all."""

    def _send_late_pong(self) -> None:
        payload, self._late_pong = self._late_pong, None
        if self.state == self.STATE_OPEN:
            self.sendPong(payload)

    def _take(self, rate: Rate) -> bool:
        """Whether there may be one more of those that a rate is for."""
        if self._buckets is None:
            self._buckets = {}
        bucket = self._buckets.get(rate)
        if bucket is None:
            bucket = self._buckets[rate] = Bucket(self.last_received)
        return bucket.take(1, self.last_received, *rate) > 0

    def _refuse(self, refusal: Refused) -> None:
        self.data = b""
        self.state = self.STATE_CLOSED
        self.transport.write(refusal.response())
        self.end_stream()

    def end_stream(self) -> None:
        """Say by the end of the stream that nothing more will come.

        Closing a socket with something unread in it makes Linux reset the connection, and the peer may never see what
        was written last. Over TLS nothing can be half-closed.
        """
        if getattr(self.transport, "TLS", True):
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()
