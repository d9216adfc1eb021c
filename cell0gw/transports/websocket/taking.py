"""What a peer has sent is handled message by message, in turns with what others have sent."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from autobahn.websocket.protocol import WebSocketProtocol

from cell0gw.guard.throttle import BYTES_A_CALL, SLOW
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import KIB
from cell0gw.rpc.dispatch import Answer
from cell0gw.sessions.session import Session
from cell0gw.transports.frames import COMPRESSED_MESSAGES, LONGEST_HEADER, MESSAGES, end_of_messages, read_text_frames
from cell0gw.transports.websocket.closing import ClosingProtocol
from cell0gw.transports.websocket.lean import unmask_long

OPEN: Final = WebSocketProtocol.STATE_OPEN
CLOSING: Final = WebSocketProtocol.STATE_CLOSING
BEGUN: Final = frozenset((OPEN, CLOSING))

MUCH: Final = 4 * KIB
"""Minimum bytes of a read that has to wait while others do, and does not go before them."""


class TakingProtocol(ClosingProtocol):
    """A connection whose messages are handled, as long as it is its turn.

    What has been read and can't be handled now waits, and nothing more is read: C{_held} are whole messages, and what
    Autobahn has in C{data} stays as it is, maybe compressed.
    """

    session: Session | None
    __slots__ = ("_farewell", "_held", "_resting", "_room", "_since", "_spent", "_turn_ends", "rests_until")

    def __init__(self) -> None:
        super().__init__()
        self._farewell: tuple[int, str] | None = None
        self._held: deque[bytes] | None = None
        self._resting = False
        # Seconds of work for the message which is being inflated in the turns before this one.
        self._spent = 0.0
        self.rests_until = self._since = self._turn_ends = 0.0
        # Bytes that answers to what is handled in this turn may still have: they leave at the end of the pass.
        self._room = 0

    def dataReceived(self, data: bytes) -> None:
        """Bytes came, of whatever kind: the peer lives.

        Frames of the common kind are read here, as long as Autobahn is between two messages; it gets all else.
        """
        factory = self.factory
        turns = factory.turns
        self.last_received = self._since = now = factory.seconds()
        self._turn_ends = now + turns.length
        if now >= factory.work.stale_at:
            factory.work.look(now)
        self._room = factory.limits.outbound_limit
        if len(data) >= MUCH and turns.busy and self.state == OPEN and self._held is None:
            self._wait_for_turn()
        if (self.data or self.current_frame is not None) and self.state in BEGUN:
            data = self._finish_frame(data)
        if self.state == CLOSING and self.current_frame is None and not self.data:
            data = self._passed_over(data)
            if not data:
                return
        if self._between_messages():
            payloads, end = read_text_frames(data, self.maxMessagePayloadSize, unmask_long)
            for payload in payloads:
                if self.closing_since is None:
                    self._handle(payload)
            if end == len(data):
                return
            data = data[end:]
        self._read(data)

    def _passed_over(self, data: bytes) -> bytes:
        """Pass over what comes after a close: of all that only the client's own close is of interest.

        @return: the rest, from the first frame on that is no message by itself.
        """
        if self.failedByMe or self.inside_message:
            return data
        kinds = MESSAGES if self._perMessageCompress is None else COMPRESSED_MESSAGES
        end = end_of_messages(data, kinds, self.maxMessagePayloadSize)
        self.discard(end)
        return data[end:]

    def _finish_frame(self, data: bytes) -> bytes:
        """Let Autobahn have what is missing of the frame that it has begun to read: what follows is read faster here.

        @return: what follows; and what Autobahn had, if that is not even a header.
        """
        frame = self.current_frame
        if frame is None:
            if not self.inside_message and self._held is None and len(self.data) < LONGEST_HEADER:
                self.data, data = b"", self.data + data
        elif self.current_frame_masker is not None:  # as it is after a violation
            missing = frame.length - self.current_frame_masker.pointer() - len(self.data)
            if 0 < missing < len(data):
                self._read(data[:missing])
                return data[missing:]
        return data

    def _read(self, data: bytes) -> None:
        """Let Autobahn read some bytes, beside those that it has."""
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

    def inflate_later(self) -> None:
        """See L{CompressedProtocol.inflate_later}: others have their turns meanwhile."""
        self._spent += self.factory.work.bound(self.factory.seconds() - self._since)
        self.factory.arrivals.keeps(self, self._kept())
        self._wait_for_turn()

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
        factory = self.factory
        try:
            answer = factory.dispatch(self.caller, payload)
            if answer.__class__ is bytes and self._farewell is None:
                self._room -= len(answer)
                self.send(answer)
            elif answer is None or isinstance(answer, bytes):
                self._answer(answer)
            else:
                answer.addCallback(self._answer).addErrback(self._failed)
                if self.caller.in_flight >= factory.limits.max_in_flight:
                    self._pause()
        except Exception:
            self._failed(None)
        now = factory.seconds()
        took = now - self._since
        self._since = now
        if took > SLOW or len(payload) >= BYTES_A_CALL or self.session is None:
            self._charge(len(payload), took)
        if now >= self._turn_ends or self._room < 0:
            self._wait_for_turn()

    def _charge(self, size: int, took: float) -> None:
        """Charge for a message that was long, or took long, and for each of those who have not authenticated."""
        factory = self.factory
        if took > SLOW:
            took = factory.work.bound(took)
        took += self._spent
        self._spent = 0.0
        if took > SLOW or size >= BYTES_A_CALL:
            factory.charge(self.caller, size, took)
        if self.session is None:
            factory.spent(self, size, took)

    @property
    def paused(self) -> bool:
        """See L{IConnection}. A peer that sends too fast is judged like others: it is the one who makes it rest."""
        return self._held is not None and not self._resting

    @property
    def reading(self) -> bool:
        """See L{IConnection}."""
        return self._held is None

    def _pause(self) -> None:
        """Read nothing more. What has been read already waits."""
        self._held = deque()
        self.transport.pauseProducing()

    def rest(self, seconds: float) -> None:
        """See L{HardenedProtocol.rest}."""
        if self.closing_since is not None:
            return
        until = self.factory.seconds() + seconds
        self._resting = True
        if self._held is None:
            self._pause()
        if until > self.rests_until:
            self.rests_until = until
            self.factory.clock.callLater(seconds, self.take_turn)

    def _wait_for_turn(self) -> None:
        """The turn is over, or it is another one's."""
        if not self._resting and self.closing_since is None:
            self._resting = True
            if self._held is None:
                self._pause()
            self.factory.turns.wait(self)

    @property
    def turn_holder(self) -> str:
        """See L{ITurnTaker}."""
        return f"address {self.address}" if self.session is None else self.session.entity_id

    @property
    def has_room(self) -> bool:
        """See L{ITurnTaker}."""
        return self.closing_since is not None or self.backlog <= self.factory.limits.outbound_limit

    def take_turn(self) -> None:
        """See L{ITurnTaker}."""
        if self.factory.seconds() >= self.rests_until:
            self._resting = False
            self.resume()

    def resume(self) -> None:
        """See L{IConnection}."""
        if self._held is None or self._resting:
            return
        if self.caller.in_flight >= self.factory.limits.max_in_flight and self.closing_since is None:
            return  # the next of them that is answered will have it go on
        held, self._held = self._held, None
        factory = self.factory
        self._since = now = factory.seconds()
        self._turn_ends = now + factory.turns.length
        if now >= factory.work.stale_at:
            factory.work.look(now)
        self._room = factory.limits.outbound_limit
        if self._inflating is not None:
            self.inflate()
            if self._inflating is None:
                factory.arrivals.keeps(self, self._kept())
        while held and self._held is None and self.closing_since is None:
            self._handle(held.popleft())
        if self._held is not None:  # as many wait again
            self._held.extend(held)
            return
        self._begun = None
        self.last_received = factory.seconds()
        if self.data:
            self._read(b"")
        if self._held is None:
            self.transport.resumeProducing()

    def let_go(self) -> None:
        """Called when the connection is on its way out: drop what waits, and read on, since a close may be among it."""
        self._resting = False
        if self._inflating is not None:
            self._inflating = None
            self.factory.arrivals.keeps(self, self._kept())
        if self._held is not None:
            self._held = None
            self.transport.resumeProducing()
            if self.data:
                self.factory.clock.callLater(0, self._read, b"")  # Autobahn may be in the middle of it

    def close_when_answered(self, code: int, reason: str) -> None:
        """See L{IConnection}."""
        self._farewell = (code, reason)

    def _answer(self, answer: Answer) -> None:
        if answer is not None:
            self._room -= len(answer)
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
