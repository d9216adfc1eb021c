"""Pools of workers, and who of them gets the next call."""

from __future__ import annotations

import gc
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents.calls import pools
from cell0gw.agents.calls.pools import Policy, Pool, Sticky, Worker
from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import Principal
from cell0gw.sessions.session import Session
from cell0gw.testing import RecordingConnection

numbers = st.integers(0, 4)
POLICIES: tuple[Policy, ...] = ("least_busy", "round_robin", "random", "sticky")


def make_worker(name: str, most: int | None = None, kind: type[Worker] = Worker) -> Worker:
    bearer = Principal(
        entity_id=name, entity_type="agent", permissions=Permissions([]), token_id="tok", expires_at=None
    )
    worker = kind(Session(f"sess_{name}", name, bearer, RecordingConnection(), 0.0))
    worker.max_inflight = most
    return worker


def anybody(worker: Worker) -> bool:
    return True


def load(worker: Worker, calls: int) -> None:
    """Let a worker have so many calls."""
    worker.calls = {f"call_{n}": None for n in range(calls)}
    for pool in worker.pools:
        pool.update(worker)


def rest(worker: Worker, resting: bool = True) -> None:
    worker.resting = resting
    for pool in worker.pools:
        pool.update(worker)


class PoolCase(SynchronousTestCase):
    """Three workers."""

    def setUp(self) -> None:
        self.chosen = 0
        self.sticky = Sticky()
        self.pool = self.make()
        self.a, self.b, self.c = self.workers = [make_worker(name) for name in "abc"]
        for worker in self.workers:
            self.pool.add(worker)

    def make(self, target: str = "capability:x") -> Pool:
        return Pool(target, lambda bound: self.chosen % bound, self.sticky)

    def names(self, policy: Policy, count: int, key: str | None = None) -> str:
        """Who get so many calls, one after the other, each of which lasts."""
        picked = ""
        for _ in range(count):
            worker = self.pool.pick(policy, key, anybody)
            if worker is None:
                return picked + "-"
            picked += worker.session.entity_id
            load(worker, len(worker.calls) + 1)
        return picked


class LeastBusyTests(PoolCase):
    """Who has fewest."""

    def test_in_turns(self) -> None:
        """Of those that have as few, who has waited longest gets the next one."""
        self.assertEqual(self.names("least_busy", 7), "abcabca")

    def test_fewest(self) -> None:
        """Who has fewer gets one before who has waited longer."""
        load(self.a, 2)
        load(self.b, 1)
        self.assertEqual(self.names("least_busy", 4), "cbca")

    def test_just_answered(self) -> None:
        """Who has just given an answer waits behind those that have waited before."""
        self.names("least_busy", 1)
        load(self.a, 0)
        self.assertEqual(self.names("least_busy", 3), "bca")

    def test_news_cost_no_place(self) -> None:
        """A worker about which something else has changed keeps its place."""
        self.pool.update(self.a)
        self.assertEqual(self.names("least_busy", 3), "abc")

    def test_full_and_resting(self) -> None:
        """Who is full or rests gets nothing, whoever waits."""
        for worker in self.workers:
            worker.max_inflight = 1
        rest(self.b)
        for policy in POLICIES:
            for worker in self.workers:
                load(worker, 0)
            self.assertEqual("".join(sorted(self.names(policy, 5, "k"))), "-ac", policy)

    def test_but(self) -> None:
        """Those that have had a call are passed over, whatever the policy."""
        for policy in POLICIES:
            self.assertIs(self.pool.pick(policy, "k", lambda worker: worker is self.b), self.b)
            self.assertIsNone(self.pool.pick(policy, "k", lambda worker: False))


class RoundRobinTests(PoolCase):
    """Each in turn."""

    def test_in_turns(self) -> None:
        """Each has its turn, however busy it is."""
        load(self.a, 5)
        self.assertEqual(self.names("round_robin", 7), "abcabca")

    def test_full_loses_its_turn(self) -> None:
        """Who was full comes last when it no longer is."""
        self.a.max_inflight = 1
        load(self.a, 1)
        self.assertEqual(self.names("round_robin", 1), "b")
        load(self.a, 0)
        self.assertEqual(self.names("round_robin", 3), "cba")

    def test_asking_changes_nothing(self) -> None:
        """Who only asks whose turn it is moves nobody."""
        for _ in range(3):
            self.assertIs(self.pool.preview("round_robin", None, anybody), self.a)
        self.assertIs(self.pool.preview("round_robin", None, lambda worker: worker is not self.a), self.b)
        self.assertEqual(self.names("round_robin", 3), "abc")


