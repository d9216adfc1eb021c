"""The events of tasks on their way to those who are subscribed: as those of durable channels, from the disk first."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec import UNSET, Raw
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cell0gw.auth.permissions import Permissions
from cell0gw.channels.replay import Replay, Slice, Source
from cell0gw.channels.store import Position
from cell0gw.protocol import jsonrpc
from cell0gw.protocol.errors import TooLarge
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.messages import fitting
from cell0gw.protocol.notifications import TaskEvent
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import IRefreshObserver, ISessionObserver
from cell0gw.sessions.session import Session
from cell0gw.tasks.ledger import ITaskObserver
from cell0gw.tasks.sight import named
from cell0gw.tasks.store import ITaskStore, Moved
from cell0gw.tasks.task import NewEvent, StoredEvent, Task


class Stream:
    """A task that has subscribers.

    @ivar newest: the offset of its newest event.
    @ivar sessions: who is subscribed; C{catching_up}: who of them will be live once it has got what it missed.
    """

    __slots__ = ("catching_up", "creator", "epoch", "name", "newest", "sessions", "task_id")

    def __init__(self, task: Task) -> None:
        self.task_id = task.task_id
        self.name = f"the task {task.task_id}"
        self.creator = task.creator
        self.epoch = task.epoch
        self.newest = task.newest
        self.sessions: dict[Session, Callable[[Permissions], bool]] = {}
        self.catching_up: set[Session] = set()


@implementer(ITaskObserver, ISessionObserver, IRefreshObserver)
class Streams:
    """Who is subscribed to which task, for as long as its connection lasts.

    @param replay: gives what a session has yet to get, see L{cell0gw.channels.recovery.Recovery.replay}.
    @param limits: C{max_subscriptions}: maximum tasks that one session is subscribed to.
    """

    def __init__(self, store: ITaskStore, replay: Callable[[Session], Replay], limits: Limits) -> None:
        self._store = store
        self._replay = replay
        self._limits = limits
        self._streams: dict[str, Stream] = {}
        self._of_session: dict[Session, dict[str, Stream]] = {}
        self._sources: dict[Session, Source] = {}

    def __len__(self) -> int:
        return sum(map(len, self._of_session.values()))

    def subscribe(
        self, session: Session, task: Task, since: Position | None, sees: Callable[[Permissions], bool]
    ) -> bool:
        """Let a session have the events of a task from now on, and before that those that follow a position.

        @param task: as it stands now.
        @param sees: whether a session with some permissions may see it.
        @return: whether all that follows the position will come; if not, nothing before now does.
        @raise TooLarge: it is subscribed to as many as one may be.
        """
        own = self._of_session.setdefault(session, {})
        if task.task_id not in own and len(own) >= self._limits.max_subscriptions:
            raise TooLarge(f"A session is subscribed to at most {self._limits.max_subscriptions} tasks")
        stream = self._streams.setdefault(task.task_id, Stream(task))
        own[task.task_id] = stream
        stream.sessions[session] = sees
        whole = since is None or (since.epoch == task.epoch and task.oldest - 1 <= since.offset <= task.newest)
        if session in stream.catching_up:
            stream.catching_up.discard(session)
            self._replay(session).discard(stream)
        if whole and since is not None and since.offset < task.newest:
            stream.catching_up.add(session)
            self._replay(session).add(stream, since.offset, self._source(session))
        return whole

    def unsubscribe(self, session: Session, task_id: str) -> None:
        """Stop that; without a subscription nothing changes."""
        own = self._of_session.get(session, {})
        stream = own.pop(task_id, None)
        if stream is None:
            return
        if not own:
            del self._of_session[session]
        if session in stream.catching_up:
            self._replay(session).discard(stream)
        self._leave(session, stream)

    def show(self, task: Task, event: NewEvent) -> None:
        """Send an event that is not kept to those who are live."""
        stream = self._streams.get(task.task_id)
        if stream is not None:
            self._send(stream, event)

    def task_moved(self, moved: Moved) -> None:
        """See L{ITaskObserver}."""
        stream = self._streams.get(moved.task.task_id)
        if stream is not None:
            stream.newest = moved.task.newest
            for event in moved.events:
                self._send(stream, event)

    def dates_moved(self, seconds: float) -> None:
        """See L{ITaskObserver}."""

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self._sources.pop(session, None)
        for stream in self._of_session.pop(session, {}).values():
            self._leave(session, stream)

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self.session_detached(session, ending)

    def session_refreshed(self, session: Session) -> None:
        """See L{IRefreshObserver}: what the new token does not let it see ends."""
        for stream in list(self._of_session.get(session, {}).values()):
            if not stream.sessions[session](session.principal.permissions):
                self.unsubscribe(session, stream.task_id)

    def _source(self, session: Session) -> Source:
        """Where a session reads what it has missed: as it is for that one to know."""
        source = self._sources.get(session)
        if source is None:
            read = partial(self._read, session)
            source = self._sources[session] = Source(read, lambda session, stream: None, self._caught_up)
        return source

    def _send(self, stream: Stream, event: NewEvent) -> None:
        texts: dict[bytes, bytes] = {}
        for session in list(stream.sessions):
            if session not in stream.catching_up:
                data = named(event, stream.creator, session.entity_id, session.sight)
                if data not in texts:
                    texts[data] = encoded(stream, event, data)
                try:
                    session.connection.send(fitting(texts[data], session.max_message_size))
                except Exception:
                    session.connection.write_failed()

    def _leave(self, session: Session, stream: Stream) -> None:
        del stream.sessions[session]
        stream.catching_up.discard(session)
        if not stream.sessions:
            del self._streams[stream.task_id]

    def _read(self, session: Session, stream: Stream, after: int, limit: int) -> Deferred[Slice | None]:
        return self._store.events(stream.task_id, after, limit).addCallback(_slice, session, stream, after)

    def _caught_up(self, session: Session, stream: Stream, after: int) -> bool:
        if after < stream.newest:
            return False
        stream.catching_up.discard(session)
        return True


def encoded(stream: Stream, event: NewEvent, data: bytes) -> bytes:
    """An event as it is sent; C{data}: as its reader may know it."""
    params = TaskEvent(
        task_id=stream.task_id,
        offset=event.offset if isinstance(event, StoredEvent) else UNSET,
        epoch=stream.epoch,
        attempt=event.attempt,
        type=event.type,
        data=Raw(data),
        timestamp=timestamp(event.time),
    )
    return jsonrpc.notification("task.event", params)


def _slice(events: list[StoredEvent], session: Session, stream: Stream, after: int) -> Slice | None:
    if not events or events[0].offset != after + 1:
        return None  # they were dropped meanwhile
    entity_id, sight = session.entity_id, session.sight
    return [(e.offset, encoded(stream, e, named(e, stream.creator, entity_id, sight))) for e in events]
