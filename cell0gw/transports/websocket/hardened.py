"""Autobahn's server protocol, hardened: what a peer sends costs it more than it costs the gateway.

Autobahn keeps reading after a violation, counts no fragments, and answers every ping. No option changes that.
"""

from __future__ import annotations

from typing import ClassVar, Final

from autobahn.util import encode_truncate
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from cell0gw.protocol.buckets import Bucket, Rate
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import (
    CONTROL_FRAME_RATE,
    FRAGMENT_COST,
    FRAGMENT_RATE,
    FRAGMENT_REST,
    FRAGMENT_SIZE,
    KIB,
    MAX_FRAGMENTS,
    PONG_RATE,
)
from cell0gw.sessions.session import Unfinished
from cell0gw.transports.websocket.compressed import CompressedProtocol

CLOSE: Final = 8
"""The opcode of a close: it and those after it are control frames, the others have data."""

DISCARDED: Final = 256 * KIB
"""Maximum bytes discarded after a fatal error before the socket is aborted. After a close frame they are twice as many
as a message may have, if that is more: who is still sending one that is too long shall see the code before a reset.
"""

PIECE: Final = 64
"""Bytes that each piece of a message counts for beside what is in it, as they come: a fragment, or what was read of
one.
"""


class HardenedProtocol(CompressedProtocol):
    """A connection whose peer is limited in everything it can send.

    @cvar max_fragments: maximum fragments of a message, beside those that its length allows.
    @cvar fragment_cost: bytes that each counts for.
    @ivar last_received: when anything came last, in seconds of the monotonic clock.
    """

    max_fragments: ClassVar[int] = MAX_FRAGMENTS
    fragment_cost: ClassVar[int] = FRAGMENT_COST
    fragment_rate: ClassVar[Rate] = FRAGMENT_RATE
    control_frame_rate: ClassVar[Rate] = CONTROL_FRAME_RATE
    pong_rate: ClassVar[Rate] = PONG_RATE

    maxMessagePayloadSize: int
    # Not in the table of names that a class's instances share, which holds at most thirty.
    __slots__ = (
        "_begun",
        "_buckets",
        "_discarded",
        "_fragments",
        "_late_pong",
        "last_received",
    )

    def __init__(self) -> None:
        super().__init__()
        self.last_received = 0.0
        self._begun: float | None = None
        self._buckets: dict[Rate, Bucket] | None = None
        self._discarded = 0
        self._fragments = 0
        self._late_pong: bytes | None = None

    def feed(self, data: bytes) -> None:
        """Let Autobahn read some bytes, unless nobody listens any more."""
        if self.failedByMe or self.state == self.STATE_CLOSED:
            self.discard(len(data))
            return
        self._dataReceived(data)
        if self.failedByMe or self.state == self.STATE_CLOSED:  # some transports end it at once
            self._forget_everything()
            return
        if not (self.inside_message or self.data or self.current_frame is not None):
            self._begun = None
        elif self._begun is None:
            self._begun = self.last_received
        self.factory.arrivals.keeps(self, self._kept())

    def discard(self, size: int) -> None:
        """Count bytes that mean nothing any more; who goes on sending is not waited for.

        @param size: bytes.
        """
        self._discarded += size
        closes = self.failedByMe or self.state == self.STATE_CLOSING
        if self._discarded > max(DISCARDED, closes and 2 * self.maxMessagePayloadSize):
            self._closeConnection(abort=True)

    def _kept(self) -> int:
        """Bytes that are kept of what is not whole."""
        kept = len(self.data) + (0 if self._inflating is None else self._inflating.size)
        if self.inside_message:
            kept += self.message_data_total_length + PIECE * (len(self.message_data) + len(self.frame_data or ()))
            frame = self.current_frame
            if frame is not None and frame.opcode < CLOSE:
                kept -= frame.length - self.current_frame_masker.pointer()  # announced, and still to come
        return kept

    def refuse(self, reason: str) -> None:
        """See L{IReceiver}. The limit that was exceeded is told of; who exceeds it may come back a thousand times."""
        if self.state == self.STATE_OPEN:
            self.failedByMe = True
            self.sendCloseFrame(code=CloseCode.TOO_MANY_REQUESTS, reasonUtf8=reason.encode(), isReply=False)
            self._forget_everything()
        else:
            self._closeConnection(abort=True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{IProtocol}."""
        super().connectionLost(reason)
        self._forget_everything()

    def dropConnection(self, abort: bool = False) -> None:
        """See L{WebSocketProtocol}, whose own resets the connection when the peer has replied to a close.

        A reset may overtake the close frame. After a closing handshake the stream ends as it should, over TLS with
        C{close_notify} (RFC 6455, section 7.1.1).
        """
        super().dropConnection(abort=abort and not self.wasClean)

    def _forget_everything(self) -> None:
        """Let go of a message that will never be whole: it may be a while until garbage is collected, and megabytes
        of it don't make that come sooner.
        """
        self.data = b""
        self._inflating = None
        for name in ("message_data", "frame_data", "control_frame_data"):
            self.__dict__.pop(name, None)
        self.forget_message()
        self.factory.arrivals.keeps(self, 0)

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

    def _fail_connection(self, code: int = CloseCode.POLICY_VIOLATION, reason: str = "") -> None:
        """See L{WebSocketProtocol}, whose own can't log whose connection it is. Only the first violation is reported:
        a second one in the same frame changes nothing.
        """
        if self.failedByMe or self.state == self.STATE_CLOSED:
            return
        self.violated(code, reason)
        self.failedByMe = True
        if self.state == self.STATE_CLOSING:
            self.dropConnection(abort=False)
        else:
            self.sendCloseFrame(code=code, reasonUtf8=encode_truncate(reason, 123), isReply=False)

    def violated(self, code: int, reason: str) -> None:
        """Called before the connection is closed with a code, since the peer broke the rules.

        @param reason: what was wrong, for people; the peer gets as much as fits.
        """

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
        allowed = self.max_fragments + self.message_data_total_length // FRAGMENT_SIZE
        if self._fragments > allowed or size > self.maxMessagePayloadSize:
            self._fail_connection(CloseCode.POLICY_VIOLATION, "too many fragments")
        elif not self._take(self.fragment_rate):
            if (self._fragments - 1) * FRAGMENT_SIZE <= self.message_data_total_length:  # one, the last, may be short
                self.rest(FRAGMENT_REST)
                return
            self._fail_connection(CloseCode.TOO_MANY_REQUESTS, "too many fragments")

    def rest(self, seconds: float) -> None:
        """Read nothing for a while: the peer sends more than is read at a time, and nothing wrong."""

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
