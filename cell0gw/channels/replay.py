"""What a session has missed of its channels is replayed in slices; then it is live there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cell0gw.channels.channel import Channel
from cell0gw.protocol.errors import CloseCode
from cell0gw.sessions.session import Session

SLICE: Final = 100
"""Maximum messages that are written before others have their turn."""

Slice = list[tuple[int, bytes]]
"""Offsets and messages, in order, without a gap."""


@implementer(IPushProducer)
class Replay:
    """All that one session is to catch up on, channel by channel.

    A reader that is slower than the gateway makes it wait: what is to come is read when there is room for it.

    @param read: C{read(channel, after, limit)} gives the next L{Slice} of a channel, or a Deferred of it; None: it is
        no longer retained.
    @param pick: C{pick(session, channel)} gives what says of a message whether the session wants it; None: all of them.
    @param caught_up: C{caught_up(session, channel, after)}: whether that was the newest, and the session is live now.
    """

    log = Logger()

    def __init__(
        self,
        session: Session,
        clock: IReactorTime,
        read: Callable[[Channel, int, int], Slice | Deferred[Slice | None] | None],
        pick: Callable[[Session, Channel], Callable[[bytes], bool] | None],
        caught_up: Callable[[Session, Channel, int], bool],
    ) -> None:
        self._session = session
        self._clock = clock
        self._read = read
        self._pick = pick
        self._caught_up = caught_up
        self._after: dict[Channel, int] = {}
        self._paused = False
        self._busy = False
        self._producing = False

    @property
    def channels(self) -> list[Channel]:
        """The channels on which the session is not live yet."""
        return list(self._after)

    def add(self, channel: Channel, after: int) -> None:
        """Replay what follows an offset, once the answer to the call that is being handled is written."""
        self._after[channel] = after
        if not self._producing:
            self._producing = True
            self._session.connection.register_producer(self)
        self._schedule()

    def discard(self, channel: Channel) -> None:
        """Cancel the replay of a channel."""
        self._after.pop(channel, None)
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
        channel, after = next(iter(self._after.items()))
        try:
            found = self._read(channel, after, SLICE)
        except Exception:
            self._lose(channel)
            return
        if isinstance(found, Deferred):
            found.addCallback(self._bring, channel, after).addErrback(lambda failure: self._lose(channel))
        else:
            self._bring(found, channel, after)

    def _bring(self, found: Slice | None, channel: Channel, after: int) -> None:
        if self._after.get(channel) == after:  # else it was asked for anew, or given up, while the disk was read
            if found is None:
                self._lose(channel)
                return
            send, wants = self._session.connection.send, self._pick(self._session, channel)
            for offset, message in found:
                after = offset
                if wants is None or wants(message):
                    send(message)
            self._after[channel] = after
            if self._caught_up(self._session, channel, after):
                del self._after[channel]
        self._busy = False
        if self._after:
            self._schedule()
        else:
            self._finish()

    def _lose(self, channel: Channel) -> None:
        """What comes next is gone, or can't be read: to go on would be a silent gap."""
        self._busy = False
        self._finish()
        self._session.connection.close(CloseCode.POSITION_LOST, f"the position in {channel.name} is lost")

    def _finish(self) -> None:
        if self._producing:
            self._producing = self._paused = False
            self._session.connection.unregister_producer()
