"""Where durable channels are kept: what a store takes and gives, and what it must be able to do."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from zope.interface import Interface

from cell0gw.protocol.keys import Key


class Position(NamedTuple):
    """A place in a channel: C{offset} counts from 1, 0 is before the first; C{epoch} names the numbering."""

    offset: int
    epoch: str


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A publication that is to be stored, and so numbered.

    @ivar epoch: of the numbering that begins if the channel has none yet.
    @ivar time: seconds since the epoch.
    @ivar keep: how many messages of the channel are to be kept.
    """

    channel: str
    epoch: str
    sender: str
    message: bytes
    time: float
    keep: int
    key: Key | None = None


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a draft.

    @ivar position: the draft's; or that of the one that had its key before.
    @ivar oldest: the offset of the oldest message that is kept.
    @ivar replayed: whether its key was known: nothing was stored.
    """

    position: Position
    oldest: int
    replayed: bool = False


class StoredChannel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel in a store: its numbering, and which messages are kept. C{time}: that of the newest one."""

    name: str
    epoch: str
    oldest: int
    newest: int
    time: float


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a store; C{time} is seconds since the epoch."""

    offset: int
    time: float
    sender: str
    message: bytes


class IMessageStore(Interface):
    """Where the messages of durable channels are numbered, and outlive the process."""

    def load() -> list[Any]:
        """Every L{StoredChannel}; called once, before anything else."""

    def append(draft: Any) -> Any:
        """Number a L{NewMessage} and keep it, in the order of the calls.

        @return: a Deferred of the L{Stored}, fired in that order, once it is safe.
        @raise Unavailable: by the Deferred, when it can't be kept: then it has no number either.
        @raise Conflict: by the Deferred, when its key stands for something else.
        """

    def read(channel: str, after: int, limit: int) -> Any:
        """The messages that follow an offset, in order; fewer than C{limit} if they are long.

        @return: a Deferred of L{StoredMessage}s.
        """

    def read_before(channel: str, before: int, limit: int) -> Any:
        """The messages before an offset, newest first; otherwise as C{read}."""

    def purge(too_old: dict[str, float], keys_before: float) -> Any:
        """Forget what is older than a moment, by channel, all but the newest of each; and keys; and what is too much.

        @return: a Deferred of the offsets of the oldest messages that are kept, for channels where they changed.
        """

    def drop(channel: str, newest: int) -> Any:
        """Forget a channel, unless it has a newer message.

        @return: a Deferred of whether it is gone.
        """