class RandomTests(PoolCase):
    """Anybody."""

    def test_any(self) -> None:
        """The number that is drawn says who, and everyone can be drawn."""
        picked = set()
        for number in range(3):
            self.chosen = number
            picked.add(self.pool.pick("random", None, anybody))
        self.assertEqual(picked, set(self.workers))


class StickyTests(PoolCase):
    """The same one for the same key."""

    def test_stays(self) -> None:
        """Calls with a key go to one worker, however busy it is; another key may have another one."""
        self.assertEqual(self.names("sticky", 3, "k"), "aaa")
        self.assertEqual(self.names("sticky", 2, "l"), "bb")
        self.assertEqual(self.names("sticky", 1, "k"), "a")

    def test_while_it_is_full(self) -> None:
        """While its worker can take no more calls go elsewhere, and come back after that."""
        self.names("sticky", 1, "k")
        self.a.max_inflight = 1
        load(self.a, 1)
        self.assertEqual(self.names("sticky", 1, "k"), "b")
        rest(self.a)
        self.assertEqual(self.names("sticky", 1, "k"), "c")
        load(self.a, 0)
        rest(self.a, False)
        self.assertEqual(self.names("sticky", 1, "k"), "a")

    def test_when_it_is_gone(self) -> None:
        """When its worker is gone, the key goes to another one for good."""
        self.names("sticky", 1, "k")
        self.pool.remove(self.a)
        self.assertEqual(self.names("sticky", 2, "k"), "bb")
        self.pool.add(self.a)
        self.assertEqual(self.names("sticky", 1, "k"), "b")

    def test_passed_over(self) -> None:
        """A worker that was passed over does not become the one of a key, and one that is stays it."""
        self.assertIs(self.pool.pick("sticky", "k", lambda worker: worker is not self.a), self.b)
        self.assertIs(self.pool.pick("sticky", "k", lambda worker: worker is not self.b), self.a)
        self.assertEqual(self.names("sticky", 2, "k"), "bb")

    def test_of_each_target(self) -> None:
        """A key means one worker for each target."""
        other = self.make("capability:y")
        other.add(self.c)
        self.names("sticky", 1, "k")
        self.assertIs(other.pick("sticky", "k", anybody), self.c)
        self.assertEqual(self.names("sticky", 1, "k"), "a")

    def test_bounded(self) -> None:
        """The keys that were not used for longest are forgotten."""
        self.patch(pools, "STICKY_KEYS", 2)
        for key in ("k", "l", "k", "m"):
            self.pool.pick("sticky", key, anybody)
        self.assertEqual(len(self.sticky), 2)
        self.assertIsNone(self.sticky.get("capability:x", "l"))
        self.assertIsNotNone(self.sticky.get("capability:x", "k"))

    def test_who_has_most(self) -> None:
        """Where there are too many keys, those of who had most of them assigned are forgotten, not those of others."""
        self.patch(pools, "STICKY_KEYS", 10)
        self.pool.pick("sticky", "k", anybody, "honest")
        for number in range(100):
            self.pool.pick("sticky", f"x{number}", anybody, "hostile")
        self.assertEqual(len(self.sticky), 10)
        self.assertIsNotNone(self.sticky.get("capability:x", "k"))
        self.assertIsNone(self.sticky.get("capability:x", "x0"))

    def test_holds_nobody(self) -> None:
        """A worker that is gone is not kept for the sake of a key."""
        worker = make_worker("d")
        self.sticky.put("capability:x", "k", worker, "a")
        del worker
        gc.collect()
        self.assertIsNone(self.sticky.get("capability:x", "k"))


class _Counted(Worker):
    """A worker that counts how often it is looked at."""

    looks = 0
    __eq__ = object.__eq__

    def __hash__(self) -> int:
        _Counted.looks += 1
        return id(self) >> 4


