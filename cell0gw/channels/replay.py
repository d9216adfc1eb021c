"""What a session has missed of its channels is replayed in slices; then it is live there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cell0gw.channels.history import HeldMessage
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.messages import fitting
from cell0gw.sessions.session import Session

SLICE: Final = 100
"""Maximum messages that are written before others have their turn."""

SLICE_BYTES: Final = 256 * 1024
"""Approximate maximum bytes that are replayed or shown at once; one message at least."""

Slice = list[tuple[int, bytes]]
"""Offsets and messages, in order, without a gap."""


def sliced(found: Iterable[tuple[int, HeldMessage]], limit: int) -> list[tuple[int, HeldMessage]]:
    """As many of some publications as may be replayed at once."""
    taken, size = [], 0
    for offset, held in itertools.islice(found, limit):
        taken.append((offset, held))
        size += len(held.message)
        if size > SLICE_BYTES:
            break
    return taken


class Source:
    """Where streams of a kind are read, such as channels. Each has a C{name}.

    @param read: C{read(stream, after, limit)} gives the next L{Slice} of a stream, or a Deferred of it; None: it is no
        longer retained.
    @param pick: C{pick(session, stream)} gives what says of a message whether the session wants it; None: all of them.
    @param caught_up: C{caught_up(session, stream, after)}: whether that was the newest, and the session is live now.
    """

    __slots__ = ("caught_up", "pick", "read")

    def __init__(
        self,
        read: Callable[[Any, int, int], Slice | Deferred[Slice | None] | None],
        pick: Callable[[Session, Any], Callable[[bytes], bool] | None],
        caught_up: Callable[[Session, Any, int], bool],
    ) -> None:
        self.read = read
        self.pick = pick
        self.caught_up = caught_up


@implementer(IPushProducer)
class Replay:
    """All that one session is to catch up on, stream by stream.

    A reader that is slower than the gateway makes it wait: what is to come is read when there is room for it.
    """

    log = Logger()

    def __init__(self, session: Session, clock: IReactorTime) -> None:
        self._session = session
        self._clock = clock
        self._after: dict[Any, int] = {}
        self._sources: dict[Any, Source] = {}
        self._of_source: dict[Source, dict[Any, None]] = {}
        # What was read of a stream and not sent, when there was no room for it: that stream, and the slice's rest.
        self._unsent: tuple[Any, Slice] | None = None
        self._paused = False
        self._busy = False
        self._producing = False

    def streams(self, source: Source) -> list[Any]:
        """The streams of a kind on which the session is not live yet."""
        return list(self._of_source.get(source, ()))

    def after(self, stream: Any, otherwise: int) -> int:
        """The offset after which a stream is still to be replayed; C{otherwise}, if it is not."""
        return self._after.get(stream, otherwise)

    def add(self, stream: Any, after: int, source: Source) -> None:
        """Replay what follows an offset, once the answer to the call that is being handled is written."""
        self._after[stream] = after
        self._sources[stream] = source
        self._of_source.setdefault(source, {})[stream] = None
        if not self._producing:
            self._producing = True
            self._session.connection.register_producer(self)
        self._schedule()

    def discard(self, stream: Any) -> None:
        """Cancel the replay of a stream."""
        if self._after.pop(stream, None) is not None:
            del self._of_source[self._sources.pop(stream)][stream]
        if not self._after:
            self._finish()

    def pauseProducing(self) -> None:
        """See L{IPushProducer}."""
        self._paused = True

    def resumeProducing(self) -> None:
        """See L{IPushProducer}."""
        self._paused = False
        self._schedule()

    def stopProducing(self) -> None:
        """See L{IPushProducer}: the connection is gone."""
        self._after.clear()
        self._sources.clear()
        self._of_source.clear()
        self._finish()

    def _schedule(self) -> None:
        if not (self._busy or self._paused):
            self._busy = True
            self._clock.callLater(0, self._next)

    def _next(self) -> None:
        if not self._after or self._session.connection.closing_since is not None:
            self._busy = False
            self._finish()
            return
        stream, after = next(iter(self._after.items()))
        unsent, self._unsent = self._unsent, None
        try:
            if unsent is not None and unsent[0] is stream and unsent[1][0][0] == after + 1:
                found: Slice | Deferred[Slice | None] | None = unsent[1]
            else:
                found = self._sources[stream].read(stream, after, SLICE)
        except Exception:
            self._lose(stream)
            return
        if isinstance(found, Deferred):
            found.addCallback(self._bring, stream, after).addErrback(lambda failure: self._lose(stream))
        else:
            self._bring(found, stream, after)

    def _bring(self, found: Slice | None, stream: Any, after: int) -> None:
        if self._after.get(stream) == after:  # else it was asked for anew, or given up, while the disk was read
            if found is None:
                self._lose(stream)
                return
            connection, paused, source = self._session.connection, self._paused, self._sources[stream]
            send, wants = connection.send, source.pick(self._session, stream)
            most = self._session.max_message_size
            for number, (offset, message) in enumerate(found, 1):
                after = offset
                if wants is None or wants(message):
                    send(fitting(message, most))
                    if self._paused and number < len(found) and (not paused or connection.behind):
                        self._unsent = stream, found[number:]
                        break
            self._after[stream] = after
            if source.caught_up(self._session, stream, after):
                del self._after[stream], self._sources[stream], self._of_source[source][stream]
        self._busy = False
        if self._after:
            self._schedule()
        else:
            self._finish()

    def _lose(self, stream: Any) -> None:
        """What comes next is gone, or can't be read: to go on would be a silent gap."""
        self._busy = False
        self._finish()
        self._session.connection.close(CloseCode.POSITION_LOST, f"the position in {stream.name} is lost")

    def _finish(self) -> None:
        self._unsent = None
        if self._producing:
            self._producing = self._paused = False
            self._session.connection.unregister_producer()
