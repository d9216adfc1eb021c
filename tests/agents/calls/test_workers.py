"""Who takes calls: by name, by what they can do and may do, and who rests."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cell0gw.agents.calls import workers
from cell0gw.agents.calls.circles import circle
from cell0gw.agents.calls.pools import Policy, Pool, Worker
from cell0gw.agents.calls.workers import MAX_ASKED, IWorkerObserver, Workers
from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import Principal
from cell0gw.presence.directory import Directory
from cell0gw.presence.entity import Statement
from cell0gw.presence.observers import IStatementObserver
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.observers import IRefreshObserver, ISessionObserver
from cell0gw.sessions.session import Session
from cell0gw.sessions.signs import Signs
from cell0gw.testing import EPOCH, RecordingConnection
from tests.steps import growth


def principal(entity_id: str, *permissions: str) -> Principal:
    return Principal(
        entity_id=entity_id,
        entity_type="agent",
        permissions=Permissions(permissions),
        token_id="tok",
        expires_at=None,
    )


@implementer(IWorkerObserver)
class Witness:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def worker_freed(self, worker: Worker) -> None:
        self.told.append(("freed", worker))

    def worker_left(self, worker: Worker) -> None:
        self.told.append(("left", worker))

    def worker_silent(self, worker: Worker) -> None:
        self.told.append(("silent", worker))

    def worker_heard(self, worker: Worker) -> None:
        self.told.append(("heard", worker))

    def pool_shrunk(self, pool: Pool) -> None:
        self.told.append(("shrunk", pool.target))


class WorkforceCase(SynchronousTestCase):
    """With sessions that come, speak and go."""

    def setUp(self) -> None:
        self.now = 0.0
        self.directory = Directory(float, lambda *event: None)
        self.workers = Workers(self.directory, Signs(lambda: self.now), lambda bound: 0)
        self.witness = Witness()
        self.told = self.witness.told
        self.workers.observers.append(self.witness)
        self.sessions = 0

    def open(
        self, name: str, *capabilities: str, may: tuple[str, ...] = ("agent.*",), most: int | None = None
    ) -> Session:
        self.sessions += 1
        session = Session(f"sess_{self.sessions}", name, principal(name, *may), RecordingConnection(), 0.0)
        self.directory.introduce(session, Statement(capabilities=capabilities, max_inflight=most))
        for observer in (self.directory, self.workers):
            observer.session_opened(session)
        return session

    def close(self, session: Session, detached: bool = False) -> None:
        if detached:
            session.detached = True
            for observer in (self.directory, self.workers):
                observer.session_detached(session, Ending(EndingKind.LOST))
        else:
            for observer in (self.directory, self.workers):
                observer.session_closed(session, Ending(EndingKind.GOODBYE, 1000))

    def worker(self, session: Session) -> Worker:
        return self.workers._workers[session]

    def who(self, pool: Pool | None) -> list[str] | None:
        """The sessions in a pool; None when there is no pool."""
        return None if pool is None else [worker.session.session_id for worker in pool.workers]

    def serving(self, capability: str) -> list[str] | None:
        return self.who(self.workers.of_capability(capability))


class WorkforceTests(WorkforceCase):
    """Sessions come, speak and go."""

    def test_interface(self) -> None:
        """The workforce hears of sessions, of what they say and of what they are allowed; others hear of it."""
        for interface in (ISessionObserver, IRefreshObserver, IStatementObserver):
            verifyObject(interface, self.workers)
        verifyObject(IWorkerObserver, self.witness)

    def test_what_it_can_and_may(self) -> None:
        """A session serves what it declares and its token allows, and nothing else."""
        for may, expected in (
            (("agent.serve:x",), {"x"}), (("agent.serve",), {"x", "y.z"}), (("agent.serve:y.>",), {"y.z"}),
            (("agent.*",), {"x", "y.z"}), (("*",), {"x", "y.z"}), (("agent.call",), set()), ((), set()),
            (("agent.serve:other",), set()),
        ):  # fmt: skip
            session = self.open("a", "x", "y.z", may=may)
            self.assertEqual({c for c in ("x", "y.z", "other") if self.serving(c)}, expected, may)
            self.assertEqual(self.who(self.workers.of_agent("a")), [session.session_id], may)
            self.close(session)

    def test_another_token(self) -> None:
        """What another token does not allow ends, and those who wait for it are looked at; what it allows begins."""
        session = self.open("a", "x", "y")
        self.told.clear()
        session.principal = principal("a", "agent.serve:y")
        self.workers.session_refreshed(session)
        self.assertEqual((self.serving("x"), self.serving("y")), (None, ["sess_1"]))
        self.assertIn(("shrunk", "capability:x"), self.told)
        self.assertNotIn(("shrunk", "capability:y"), self.told)
        session.principal = principal("a", "agent.serve")
        self.workers.session_refreshed(session)
        self.assertEqual((self.serving("x"), self.serving("y")), (["sess_1"], ["sess_1"]))

    def test_other_words(self) -> None:
        """What a session says anew holds at once: its capabilities, and how many calls it takes."""
        session = self.open("a", "x", most=1)
        self.directory.update(session, capabilities=("y",), max_inflight=3)
        self.assertEqual((self.serving("x"), self.serving("y")), (None, ["sess_1"]))
        self.assertEqual(self.worker(session).max_inflight, 3)
        self.assertEqual(self.told[-1], ("freed", self.worker(session)))

    def test_rest(self) -> None:
        """Of what a session can say of itself two words mean that it rests; those who wait for it are looked at."""
        session = self.open("a", "x")
        pool = self.workers.of_agent("a")
        assert pool is not None
        for status in ("online", "away", "busy", "do_not_disturb", "offline"):
            resting = status in ("do_not_disturb", "offline")
            self.told.clear()
            self.directory.update(session, status=status)
            self.assertIs(self.worker(session).resting, resting, status)
            self.assertIs(pool.resting, resting, status)
            shrunk = {target for what, target in self.told if what == "shrunk"}
            self.assertEqual(shrunk, {"a", "capability:x"} if resting else set(), status)

    def test_each_for_itself(self) -> None:
        """That one session of an agent rests does not keep its others from working."""
        first, second = self.open("a", "x"), self.open("a", "x")
        self.directory.update(first, status="do_not_disturb")
        pool = self.workers.of_agent("a")
        assert pool is not None
        self.assertFalse(pool.resting)
        self.assertIs(pool.pick("least_busy", None, lambda worker: True), self.worker(second))

    def test_of_an_agent(self) -> None:
        """An agent's sessions are those that are connected, those that come after the first call included; as long as
        one may come back there is a pool for it.
        """
        self.assertIsNone(self.workers.of_agent("a"))
        first = self.open("a")
        self.assertEqual(self.who(self.workers.of_agent("a")), ["sess_1"])
        second = self.open("a")
        self.assertEqual(self.who(self.workers.of_agent("a")), ["sess_1", "sess_2"])
        self.close(first, detached=True)
        self.assertEqual(self.who(self.workers.of_agent("a")), ["sess_2"])
        self.close(second)
        self.assertEqual(self.who(self.workers.of_agent("a")), [])
        self.close(first)
        self.assertIsNone(self.workers.of_agent("a"))

    def test_pool_stays(self) -> None:
        """It is the same pool as long as somebody is in it: calls wait there."""
        first = self.open("a", "x")
        pools = self.workers.of_agent("a"), self.workers.of_capability("x")
        self.open("a", "x")
        self.close(first)
        self.assertEqual((self.workers.of_agent("a"), self.workers.of_capability("x")), pools)

    def test_loss(self) -> None:
        """Who is lost takes no calls when its own are looked at; its end later on is no second loss, but those who wait
        for it to come back are looked at.
        """
        session = self.open("a", "x")
        worker = self.worker(session)
        self.workers.of_agent("a")
        self.told.clear()
        self.close(session, detached=True)
        self.assertEqual(self.told[-1], ("left", worker))
        self.assertCountEqual(self.told[:-1], [("shrunk", "a"), ("shrunk", "capability:x")])
        self.assertFalse(worker.pools)
        self.told.clear()
        self.close(session)
        self.assertCountEqual(self.told, [("shrunk", "a"), ("shrunk", "capability:x")])

    def test_lost_ones_say_nothing(self) -> None:
        """A session that is only waited for does not take calls again by what is said of it."""
        session = self.open("a", "x")
        self.close(session, detached=True)
        self.directory.update(session, status="online")
        self.assertNotIn(session, self.workers._workers)
        self.assertEqual(self.serving("x"), [])

    def test_absent(self) -> None:
        """Who may come back is expected in every pool that it was in, and in its agent's that is made later; one that
        had come to rest is not.
        """
        awake, resting = self.open("a", "x"), self.open("b", "x", "y")
        self.directory.update(resting, status="do_not_disturb")
        for session in (awake, resting):
            self.close(session, detached=True)
        pools = [self.workers.of_capability("x"), self.workers.of_capability("y"), *map(self.workers.of_agent, "ab")]
        self.assertEqual(
            [(len(pool.absent), pool.expects) for pool in pools if pool is not None],
            [(2, True), (1, False), (1, True), (1, False)],
        )
        self.close(awake)
        self.assertEqual([pool is not None and pool.expects for pool in pools[:1]], [False])
        self.assertIsNone(self.workers.of_agent("a"))
        self.close(resting)
        self.assertEqual([self.workers.of_capability(c) for c in "xy"], [None, None])

    def test_served(self) -> None:
        """That a capability was served is known after its end; of very many, of those that were served last."""
        self.patch(workers, "MAX_SERVED", 2)
        lasting = self.open("c", "v")
        for session in [self.open("a", "x"), self.open("a", "y", may=()), self.open("b", "z")]:
            self.close(session)
        self.assertEqual([self.workers.was_served(c) for c in "xyz"], [True, False, True])
        for capability in "xw":
            self.close(self.open("a", capability))
        self.assertEqual([self.workers.was_served(c) for c in "vwxz"], [True, True, True, False])
        self.close(lasting)
        self.assertEqual([self.workers.was_served(c) for c in "vwx"], [True, True, False])

    def test_resumed(self) -> None:
        """Who takes up a session's place serves what that one did and takes as many, unless it says otherwise."""
        old = self.open("a", "x", most=2)
        self.directory.update(old, status="do_not_disturb")
        self.close(old, detached=True)
        new = self.open("a")
        self.directory.resume(old, new)
        worker = self.worker(new)
        self.assertEqual((self.serving("x"), worker.max_inflight, worker.resting), (["sess_2"], 2, True))
        newer = self.open("a", "y", most=5)
        self.directory.resume(new, newer)
        self.assertEqual((self.serving("y"), self.worker(newer).max_inflight), (["sess_3"], 5))

    def test_load(self) -> None:
        """An agent's load is that of its sessions; one that takes any number makes it any number."""
        self.assertEqual(self.workers.load("a"), (0, 0))
        first = self.open("a", most=2)
        self.worker(first).calls["call_1"] = None
        self.open("a", most=3)
        self.assertEqual(self.workers.load("a"), (1, 5))
        self.open("a")
        self.open("b", most=7)
        self.assertEqual(self.workers.load("a"), (1, None))

    def test_names_that_are_alike(self) -> None:
        """An agent and a capability of one name are two."""
        agent, other = self.open("x"), self.open("b", "x")
        self.assertEqual(self.who(self.workers.of_agent("x")), ["sess_1"])
        self.assertEqual(self.serving("x"), ["sess_2"])
        self.close(agent)
        self.assertEqual((self.workers.of_agent("x"), self.serving("x")), (None, ["sess_2"]))
        self.close(other)
        self.assertIsNone(self.serving("x"))

    def test_nothing_left(self) -> None:
        """When all are gone, nothing is left of them, the suggestions included."""
        sessions = [self.open(name, "translate") for name in ("anna", "anna", "bert")]
        for name in ("anna", "bert"):
            self.workers.of_agent(name)
        self.assertEqual(self.workers.capabilities.near("translat", lambda name: True), ["translate"])
        self.assertEqual(self.workers.agents.near("annna", lambda name: True), ["anna"])
        for session in sessions:
            self.close(session, detached=True)
        self.assertEqual(self.workers.agents.near("annna", lambda name: True), ["anna"])
        for session in sessions:
            self.close(session)
        self.assertEqual(self.workers.capabilities.near("translat", lambda name: True), [])
        self.assertEqual(self.workers.agents.near("annna", lambda name: True), [])
        for held in ("_workers", "_absent", "_of_agent", "_of_capability"):
            self.assertFalse(getattr(self.workers, held), held)


