"""Agents that ask for tasks, instead of being asked: they hold them by a lease, whatever connection they have."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.process.interfaces import IDraining, ISweeper
from cell0gw.protocol.errors import Conflict, NotFound, Unavailable
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.notifications import AgentInvoke
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session
from cell0gw.tasks.attempt import Candidates, invocation
from cell0gw.tasks.ledger import ITaskObserver, Ledger
from cell0gw.tasks.moves import Assign, Release
from cell0gw.tasks.quotas import RETRY_AFTER_MS
from cell0gw.tasks.store import ITaskStore, Moved

SLICE: Final = 32
"""Maximum tasks that are read at once for somebody who asks."""


class Pull:
    """An agent waits for tasks.

    @ivar targets: as permissions name them; C{most}: maximum tasks; C{lease}: seconds.
    @ivar until: for how long it waits, in seconds of the monotonic clock.
    @ivar room: bytes for which its answer still has room.
    @ivar busy: whether tasks are being taken for it; C{again}: and one has come meanwhile.
    """

    def __init__(self, session: Session, targets: list[str], most: int, lease: float, until: float, room: int) -> None:
        self.session = session
        self.targets = targets
        self.most = most
        self.lease = lease
        self.until = until
        self.room = room
        self.busy = self.again = False
        self.done = False
        self.answer: Deferred[list[AgentInvoke]] = Deferred()


@implementer(ISessionObserver, ITaskObserver, IDraining, ISweeper)
class Pulls:
    """All that wait. A session waits once: when it asks anew, it no longer does for what it had asked before.

    @param limits: maximum bytes of an answer.
    """

    log = Logger()

    def __init__(
        self, ledger: Ledger, store: ITaskStore, candidates: Candidates, clock: IReactorTime, limits: Limits
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._candidates = candidates
        self._clock = clock
        self._limits = limits
        self._of_session: dict[Session, Pull] = {}
        self._of_target: dict[str, dict[Pull, None]] = {}
        self._draining = False
        # What was taken for somebody who was gone by then, and the disk does not know of that yet.
        self._unreleased: dict[tuple[str, int], Release] = {}
        ledger.observers.append(self)

    def receive(
        self, session: Session, targets: list[str], most: int, wait: float, lease: float
    ) -> Deferred[list[AgentInvoke]]:
        """Give a session tasks; if there are none, those that come within C{wait} seconds.

        @return: fires once they are its own, on disk; with none if none came.
        @raise Unavailable: the gateway does not know yet what the agents of the process before have.
        """
        if not self._ledger.ready:
            raise Unavailable("The gateway has just started", retry_after_ms=RETRY_AFTER_MS)
        self._withdraw(session)
        pull = self._of_session[session] = Pull(
            session, targets, most, lease, self._clock.seconds() + wait, self._limits.max_content_size
        )
        for target in targets:
            self._of_target.setdefault(target, {})[pull] = None
        self._try(pull)
        return pull.answer

    def sweep(self) -> None:
        """See L{ISweeper}: end what has waited for long enough, and look for what is due by now."""
        for (task_id, _), release in list(self._unreleased.items()):
            self._give_back(task_id, release)
        for pull in list(self._of_session.values()):
            self._try(pull)

    def drain(self, draining: bool) -> None:
        """See L{IDraining}."""
        self._draining = draining
        for pull in list(self._of_session.values()):
            self._finish(pull, [])

    def task_moved(self, moved: Moved) -> None:
        """See L{ITaskObserver}."""
        if moved.task.waits:
            waiting = self._of_target.get(moved.task.target, {})
            for pull in waiting:
                if not pull.busy:
                    self._try(pull)
                    return
            for pull in waiting:
                pull.again = True

    def dates_moved(self, seconds: float) -> None:
        """See L{ITaskObserver}."""

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self._withdraw(session)

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self._withdraw(session)

    def _withdraw(self, session: Session) -> None:
        pull = self._of_session.get(session)
        if pull is not None:
            self._finish(pull, [])

    def _try(self, pull: Pull) -> None:
        if not pull.busy and not pull.done:
            pull.busy, pull.again = True, False
            self._take(pull).addCallbacks(
                lambda taken: self._taken(pull, taken), lambda failure: self._finish(pull, failure)
            )

    def _taken(self, pull: Pull, taken: list[AgentInvoke]) -> None:
        pull.busy = False
        if pull.done:  # nobody is there to be given them any more
            for each in taken:
                assert isinstance(each.task_id, str) and isinstance(each.attempt, int)
                unsent = Release(now=self._ledger.now(), attempt=each.attempt, unsent=True)
                self._give_back(each.task_id, unsent)
        elif taken or self._draining or self._clock.seconds() >= pull.until:
            self._finish(pull, taken)
        elif pull.again:
            self._try(pull)

    def _give_back(self, task_id: str, release: Release) -> None:
        """A task that nobody was told of waits again; as long as that can't be written down it is tried again."""
        name = task_id, release.attempt
        self._unreleased[name] = release
        moved = self._ledger.move(task_id, release)
        moved.addCallbacks(lambda moved: self._unreleased.pop(name, None), self._not_given_back, errbackArgs=(name,))

    def _not_given_back(self, failure: Failure, name: tuple[str, int]) -> None:
        if not failure.check(Unavailable):
            self._unreleased.pop(name, None)
            self.log.failure("a task could not be given back", failure, event="tasks.failed")

    def _finish(self, pull: Pull, outcome: Any) -> None:
        """Answer, or fail with a L{Failure}."""
        if pull.done:
            return
        pull.done = True
        del self._of_session[pull.session]
        for target in pull.targets:
            waiting = self._of_target.get(target, {})
            waiting.pop(pull, None)
            if not waiting:
                self._of_target.pop(target, None)
        pull.answer.callback(outcome)

    @inlineCallbacks
    def _take(self, pull: Pull) -> Generator[Deferred[Any], Any, list[AgentInvoke]]:
        taken: list[AgentInvoke] = []
        for target in pull.targets:
            after = (0.0, 0)
            try:
                while after is not None:
                    after = yield self._take_some(pull, target, after, taken)
            except Unavailable:
                if not taken:
                    raise
                return taken  # these are its own, and it is told so
        return taken

    @inlineCallbacks
    def _take_some(
        self, pull: Pull, target: str, after: tuple[float, int], taken: list[AgentInvoke]
    ) -> Generator[Deferred[Any], Any, tuple[float, int] | None]:
        """Take some tasks of a target.

        @param taken: all that were taken so far; these are added.
        @return: after which task to go on; None: there is nothing more to take.
        """
        if not self._ledger.waiting[target] or self._has_all(pull, taken):
            return None
        ready = yield self._store.ready(target, self._ledger.now(), after, SLICE)
        for task, message in ready.tasks:
            size = len(message) + self._limits.max_message_size - self._limits.max_content_size
            most = pull.session.max_message_size
            if most is not None and size > most:
                continue  # it is left to others, as it would end the connection
            if self._has_all(pull, taken) or (taken and size > pull.room):
                return None
            refused = self._candidates.refuse(task, message, pull.session)
            if refused is not None:
                yield refused
                continue
            assign = Assign(
                now=self._ledger.now(),
                worker=pull.session.entity_id,
                attempt=task.attempt + 1,
                lease=pull.lease,
                connected=False,
                begins=not pull.session.acknowledges,
            )
            try:
                moved = yield self._ledger.move(task.task_id, assign)
            except (Conflict, NotFound):
                continue  # somebody else was quicker
            pull.room -= size
            taken.append(invocation(moved.task, message))
        return (ready.tasks[-1][0].due, ready.tasks[-1][0].number) if ready.tasks else None

    def _has_all(self, pull: Pull, taken: list[AgentInvoke]) -> bool:
        return pull.done or self._draining or len(taken) >= pull.most
