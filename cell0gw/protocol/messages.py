"""Messages that go to many readers: put into the form of a transport once for all of them."""

from __future__ import annotations

from typing import Final

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


def shareable(message: bytes) -> bytes:
    """A message for many readers: a L{LongMessage} if it is long."""
    if len(message) < LONG:
        return message
    long = LongMessage(message)
    long.forms = {}
    return long
