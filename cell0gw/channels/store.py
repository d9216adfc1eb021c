"""Where durable channels are kept: what a store takes and gives, and what it must be able to do."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import Interface

from cell0gw.protocol.keys import Key


class Position(NamedTuple):
    """A position in a channel: C{offset} counts from 1, 0 is before the first; C{epoch} names the numbering."""

    offset: int
    epoch: str


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A publication that is to be stored, and so numbered.

    @ivar epoch: of the numbering that begins if the channel has none yet.
    @ivar time: seconds since the epoch.
    @ivar keep: maximum messages of the channel that are kept.
    """

    channel: str
    epoch: str
    sender: str
    message: bytes
    time: float
    keep: int
    key: Key | None = None


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a L{NewMessage}.

    @ivar position: its own; or that of the one that had its key before.
    @ivar oldest: the offset of the oldest message that is kept.
    @ivar replayed: whether its key was known: nothing was stored.
    """

    position: Position
    oldest: int
    replayed: bool = False


class StoredChannel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel in a store: its numbering, and which messages are kept.

    @ivar newest: the offset of the newest message; 0: there was none yet.
    @ivar time: that of the newest one, as it counts, see L{IMessageStore.redate}; None: there was none yet.
    """

    name: str
    epoch: str
    oldest: int
    newest: int
    time: float | None


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a store; C{time} is seconds since the epoch."""

    offset: int
    time: float
    sender: str
    message: bytes


class IMessageStore(Interface):
    """Where the messages of durable channels are numbered, and outlive the process."""

    def load() -> list[StoredChannel]:
        """Every channel that is kept; called once, before anything else."""

    def begin(channel: str, epoch: str, opener: str) -> Deferred[bool]:
        """Keep the epoch of a channel that has no message yet; one that is kept already stays as it is.

        @param opener: the entity that opens it: there must be room for a message of its own.
        @return: fires once it is safe; with False if there is no room for it.
        @raise Unavailable: by the Deferred, when it can't be kept.
        """

    def append(message: NewMessage) -> Deferred[Stored]:
        """Number a message and keep it, in the order of the calls.

        @return: fires in that order, once it is safe.
        @raise Unavailable: by the Deferred, when it can't be kept: then it has no number either.
        @raise Conflict: by the Deferred, when its key stands for something else.
        """

    def read(channel: str, after: int, limit: int) -> Deferred[list[StoredMessage]]:
        """The messages that follow an offset, in order.

        @param after: an offset; 0: from the oldest that is kept.
        @return: at most C{limit} messages; fewer if they are long, one at least if there is one.
        """

    def read_before(channel: str, before: int, limit: int) -> Deferred[list[StoredMessage]]:
        """The messages before an offset, newest first.

        @return: as of C{read}.
        """

    def purge(too_old: dict[str, float], keys_before: float) -> Deferred[dict[str, int]]:
        """Forget what is older than a moment, by channel, all but the newest of each; and keys; and what is too much.

        @param too_old: by channel, a moment in seconds since the epoch, as is C{keys_before}.
        @return: by channel, the offset of the oldest message that is kept, where that changed.
        """

    def seen() -> float | None:
        """The date that was noted last, by this process or one before; None: none was."""

    def note(date: float) -> Deferred[None]:
        """Note that it is this date by now, in seconds since the epoch."""

    def redate(first: float, last: float, seconds: float) -> Deferred[None]:
        """Let messages whose time is within a span count as so much younger: the wall clock was set after them.

        @param first: seconds since the epoch, as is C{last}; a second call with the same two replaces the first one.
        @param seconds: 0 or less: they count as they are.
        """

    def drop(channel: str, newest: int) -> Deferred[bool]:
        """Forget a channel, unless it has a newer message.

        @param newest: the offset of the newest one that is known.
        @return: whether it is gone.
        """
