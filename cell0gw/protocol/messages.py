"""Messages in the forms that they are sent in: those of transports, once for all readers, and of clients."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

LONG: Final = 1024
"""Shortest message that is worth compressing, in bytes: with shorter ones it takes longer than it saves."""


class LongMessage(bytes):
    """A message that is worth compressing.

    @ivar forms: what transports made of it, each by a key of its own, so that it is made once. Who can read a form can
        read those with a lesser key.
    @ivar kept: whether it is retained once it has been sent: then there is one form at most.
    """

    forms: dict[int, bytes]
    kept: bool = False

    def keep(self) -> None:
        """Called when it has been sent and is retained: the form that most can read stays."""
        self.kept = True
        if len(self.forms) > 1:
            key = min(self.forms)
            self.forms = {key: self.forms[key]}


class Batch:
    """Messages that the same readers get in a row.

    @ivar messages: those that were added; empty once they are encoded.
    @ivar open: whether more may be added; not once a reader was sent the batch, or is to get something else after it.
    @ivar long: the message of a batch of one that is worth compressing; None: none of these is.
    @ivar encoded: all messages as the transport that these readers share sends them; None: not encoded yet.
    """

    __slots__ = ("encoded", "long", "messages", "open")

    def __init__(self, long: LongMessage | None = None) -> None:
        self.messages: list[bytes] = [] if long is None else [long]
        self.long = long
        self.open = long is None
        self.encoded: bytes | None = None

    def append(self, message: bytes) -> None:
        """Add a message that is not long, while the batch is open."""
        self.messages.append(message)


class _Notification(msgspec.Struct):
    method: str
    params: dict[str, Raw]
    jsonrpc: str = "2.0"


def fitting(message: bytes, most: int | None) -> bytes:
    """A C{channel.message} or C{task.event} as a client gets it: without what is in it if it is longer than it takes.

    @param most: how many bytes the client takes; None: it does not say.
    """
    if most is None or len(message) <= most:
        return message
    notification = msgspec.json.decode(message, type=_Notification)
    content = "message" if "message" in notification.params else "data"
    notification.params |= {content: Raw(b"null"), "omitted": Raw(b"%d" % len(message))}
    return msgspec.json.encode(notification)


def shareable(message: bytes) -> bytes:
    """A message for many readers: a L{LongMessage} if it is long."""
    if len(message) < LONG:
        return message
    long = LongMessage(message)
    long.forms = {}
    return long


def as_raw(message: Any) -> Raw:
    """A message of a program in this process, as JSON; one that is JSON already stays as it is."""
    return message if isinstance(message, Raw) else Raw(msgspec.json.encode(message))
