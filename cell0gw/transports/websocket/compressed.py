"""Compressed messages: inflated when they are whole, and long ones piece by piece."""

from __future__ import annotations

from autobahn.exception import PayloadCorruptError, PayloadExceededError

from cell0gw.transports.deflate import Inflating, NotUTF8
from cell0gw.transports.websocket.upgrading import UpgradingProtocol


class CompressedProtocol(UpgradingProtocol):
    """A connection that takes compressed messages, if that was negotiated.

    Autobahn's own inflates what has come of a message, which may never be whole, and all of it in one go.
    """

    maxMessagePayloadSize: int
    _isMessageCompressed: bool
    __slots__ = ("_deflated", "_inflating")

    def __init__(self) -> None:
        super().__init__()
        self._deflated = False
        self._inflating: Inflating | None = None

    def onMessageBegin(self, isBinary: bool) -> None:
        """See L{WebSocketProtocol}."""
        super().onMessageBegin(isBinary)
        # As long as it is not whole, a compressed message takes no more than the client has sent.
        self._deflated = self._isMessageCompressed
        if self._deflated:
            self._isMessageCompressed = self.utf8validateIncomingCurrentMessage = False
        elif self.state != self.STATE_OPEN:  # nobody reads it any more
            self.utf8validateIncomingCurrentMessage = False

    def onMessageEnd(self) -> None:
        """See L{WebSocketProtocol}."""
        if not self._deflated or self.failedByMe:
            super().onMessageEnd()
            return
        compressed, self.message_data = b"".join(self.message_data), []
        if self.state != self.STATE_OPEN:  # nobody wants it any more
            self.forget_message()
            return
        text = not self.message_is_binary
        self._inflating = self._perMessageCompress.inflating(compressed, self.maxMessagePayloadSize, text)
        self.inflate()

    def inflate(self) -> None:
        """Inflate a piece of the message that has come. When it is whole it is handled."""
        inflating, limit = self._inflating, self.maxMessagePayloadSize
        assert inflating is not None
        try:
            message = inflating.step()
        except PayloadExceededError:
            self._inflating = None
            self._max_message_size_exceeded(
                limit, limit, f"received WebSocket message exceeds payload limit of {limit} octets after decompression"
            )
        except PayloadCorruptError as problem:
            self._inflating = None
            self._invalid_payload(f"received WebSocket message cannot be decompressed: {problem}")
        except NotUTF8 as problem:
            self._inflating = None
            self._invalid_payload(f"encountered invalid UTF-8 at payload octet index {problem}")
        else:
            if message is None:
                self.inflate_later()
                return
            self._inflating = None
            self._perMessageCompress.inflated(message, inflating.by_history)
            self.message_data = [message]
            super().onMessageEnd()

    def inflate_later(self) -> None:
        """Called when there is more of a message than is inflated in one go: go on with L{inflate} in a while."""
