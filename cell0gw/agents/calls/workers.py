"""Workers: every session that takes calls, by its agent and by its capabilities."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from zope.interface import Interface, implementer

from cell0gw.agents.calls.pools import Pool, Sticky, Worker
from cell0gw.presence.directory import Directory
from cell0gw.presence.observers import IStatementObserver
from cell0gw.protocol.suggestions import Suggestions
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import IRefreshObserver, ISessionObserver
from cell0gw.sessions.session import Session
from cell0gw.sessions.signs import ISilenceObserver, Signs

SERVE: Final = "agent.serve"
"""The permission to serve a capability, C{agent.serve:<capability>}."""

NOT_ACCEPTING: Final = frozenset({"do_not_disturb", "offline"})
"""Presence statuses in which an agent takes no calls; it goes on with those that it has."""


MAX_ASKED: Final = 8
"""Maximum older sessions of an entity that are asked for a sign of life when a new one opens, the newest of them."""


MAX_SERVED: Final = 10_000
"""Maximum capabilities that are remembered when they are no longer served; the oldest are forgotten first."""


class Load(NamedTuple):
    """How many calls an agent is at, and how many it takes at once; None: unlimited."""

    inflight: int
    max_inflight: int | None


class IWorkerObserver(Interface):
    """Is notified of workers that can take more calls, and of those that can't any more."""

    def worker_freed(worker: Worker) -> None:
        """Called when a worker may have capacity for more calls: it is new, or what it says or may do has changed."""

    def worker_left(worker: Worker) -> None:
        """Called when a worker's connection is gone, and it takes no calls any more. It still has those that it had."""

    def worker_silent(worker: Worker) -> None:
        """Called when a worker has shown no sign of life for long. It still has its calls."""

    def worker_heard(worker: Worker) -> None:
        """Called when a worker that was silent has shown a sign of life."""

    def pool_shrunk(pool: Pool) -> None:
        """Called when fewer workers of a pool accept calls or may come back: one is gone, or accepts none now."""


class _Absence(NamedTuple):
    """A worker whose connection broke, and the pools that it was in."""

    worker: Worker
    pools: list[Pool]


