"""Messages of channels that are forgotten with the process."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.channels.store import IMessageStore, NewMessage, Position, Stored, StoredChannel, StoredMessage
from cell0gw.protocol.errors import Conflict, Unavailable
from cell0gw.protocol.keys import Key


@implementer(IMessageStore)
class MemoryMessageStore:
    """Messages in a list: as slow or as quick as a disk, at the test's will, and as forgetful as memory.

    @ivar held: while true, what is appended waits for L{release}.
    """

    def __init__(self) -> None:
        self._channels: dict[str, tuple[str, dict[int, StoredMessage]]] = {}
        self._newest: dict[str, int] = {}
        self._keys: dict[tuple[str, str, str], tuple[Key, Position, float]] = {}
        self._waiting: list[tuple[NewMessage, Deferred[Stored]]] = []
        self._redated: dict[tuple[float, float], float] = {}
        self._seen: float | None = None
        self.held = False
        self.broken = False

    def load(self) -> list[StoredChannel]:
        """See L{IMessageStore}."""
        return [
            StoredChannel(
                name=name,
                epoch=epoch,
                oldest=min(kept, default=1),
                newest=max(kept, default=0),
                time=self._time(kept[max(kept)]) if kept else None,
            )
            for name, (epoch, kept) in self._channels.items()
        ]

    def begin(self, channel: str, epoch: str, opener: str) -> Deferred[bool]:
        """See L{IMessageStore}."""
        if self.broken:
            return fail(Unavailable("Storage is out of order"))
        self._channels.setdefault(channel, (epoch, {}))
        return succeed(True)

    def append(self, message: NewMessage) -> Deferred[Stored]:
        """See L{IMessageStore}."""
        deferred: Deferred[Stored] = Deferred()
        self._waiting.append((message, deferred))
        if not self.held:
            self.release()
        return deferred

    def release(self) -> None:
        """Let what waits be stored, and be acknowledged; or refused, if the store is broken."""
        waiting, self._waiting = self._waiting, []
        outcomes = [(self._append(message), deferred) for message, deferred in waiting]
        for outcome, deferred in outcomes:
            deferred.callback(outcome)  # a Failure takes the errback path

    def read(self, channel: str, after: int, limit: int) -> Deferred[list[StoredMessage]]:
        """See L{IMessageStore}."""
        _, kept = self._channels.get(channel, ("", {}))
        return succeed([kept[offset] for offset in sorted(kept) if offset > after][:limit])

    def read_before(self, channel: str, before: int, limit: int) -> Deferred[list[StoredMessage]]:
        """See L{IMessageStore}."""
        _, kept = self._channels.get(channel, ("", {}))
        return succeed([kept[offset] for offset in sorted(kept, reverse=True) if offset < before][:limit])

    def purge(self, too_old: dict[str, float], keys_before: float) -> Deferred[dict[str, int]]:
        """See L{IMessageStore}."""
        self._keys = {slot: entry for slot, entry in self._keys.items() if entry[2] >= keys_before}
        changed = {}
        for name, before in too_old.items():
            kept = self._channels[name][1] if name in self._channels else {}
            since = next(
                (offset for offset in sorted(kept) if self._time(kept[offset]) >= before), max(kept, default=0)
            )
            gone = [offset for offset in kept if offset < since]
            for offset in gone:
                del kept[offset]
            if gone:
                changed[name] = min(kept)
        return succeed(changed)

    def seen(self) -> float | None:
        """See L{IMessageStore}."""
        return self._seen

    def note(self, date: float) -> Deferred[None]:
        """See L{IMessageStore}."""
        self._seen = date
        return succeed(None)

    def redate(self, first: float, last: float, seconds: float) -> Deferred[None]:
        """See L{IMessageStore}."""
        self._redated[first, last] = seconds
        return succeed(None)

    def drop(self, channel: str, newest: int) -> Deferred[bool]:
        """See L{IMessageStore}."""
        if self._newest.get(channel, 0) == newest:
            self._channels.pop(channel, None)
            self._newest.pop(channel, None)
        return succeed(channel not in self._channels)

    def _time(self, message: StoredMessage) -> float:
        """The time of a message, as it counts."""
        younger = [s for (first, last), s in self._redated.items() if first <= message.time <= last]
        return message.time + max(0.0, *younger, 0.0)

    def _append(self, message: NewMessage) -> Stored | Failure:
        if self.broken:
            return Failure(Unavailable("Storage is out of order"))
        slot = None if message.key is None else (message.key.entity_id, message.key.method, message.key.key)
        if slot in self._keys:
            key, position, _ = self._keys[slot]
            if key != message.key:
                return Failure(Conflict("The idempotency key was used with other params"))
            return Stored(position=position, oldest=0, replayed=True)
        epoch, kept = self._channels.setdefault(message.channel, (message.epoch, {}))
        offset = self._newest[message.channel] = self._newest.get(message.channel, 0) + 1
        kept[offset] = StoredMessage(offset=offset, time=message.time, sender=message.sender, message=message.message)
        for old in [old for old in kept if old <= offset - message.keep]:
            del kept[old]
        position = Position(offset, epoch)
        if message.key is not None and slot is not None:
            self._keys[slot] = (message.key, position, message.time)
        return Stored(position=position, oldest=min(kept))
