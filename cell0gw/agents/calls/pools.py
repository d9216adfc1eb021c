"""Pools: the sessions that can take a call, and which of them gets the next one.

Every step takes as long with ten thousand sessions as with ten.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, Literal
from weakref import ref

from cell0gw.process.shares import Shared
from cell0gw.sessions.session import Session

Policy = Literal["least_busy", "round_robin", "random", "sticky"]

STICKY_KEYS: Final = 100_000
"""Maximum keys remembered in all pools together; beyond it the entity that had most of them assigned loses the one
that was not used for longest.
"""


MAX_GIVEN_UP: Final = 1000
"""Maximum calls that were given up, of which it is remembered that a worker may still be at them; the oldest are
forgotten first. One that is at no more than a few at once has never as many."""


class Worker:
    """A session that takes calls.

    @ivar max_inflight: maximum calls at once; None: unlimited.
    @ivar calls: those that it has, by their ids.
    @ivar tasks: the tasks that it has, by the ids of their attempts as calls.
    @ivar given_up: the ids of those that nobody waits for any more, and that it has not answered: it may still be at
        them, oldest first.
    @ivar resting: whether it accepts none now.
    @ivar pools: those it is in.
    """

    __slots__ = ("__weakref__", "calls", "given_up", "max_inflight", "pools", "resting", "session", "tasks")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.max_inflight: int | None = None
        self.calls: dict[str, Any] = {}
        self.tasks: dict[str, Any] = {}
        self.given_up: dict[str, None] = {}
        self.resting = False
        self.pools: dict[Pool, None] = {}

    @property
    def load(self) -> int:
        """How many calls and tasks it is at, as far as is known."""
        return len(self.calls) + len(self.tasks) + len(self.given_up)

    @property
    def available(self) -> bool:
        """Whether it can take one more call."""
        return not self.resting and (self.max_inflight is None or self.load < self.max_inflight)

    def give_up(self, call_id: str) -> None:
        """Called when nobody waits any more for the answer to a call, or a task, that it has."""
        del (self.tasks if call_id in self.tasks else self.calls)[call_id]
        self.given_up[call_id] = None
        if len(self.given_up) > MAX_GIVEN_UP:
            del self.given_up[next(iter(self.given_up))]


class Sticky:
    """Which worker had the calls with a key; one that is gone is not kept alive."""

    def __init__(self) -> None:
        self._workers: Shared[tuple[str, str], ref[Worker]] = Shared()

    def __len__(self) -> int:
        return len(self._workers)

    def get(self, target: str, key: str) -> Worker | None:
        """The worker of a key, if it is known."""
        found = self._workers.get((target, key))
        return None if found is None else found()

    def put(self, target: str, key: str, worker: Worker, owner: str) -> None:
        """Assign a key to a worker.

        @param owner: the entity whose call it is.
        """
        self._workers.put((target, key), ref(worker), owner, STICKY_KEYS)


class Pool:
    """The workers of one agent, or of one capability.

    @param target: whose they are: an agent, or C{capability:<name>}.
    @param choose: C{choose(n)} gives a random number below C{n}.
    @ivar workers: all of them, available or not.
    @ivar absent: those whose connection broke and whose place is kept: they take no calls, but may come back.
    @ivar waiting: the calls that wait for one, oldest first; C{waiting_of}: how many of them are whose.
    """

    def __init__(self, target: str, choose: Callable[[int], int], sticky: Sticky) -> None:
        self.target = target
        self._choose = choose
        self._sticky = sticky
        self.workers: dict[Worker, None] = {}
        self.absent: dict[Worker, None] = {}
        self.waiting: OrderedDict[str, Any] = OrderedDict()
        self.waiting_of: Counter[str] = Counter()
        self._awake: set[Worker] = set()
        self._expected: set[Worker] = set()
        # Those that are available and silent: they come last, who has been so for longest first.
        self._silent: OrderedDict[Worker, None] = OrderedDict()
        # The others that are available: by how many calls they have, who has waited longest first; in the order of
        # their turns; and in a row with their places, to pick any.
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

    def accepting(self, but: Collection[Worker | None]) -> Iterator[Worker]:
        """Those of them, but for some, that accept calls, now or when they have capacity."""
        return (worker for worker in self._awake if worker not in but)

    def wants(self, but: Collection[Worker | None]) -> bool:
        """Whether there is one of those."""
        return next(self.accepting(but), None) is not None

    @property
    def expects(self) -> bool:
        """Whether an absent worker would accept calls if it came back as it was."""
        return bool(self._expected)

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
        self._silent.pop(worker, None)
        self._awake.discard(worker)

    def expect(self, worker: Worker) -> None:
        """Called when the connection of a worker broke, and it may come back."""
        self.absent[worker] = None
        if not worker.resting:
            self._expected.add(worker)

    def give_up(self, worker: Worker) -> None:
        """Called when an absent worker will not come back."""
        del self.absent[worker]
        self._expected.discard(worker)

    def update(self, worker: Worker) -> None:
        """Called when a worker has more or fewer calls, begins or ends its rest, or is silent or heard; else it keeps
        its place.
        """
        if worker.resting:
            self._awake.discard(worker)
        else:
            self._awake.add(worker)
        available, silent = worker.available, worker.session.silent
        if available and not silent and self._load.get(worker) == worker.load:
            return
        self._withdraw(worker)
        self._silent.pop(worker, None)
        if available and not silent:
            load = self._load[worker] = worker.load
            self._by_load.setdefault(load, OrderedDict())[worker] = None
            self._turns.setdefault(worker)
            self._place[worker] = len(self._row)
            self._row.append(worker)
        else:
            self._turns.pop(worker, None)
            if available:
                self._silent[worker] = None

    def preview(self, policy: Policy, key: str | None, fits: Callable[[Worker], bool]) -> Worker | None:
        """The worker that would take the next call; under C{random} any other may as well. None: there is none.

        @param fits: those for whom it is false are passed over.
        """
        return self._preferred(policy, key, fits) or next(filter(fits, self._silent), None)

    def pick(
        self,
        policy: Policy,
        key: str | None,
        fits: Callable[[Worker], bool],
        caller: str = "",
        silent: bool = True,
    ) -> Worker | None:
        """The worker that takes the next call; None if there is none.

        @param key: calls with the same one go to the same worker under C{sticky}, as long as it is here; while it can
            take no more, they go elsewhere.
        @param fits: those for whom it is false are passed over.
        @param caller: the entity that calls.
        @param silent: whether it may be one that is silent, if there is no other.
        """
        worker = self._any(fits) if policy == "random" else self._preferred(policy, key, fits)
        if worker is None:
            return next(filter(fits, self._silent), None) if silent else None
        if policy == "round_robin":
            self._turns.move_to_end(worker)
        elif policy == "sticky" and key is not None and self._sticky.get(self.target, key) not in self.workers:
            self._sticky.put(self.target, key, worker, caller)
        return worker

    def _preferred(self, policy: Policy, key: str | None, fits: Callable[[Worker], bool]) -> Worker | None:
        """The worker that takes the next call, if it may not be one that is silent."""
        found = None if key is None or policy != "sticky" else self._sticky.get(self.target, key)
        if found is not None and found in self._load and fits(found):
            return found
        return next(filter(fits, self._turns), None) if policy == "round_robin" else self._least_busy(fits)

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