@implementer(ISessionObserver, IRefreshObserver, IStatementObserver, ISilenceObserver)
class Workers:
    """All workers, by agent and by capability.

    A session takes those for its entity, and those for each capability that it declares and its token lets it serve.

    @param choose: C{choose(n)} gives a random number below C{n}.
    @ivar signs: which sessions are silent.
    @ivar agents: who is here, or may come back; C{capabilities}: what they serve.
    @ivar observers: those that are notified of workers and pools.
    """

    def __init__(self, directory: Directory, signs: Signs, choose: Callable[[int], int]) -> None:
        self._directory = directory
        self.signs = signs
        self._choose = choose
        self._sticky = Sticky()
        self._workers: dict[Session, Worker] = {}
        self._absent: dict[Session, _Absence] = {}
        # Of an agent only once somebody has called it: most are never called by name.
        self._of_agent: dict[str, Pool] = {}
        self._of_capability: dict[str, Pool] = {}
        self._served: OrderedDict[str, None] = OrderedDict()
        self.agents = Suggestions()
        self.capabilities = Suggestions()
        self.observers: list[IWorkerObserver] = []
        directory.statement_observers.append(self)
        signs.observers.append(self)

    def of_agent(self, agent_id: str) -> Pool | None:
        """The sessions of an agent; None when none is connected, and none may come back."""
        pool = self._of_agent.get(agent_id)
        if pool is None:
            sessions = self._directory.sessions(agent_id)
            workers = [self._workers[session] for session in sessions if session in self._workers]
            absent = [self._absent[session] for session in sessions if session in self._absent]
            if workers or absent:
                pool = self._of_agent[agent_id] = Pool(agent_id, self._choose, self._sticky)
                for worker in workers:
                    pool.add(worker)
                for absence in absent:
                    pool.expect(absence.worker)
                    absence.pools.append(pool)
        return pool

    def of_capability(self, capability: str) -> Pool | None:
        """The sessions that serve a capability; None when none does, and none may come back that did."""
        return self._of_capability.get(capability)

    def was_served(self, capability: str) -> bool:
        """Whether a capability is served, or was."""
        return capability in self._of_capability or capability in self._served

    def load(self, agent_id: str) -> Load:
        """How many calls an agent has and takes, in all of its sessions."""
        workers = [self._workers[session] for session in self._directory.live(agent_id) if session in self._workers]
        most: int | None = 0
        for worker in workers:
            most = None if most is None or worker.max_inflight is None else most + worker.max_inflight
        return Load(sum(worker.load for worker in workers), most)

    def of_session(self, session: Session) -> Worker | None:
        """What a session is as a worker; None: it is not connected."""
        return self._workers.get(session)

    def changed(self, worker: Worker) -> None:
        """Called when a worker has, or takes, more or fewer calls."""
        for pool in worker.pools:
            pool.update(worker)

    def answered_late(self, session: Session, call_id: str) -> None:
        """Called when a session has answered what it has no more: if that was given up, it may take another call."""
        worker = self.of_session(session)
        if worker is not None and call_id in worker.given_up:
            del worker.given_up[call_id]
            self.changed(worker)
            self.freed(worker)

    def freed(self, worker: Worker) -> None:
        """Called when a worker may have capacity for more calls."""
        for observer in self.observers:
            observer.worker_freed(worker)

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}: it may be there because the connection of an older one is dead."""
        for older in self._directory.newest(session.entity_id, 1 + MAX_ASKED)[1:]:
            self.signs.ask(older, doubted=True)
        self._review(session)

    def session_refreshed(self, session: Session) -> None:
        """See L{IRefreshObserver}."""
        self._review(session)

    def statement_changed(self, session: Session) -> None:
        """See L{IStatementObserver}."""
        self._review(session)

    def silence_changed(self, session: Session) -> None:
        """See L{ISilenceObserver}."""
        worker = self._workers.get(session)
        if worker is not None:
            self.changed(worker)
            if not session.silent:
                for observer in self.observers:
                    observer.worker_heard(worker)

    def silence_lasts(self, session: Session) -> None:
        """See L{ISilenceObserver}."""
        worker = self._workers.get(session)
        if worker is not None:
            for observer in self.observers:
                observer.worker_silent(worker)

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}: calls that no other worker can take wait for it, as long as it may come back."""
        worker = self._workers.pop(session, None)
        if worker is None:
            return
        pools = list(worker.pools)
        for pool in pools:
            pool.remove(worker)
            pool.expect(worker)
        self._absent[session] = _Absence(worker, pools)
        for pool in list(pools):
            self._tell_of_shrinking(pool)
        self._tell_that_it_left(worker)

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        absence = self._absent.pop(session, None)
        if absence is not None:
            self.agents.discard(session.entity_id)
            for pool in absence.pools:
                pool.give_up(absence.worker)
                self._left(pool)
            return
        worker = self._workers.pop(session, None)
        if worker is not None:
            self.agents.discard(session.entity_id)
            for pool in list(worker.pools):
                self._leave(worker, pool)
            self._tell_that_it_left(worker)

    def _review(self, session: Session) -> None:
        """What a session says of itself, or what its token allows, is new or has changed."""
        if session.detached:
            return
        said = self._directory.said(session)
        worker = self._workers.get(session) or self._enlist(session)
        worker.max_inflight = said.max_inflight
        worker.resting = said.status in NOT_ACCEPTING
        allowed = session.principal.permissions
        serves = {c: f"capability:{c}" for c in said.capabilities if allowed.allow_on(SERVE, c)}
        own = self._of_agent.get(session.entity_id)
        for pool in [pool for pool in worker.pools if pool is not own and pool.target not in serves.values()]:
            self._leave(worker, pool)
        for capability, target in serves.items():
            self._join(worker, capability, target)
        self.changed(worker)
        self.freed(worker)
        if worker.resting:
            for pool in list(worker.pools):
                self._tell_of_shrinking(pool)

    def _enlist(self, session: Session) -> Worker:
        worker = self._workers[session] = Worker(session)
        self.agents.add(session.entity_id)
        own = self._of_agent.get(session.entity_id)
        if own is not None:
            own.add(worker)
        return worker

    def _join(self, worker: Worker, capability: str, target: str) -> None:
        pool = self._of_capability.get(capability)
        if pool is None:
            pool = self._of_capability[capability] = Pool(target, self._choose, self._sticky)
            self.capabilities.add(capability)
        if worker not in pool.workers:
            pool.add(worker)

    def _leave(self, worker: Worker, pool: Pool) -> None:
        pool.remove(worker)
        self._left(pool)

    def _left(self, pool: Pool) -> None:
        """Called when a worker has left a pool for good, maybe the last one."""
        if not pool.workers and not pool.absent:
            capability = pool.target.removeprefix("capability:")
            if self._of_capability.get(capability) is pool:
                del self._of_capability[capability]
                self.capabilities.discard(capability)
                self._served[capability] = None
                self._served.move_to_end(capability)
                if len(self._served) > MAX_SERVED:
                    self._served.popitem(last=False)
            else:
                del self._of_agent[pool.target]
        self._tell_of_shrinking(pool)

    def _tell_that_it_left(self, worker: Worker) -> None:
        for observer in self.observers:
            observer.worker_left(worker)

    def _tell_of_shrinking(self, pool: Pool) -> None:
        for observer in self.observers:
            observer.pool_shrunk(pool)
