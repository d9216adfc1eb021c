"""The workforce: every session that takes calls, by its agent and by what it can do."""

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

SERVE: Final = "agent.serve"
"""The permission to serve a capability, C{agent.serve:<capability>}."""

NOT_ACCEPTING: Final = frozenset({"do_not_disturb", "offline"})
"""Who has said this of itself takes no calls; it goes on with those that it has."""


MAX_SERVED: Final = 10_000
"""Maximum capabilities that are known to have been served; the one that nobody came to serve for longest goes first."""


class IWorkerObserver(Interface):
    """Hears of workers that can take more calls, and of those that can't any more."""

    def worker_freed(worker: Worker) -> None:
        """A worker may have room for more calls: it is new, or what it says or may do has changed."""

    def worker_left(worker: Worker) -> None:
        """A worker's connection is gone, and it takes no calls any more. It still has its calls."""

    def pool_shrunk(pool: Pool) -> None:
        """A pool has fewer who can take calls, or may come back: one of them is gone, or wants none now."""


class _Absence(NamedTuple):
    """A worker whose connection broke, and the pools that it was in."""

    worker: Worker
    pools: list[Pool]


@implementer(ISessionObserver, IRefreshObserver, IStatementObserver)
class Workers:
    """Who takes calls.

    A session takes those for its entity, and those for each capability that it declares and its token lets it serve.

    @param choose: C{choose(n)} gives a random number below C{n}.
    @ivar agents: who is here, or may come back; C{capabilities}: what is served by those.
    @ivar observers: those that are to hear of workers and pools.
    """

    def __init__(self, directory: Directory, choose: Callable[[int], int]) -> None:
        self._directory = directory
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

    def of_agent(self, agent_id: str) -> Pool | None:
        """The sessions of an agent; None when it has none here."""
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
        """The sessions that serve a capability; None when none does, and none that did may come back."""
        return self._of_capability.get(capability)

    def was_served(self, capability: str) -> bool:
        """Whether a capability is served, or was."""
        return capability in self._served

    def load(self, agent_id: str) -> tuple[int, int | None]:
        """How many calls an agent has, and how many it takes at once; None: as many as come."""
        workers = [self._workers[session] for session in self._directory.live(agent_id) if session in self._workers]
        most: int | None = 0
        for worker in workers:
            most = None if most is None or worker.max_inflight is None else most + worker.max_inflight
        return sum(len(worker.calls) for worker in workers), most

    def changed(self, worker: Worker) -> None:
        """A worker has more or fewer calls than before, or takes more or fewer."""
        for pool in worker.pools:
            pool.update(worker)

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""
        self._review(session)

    def session_refreshed(self, session: Session) -> None:
        """See L{IRefreshObserver}."""
        self._review(session)

    def statement_changed(self, session: Session) -> None:
        """See L{IStatementObserver}."""
        self._review(session)

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}: calls that nobody else can take wait until it comes back, or is over."""
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
        for observer in self.observers:
            observer.worker_freed(worker)
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
            self._served[capability] = None
            self._served.move_to_end(capability)
            if len(self._served) > MAX_SERVED:
                self._served.popitem(last=False)
        if worker not in pool.workers:
            pool.add(worker)

    def _leave(self, worker: Worker, pool: Pool) -> None:
        pool.remove(worker)
        self._left(pool)

    def _left(self, pool: Pool) -> None:
        """One of a pool is gone for good; maybe it was the last."""
        if not pool.workers and not pool.absent:
            capability = pool.target.removeprefix("capability:")
            if self._of_capability.get(capability) is pool:
                del self._of_capability[capability]
                self.capabilities.discard(capability)
            else:
                del self._of_agent[pool.target]
        self._tell_of_shrinking(pool)

    def _tell_that_it_left(self, worker: Worker) -> None:
        for observer in self.observers:
            observer.worker_left(worker)

    def _tell_of_shrinking(self, pool: Pool) -> None:
        for observer in self.observers:
            observer.pool_shrunk(pool)
