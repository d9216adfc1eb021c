"""Assignments: which worker has which call, and which calls wait for one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Final

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from cell0gw.agents.calls.call import Call, CallRequest
from cell0gw.agents.calls.circles import circle
from cell0gw.agents.calls.pools import Pool, Worker
from cell0gw.agents.calls.refusals import RETRY_AFTER_MS, reads, takes, too_long, why_nobody_can
from cell0gw.agents.calls.workers import IWorkerObserver, Workers
from cell0gw.agents.conversations import Conversations
from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol import jsonrpc
from cell0gw.protocol.errors import RateLimited, RPCError, Unavailable
from cell0gw.protocol.limits import in_share
from cell0gw.protocol.notifications import AgentCancelled
from cell0gw.sessions.session import Session

MAX_WAITING: Final = 1000
"""Maximum calls that wait for one agent or capability while all workers are busy. An entity has a share of it."""


@implementer(ISweeper, IWorkerObserver)
class Assignments:
    """Gives calls to workers; those that nobody can take now wait, in order.

    @param moved: called with a call when a worker got it, or when it was queued.
    @param failed: called with a call that has failed, and with the error that its caller gets.
    """

    def __init__(
        self,
        workers: Workers,
        conversations: Conversations,
        clock: IReactorTime,
        moved: Callable[[Call], None],
        failed: Callable[[Call, RPCError], None],
    ) -> None:
        self._workers = workers
        self._conversations = conversations
        self._clock = clock
        # Where calls wait.
        self._queues: dict[Pool, None] = {}
        self._moved = moved
        self._failed = failed
        workers.observers.append(self)

    @property
    def waiting(self) -> int:
        """How many calls wait for a worker."""
        return sum(len(pool.waiting) for pool in self._queues)

    def pool(self, request: CallRequest) -> Pool | None:
        """The pool of workers that can take a call, now or when they come back; None: there are none."""
        if request.agent_id is not None:
            return self._workers.of_agent(request.agent_id)
        return self._workers.of_capability(request.capability or "")

    def assign(self, call: Call) -> None:
        """Give a call to a worker, or have it wait for one.

        @raise RPCError: no worker can ever take it, or too many calls wait.
        """
        worker = self.pick(call)
        if worker is None:
            self._wait(call)
        else:
            self._invoke(call, worker)

    def pick(self, call: Call, silent: bool = True) -> Worker | None:
        """The worker that takes a call now: one that has capacity, has not had the call, and keeps up with reading, and
        whose client takes calls as long as this.

        @param silent: whether it may be one that shows no sign of life, if there is no other.
        """
        tried = call.tried
        fits = (lambda worker: worker not in tried and reads(worker)) if tried else reads
        policy, key, caller = call.request.policy, call.request.key, call.invocation.sender
        worker = call.pool.pick(policy, key, fits, caller, silent)
        if worker is None or worker.session.max_message_size is None or takes(worker, call):
            return worker
        return call.pool.pick(policy, key, lambda other: fits(other) and takes(other, call), caller, silent)

    def pass_on(self, call: Call, lost: bool = False) -> None:
        """Called when a worker gave a call back without having begun: it goes to the next one.

        @param lost: whether it did not refuse the call, but is gone.
        """
        assert call.worker is not None
        call.tried.append(None if lost else call.worker)
        call.idle_until = None
        self._leave_queue(call)
        self._take_back(call)
        call.pool = self.pool(call.request) or call.pool  # nobody was in the one it came from for a moment
        try:
            self.assign(call)
        except RPCError as refusal:
            self._failed(call, refusal)

    def release(self, call: Call) -> None:
        """Called when a call is over, assigned or waiting."""
        self._leave_queue(call)
        self._take_back(call)

    def give_up(self, call: Call) -> None:
        """Called when nobody waits for a call any more. Who has it may still be at it: until that one answers, or its
        session ends, the call counts among those that it takes at once.
        """
        self._leave_queue(call)
        worker, call.worker = call.worker, None
        if worker is not None:
            worker.give_up(call.call_id)
            self._workers.changed(worker)

    def begun(self, call: Call) -> None:
        """Called when a worker says that it has begun with a call: it is not for others any more."""
        call.begun = True
        self._leave_queue(call)

    def answered_late(self, session: Session, call_id: str) -> None:
        """Called when a session has answered a call that it has no more."""
        self._workers.answered_late(session, call_id)

    def interruption(self, call: Call) -> RPCError:
        """The error of a call that the gateway can't wait for."""
        if call.worker is not None and call.may_have_begun:
            return call.failed(call.worker.session.entity_id, "had begun, and the gateway goes down")
        return Unavailable("The gateway goes down")

    def sweep(self) -> None:
        """See L{ISweeper}: look again at what waits: a worker that read too slowly may have caught up."""
        for pool in list(self._queues):
            for worker in list(pool.workers):
                if not pool.waiting:
                    break
                self._serve(worker)

    def worker_freed(self, worker: Worker) -> None:
        """See L{IWorkerObserver}."""
        self._serve(worker)

    def worker_left(self, worker: Worker) -> None:
        """See L{IWorkerObserver}: calls that it may have begun fail, and are not done a second time."""
        agent_id = worker.session.entity_id
        for call in list(worker.calls.values()):
            if call.worker is not worker:  # it ended when another one's caller was notified
                continue
            if call.may_have_begun:
                self._failed(call, call.failed(agent_id, "was lost after it had begun"))
            else:
                self.pass_on(call, lost=True)

    def worker_silent(self, worker: Worker) -> None:
        """See L{IWorkerObserver}: a call that it has not begun goes to another one, now or when one has room. Until
        that takes it the call stays where it is: the worker may be slow, and not gone.
        """
        for call in list(worker.calls.values()):
            if call.worker is worker and not call.may_have_begun:
                other = self.pick(call, silent=False)
                if other is None:
                    self._lend(call)
                else:
                    self._invoke(call, other)

    def worker_heard(self, worker: Worker) -> None:
        """See L{IWorkerObserver}: what it has stays with it."""
        for call in worker.calls.values():
            self._leave_queue(call)
        self._serve(worker)

    def pool_shrunk(self, pool: Pool) -> None:
        """See L{IWorkerObserver}: calls that no worker can take any more fail at once."""
        for call in list(pool.waiting.values()):
            waits = call.call_id in pool.waiting and call.worker is None
            hopeless = self._hopeless(call) if waits else None
            if hopeless is not None:
                self._failed(call, hopeless)

    def _wait(self, call: Call) -> None:
        hopeless = self._hopeless(call)
        if hopeless is not None:
            raise hopeless
        waiting, caller = call.pool.waiting, call.invocation.sender
        own = call.pool.waiting_of[caller]
        # What has been with an agent already keeps its place.
        if not in_share(0 if call.tried else own, 1, len(waiting), MAX_WAITING):
            held = f"{len(waiting)} calls wait for {call.request.target}, {own} of them those of {caller}"
            raise RateLimited(held, retry_after_ms=RETRY_AFTER_MS)
        self._enqueue(call)
        self._moved(call)

    def _hopeless(self, call: Call) -> RPCError | None:
        """Why nobody will take a call that nobody takes now, however long it waits; None: somebody may."""
        refusal = too_long(call) or why_nobody_can(call)
        if refusal is not None or call.parent is None:
            return refusal
        found = circle(call.pool, call.tried, call.parent)
        if found is None:
            return None
        return self._conversations.circle(call.lineage, call.invocation.sender, call.request.target, found.own)

    def _lend(self, call: Call) -> None:
        """Who has a call may be gone: the call waits for another one as well."""
        if len(call.pool.waiting) < MAX_WAITING:
            self._enqueue(call)

    def _enqueue(self, call: Call) -> None:
        waiting = call.pool.waiting
        waiting[call.call_id] = call
        call.pool.waiting_of[call.invocation.sender] += 1
        if call.tried or call.worker:  # it was there before the others, but for some that came back as well
            before = list(itertools.takewhile(lambda other: other.created < call.created, waiting.values()))
            for each in (call, *reversed(before)):
                waiting.move_to_end(each.call_id, last=False)
        self._queues[call.pool] = None

    def _invoke(self, call: Call, worker: Worker) -> None:
        if call.worker is not None:
            self._take_away(call, call.worker)
        self._workers.signs.ask(worker.session)
        call.worker = worker
        worker.calls[call.call_id] = call
        if call.request.idle is not None:
            call.idle_until = self._clock.seconds() + call.request.idle
        worker.session.connection.send(jsonrpc.request("agent.invoke", call.invocation, call.call_id))
        self._workers.changed(worker)
        self._moved(call)
        if worker.session.silent and self._workers.signs.is_long_silent(worker.session) and not call.may_have_begun:
            self._lend(call)

    def _serve(self, worker: Worker) -> None:
        """Called when a worker may have capacity: give it the calls that have waited longest."""
        while worker.available and reads(worker):
            calls = [call for pool in worker.pools if pool.waiting for call in _first(pool, worker)]
            if not calls:
                return
            call = min(calls, key=lambda call: call.created)
            self._leave_queue(call)
            self._invoke(call, worker)

    def _take_away(self, call: Call, worker: Worker) -> None:
        """Another worker takes a call over from one that is silent, and that may be at it, if it is not gone."""
        call.tried.append(worker)
        worker.give_up(call.call_id)
        self._workers.changed(worker)
        worker.session.connection.notify("agent.cancelled", AgentCancelled(call_id=call.call_id, reason="lost"))

    def _take_back(self, call: Call) -> None:
        worker, call.worker = call.worker, None
        if worker is not None:
            del worker.calls[call.call_id]
            self._workers.changed(worker)
            self._workers.freed(worker)

    def _leave_queue(self, call: Call) -> None:
        pool = call.pool
        if pool.waiting.pop(call.call_id, None) is None:
            return
        caller = call.invocation.sender
        pool.waiting_of[caller] -= 1
        if not pool.waiting_of[caller]:
            del pool.waiting_of[caller]
        if not pool.waiting:
            self._queues.pop(pool, None)


def _first(pool: Pool, worker: Worker) -> Iterator[Call]:
    """The call that has waited longest in a pool and that a worker has not had yet, if there is one. What a silent one
    has goes to none that is silent as well, and so not to itself.
    """
    silent = worker.session.silent
    fits = (
        call
        for call in pool.waiting.values()
        if worker not in call.tried and not (silent and call.worker) and takes(worker, call)
    )
    yield from itertools.islice(fits, 1)
