"""Attempts: tasks that wait are given to the agents that are connected, and what these answer is written down."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.agents.calls.pools import Pool, Worker
from cell0gw.agents.calls.workers import IWorkerObserver, Workers
from cell0gw.agents.message_ids import Lineage
from cell0gw.process.interfaces import IDraining, ISweeper
from cell0gw.protocol import jsonrpc
from cell0gw.protocol.errors import RateLimited, RPCError, Unavailable
from cell0gw.protocol.jsonrpc import Response
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.notifications import AgentCancelled
from cell0gw.sessions.session import Session
from cell0gw.tasks.attempt import (
    Attempt,
    Candidates,
    attempt_of,
    call_id_of,
    ending_of,
    has_room,
    invocation,
    why_ended,
)
from cell0gw.tasks.ledger import ITaskObserver, Ledger
from cell0gw.tasks.moves import Disconnect, Finish, Move, Release
from cell0gw.tasks.quotas import Turns, Unwritten
from cell0gw.tasks.store import ITaskStore, Moved, Ready
from cell0gw.tasks.task import COMPLETED, Task

SLICE: Final = 32
"""Maximum tasks that are read at once for an agent or a capability."""


@implementer(IWorkerObserver, ITaskObserver, IDraining, ISweeper)
class Attempts:
    """Who has which task.

    @param limits: maximum bytes of what is relayed.
    @ivar turns: when whose tasks are looked at again.
    @ivar refused: how often an agent would not take one; C{late}: how many answers came when nobody waited for them.
    """

    log = Logger()

    def __init__(
        self, ledger: Ledger, store: ITaskStore, workers: Workers, candidates: Candidates, limits: Limits
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._workers = workers
        self._candidates = candidates
        self._limits = limits
        self._held: dict[str, Attempt] = {}
        self.turns = Turns()
        self._draining = False
        self._unwritten = Unwritten()
        self.refused = self.late = 0
        workers.observers.append(self)
        ledger.observers.append(self)

    def __len__(self) -> int:
        return len(self._held)

    def lineage(self, call_id: str, entity_id: str) -> Lineage | None:
        """What conversation a task is part of, if this entity has it on a connection; else None."""
        attempt = self._held.get(call_id)
        if attempt is None or attempt.worker is None or attempt.worker.session.entity_id != entity_id:
            return None
        return Lineage(attempt.task.root, attempt.task.hops, attempt.task.in_reply_to)

    def began(self, call_id: str, entity_id: str) -> None:
        """Called when an agent says something of an attempt, be it its own or not: it is no longer to be refused."""
        attempt = self._held.get(call_id)
        if attempt is not None and attempt.worker is not None and attempt.worker.session.entity_id == entity_id:
            attempt.begun = True

    def answered_by(self, session: Session, response: Response) -> None:
        """Called with an agent's response to an attempt, or to what it has no more."""
        attempt = self._held.get(response.id)
        entity_id, size = session.entity_id, len(response.result or response.error)
        if attempt is None or attempt.worker is None or attempt.worker.session is not session or attempt.ending:
            self.late += 1
            self._workers.answered_late(session, response.id)
            self._keep_late(entity_id, response, size)
            return
        if not self._unwritten.add(entity_id, size):
            self._not_kept(attempt)
            return
        attempt.owner, attempt.size = entity_id, size
        ending = ending_of(attempt, entity_id, response, self._ledger.now(), self._limits)
        self.refused += isinstance(ending, Release)
        self._end(attempt, ending)

    def drain(self, draining: bool) -> None:
        """See L{IDraining}: nothing more is given out; who has something may bring it to the next process."""
        self._draining = draining
        if not draining:
            self._held.clear()
            self._unwritten = Unwritten()
            self.turns.clear()

    def sweep(self) -> None:
        """See L{ISweeper}: look for what is due by now, for room, and write down what could not be."""
        for attempt in list(self._held.values()):
            if attempt.ending is not None and not attempt.writing:
                self._end(attempt, attempt.ending)
        for target in self.turns.take(self._ledger.now()):
            self.serve(target)

    def dates_moved(self, seconds: float) -> None:
        """See L{ITaskObserver}."""
        self.turns.shift(seconds)

    def worker_freed(self, worker: Worker) -> None:
        """See L{IWorkerObserver}."""
        if not self._ledger.waiting:
            return
        for target in {worker.session.entity_id, *(pool.target for pool in worker.pools)}:
            self.serve(target)

    def worker_left(self, worker: Worker) -> None:
        """See L{IWorkerObserver}: what it had begun waits for its return, the rest for somebody else."""
        for attempt in list(worker.tasks.values()):
            attempt.worker = None
            if attempt.sent and attempt.ending is None:
                self._end(attempt, Disconnect(now=self._ledger.now(), attempt=attempt.task.attempt))

    def worker_silent(self, worker: Worker) -> None:
        """See L{IWorkerObserver}: what it has stays with it until it is lost."""

    def worker_heard(self, worker: Worker) -> None:
        """See L{IWorkerObserver}."""
        self.worker_freed(worker)

    def pool_shrunk(self, pool: Pool) -> None:
        """See L{IWorkerObserver}."""

    def task_moved(self, moved: Moved) -> None:
        """See L{ITaskObserver}."""
        before, task = moved.before, moved.task
        if before is not None and before.held and not task.held:
            self._over(before, task)
        if task.waits:
            self.turns.waits(task.target, task.due)
            self.serve(task.target)

    def serve(self, target: str) -> None:
        """Give tasks to those who have room, if there are both."""
        if self._draining or not self._ledger.waiting[target] or self.turns.busy(target):
            return
        pool = self._candidates.pool(target)
        if pool is None or self.turns.idle(target, self._ledger.now()):
            return
        if not self._ledger.ready or pool.pick("least_busy", None, has_room, silent=False) is None:
            self.turns.stick(target)
            return
        self.turns.begin(target)
        self._read(target, (0.0, 0))

    def _read(self, target: str, after: tuple[float, int]) -> None:
        ready = self._store.ready(target, self._ledger.now(), after, SLICE)
        ready.addCallback(self._give_all, target, after).addErrback(self._failed, target).addCallback(
            self._served, target
        )

    def _give_all(self, ready: Ready, target: str, after: tuple[float, int]) -> Deferred[Any] | None:
        pool = self._candidates.pool(target)
        if pool is None or self._draining:
            return None
        if not ready.tasks:
            self.turns.rest(target, ready.following, idle=after == (0.0, 0))
            return None
        self.turns.rouse(target)
        given = []
        for task, message in ready.tasks:
            refused = self._candidates.refuse(task, message)
            if refused is not None:
                given.append(refused)
                continue
            worker = self._candidates.pick(pool, task, message)
            if worker is not None:
                given.append(self._give(task, message, worker))
        # What somebody here can't take keeps nobody from what comes after it.
        if pool.pick("least_busy", None, has_room, silent=False) is not None:
            last = ready.tasks[-1][0]
            return DeferredList(given).addCallback(lambda done: (last.due, last.number))
        self.turns.stick(target)
        return DeferredList(given).addCallback(lambda done: None)

    def _served(self, after: tuple[float, int] | None, target: str) -> None:
        if after is not None:
            self._read(target, after)
            return
        if self.turns.end(target):
            self.serve(target)

    def _give(self, task: Task, message: bytes, worker: Worker) -> Deferred[None]:
        """Have room kept at a worker, and the attempt written down; then send it."""
        attempt = Attempt(task, call_id_of(task.task_id, task.attempt + 1), worker)
        self._held[attempt.call_id] = attempt
        worker.tasks[attempt.call_id] = attempt
        self._workers.changed(worker)
        moved = self._ledger.move(task.task_id, attempt.assign(worker, self._ledger.now()))
        return moved.addCallbacks(self._given, self._not_given, (attempt, message), {}, (attempt,))

    def _given(self, moved: Moved, attempt: Attempt, message: bytes) -> None:
        attempt.task = task = moved.task
        worker = attempt.worker
        if worker is None or self._draining:
            unsent = Release(now=self._ledger.now(), attempt=task.attempt, unsent=True)
            self._end(attempt, unsent)
            return
        attempt.sent = True
        if attempt.call_id in self._held:  # else it was cancelled in the same moment
            invoked = jsonrpc.request("agent.invoke", invocation(task, message), attempt.call_id)
            self._workers.signs.ask(worker.session)
            worker.session.connection.send(invoked)

    def _not_given(self, failure: Failure, attempt: Attempt) -> None:
        self._forget(attempt)
        if not failure.check(RPCError):
            self.log.failure("a task could not be given to an agent", failure, event="tasks.failed")

    def _end(self, attempt: Attempt, ending: Move) -> None:
        """End an attempt. As long as that can't be written down the agent keeps the place, and it is tried again."""
        attempt.ending, attempt.writing = ending, True
        moved = self._ledger.move(attempt.task.task_id, ending)
        moved.addCallbacks(lambda moved: self._forget(attempt), self._not_ended, errbackArgs=(attempt,))

    def _not_ended(self, failure: Failure, attempt: Attempt) -> None:
        if failure.check(Unavailable):
            attempt.writing = False  # see sweep
            return
        if failure.check(RateLimited):
            self._not_kept(attempt)
            return
        self._forget(attempt)
        if not failure.check(RPCError):
            self.log.failure("the end of a task could not be written", failure, event="tasks.failed")

    def _keep_late(self, worker: str, response: Response, size: int) -> None:
        """A result for which nobody waits any more may be one that is kept beside the end of its task."""
        named = attempt_of(response.id)
        if (
            named is not None
            and 0 < len(response.result) <= self._limits.max_content_size
            and self._unwritten.add(worker, size)
        ):
            task_id, attempt = named
            finish = Finish(now=self._ledger.now(), worker=worker, attempt=attempt, result=bytes(response.result))
            moved = self._ledger.move(task_id, finish).addErrback(lambda failure: None)  # then it counts for nothing
            moved.addCallback(lambda moved: self._unwritten.remove(worker, size))

    def _not_kept(self, attempt: Attempt) -> None:
        """There is no room for an answer: the agent may bring it again, as one that has lost its connection."""
        if attempt.worker is not None:
            content = AgentCancelled(call_id=attempt.call_id, reason="not_kept")
            attempt.worker.session.connection.notify("agent.cancelled", content)
        self._end(attempt, Disconnect(now=self._ledger.now(), attempt=attempt.task.attempt, begun=True))

    def _over(self, before: Task, task: Task) -> None:
        """Called when an attempt is over: an agent that has it on a connection need not go on."""
        attempt = self._held.get(call_id_of(before.task_id, before.attempt))
        if attempt is None or attempt.ending is not None:
            return
        worker = attempt.worker
        by_itself = task.status == COMPLETED or task.code == "agent_failed"
        if worker is not None and attempt.sent and not by_itself:
            content = AgentCancelled(call_id=attempt.call_id, reason=why_ended(before, task))
            worker.session.connection.notify("agent.cancelled", content)
            worker.give_up(attempt.call_id)  # it has room for the next one once it has answered
            self._workers.changed(worker)
        self._forget(attempt)

    def _forget(self, attempt: Attempt) -> None:
        if self._held.get(attempt.call_id) is not attempt:
            return
        del self._held[attempt.call_id]
        self._unwritten.remove(attempt.owner, attempt.size)
        worker, attempt.worker = attempt.worker, None
        if worker is not None and worker.tasks.pop(attempt.call_id, None) is not None:
            self._workers.changed(worker)
            self._workers.freed(worker)

    def _failed(self, failure: Failure, target: str) -> None:
        self.turns.stick(target)
        if not failure.check(Unavailable):  # the store has told of that
            self.log.failure("tasks could not be read", failure, event="tasks.failed")
