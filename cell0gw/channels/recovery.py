"""What sessions have missed of their channels: whether it is still retained, and how it is replayed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple, cast

import msgspec
from msgspec import UNSET, Raw
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from cell0gw.channels.answers import GONE, Recovered, Subscribed, at, refuse_lost
from cell0gw.channels.broker import Broker
from cell0gw.channels.channel import Channel, check_filters, wanted
from cell0gw.channels.filters import Filter
from cell0gw.channels.replay import Replay, Slice, Source, sliced
from cell0gw.channels.store import IMessageStore, Position, StoredMessage
from cell0gw.protocol import subjects
from cell0gw.protocol.errors import InvalidParams, TooLarge
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.patterns import check_width
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session

FROM_THE_FIRST: Final = -1
"""Instead of how many publications there had been: a subscription to all that there ever was, and is retained."""


class Resumption(NamedTuple):
    """What becomes of the subscriptions of a session that is to be resumed.

    @ivar names: those that move to the new session.
    @ivar outcomes: what becomes of each channel; and of a pattern, if a channel under it is gone.
    @ivar missed: the channels of which something is to be brought, or nothing, and the offset that it comes after.
    @ivar ended: those that end, since the new session may not have them.
    """

    names: list[str]
    outcomes: dict[str, Recovered]
    missed: list[tuple[Channel, int]]
    ended: list[str]


@implementer(ISessionObserver)
class Recovery:
    """Subscriptions that begin in the past.

    @param store: has what durable channels no longer retain in memory.
    @param limits: maximum channels and patterns that one session is subscribed to.
    """

    def __init__(self, channels: Broker, store: IMessageStore, clock: IReactorTime, limits: Limits) -> None:
        self._channels = channels
        self._limits = limits
        self._store = store
        self._clock = clock
        self._replays: dict[Session, Replay] = {}
        self._source = Source(self._read, self._pick, self._caught_up)

    def subscribe(
        self,
        session: Session,
        name: str,
        since: Position | None = None,
        history: int = 0,
        filter: Filter | None = None,
        refuse: bool = False,
    ) -> Subscribed:
        """Let a session have what is published from now on, and before that what follows a position, or the newest.

        @param name: a channel, or a pattern of channels, which has no past of its own, see L{subscribe_since}.
        @param history: how many of the newest messages to replay.
        @param refuse: whether it is refused if not all that follows the position is retained.
        @raise InvalidParams: a past was asked for where there is none, or the pattern is too wide.
        @raise Conflict: it is refused, and nothing has changed.
        """
        check_width(name, "channel")
        if (since is not None or history) and (subjects.has_wildcard(name) or subjects.is_own(name)):
            raise InvalidParams(f"Invalid params: {name} has no numbered messages: neither since nor history")
        if since is not None and history:
            raise InvalidParams("Invalid params: either since or history")
        if refuse and since is not None:
            refuse_lost(self._judge({name: FROM_THE_FIRST}, {name: since}, ())[0])
        channel = self._channels.subscribe(session, name, filter)
        if channel is None:
            return Subscribed(channel=name, offset=None, epoch=None)
        channel.history.trim(self._clock.seconds())
        position = channel.position
        beginning, after = channel.oldest - 1, position.offset
        recovered = since is None or channel.follows(since)
        if since is not None and recovered:
            after = since.offset
        elif history:
            after = max(beginning, position.offset - history)
        elif since is None and session in channel.catching_up:
            after = self._replays[session].after(channel, position.offset)
        self._bring(session, channel, after)
        return Subscribed(
            channel=name,
            offset=position.offset,
            epoch=position.epoch,
            recovered=UNSET if since is None else recovered,
            oldest=UNSET if recovered else beginning + 1,
            beginning=UNSET if recovered else at(channel, beginning),
            position=UNSET if subjects.is_own(name) else at(channel, after),
        )

    def subscribe_since(
        self,
        session: Session,
        pattern: str,
        positions: Mapping[str, Position],
        filter: Filter | None = None,
        refuse: bool = False,
    ) -> Subscribed:
        """Let a session have what is published from now on under a pattern, and before that what follows positions.

        Of a channel without a position all follows, if all that it ever had is retained.

        @param positions: the last that the client has seen, by channel.
        @param refuse: whether it is refused if something that follows them is not retained.
        @raise InvalidParams: it is no pattern, or too wide.
        @raise TooLarge: more is lost than an answer can tell; nothing has changed, as with the next.
        @raise Conflict: it is refused.
        """
        check_width(pattern, "channel")
        if not subjects.has_wildcard(pattern):
            raise InvalidParams(
                f"Invalid params: {pattern} is no pattern: since, not positions", path="params.positions"
            )
        own = session.subscriptions.keys() - {pattern}
        outcomes, missed = self._judge({pattern: FROM_THE_FIRST}, positions, own)
        if refuse:
            refuse_lost(outcomes)
        channels = Raw(msgspec.json.encode(outcomes))
        if len(channels) > self._limits.max_content_size:
            raise TooLarge(f"The answer is larger than {self._limits.max_message_size} bytes")
        # What is still to come when the connection breaks is missed as well; nothing is where all is lost.
        begun = self._channels.publications if pattern in outcomes else FROM_THE_FIRST
        self._channels.subscribe(session, pattern, filter, begun)
        for channel, after in missed:
            self._bring(session, channel, after)
        return Subscribed(channel=pattern, offset=None, epoch=None, channels=cast(Any, channels))

    def unsubscribe(self, session: Session, name: str) -> None:
        """End a subscription, and the replay of what it alone still lacks."""
        self._channels.unsubscribe(session, name)
        replay = self._replays.get(session)
        if replay is None or subjects.is_own(name):
            return
        covered = subjects.matcher(name)
        for channel in replay.streams(self._source):
            if covered(channel.name) and not channel.has(session, self._channels.patterns):
                replay.discard(channel)
                self._channels.set_live(session, channel, True)

    def plan(
        self, old: Session, new: Session, positions: Mapping[str, Position], allowed: Callable[[str], bool]
    ) -> Resumption:
        """Work out what becomes of the subscriptions of a session that another one is to resume; nothing changes yet.

        @param positions: the last that the client has seen, by channel.
        @param allowed: whether the new session may subscribe to a channel or pattern; where not, the subscription ends.
        @raise TooLarge: the new session would have more subscriptions than one may have, and than the old one has; or
            longer filters.
        """
        check_filters({**old.subscriptions, **new.subscriptions})
        own = set(new.subscriptions)
        names = [name for name in old.subscriptions if allowed(name)]
        most = max(self._limits.max_subscriptions, len(old.subscriptions))
        if len(own.union(names)) > most:
            raise TooLarge(f"Both sessions together have more than {most} subscriptions")
        outcomes, missed = self._judge({name: old.subscriptions[name].since for name in names}, positions, own)
        for name in names:
            if subjects.has_wildcard(name) and name not in own and self._channels.losses.has(old, name):
                outcomes[name] = GONE
        ended = old.subscriptions.keys() - names
        return Resumption(names, outcomes, missed, [name for name in old.subscriptions if name in ended])

    def carry_out(self, resumption: Resumption, old: Session, new: Session) -> None:
        """Move the subscriptions of a detached session to the one that resumes it, and bring what it missed."""
        for name in resumption.names:
            self._channels.move(old, new, name)
        for channel, after in resumption.missed:
            self._bring(new, channel, after)

    def replay(self, session: Session) -> Replay:
        """What a session has yet to get, of its channels and of other streams: a connection has one writer of that."""
        if session not in self._replays:
            self._replays[session] = Replay(session, self._clock)
        return self._replays[session]

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        replay = self._replays.pop(session, None)
        if replay is not None:
            for channel in replay.streams(self._source):
                self._channels.set_live(session, channel, True)
            replay.stopProducing()

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self.session_detached(session, ending)

    def _judge(
        self, begun: Mapping[str, int], positions: Mapping[str, Position], own: Collection[str]
    ) -> tuple[dict[str, Recovered], list[tuple[Channel, int]]]:
        """Work out what has been missed of some channels, and whether it is retained still; nothing changes.

        @param begun: the channels, and patterns of channels, and how many publications there had been when the
            subscription to each began.
        @param positions: the last that the client has seen, by channel.
        @param own: channels and patterns that are left out, since the session is subscribed to them in any case.
        @return: C{outcomes} and C{missed} of a L{Resumption}.
        """
        patterns = {name: since for name, since in begun.items() if subjects.has_wildcard(name)}
        channels = {name: since for name, since in begun.items() if name not in patterns}
        gone = self._channels.registry.covered(patterns, positions, channels)
        outcomes: dict[str, Recovered] = {}
        missed: list[tuple[Channel, int]] = []
        for name, since in channels.items():
            if name not in own:
                outcome = self._recover(missed, name, positions.get(name), since)
                if name in positions or name in begun or not outcome.recovered:
                    outcomes[name] = outcome
        for name in gone:
            if name not in own:
                outcomes[name] = GONE
        return outcomes, missed

    def _recover(
        self, missed: list[tuple[Channel, int]], name: str, position: Position | None, begun: int
    ) -> Recovered:
        channel = self._channels.get(name)
        if channel is None:
            return GONE
        if subjects.is_own(name):  # events are not numbered
            return Recovered(recovered=False, offset=0, epoch=channel.epoch)
        channel.history.trim(self._clock.seconds())
        newest = channel.position
        after: int | None
        if position is not None:
            after = position.offset if channel.follows(position) else None
        elif begun == FROM_THE_FIRST:
            after = 0 if channel.oldest == 1 else None
        else:
            after = channel.history.offset_at(begun)
        missed.append((channel, newest.offset if after is None else after))
        return Recovered(
            recovered=after is not None,
            offset=newest.offset,
            epoch=newest.epoch,
            oldest=channel.oldest if after is None else None,
        )

    def _bring(self, session: Session, channel: Channel, after: int) -> None:
        """Let a session be live on a channel once it has what follows an offset."""
        replay = self._replays.get(session)
        if after >= channel.history.newest:
            if replay is not None:
                replay.discard(channel)
            self._channels.set_live(session, channel, True)
            return
        self._channels.set_live(session, channel, False)
        self.replay(session).add(channel, after, self._source)

    def _read(self, channel: Channel, after: int, limit: int) -> Slice | Deferred[Slice | None] | None:
        history = channel.history
        if self._is_renumbered(channel):
            return None
        if after + 1 >= history.oldest:
            return [(offset, held.message) for offset, held in sliced(history.after(after), limit)]
        if channel.stored_oldest is None or after + 1 < channel.stored_oldest:
            return None
        return self._store.read(channel.name, after, limit).addCallback(self._messages, channel, after)

    def _messages(self, messages: list[StoredMessage], channel: Channel, after: int) -> Slice | None:
        if not messages or messages[0].offset != after + 1:
            return None  # it was purged meanwhile
        return [(m.offset, channel.message(m.offset, m.message, m.sender, m.time)) for m in messages]

    def _pick(self, session: Session, channel: Channel) -> Callable[[bytes], bool] | None:
        filters = channel.filters_of(session, self._channels.patterns)
        return None if filters is None else lambda message: wanted(message, filters)

    def _caught_up(self, session: Session, channel: Channel, after: int) -> bool:
        if after < channel.history.newest or self._is_renumbered(channel):
            return False
        self._channels.set_live(session, channel, True)
        return True

    def _is_renumbered(self, channel: Channel) -> bool:
        """Whether there is another numbering now, of which somebody who catches up on this one would get a part."""
        return self._channels.get(channel.name) not in (None, channel)
