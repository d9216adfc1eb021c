"""Questions of agents that have tasks: whom they may ask, and how those hear of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from msgspec import UNSET
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.agents.mail.receipts import SEND
from cell0gw.agents.mail.sending import Mail
from cell0gw.auth.grants import denied
from cell0gw.presence.directory import Directory
from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol import jsonrpc
from cell0gw.protocol.errors import InvalidParams, NotFound, Unavailable
from cell0gw.protocol.notifications import TaskQuestion
from cell0gw.protocol.subjects import beginning, covering, covers, has_wildcard
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Sender, Session
from cell0gw.tasks.ledger import ITaskObserver, Ledger
from cell0gw.tasks.store import ITaskStore, Moved
from cell0gw.tasks.task import Task

MAX_TOLD: Final = 1000
"""Maximum sessions that are told of a question at once; others find it by C{task.list}, and when they come back."""

MAX_LOOKED: Final = 10_000
"""Maximum entities that are compared with a pattern for that."""

MAX_BROUGHT: Final = 100
"""Maximum questions that a session is told of when it opens, the oldest first; C{task.list} has the others."""


@implementer(ITaskObserver, ISessionObserver, ISweeper)
class Questions:
    """Tells those who are asked: those who are here at once, the others when they come.

    Questions are tasks on disk, and what is told of one is short: nothing is kept for those who are away.
    """

    log = Logger()

    def __init__(self, ledger: Ledger, store: ITaskStore, directory: Directory, clock: IReactorTime) -> None:
        self._ledger = ledger
        self._store = store
        self._directory = directory
        self._clock = clock
        # Those that have come, and could not be told yet: the disk could not be read.
        self._untold: dict[Session, None] = {}
        ledger.observers.append(self)

    def task_moved(self, moved: Moved) -> None:
        """See L{ITaskObserver}."""
        before, task = moved.before, moved.task
        if before is not None and before.question is not None and before.question != task.question:
            self._tell(before, waits=False)
        if task.question is not None and (before is None or before.question != task.question):
            self._tell(task, waits=True)

    def dates_moved(self, seconds: float) -> None:
        """See L{ITaskObserver}."""

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}: what waits comes after the answer."""
        if any(name in self._ledger.asked for name in covering(session.entity_id)):
            self._untold[session] = None
            self._clock.callLater(0, self._bring, session)

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self._untold.pop(session, None)

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self._untold.pop(session, None)

    def sweep(self) -> None:
        """See L{ISweeper}: try again where the disk could not be read."""
        for session in list(self._untold):
            self._bring(session)

    def _bring(self, session: Session) -> None:
        if session in self._untold:
            names = [name for name in covering(session.entity_id) if name in self._ledger.asked]
            asked = self._store.asked(names, MAX_BROUGHT)
            asked.addCallback(self._brought, session).addErrback(self._failed)

    def _brought(self, tasks: list[Task], session: Session) -> None:
        if session not in self._untold:
            return  # it is gone, or was told meanwhile
        del self._untold[session]
        for task in tasks:
            if _asks(task, session.entity_id):
                _send(session, _told(task, True, session.sight.sees(task.worker or "")))

    def _tell(self, task: Task, waits: bool) -> None:
        texts: dict[bool, bytes] = {}
        for session in itertools.islice(self._sessions(task), MAX_TOLD):
            seen = session.sight.sees(task.worker or "")
            if seen not in texts:
                texts[seen] = _told(task, waits, seen)
            _send(session, texts[seen])

    def _sessions(self, task: Task) -> Iterator[Session]:
        for entity_id in list(self._entities(task.asked or "")):
            if _asks(task, entity_id):
                yield from self._directory.live(entity_id)

    def _entities(self, asked: str) -> Iterator[str]:
        """The entities that are here and are asked, as far as their names alone say."""
        if not has_wildcard(asked):
            yield asked
            return
        prefix = beginning(asked)
        for entry in itertools.islice(self._directory.entries(connected=True, after=prefix), MAX_LOOKED):
            if not entry.entity_id.startswith(prefix):
                return
            if covers(asked, entry.entity_id):
                yield entry.entity_id

    def _failed(self, failure: Failure) -> None:
        if not failure.check(Unavailable):  # the store has told of that
            self.log.failure("questions could not be read", failure, event="tasks.failed")


def check_askable(sender: Sender, to: str, mail: Mail) -> None:
    """Whether an agent may ask somebody: those whom it may write to, if there are such.

    @param to: an entity, or a pattern of them.
    @raise InvalidParams: it asks itself, or the pattern is none of those by which questions are looked up.
    @raise PermissionDenied: it may not.
    @raise NotFound: there is nobody like that, or none for it to know of.
    """
    if to == sender.entity_id:
        raise InvalidParams("Invalid params: params.to: nobody is asked by itself", path="params.to")
    head, _, _ = to.rpartition(".")
    if has_wildcard(head):
        why = "only the last segment may be a wildcard"
        raise InvalidParams(f"Invalid params: params.to: {why}", path="params.to")
    if not sender.permissions.allow_on(SEND, to):
        raise denied(sender.permissions, SEND, to)
    many = has_wildcard(to)
    known = mail.reaches_some if many else mail.reaches
    if not (sender.knows(SEND, to) and known(to)):
        raise NotFound(f"Nobody is called {to}", near=[] if many else mail.near(sender, to))


def _asks(task: Task, entity_id: str) -> bool:
    """Whether an entity is to be told: by a pattern nobody is asked by itself, but a creator may be its own agent."""
    return entity_id in (task.asked, task.creator) or entity_id != task.worker


def _told(task: Task, waits: bool, seen: bool) -> bytes:
    """What is told of a question.

    @param seen: whether the reader sees the agent.
    """
    params = TaskQuestion(
        task_id=task.task_id,
        question=task.question or "",
        to=task.asked or "",
        sender=task.worker or UNSET if seen else UNSET,
        waits=waits,
    )
    return jsonrpc.notification("task.question", params)


def _send(session: Session, message: bytes) -> None:
    try:
        session.connection.send(message)
    except Exception:
        session.connection.write_failed()
