"""Assignments: which worker has which call, and which calls wait for one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Final

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from cell0gw.agents.calls.call import Call, CallRequest
from cell0gw.agents.calls.pools import Pool, Worker
from cell0gw.agents.calls.workers import IWorkerObserver, Workers
from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol import jsonrpc
from cell0gw.protocol.errors import AgentFailed, RateLimited, RPCError, Unavailable

MAX_WAITING: Final = 1000
"""How many calls wait for one agent or capability while all who can take them are busy."""

MAX_LOSSES: Final = 3
"""Sessions with which a call was lost, before they had begun, from which on it waits for none to come back: it may be
what they die of."""

RETRY_AFTER_MS: Final = 1000


@implementer(ISweeper, IWorkerObserver)
class Assignments:
    """Gives calls to workers; those that nobody can take now wait, in order.

    @param moved: called with a call that somebody has got, or that waits.
    @param failed: called with a call that came to nothing, and with what its caller is told.
    """

    def __init__(
        self,
        workers: Workers,
        clock: IReactorTime,
        moved: Callable[[Call], None],
        failed: Callable[[Call, RPCError], None],
    ) -> None:
        self._workers = workers
        self._clock = clock
        # Where calls wait.
        self._queues: dict[Pool, None] = {}
        self._moved = moved
        self._failed = failed
        workers.observers.append(self)

    @property
    def waiting(self) -> int:
        """How many calls wait for somebody to take them."""
        return sum(len(pool.waiting) for pool in self._queues)

    def pool(self, request: CallRequest) -> Pool | None:
        """Those who could take a call; None: nobody is here who could, or may come back."""
        if request.agent_id is not None:
            return self._workers.of_agent(request.agent_id)
        return self._workers.of_capability(request.capability or "")

    def assign(self, call: Call) -> None:
        """Give a call to a worker, or have it wait for one.

        @raise RPCError: it would wait in vain, or too many wait.
        """
        worker = self.pick(call)
        if worker is None:
            self._wait(call)
        else:
            self._invoke(call, worker)

    def pick(self, call: Call) -> Worker | None:
        """Who takes a call now: one who has room, has not had it, and reads what it is sent."""
        tried = call.tried
        fits = (lambda worker: worker not in tried and reads(worker)) if tried else reads
        return call.pool.pick(call.request.policy, call.request.key, fits)

    def pass_on(self, call: Call) -> None:
        """The one who had a call has not begun it: the next one may."""
        assert call.worker is not None
        call.tried.append(call.worker)
        call.idle_until = None
        self._take_back(call)
        call.pool = self.pool(call.request) or call.pool  # nobody was in the one it came from for a moment
        try:
            self.assign(call)
        except RPCError as refusal:
            self._failed(call, refusal)

    def release(self, call: Call) -> None:
        """A call is over, wherever it was."""
        self._leave_queue(call)
        self._take_back(call)

    def interruption(self, call: Call) -> RPCError:
        """What is to be said of a call that the gateway can't wait for."""
        if call.worker is not None and has_begun(call):
            agent_id = call.worker.session.entity_id
            return AgentFailed(f"The gateway goes down, and {agent_id} had begun", agent_id=agent_id)
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
        """See L{IWorkerObserver}: what it may have begun is not done a second time."""
        agent_id = worker.session.entity_id
        for call in list(worker.calls.values()):
            if call.worker is not worker:  # it ended when another one's caller was told
                continue
            if has_begun(call):
                self._failed(call, AgentFailed(f"{agent_id} was lost after it had begun", agent_id=agent_id))
            else:
                call.losses += 1
                self.pass_on(call)

    def pool_shrunk(self, pool: Pool) -> None:
        """See L{IWorkerObserver}: those who wait in vain are told at once."""
        for call in list(pool.waiting.values()):
            hopeless = why_nobody_can(call) if call.call_id in pool.waiting else None
            if hopeless is not None:
                self._failed(call, hopeless)

    def _wait(self, call: Call) -> None:
        hopeless = why_nobody_can(call)
        if hopeless is not None:
            raise hopeless
        waiting = call.pool.waiting
        if len(waiting) >= MAX_WAITING:
            raise RateLimited(f"{len(waiting)} calls wait for {call.request.target}", retry_after_ms=RETRY_AFTER_MS)
        waiting[call.call_id] = call
        if call.tried:  # it was there before the others, but for some that came back as well
            before = list(itertools.takewhile(lambda other: other.created < call.created, waiting.values()))
            for each in (call, *reversed(before)):
                waiting.move_to_end(each.call_id, last=False)
        self._queues[call.pool] = None
        self._moved(call)

    def _invoke(self, call: Call, worker: Worker) -> None:
        call.worker = worker
        worker.calls[call.call_id] = call
        if call.request.idle is not None:
            call.idle_until = self._clock.seconds() + call.request.idle
        worker.session.connection.send(jsonrpc.request("agent.invoke", call.invocation(), call.call_id))
        self._workers.changed(worker)
        self._moved(call)

    def _serve(self, worker: Worker) -> None:
        """A worker may have room: give it the calls that have waited longest."""
        while worker.available and reads(worker):
            calls = [call for pool in worker.pools if pool.waiting for call in _first(pool, worker)]
            if not calls:
                return
            call = min(calls, key=lambda call: call.created)
            self._leave_queue(call)
            self._invoke(call, worker)

    def _take_back(self, call: Call) -> None:
        worker, call.worker = call.worker, None
        if worker is not None:
            del worker.calls[call.call_id]
            self._workers.changed(worker)
            self._serve(worker)

    def _leave_queue(self, call: Call) -> None:
        call.pool.waiting.pop(call.call_id, None)
        if not call.pool.waiting:
            self._queues.pop(call.pool, None)


def has_begun(call: Call) -> bool:
    """Whether the worker of a call has begun with it, or can't say that it has not."""
    return call.begun or (call.worker is not None and not call.worker.session.acknowledges)


def reads(worker: Worker) -> bool:
    """Whether a worker keeps up with what it is sent."""
    return not worker.session.connection.behind


def why_nobody_can(call: Call) -> RPCError | None:
    """Why nobody will take a call, however long it waits; None: somebody may."""
    pool, target = call.pool, call.request.target
    if pool.wants(call.tried) or (pool.expects and call.losses < MAX_LOSSES):
        return None
    if any(worker in pool.workers for worker in call.tried):
        return Unavailable(f"Whoever serves {target} has refused, or wants no calls now", refusal=call.refusal)
    if pool.workers or (pool.absent and not pool.expects):  # those who are absent were at rest
        return Unavailable(f"Whoever serves {target} wants no calls now")
    return nobody_here(call.request)


def nobody_here(request: CallRequest) -> Unavailable:
    """What is said of a call that somebody could have taken before, and may again."""
    who = request.agent_id or f"Nobody who serves {request.capability}"
    return Unavailable(f"{who} is {'not ' if request.agent_id else ''}here now", retry_after_ms=RETRY_AFTER_MS)


def _first(pool: Pool, worker: Worker) -> Iterator[Call]:
    """The call that has waited longest in a pool and that a worker has not had yet, if there is one."""
    yield from itertools.islice((call for call in pool.waiting.values() if worker not in call.tried), 1)
