"""The seams: what the floors above provide to those below, and the engines to the rules."""

from __future__ import annotations

from typing import Any

from zope.interface import Attribute, Interface

from cell0gw.frames import Batch
from cell0gw.statistics import Counts


class IConnection(Interface):
    """A socket that speaks the protocol, as the rules see it."""

    connection_id = Attribute("str: names the connection in logs.")
    session = Attribute("Session or None: its authenticated span.")
    last_received = Attribute(
        "float: when anything, pongs included, last came from it; seconds of the gateway's clock."
    )
    opened_at = Attribute("float: when the handshake was done.")
    closing_since = Attribute("float or None: since when the connection is on its way out.")
    bad_tokens = Attribute("int: how many wrong tokens it has sent.")

    def notify(method: str, params: Any) -> None:
        """Send a notification; nothing happens on a connection that is closing."""

    def write_frame(frame: bytes) -> None:
        """Send a frame made by L{cell0gw.frames}, which may be shared with others."""

    def share(batch: Batch) -> bool:
        """Send a batch of frames, to which others may be added as long as it is open.

        @return: False if this connection can't: each frame must be written to it.
        """

    def session_opened(session: Any) -> None:
        """The connection is authenticated: the limits for strangers are lifted."""

    def close(code: int, reason: str) -> None:
        """Close it, with a close code of L{cell0gw.errors.CloseCode}."""

    def close_when_answered(code: int, reason: str) -> None:
        """Close it once the message that is being handled has its answer."""

    def abort() -> None:
        """Let go of the socket at once, whatever was still to be written."""


class ICaller(Interface):
    """Who calls a method."""

    principal = Attribute("Principal or None: what the token says of the caller; None before authentication.")
    session = Attribute("Session or None: the session of the call.")
    connection = Attribute("IConnection or None: the connection the call came by.")


class ISessionObserver(Interface):
    """Hears of sessions that open and close."""

    def session_opened(session: Any) -> None:
        """A connection was authenticated."""

    def session_closed(session: Any, reason: str) -> None:
        """The session is over; its connection may be gone already."""


class ITokenStore(Interface):
    """Where token records outlive the process."""

    def load() -> list[Any]:
        """Every L{cell0gw.tokens.TokenRecord} kept."""

    def add(record: Any) -> Any:
        """Keep a record.

        @return: a Deferred that fires when it is safe.
        @raise Unavailable: by the Deferred, when it can't be kept.
        """

    def revoke(token_ids: list[str]) -> Any:
        """Mark records as revoked.

        @return: a Deferred that fires when that is safe.
        """

    def remove(token_ids: list[str]) -> Any:
        """Forget records.

        @return: a Deferred that fires when that is done.
        """


class IBroker(Interface):
    """Numbers publications and brings them to everyone who should deliver them."""

    def position(channel: str) -> Any:
        """The L{Position} of a channel: the newest offset (0: none) and the epoch of its numbering."""

    def publish(channel: str) -> Any:
        """Number a publication: its L{Position}."""

    def forget(channel: str) -> None:
        """Nobody needs the channel any more; its numbering may begin anew, in another epoch."""


class IStatistics(Interface):
    """Has figures to show in C{gateway.getStats}."""

    name = Attribute("str: under which they are shown.")

    def statistics() -> Counts:
        """The L{Counts} of now."""
