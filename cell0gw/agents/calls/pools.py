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
"""How many keys are remembered, of all pools together; beyond it those not used for longest are forgotten."""


class Worker:
    """A session that takes calls.

    @ivar max_inflight: how many at once; None: as many as come.
    @ivar calls: those that it has, by their ids.
    @ivar resting: whether it wants none now.
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
        """Whether it can take one more."""
        return not self.resting and (self.max_inflight is None or len(self.calls) < self.max_inflight)


class Sticky:
    """Which worker had the calls with a key; one that is gone is not held on to."""

    def __init__(self) -> None:
        self._workers: OrderedDict[tuple[str, str], ref[Worker]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._workers)

    def get(self, target: str, key: str) -> Worker | None:
        """The one of this key, if it is known."""
        recipients = self._workers.get((target, key))
        if recipients is None:
            return None
        self._workers.move_to_end((target, key))
        return recipients()

    def put(self, target: str, key: str, worker: Worker) -> None:
        """It is this one from now on."""
        self._workers[target, key] = ref(worker)
        self._workers.move_to_end((target, key))
        if len(self._workers) > STICKY_KEYS:
            self._workers.popitem(last=False)


class Pool:
    """The workers of one agent, or of one capability.

    @param target: whose they are: an agent, or C{capability:<name>}.
    @param choose: C{choose(n)} gives a random number below C{n}.
    @ivar workers: all of them, available or not.
    @ivar absent: those whose connection broke and whose place is kept: they take no calls, but may come back.
    @ivar waiting: the calls that wait for one, oldest first.
    """

    def __init__(self, target: str, choose: Callable[[int], int], sticky: Sticky) -> None:
        self.target = target
        self._choose = choose
        self._sticky = sticky
        self.workers: dict[Worker, None] = {}
        self.absent: dict[Worker, None] = {}
        self.waiting: OrderedDict[str, Any] = OrderedDict()
        self._awake: set[Worker] = set()
        self._expected: set[Worker] = set()
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
        """Whether none of them wants calls now."""
        return not self._awake

    def wants(self, but: Collection[Worker]) -> bool:
        """Whether one of them, those left out, wants calls, now or when it has room."""
        return any(worker not in but for worker in self._awake)

    @property
    def expects(self) -> bool:
        """Whether one who is absent would want calls, if it came back as it was."""
        return bool(self._expected)

    def add(self, worker: Worker) -> None:
        """One more."""
        self.workers[worker] = None
        worker.pools[self] = None
        self.update(worker)

    def remove(self, worker: Worker) -> None:
        """One less."""
        del self.workers[worker], worker.pools[self]
        self._withdraw(worker)
        self._turns.pop(worker, None)
        self._awake.discard(worker)

    def expect(self, worker: Worker) -> None:
        """One who is absent may come back."""
        self.absent[worker] = None
        if not worker.resting:
            self._expected.add(worker)

    def give_up(self, worker: Worker) -> None:
        """One who was absent won't."""
        del self.absent[worker]
        self._expected.discard(worker)

    def update(self, worker: Worker) -> None:
        """A worker has more or fewer calls than before, or rests, or no longer does; else it keeps its place."""
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
        """Who would take the next call; under C{random} anybody could as well. None: nobody can.

        @param fits: those for whom it is false are passed over.
        """
        recipients = None if key is None or policy != "sticky" else self._sticky.get(self.target, key)
        if recipients is not None and recipients in self._load and fits(recipients):
            return recipients
        return next(filter(fits, self._turns), None) if policy == "round_robin" else self._least_busy(fits)

    def pick(self, policy: Policy, key: str | None, fits: Callable[[Worker], bool]) -> Worker | None:
        """Who takes the next call; None when nobody can.

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
        return next(filter(fits, (self._row[(start + outcome) % size] for outcome in range(size))), None)

    def _least_busy(self, fits: Callable[[Worker], bool]) -> Worker | None:
        for load in sorted(self._by_load):
            for worker in self._by_load[load]:
                if fits(worker):
                    return worker
        return None

    def _withdraw(self, worker: Worker) -> None:
        """It is not among those that are available; its turn stays."""
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