class GrowthTests(WorkforceCase):
    """Twice as many sessions make no step longer."""

    def test_another_session(self) -> None:
        """Who opens one more session has a few of its others asked for a sign of life, however many it has."""

        def opening(size: int) -> Callable[[], object]:
            self.setUp()
            for _ in range(size):
                self.open("a", "x")
            self.now = EPOCH + 10
            return lambda: self.open("a", "x")

        self.assertLessEqual(growth(opening, 100), 1.1)
        asked = [session.connection.pings for session in self.directory.sessions("a")]  # type: ignore[attr-defined]
        self.assertEqual((sum(asked), asked[-MAX_ASKED - 1 : -1]), (MAX_ASKED, [1] * MAX_ASKED))

    def test_silent(self) -> None:
        """However many are silent, the next one that is not is found at once, whatever the policy."""

        def choosing(policy: Policy, size: int) -> Callable[[], object]:
            self.setUp()
            self.now = EPOCH + 10
            for number in range(size):
                self.workers.signs.ask(self.open(f"a{number}", "x"), doubted=True)
            self.open("b", "x")
            pool = self.workers.of_capability("x")
            assert pool is not None
            return lambda: pool.pick(policy, None, lambda worker: True)

        for policy in typing.get_args(Policy):
            self.assertLessEqual(growth(lambda size, policy=policy: choosing(policy, size), 100), 1.1, policy)

    def test_circles(self) -> None:
        """However many are busy with what waits for nothing, it is seen at once that there is no circle."""

        def looking(size: int) -> Callable[[], object]:
            self.setUp()
            for number in range(size):
                self.worker(self.open(f"a{number}", "x", most=1)).calls["call"] = Idle()
            pool = self.workers.of_capability("x")
            assert pool is not None
            return lambda: self.assertIsNone(circle(pool, (), Idle()))  # type: ignore[arg-type]

        self.assertLessEqual(growth(looking, 100), 1.1)


class Idle:
    """A call for whose sake no other was made."""

    children = parent = None
