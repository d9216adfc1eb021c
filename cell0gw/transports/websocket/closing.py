"""The end of a connection: nothing that writes to several connections is disturbed by the end of one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from cell0gw.protocol.errors import CloseCode
from cell0gw.sessions.ending import Ending, EndingKind, closed
from cell0gw.sessions.session import Caller
from cell0gw.transports.websocket.sending import SendingProtocol


class ClosingProtocol(SendingProtocol):
    """A connection that ends once, and tells of that once.

    @ivar slot: that of its heartbeats; None: it is not open yet, or it has told of its end.
    """

    # Autobahn claims `log` and `state`, among others.
    _log = Logger()

    address: str
    connection_id: str
    caller: Caller
    __slots__ = ("closing_since", "slot")

    def __init__(self) -> None:
        super().__init__()
        self.closing_since: float | None = None
        self.slot: int | None = None

    def left(self, slot: int, ending: Ending) -> None:
        """Called once, when an open connection is on its way out.

        @param slot: that of its heartbeats.
        """

    def leave(self, ending: Ending) -> None:
        """The connection is on its way out: nobody shall see its entity here, or route to it, any more."""
        slot, self.slot = self.slot, None
        if slot is None:
            return
        if self.closing_since is None:
            self.closing_since = self.factory.clock.seconds()
            self.stop_sending()
        self.left(slot, ending)

    def sendCloseFrame(self, *arguments: Any, **options: Any) -> None:
        """Every closing begins here, on either side: the session ends now, not when the peer lets go of the socket."""
        self.stop_sending()  # however much waits, the close frame may wait as well
        super().sendCloseFrame(*arguments, **options)
        by_gateway: bool = self.closedByMe
        reason = self.localCloseReason if by_gateway else None
        self.leave(
            closed(self.localCloseCode if by_gateway else self.remoteCloseCode, by_gateway, (reason or b"").decode())
        )
        if self.failedByMe:
            self.end_stream()  # nothing more is read, so no reply to the close either

    def _closeConnection(self, abort: bool = False) -> None:
        self.leave(Ending(EndingKind.ABORTED if abort else EndingKind.CLOSED))
        super()._closeConnection(abort)

    def close(self, code: int, reason: str) -> None:
        """See L{IConnection}."""
        # Not sendClose(), which knows only 1000 and 3000 to 4999.
        if self.state == self.STATE_OPEN:
            try:
                self.sendCloseFrame(code=int(code), reasonUtf8=reason.encode(), isReply=False)
            except Exception:
                self.write_failed()
                self.abort()

    def fall_behind(self) -> None:
        """See L{IConnection}."""
        self._end_soon(self._close_behind)

    def write_failed(self) -> None:
        """See L{IConnection}."""
        self._log.failure(
            "{connection_id} could not be written to", event="connection.failed", connection_id=self.connection_id
        )
        self._end_soon(self.abort)

    def _end_soon(self, end: Callable[[], None]) -> None:
        """Send nothing any more, and end the connection once the write that found this is done: the end of a session
        changes what its writer may be in the middle of.

        @param end: ends it.
        """
        if self.closing_since is None and self.slot is not None:
            self.closing_since = self.factory.clock.seconds()
            self.stop_sending()
            self.factory.clock.callLater(0, end)

    def _close_behind(self) -> None:
        if self.slot is not None:
            self.factory.limit_exceeded("outbound_limit", self.caller.entity_id or self.address)
            self.close(CloseCode.SLOW_CONSUMER, "too much waits to be read")

    def abort(self) -> None:
        """See L{IConnection}."""
        try:
            self._closeConnection(abort=True)
        except Exception:
            self._log.failure(
                "{connection_id} could not be aborted", event="connection.failed", connection_id=self.connection_id
            )
