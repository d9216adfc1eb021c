"""What waits for a peer to read it, judged by how much that is, and by whether the peer takes any of it."""

from __future__ import annotations

import fcntl
import socket
import termios
from typing import Final, Protocol

from cell0gw.protocol.limits import KIB, Limits

EXEMPT: Final = 2
"""Messages that don't count against C{outbound_limit}: the longest of those that wait. However slow a line is, what is
allowed arrives, and the next one after it.
"""

NOTED: Final = 16 * KIB
"""Minimum length of an exempt message, in bytes. Shorter ones all count."""

STALL: Final = 30.0
"""Seconds for which a peer may take nothing while more than C{outbound_limit} waits, exempt messages included."""

PROOF: Final = 16 * KIB
"""Bytes, more of which must have waited for what a peer takes to be a sign of life. The kernel of a process that stands
still takes a heartbeat as well.
"""


class IBacklog(Protocol):
    """A transport, as far as it is judged here."""

    limits: Limits | None

    @property
    def backlog(self) -> int:
        """Bytes that wait for the peer to read; what was written in this pass does not wait yet."""

    @property
    def unsent(self) -> int:
        """Bytes that the kernel does not have yet, those that were written in this pass included."""

    @property
    def taken(self) -> int:
        """Bytes that the kernel took while others waited, ever since the connection was made."""

    @property
    def waits_since(self) -> float:
        """Since when something waits all the time, at the earliest; in seconds of the reactor's clock."""

    def seconds(self) -> float:
        """What the reactor's clock says."""

    def look(self, since: float = 0.0) -> float:
        """See L{Progress.look}."""

    def try_to_send(self) -> None:
        """Let the kernel have as much as it takes: the peer may have read since it was asked last."""


class Waiting:
    """What waits for one peer: at most C{outbound_limit}, and L{EXEMPT} messages of any length."""

    __slots__ = ("_exceeded_at", "_noted")

    def __init__(self) -> None:
        # What `taken` will be once all of a long message has gone, and its length.
        self._noted: list[tuple[int, int]] = []
        self._exceeded_at: float | None = None

    def admits(self, transport: IBacklog, length: int) -> bool:
        """Whether one more message may wait.

        @param length: that of the message, in bytes.
        """
        assert transport.limits is not None
        limit = transport.limits.outbound_limit
        if transport.backlog + length > limit:
            transport.try_to_send()
            if self._counted(transport, length) > limit or self.stalls(transport):
                return False
        if length >= NOTED:
            self.note(transport.taken + transport.unsent + length, length)
        return True

    def stalls(self, transport: IBacklog) -> bool:
        """Whether more than C{outbound_limit} waits, of which the peer has taken nothing for L{STALL} seconds."""
        if transport.limits is None or transport.backlog <= transport.limits.outbound_limit:
            self._exceeded_at = None
            return False
        now, moved_at = transport.seconds(), transport.look()
        if self._exceeded_at is None:
            self._exceeded_at = now
        return max(self._exceeded_at, transport.waits_since, moved_at) <= now - STALL

    def note(self, end: int, length: int) -> None:
        """Note a message of at least L{NOTED} bytes.

        @param end: what C{taken} will be once all of it has gone.
        """
        self._noted.append((end, length))

    def _counted(self, transport: IBacklog, length: int) -> int:
        """Bytes that would wait with one more message, those of the exempt ones left out."""
        taken = transport.taken
        until = taken + transport.unsent
        self._noted = [each for each in self._noted if taken < each[0] <= until]
        left = sorted([length, *(min(size, end - taken) for end, size in self._noted)], reverse=True)
        return transport.backlog + length - sum(left[:EXEMPT])


class Progress:
    """What was seen of a socket's peer: whether it takes what is written."""

    __slots__ = ("_looked_at", "_moved_at", "_position", "_waited")

    def __init__(self) -> None:
        self._looked_at = self._moved_at = 0.0
        self._position = self._waited = 0

    def look(self, transport: IBacklog, unread: int, since: float) -> float:
        """Look whether the peer has taken something since the last look.

        @param unread: bytes that the kernel still has for the peer, see L{in_kernel}.
        @param since: an earlier look says nothing; in seconds of the reactor's clock.
        @return: when it was last seen to have taken something, in the same seconds; 0: never.
        """
        now, position = transport.seconds(), transport.taken - unread
        if self._looked_at >= since and self._waited > PROOF and position > self._position:
            self._moved_at = now
        self._looked_at, self._position, self._waited = now, position, unread + transport.backlog
        return self._moved_at


def in_kernel(end: socket.socket) -> int:
    """Bytes that were written to a socket and that its peer has not taken; 0 where the system doesn't tell.

    Linux: C{SIOCOUTQ} of tcp(7) and unix(7).
    """
    try:
        return int.from_bytes(fcntl.ioctl(end.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"), "little")
    except (OSError, ValueError):
        return 0
