"""Pools: the sessions that can take a call, and which of them gets the next one.

Every step takes as long with ten thousand sessions as with ten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any, Final, Literal
from weakref import ref

from cell0gw.sessions.session import Session

Policy = Literal["least_busy", "round_robin", "random", "sticky"]

STICKY_KEYS: Final = 100_000
"""Maximum keys remembered in all pools together; beyond it the least recently used are forgotten."""


class Worker:
    """A session that takes calls.

    @ivar max_inflight: maximum calls at once; None: unlimited.
    @ivar calls: those that it has, by their ids.
    @ivar resting: whether it accepts none now.
    @ivar pools: those it is in.
    """

    __slots__ = ("__weakref__", "calls", "max_inflight", "pools", "resting", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.max_inflight: int | None = None
        self.calls: dict[str, Any] = {}
        self.resting = False
        self.pools: dict[Pool, None] = {}

    @property
    def available(self) -> bool:
        """Whether it can take one more call."""
        return not self.resting and (self.max_inflight is None or len(self.calls) < self.max_inflight)


class Sticky:
    """Which worker had the calls with a key; one that is gone is not kept alive."""

    def __init__(self) -> None:
        self._workers: OrderedDict[tuple[str, str], ref[Worker]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._workers)

    def get(self, target: str, key: str) -> Worker | None:
        """The worker of a key, if it is known."""
        found = self._workers.get((target, key))
        if found is None:
            return None
        self._workers.move_to_end((target, key))
        return found()

    def put(self, target: str, key: str, worker: Worker) -> None:
        """Assign a key to a worker."""
        self._workers[target, key] = ref(worker)
        self._workers.move_to_end((target, key))
        if len(self._workers) > STICKY_KEYS:
            self._workers.popitem(last=False)


class Pool:
    """The workers of one agent, or of one capability.

    @param target: whose they are: an agent, or C{capability:<name>}.
    @param choose: C{choose(n)} gives a random number below C{n}.
    @ivar workers: all of them, available or not.
    @ivar waiting: the calls that wait for one, oldest first.
    """

    def __init__(self, target: str, choose: Callable[[int], int], sticky: Sticky) -> None:
        self.target = target
        self._choose = choose
        self._sticky = sticky
        self.workers: dict[Worker, None] = {}
        self.waiting: OrderedDict[str, Any] = OrderedDict()
        self._awake: set[Worker] = set()
        # Those that are available: by how many calls they have, who has waited longest first; in the order of their
        # turns; and in a row with their places, to pick any.
        self._by_load: dict[int, OrderedDict[Worker, None]] = {}
        self._load: dict[Worker, int] = {}
        self._turns: OrderedDict[Worker, None] = OrderedDict()
        self._row: list[Worker] = []
        self._place: dict[Worker, int] = {}

    def __len__(self) -> int:
        return len(self.workers)

    @property
    def resting(self) -> bool:
        """Whether none of them accepts calls now."""
        return not self._awake

    def wants(self, but: Collection[Worker]) -> bool:
        """Whether one of them, but for those left out, accepts calls, now or when it has capacity."""
        return any(worker not in but for worker in self._awake)

    def add(self, worker: Worker) -> None:
        """Add a worker."""
        self.workers[worker] = None
        worker.pools[self] = None
        self.update(worker)

    def remove(self, worker: Worker) -> None:
        """Remove a worker."""
        del self.workers[worker], worker.pools[self]
        self._withdraw(worker)
        self._turns.pop(worker, None)
        self._awake.discard(worker)

    def update(self, worker: Worker) -> None:
        """Called when a worker has more or fewer calls, or begins or ends its rest; else it keeps its place."""
        if worker.resting:
            self._awake.discard(worker)
        else:
            self._awake.add(worker)
        if worker.available and self._load.get(worker) == len(worker.calls):
            return
        self._withdraw(worker)
        if worker.available:
            load = self._load[worker] = len(worker.calls)
            self._by_load.setdefault(load, OrderedDict())[worker] = None
            self._turns.setdefault(worker)
            self._place[worker] = len(self._row)
            self._row.append(worker)
        else:
            self._turns.pop(worker, None)

    def preview(self, policy: Policy, key: str | None, fits: Callable[[Worker], bool]) -> Worker | None:
        """The worker that would take the next call; under C{random} any other may as well. None: there is none.

        @param fits: those for whom it is false are passed over.
        """
        found = None if key is None or policy != "sticky" else self._sticky.get(self.target, key)
        if found is not None and found in self._load and fits(found):
            return found
        return next(filter(fits, self._turns), None) if policy == "round_robin" else self._least_busy(fits)

    def pick(self, policy: Policy, key: str | None, fits: Callable[[Worker], bool]) -> Worker | None:
        """The worker that takes the next call; None if there is none.

        @param key: calls with the same one go to the same worker under C{sticky}, as long as it is here; while it can
            take no more, they go elsewhere.
        @param fits: those for whom it is false are passed over.
        """
        if policy == "random":
            return self._any(fits)
        worker = self.preview(policy, key, fits)
        if worker is None:
            return None
        if policy == "round_robin":
            self._turns.move_to_end(worker)
        elif policy == "sticky" and key is not None and self._sticky.get(self.target, key) not in self.workers:
            self._sticky.put(self.target, key, worker)
        return worker

    def _any(self, fits: Callable[[Worker], bool]) -> Worker | None:
        if not self._row:
            return None
        start, size = self._choose(len(self._row)), len(self._row)
        return next(filter(fits, (self._row[(start + step) % size] for step in range(size))), None)

    def _least_busy(self, fits: Callable[[Worker], bool]) -> Worker | None:
        for load in sorted(self._by_load):
            for worker in self._by_load[load]:
                if fits(worker):
                    return worker
        return None

    def _withdraw(self, worker: Worker) -> None:
        """Remove a worker from those that are available; its turn stays."""
        load = self._load.pop(worker, None)
        if load is None:
            return
        del self._by_load[load][worker]
        if not self._by_load[load]:
            del self._by_load[load]
        place, last = self._place.pop(worker), self._row.pop()
        if last is not worker:
            self._row[place] = last
            self._place[last] = place
