"""Messages to the peer: as frames, compressed where that was negotiated, and shared with other connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer

from cell0gw.protocol import jsonrpc
from cell0gw.protocol.messages import LONG, Batch
from cell0gw.transports.deflate import deflated, sharing_deflated
from cell0gw.transports.frames import FINAL_TEXT, PING, SHORT_TEXT_HEADERS, header
from cell0gw.transports.websocket.hardened import HardenedProtocol


class SendingProtocol(HardenedProtocol):
    """A connection that messages can be sent to, from L{begin_sending} until L{stop_sending}.

    Nothing that a write raises reaches its caller: other connections wait for the same message.
    """

    __slots__ = ("_write",)

    def __init__(self) -> None:
        super().__init__()
        self._write: Callable[[bytes], None] | None = None

    def begin_sending(self) -> None:
        """The handshake is done: messages go to the transport."""
        self._write = self.transport.write
        share = getattr(self.transport, "share", self.share)
        extension = self._perMessageCompress
        if extension is not None:
            share = sharing_deflated(share, self.transport.write, extension)
        self.share = share  # type: ignore[method-assign]

    def stop_sending(self) -> None:
        """Drop everything that is sent from now on. What is written still is Autobahn's, and short."""
        if self._write is not None:
            self._write = None
            del self.share
            if hasattr(self.transport, "watch_backlog"):
                self.transport.watch_backlog(None)

    @property
    def backlog(self) -> int:
        """See L{IConnection}."""
        return getattr(self.transport, "backlog", 0)

    @property
    def behind(self) -> bool:
        """See L{IConnection}."""
        return self._write is None or self.backlog > self.factory.limits.outbound_limit

    @property
    def stalled(self) -> bool:
        """See L{IConnection}."""
        return getattr(self.transport, "stalled", False)

    def last_taken(self, since: float = 0.0) -> float:
        """See L{IConnection}."""
        return float(self.transport.look(since)) if hasattr(self.transport, "look") else 0.0

    def notify(self, method: str, params: Any) -> None:
        """See L{IConnection}."""
        self.send(jsonrpc.notification(method, params))

    def send(self, message: bytes) -> None:
        """See L{IConnection}."""
        write = self._write
        if write is not None:
            try:
                length = len(message)
                if length < LONG:
                    write(SHORT_TEXT_HEADERS[length] + message)
                else:
                    self._send_long(message, write)
            except Exception:
                self.write_failed()  # type: ignore[attr-defined]

    def share(self, batch: Batch) -> bool:
        """See L{IConnection}. While messages can be sent, that of the transport stands in this one's place."""
        return False

    def beat(self, message: bytes) -> None:
        """See L{IConnection}. The ping makes browsers, whose scripts may not answer, send a sign of life."""
        self.send(message)
        self.ping()

    def ping(self) -> None:
        """See L{IConnection}."""
        write = self._write
        if write is not None:
            try:
                write(PING)
            except Exception:
                self.write_failed()  # type: ignore[attr-defined]

    def register_producer(self, producer: IPushProducer) -> None:
        """See L{IConnection}."""
        self.transport.registerProducer(producer, True)

    def unregister_producer(self) -> None:
        """See L{IConnection}."""
        self.transport.unregisterProducer()

    def _send_long(self, message: bytes, write: Callable[[bytes], None]) -> None:
        """Send a message that is worth compressing; where that was not negotiated, no copy of it is made."""
        extension = self._perMessageCompress
        compressed = b"" if extension is None else deflated(message, extension.server_max_window_bits)
        if compressed:
            write(compressed)
        else:
            self.transport.writeSequence((header(FINAL_TEXT, len(message)), message))
