"""What comes too slowly, or never."""

from __future__ import annotations

from typing import Final, NamedTuple

from tests.e2e.inputs.messages import call
from tests.e2e.inputs.peer import CONTINUATION, PING, TEXT, frame, request, text

HANDSHAKE, AUTHENTICATION, MESSAGE = 5.0, 30.0, 30.0
"""How many seconds there are for each."""


class Slow(NamedTuple):
    """A connection that takes its time.

    @ivar opened: its handshake is done at first; C{session}: and it has authenticated.
    @ivar sent: what it sends at once.
    @ivar drip: what it sends of it bit by bit, a piece a second, for ever.
    @ivar seconds: after how many the gateway ends it.
    @ivar ends: the code that it is closed with; None: not a byte is said.
    """

    name: str
    seconds: float
    ends: int | None
    sent: bytes = b""
    drip: bytes = b""
    opened: bool = False
    session: bool = False


SLOW: Final = (
    Slow("a socket on which nothing comes", HANDSHAKE, None),
    Slow("a handshake without its last line", HANDSHAKE, None, request()[:-2]),
    Slow("a handshake a byte a second", HANDSHAKE, None, drip=b"G"),
    Slow("a handshake a header a second", HANDSHAKE, None, request()[:-2], drip=b"X: a\r\n"),
    Slow("a stranger that says nothing", AUTHENTICATION, 4502, opened=True),
    Slow("a stranger that calls", AUTHENTICATION, 4502, drip=text(call()), opened=True),
    Slow("a stranger that pings", AUTHENTICATION, 4502, drip=frame(PING), opened=True),
    Slow("a message that is not finished", MESSAGE, 1008, frame(TEXT, b"{", fin=False), session=True),
    Slow(
        "a message of many fragments",
        MESSAGE,
        1008,
        frame(TEXT, b"{", fin=False),
        frame(CONTINUATION, b" ", fin=False),
        session=True,
    ),
    Slow(
        "a message of many fragments, and pings", MESSAGE, 1008, frame(TEXT, b"{", fin=False), frame(PING), session=True
    ),
    Slow("a frame of which the rest does not come", MESSAGE, 1008, frame(TEXT, b"{", length=1000), session=True),
    Slow("a frame a byte a second", MESSAGE, 1008, b"\x81\xfe\x03\xe8\x00\x00\x00\x00{", b" ", session=True),
    Slow("half the head of a frame", MESSAGE, 1008, frame(TEXT, b"a" * 1000)[:3], session=True),
)