class CostTests(PoolCase):
    """A step takes as long in a large pool as in a small one."""

    def looks(self, size: int, policy: Policy) -> int:
        self.sticky = Sticky()
        pool = self.make()
        for n in range(size):
            pool.add(make_worker(f"w{n}", 100, _Counted))
        before = _Counted.looks
        for _ in range(10):
            worker = pool.pick(policy, "k", anybody)
            assert worker is not None
            load(worker, len(worker.calls) + 1)
        return _Counted.looks - before

    def test_whatever_its_size(self) -> None:
        """So many workers are looked at for ten calls, and no more of a thousand than of twenty."""
        for policy in POLICIES:
            self.assertEqual(self.looks(1000, policy), self.looks(20, policy), policy)

    def test_passing_over(self) -> None:
        """When nobody can be had, each is asked once."""
        for policy in POLICIES:
            asked: list[Worker] = []
            self.assertIsNone(self.pool.pick(policy, "k", asked.append))  # type: ignore[arg-type]
            self.assertEqual(set(asked), set(self.workers))
            self.assertEqual(len(asked), len(self.workers))


class PoolMachine(RuleBasedStateMachine):
    """A pool beside a list."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = 0
        self.pool = Pool("t", lambda bound: self.drawn % bound, Sticky())
        self.all = [make_worker(str(n), most) for n, most in enumerate((None, None, 1, 1, 2))]
        self.here: list[Worker] = []
        # Those that are available, who came to its number of calls first; in their turns; and whose the keys are.
        self.order: list[tuple[int, Worker]] = []
        self.turns: list[Worker] = []
        self.keys: dict[str, Worker] = {}
        for n in range(4):
            self.comes_or_goes(n)

    def changed(self, worker: Worker) -> None:
        """The same by hand."""
        if worker in self.here:
            self.pool.update(worker)
        most, calls = worker.max_inflight, len(worker.calls)
        able = worker in self.here and not worker.resting and (most is None or calls < most)
        if able and (calls, worker) not in self.order:
            self.order = [(n, w) for n, w in self.order if w is not worker] + [(calls, worker)]
        if able and worker not in self.turns:
            self.turns.append(worker)
        if not able:
            self.order = [(n, w) for n, w in self.order if w is not worker]
            self.turns = [w for w in self.turns if w is not worker]

    @rule(n=numbers)
    def comes_or_goes(self, n: int) -> None:
        worker = self.all[n]
        if worker in self.here:
            self.here.remove(worker)
            self.pool.remove(worker)
        else:
            self.here.append(worker)
            self.pool.add(worker)
        self.changed(worker)

    @rule(n=numbers, resting=st.booleans())
    def rest(self, n: int, resting: bool) -> None:
        self.all[n].resting = resting
        self.changed(self.all[n])

    @rule(n=numbers)
    def answer(self, n: int) -> None:
        if self.all[n].calls:
            self.all[n].calls.popitem()
            self.changed(self.all[n])

    @precondition(lambda self: self.here)
    @rule(policy=st.sampled_from(POLICIES), key=st.sampled_from("kl"), drawn=st.integers(0, 9), but=st.sets(numbers))
    def pick(self, policy: Policy, key: str, drawn: int, but: set[int]) -> None:
        self.drawn = drawn
        passed_over = [self.all[n] for n in but]
        able = [w for w in self.turns if w not in passed_over]
        least = next((w for _, w in sorted(self.order, key=lambda one: one[0]) if w in able), None)
        expected: Any = {"least_busy": least, "round_robin": able[0] if able else None, "sticky": least}.get(policy)
        if policy == "sticky" and self.keys.get(key) in able:
            expected = self.keys[key]
        if policy != "random":
            assert self.pool.preview(policy, key, lambda worker: worker not in passed_over) is expected
        picked = self.pool.pick(policy, key, lambda worker: worker not in passed_over)
        assert picked is expected if policy != "random" else (picked in able if able else picked is None)
        if picked is None:
            return
        if policy == "sticky" and self.keys.get(key) not in self.here:
            self.keys[key] = picked
        if policy == "round_robin":
            self.turns.remove(picked)
            self.turns.append(picked)
        picked.calls[f"call_{len(picked.calls)}"] = None
        self.changed(picked)

    @invariant()
    def anybody(self) -> None:
        """Everyone who is available can be drawn, and nobody else; and the pool knows who is here."""
        drawn = set()
        for drawing in range(len(self.turns) or 1):
            self.drawn = drawing
            drawn.add(self.pool.pick("random", None, anybody))
        assert drawn == (set(self.turns) or {None})
        assert len(self.pool) == len(self.here)
        assert self.pool.resting == all(worker.resting for worker in self.here)


class PoolModelTests(SynchronousTestCase):
    """See L{PoolMachine}."""

    def test_model(self) -> None:
        """Whatever comes, goes, rests and has calls, the one is picked whom the policy names."""
        run_state_machine_as_test(
            PoolMachine, settings=settings(max_examples=150, stateful_step_count=30, deadline=None)
        )
