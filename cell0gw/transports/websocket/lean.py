"""Autobahn's server protocol without what it costs each connection and nobody here asks for.

Every shortcut leans on Autobahn's inside in one small place. C{tests/transports/websocket/test_lean.py} says which
assumption it makes, and fails when a release breaks one.
"""

from __future__ import annotations

from collections import deque
from functools import cached_property
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.protocol import TrafficStats, WebSocketProtocol
from autobahn.websocket.utf8validator import Utf8Validator
from autobahn.websocket.xormasker import create_xor_masker  # type: ignore[attr-defined]
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure


class NullDeferred:
    """Stands for a Future that nobody waits for."""

    def callback(self, result: Any) -> None:
        """See L{Deferred.callback}."""


class LeanProtocol(WebSocketServerProtocol):
    """A connection that starts with nothing of its own: its options and first state are its class's.

    Autobahn copies 29 options to each instance, formats them for a debug line, makes two Deferreds, a queue, a
    validator and a table of statistics, and describes its transport: more than half of the cost of a connection.
    """

    CONFIG_ATTRS: Any = ()
    transport: Any

    is_open = is_closed = NullDeferred()
    # Counted into, never read.
    trafficStats = TrafficStats()
    # Only chopped writes, which are Autobahn's own tests' affair, are put there.
    send_queue: deque[Any] = deque()

    state = WebSocketProtocol.STATE_CONNECTING
    send_state = WebSocketProtocol.SEND_STATE_GROUND
    data = b""
    triggered = False
    trackedTimings: Any = None
    inside_message = False
    current_frame: Any = None
    _perMessageCompress: Any = None
    wasMaxFramePayloadSizeExceeded = wasMaxMessagePayloadSizeExceeded = False
    closedByMe = failedByMe = droppedByMe = wasClean = False
    wasNotCleanReason: Any = None
    wasOpenHandshakeTimeout = wasCloseHandshakeTimeout = wasServerConnectionDropTimeout = False
    wasServingFlashSocketPolicyFile = False
    localCloseCode = localCloseReason = remoteCloseCode = remoteCloseReason = None
    websocket_version = 13
    websocket_origin = ""
    websocket_protocols: Any = ()
    websocket_extensions: Any = ()
    openHandshakeTimeoutCall = closeHandshakeTimeoutCall = None
    autoPingTimeoutCall = autoPingPending = autoPingPendingCall = autoPingPendingSent = None
    autoPingPendingSeq = 0

    def __init__(self) -> None:
        """Nothing: see the class."""

    @cached_property
    def utf8validator(self) -> Any:  # type: ignore[override]
        """Made for those connections that send what is not of the common kind."""
        return Utf8Validator()

    def forget_message(self) -> None:
        """Let go of what Autobahn keeps after a message for the next one."""
        self.current_frame_masker: Any = None
        self.__dict__.pop("utf8validator", None)

    def connectionMade(self) -> None:
        """See L{IProtocol}."""
        peer = self.transport.getPeer()
        self.peer = f"{getattr(peer, 'host', peer)}:{getattr(peer, 'port', '')}"
        # Not every transport is a socket with Nagle's algorithm.
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{IProtocol}."""
        WebSocketProtocol._connectionLost(self, reason)  # type: ignore[arg-type]

    def _onOpen(self) -> None:
        self.onOpen()


def unmask_long(masked: bytes, mask: bytes) -> bytes:
    """Undo the masking of a long payload, in C."""
    return bytes(create_xor_masker(mask, len(masked)).process(masked))


def with_options(protocol: type[LeanProtocol], factory: WebSocketServerFactory) -> type[LeanProtocol]:
    """A subclass of a protocol whose attributes are the factory's options.

    @param factory: its options must not change after this.
    """
    options = {name: getattr(factory, name) for name in WebSocketServerProtocol.CONFIG_ATTRS}
    # A function that is an attribute of the class would become a method.
    plain = {name: staticmethod(value) if callable(value) else value for name, value in options.items()}
    # As the class itself in the log, which would call it after this module.
    return type(protocol.__name__, (protocol,), plain | {"__module__": protocol.__module__})
