"""What a session has to do with: its connection, and who calls."""

from __future__ import annotations

from typing import Any

from zope.interface import Attribute, Interface

from cell0gw.protocol.messages import Batch


class IConnection(Interface):
    """A socket that speaks the protocol, as the rules see it."""

    connection_id = Attribute("str: names the connection in logs.")
    address = Attribute("str: where it comes from, as L{cell0gw.guard.addresses.source} spells it.")
    session = Attribute("Session or None: its authenticated span.")
    last_received = Attribute("float: when anything, pongs included, last came; seconds of the monotonic clock.")
    opened_at = Attribute("float: when the handshake was done.")
    closing_since = Attribute("float or None: since when the connection is on its way out.")
    backlog = Attribute("int: how many bytes wait for the peer to read.")
    behind = Attribute("bool: whether more waits than may: nothing new shall be sent to it.")
    paused = Attribute("bool: whether nothing is read, since too many of its requests wait.")
    unfinished = Attribute("tuple or None: since when a message comes, and how many bytes of it have been announced.")
    bad_tokens = Attribute("int: how many wrong tokens it has sent.")

    def notify(method: str, params: Any) -> None:
        """Send a notification; nothing happens on a connection that is closing."""

    def send(message: bytes) -> None:
        """Send a JSON-RPC message; nothing happens on a connection that is closing."""

    def share(batch: Batch) -> bool:
        """Send a batch of messages, to which others may be added as long as it is open.

        @return: False if this connection can't: each message must be sent to it.
        """

    def beat(message: bytes) -> None:
        """Send a message, and have the peer give a sign of life in return."""

    def session_opened(session: Any) -> None:
        """The connection is authenticated: the limits for strangers are lifted."""

    def close(code: int, reason: str) -> None:
        """Close it, with a close code of L{cell0gw.protocol.errors.CloseCode}."""

    def close_when_answered(code: int, reason: str) -> None:
        """Close it once the message that is being handled has its answer."""

    def resume() -> None:
        """Few of its requests wait still: read on, if that was paused."""

    def fall_behind() -> None:
        """Too much waits for the peer to read: it is a slow consumer, and is closed."""

    def abort() -> None:
        """Let go of the socket at once, whatever was still to be written."""

    def register_producer(producer: Any) -> None:
        """Let an L{IPushProducer} know when there is room for more, and when there is none."""

    def unregister_producer() -> None:
        """It has no more."""


class ICaller(Interface):
    """Who calls a method."""

    principal = Attribute("Principal or None: what the token says of the caller; None before authentication.")
    session = Attribute("Session or None: the session of the call.")
    connection = Attribute("IConnection or None: the connection the call came by.")
