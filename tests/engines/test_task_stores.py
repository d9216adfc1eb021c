"""Where tasks are kept, with their events: one suite for all engines, and a model beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.engines.memory.tasks import MemoryTaskStore
from cell0gw.engines.sqlite.database import Database
from cell0gw.engines.sqlite.room import Room
from cell0gw.engines.sqlite.tasks import rows
from cell0gw.engines.sqlite.tasks.store import SQLiteTaskStore
from cell0gw.protocol.errors import Conflict, Fenced, NotFound, RateLimited, RPCError, Unavailable
from cell0gw.protocol.keys import Key
from cell0gw.tasks.moves import Answer, Ask, Assign, Cancel, Disconnect, Finish, Lapse, Move, Refuse, Release, Report
from cell0gw.tasks.store import FoundTask, ITaskStore, Moved, Occupied, TaskFilter
from cell0gw.tasks.task import GRACE, MAX_EVENTS, MAX_EVENTS_SIZE, ROW, Task
from tests.engines.test_token_stores import QueueReactor

FAR = 1_000_000


def task(number: int = 1, **facts: Any) -> Task:
    known: dict[str, Any] = {
        "task_id": f"task_{number}", "epoch": "e", "creator": "a", "creator_type": "agent", "target": "capability:t",
        "root": "r", "hops": 0, "in_reply_to": None, "policy": "least_busy", "sticky": None, "timeout": None,
        "idle": None, "max_attempts": 1, "keep": 1000.0, "created": float(number), "expires_at": 1e6,
        "due": float(number),
    }  # fmt: skip
    return Task(**(known | facts))


def assign(now: float = 10.0, worker: str = "w", begins: bool = True, attempt: int = 1, **facts: Any) -> Assign:
    known = {"now": now, "worker": worker, "attempt": attempt, "lease": None, "connected": True, "begins": begins}
    return Assign(**(known | facts))


class TaskStoreCase:
    """With a store, whichever it is."""

    store: Any

    def outcome(self, deferred: Deferred[Any]) -> Any:
        """What comes of it."""
        return self.successResultOf(self.settle(deferred))  # type: ignore[attr-defined]

    def settle(self, deferred: Deferred[Any]) -> Deferred[Any]:
        """Let what was asked for come to its end."""
        return deferred

    def reopen(self) -> None:
        """As the next process would."""

    def create(self, *tasks: Task, key: Key | None = None, message: bytes = b"1") -> Moved:
        asked = [self.store.create(each, message, key) for each in tasks]
        return [self.outcome(each) for each in asked][-1]  # type: ignore[no-any-return]

    def move(self, move: Move, number: int = 1) -> Moved:
        moved: Moved = self.outcome(self.store.move(f"task_{number}", move))
        return moved

    def refused(self, move: Move, error: type[RPCError], number: int = 1) -> None:
        deferred = self.settle(self.store.move(f"task_{number}", move))
        self.failureResultOf(deferred, error)  # type: ignore[attr-defined]

    def get(self, number: int = 1) -> FoundTask:
        found: FoundTask = self.outcome(self.store.get(f"task_{number}"))
        return found

    def status(self, number: int = 1) -> tuple[str, str | None]:
        found = self.get(number).task
        return found.status, found.code

    def said(self, number: int = 1, after: int = 0) -> list[tuple[int, str, bytes]]:
        events = self.outcome(self.store.events(f"task_{number}", after, FAR))
        return [(event.offset, event.type, event.data) for event in events]

    def ready(self, now: float = 10.0, after: tuple[float, int] = (0.0, 0), limit: int = FAR) -> list[str]:
        return [each.task_id for each, _ in self.outcome(self.store.ready("capability:t", now, after, limit)).tasks]

    def found(self, of: str = "a", limit: int = FAR, **filter: Any) -> list[str]:
        return [each.task_id for each in self.outcome(self.store.find(TaskFilter(of=of, **filter), limit)).tasks]


class TaskStoreTests(TaskStoreCase):
    """What every store keeps its word on."""

    assertEqual: Callable[..., None]

    def test_interface(self) -> None:
        """It is an L{ITaskStore}."""
        verifyObject(ITaskStore, self.store)

    def test_created(self) -> None:
        """A task is as it was asked for, has a number, and its first event says that it is submitted."""
        moved = self.create(task(), task(2))
        self.assertEqual((moved.before, moved.task.number, moved.task.newest), (None, 2, 1))
        self.assertEqual(self.said(), [(1, "status", b'{"status":"submitted"}')])
        found = self.get()
        self.assertEqual((found.task.task_id, found.message, found.result), ("task_1", b"1", None))
        self.assertIs(self.outcome(self.store.get("task_9")), None)

    def test_key(self) -> None:
        """A second task under the same key is the first one; for other params it is refused."""
        self.create(task(), key=Key("a", "task.create", "k", b"d"))
        again = self.create(task(2), key=Key("a", "task.create", "k", b"d"))
        self.assertEqual((again.task.task_id, again.replayed, again.events), ("task_1", True, []))
        self.create(task(3, creator="b"), key=Key("b", "task.create", "k", b"other"))
        deferred = self.settle(self.store.create(task(4), b"1", Key("a", "task.create", "k", b"other")))
        self.failureResultOf(deferred, Conflict)  # type: ignore[attr-defined]
        self.assertEqual(self.found(), ["task_1"])
        known = self.outcome(self.store.known("a", Key("a", "task.create", "k", b"d")))
        self.assertEqual((known.task.task_id, known.replayed, known.events), ("task_1", True, []))
        self.assertIs(self.outcome(self.store.known("a", Key("a", "task.create", "l", b"d"))), None)
        deferred = self.settle(self.store.known("a", Key("a", "task.create", "k", b"other")))
        self.failureResultOf(deferred, Conflict)  # type: ignore[attr-defined]

    def test_done(self) -> None:
        """An agent that doesn't say when it begins has begun; its result and the end are two events of one step."""
        self.create(task())
        self.assertEqual(self.move(assign()).task.status, "working")
        moved = self.move(Finish(now=11.0, worker="w", attempt=1, result=b"[7]"))
        self.assertEqual([event.type for event in moved.events], ["result", "status"])
        found = self.get()
        assert found.result is not None
        self.assertEqual((found.task.status, found.result.data), ("completed", b'{"result":[7]}'))
        self.assertEqual([offset for offset, _, _ in self.said()], [1, 2, 3, 4])
        self.assertEqual(self.said(after=2)[0][0], 3)

    def test_done_again(self) -> None:
        """An end that is told twice changes nothing."""
        self.create(task())
        self.move(assign())
        self.move(Finish(now=11.0, worker="w", attempt=1, result=b"7"))
        again = self.move(Finish(now=12.0, worker="w", attempt=1, result=b"8"))
        self.assertEqual((again.events, again.task.status), ([], "completed"))

    def test_given_once(self) -> None:
        """What was given to an agent is not given to another, nor what is not due yet."""
        self.create(task(), task(2, due=50.0))
        self.move(assign())
        self.refused(assign(attempt=2), Conflict)
        self.refused(assign(), Conflict, number=2)
        self.refused(assign(60.0, attempt=2), Conflict, number=2)

    def test_others(self) -> None:
        """Nobody ends, or knows, what was given to another, or what was never given."""
        self.create(task())
        self.move(assign())
        for worker, attempt in (("x", 1), ("w", 2), ("w", 0)):
            self.refused(Finish(now=11.0, worker=worker, attempt=attempt, result=b"1"), NotFound)
            self.refused(Report(now=11.0, worker=worker, attempt=attempt, data=b"1"), NotFound)
        self.refused(Cancel(now=11.0), NotFound, number=9)

    def test_lost_before(self) -> None:
        """An attempt that had not begun does not count, and fences what it still says once the next one is there."""
        self.create(task(), task(2))
        self.move(assign(begins=False))
        self.assertEqual(self.status(), ("submitted", None))
        self.move(Disconnect(now=11.0, attempt=1))
        self.assertEqual(self.ready(11.0), ["task_1", "task_2"])  # it has kept its place
        self.move(assign(12.0, "v", attempt=2))
        self.refused(Report(now=13.0, worker="w", attempt=1, data=b"1"), Fenced)
        self.refused(Finish(now=13.0, worker="w", attempt=1, result=b"1"), Fenced)
        self.assertEqual(self.get().task.tries, 1)

    def test_lost_after(self) -> None:
        """Who had begun may come back for a while; after that the task has failed, and what comes then is late."""
        self.create(task())
        self.move(assign())
        self.move(Disconnect(now=11.0, attempt=1))
        self.assertEqual(self.outcome(self.store.lapse(11.0, FAR)).following, 11.0 + GRACE)
        self.move(Report(now=20.0, worker="w", attempt=1, data=b"1"))
        self.assertEqual(self.outcome(self.store.lapse(20.0 + GRACE - 1, FAR)).moves, [])
        (lapsed,) = self.outcome(self.store.lapse(20.0 + GRACE, FAR)).moves
        self.assertEqual((lapsed.task.status, lapsed.task.code), ("failed", "lost"))
        moved = self.move(Finish(now=99.0, worker="w", attempt=1, result=b"7"))
        self.assertEqual([(e.type, e.data) for e in moved.events], [("result", b'{"late":true,"result":7}')])
        self.assertEqual(self.status(), ("failed", "lost"))
        self.assertEqual(self.move(Finish(now=99.0, worker="w", attempt=1, result=b"8")).events, [])

    def test_begun_again(self) -> None:
        """With more attempts it is begun again, after a while; each has a number of its own."""
        self.create(task(max_attempts=2))
        for attempt in (1, 2):
            self.move(assign(100.0 * attempt, lease=5.0, attempt=attempt))
            self.outcome(self.store.lapse(100.0 * attempt + 5, FAR))
        self.assertEqual((self.status(), self.get().task.attempt), (("failed", "timed_out"), 2))

    def test_back_off(self) -> None:
        """A task that is to be begun again waits a moment first."""
        self.create(task(max_attempts=2))
        self.move(assign(10.0, lease=5.0))
        self.outcome(self.store.lapse(15.0, FAR))
        self.assertEqual((self.ready(15.5), self.ready(16.0)), ([], ["task_1"]))
        self.assertEqual(self.outcome(self.store.ready("capability:t", 15.5, (0.0, 0), 9)).following, 16.0)

    def test_deadline(self) -> None:
        """An attempt that takes too long has timed out, whatever it shows."""
        self.create(task(timeout=30.0))
        self.move(assign(10.0))
        self.move(Report(now=39.0, worker="w", attempt=1, data=None))
        self.outcome(self.store.lapse(40.0, FAR))
        self.assertEqual(self.status(), ("failed", "timed_out"))

    def test_expired(self) -> None:
        """What nobody has taken in time has expired."""
        self.create(task(expires_at=20.0))
        self.assertEqual(self.outcome(self.store.lapse(19.0, FAR)).following, 20.0)
        self.assertEqual(len(self.outcome(self.store.lapse(20.0, FAR)).moves), 1)
        self.assertEqual((self.status(), self.ready(20.0)), (("failed", "expired"), []))
        self.assertIs(self.outcome(self.store.lapse(FAR, FAR)).following, None)

    def test_refused(self) -> None:
        """An agent that won't do it now passes it on; one that never will has rejected it."""
        self.create(task())
        self.move(assign(begins=False))
        self.move(Release(now=10.0, attempt=1, delay=5.0))
        self.assertEqual((self.ready(14.0), self.ready(15.0)), ([], ["task_1"]))
        self.move(assign(15.0, begins=False, attempt=2))
        self.move(Release(now=16.0, attempt=2, rejects=True))
        self.assertEqual(self.status(), ("rejected", None))

    def test_taken_by_nobody(self) -> None:
        """A task that waits and that nobody takes is rejected, and its event says why; one that somebody has is not."""
        self.create(task(), task(2))
        self.move(assign(), number=2)
        for number in (1, 2):
            self.move(Refuse(now=11.0, error=b'{"code":1}'), number=number)
        self.assertEqual((self.status(), self.status(2)), (("rejected", None), ("working", None)))
        self.assertEqual(self.said()[-1], (2, "status", b'{"status":"rejected","error":{"code":1}}'))

    def test_asked(self) -> None:
        """A question waits for one answer, which is bound to it; meanwhile no clock of silence runs."""
        self.create(task())
        self.move(assign(lease=5.0))
        asked = self.move(Ask(now=11.0, worker="w", attempt=1, message=b'"red?"', to="p"))
        found = self.get()
        assert found.question is not None and found.task.question is not None
        self.assertIn(b'"message":"red?"', found.question.data)
        self.assertEqual((asked.task.status, self.found("p")), ("input_required", ["task_1"]))
        self.outcome(self.store.lapse(500.0, FAR))
        self.refused(Report(now=500.0, worker="w", attempt=1, data=b"1"), Conflict)
        self.refused(Answer(now=500.0, by="p", question="x" * 32, message=b"1"), Conflict)
        answer = Answer(now=500.0, by="p", question=found.task.question, message=b"1")
        self.assertEqual((self.move(answer).task.status, self.get().task.until), ("working", 505.0))
        self.refused(answer, Conflict)

    def test_role_asked(self) -> None:
        """Who is asked with others, by a pattern, finds the task; who is not does not."""
        self.create(task())
        self.move(assign())
        self.move(Ask(now=11.0, worker="w", attempt=1, message=b"1", to="p.q.*"))
        found = {name: self.found(name) for name in ("p.q.r", "p.q.s", "p.q", "p.q.r.s", "p", "q")}
        self.assertEqual([name for name, tasks in found.items() if tasks], ["p.q.r", "p.q.s"])
        self.create(task(2))
        self.move(assign(), number=2)
        self.move(Ask(now=11.0, worker="w", attempt=1, message=b"1", to="p.>"), number=2)
        self.assertEqual([self.found(name) for name in ("p.q.r", "p.q")], [["task_2", "task_1"], ["task_2"]])
        self.assertEqual(self.store.load().asked, {"p.q.*": 1, "p.>": 1})
        self.assertEqual([t.number for t in self.outcome(self.store.asked(["p.>", "p.q.*", "x"], FAR))], [1, 2])
        self.assertEqual([t.number for t in self.outcome(self.store.asked(["p.>", "p.q.*"], 1))], [1])

    def test_cancelled(self) -> None:
        """What was cancelled is over: its agent is told so, and nothing more becomes of it."""
        self.create(task())
        self.move(assign())
        self.assertEqual(self.move(Cancel(now=11.0)).task.status, "cancelled")
        self.assertEqual(self.move(Cancel(now=12.0)).events, [])
        self.refused(Report(now=12.0, worker="w", attempt=1, data=b"1"), Conflict)
        self.assertEqual(self.outcome(self.store.lapse(FAR, FAR)).moves, [])

    def test_slices(self) -> None:
        """What waits is read in slices, in the order in which it came."""
        self.create(*(task(number) for number in range(1, 6)), task(6, target="b"))
        self.assertEqual(self.ready(limit=2), ["task_1", "task_2"])
        self.assertEqual(self.ready(after=(2.0, 2)), ["task_3", "task_4", "task_5"])

    def test_found(self) -> None:
        """Tasks are found by who made them or had them last, newest first, page by page."""
        self.create(*(task(number) for number in range(1, 5)), task(5, creator="b"))
        self.move(assign(worker="b"), number=2)
        self.assertEqual(self.found(limit=2), ["task_4", "task_3"])
        self.assertEqual(self.outcome(self.store.find(TaskFilter(of="a"), 2)).following, "task_3")
        self.assertEqual(self.found(before="task_3"), ["task_2", "task_1"])
        self.assertIs(self.outcome(self.store.find(TaskFilter(of="a", before="task_3"), 2)).following, None)
        self.assertEqual(self.found("b"), ["task_5", "task_2"])
        self.assertEqual(self.found(status="working"), ["task_2"])
        self.assertEqual(self.found(target="nobody"), [])
        unknown = self.settle(self.store.find(TaskFilter(of="a", before="task_9"), 1))
        self.failureResultOf(unknown, NotFound)  # type: ignore[attr-defined]

    def test_events_bounded(self) -> None:
        """Of an agent that shows very much the oldest is dropped; what was said last stays."""
        self.create(task())
        self.move(assign())
        for _ in range(15):
            self.move(Report(now=11.0, worker="w", attempt=1, data=b'"%s"' % (b"x" * 100_000)))
        found = self.get().task
        self.assertLess(found.events_size, MAX_EVENTS_SIZE + 300_000)
        self.assertEqual([offset for offset, _, _ in self.said()], list(range(found.oldest, found.newest + 1)))
        self.assertGreater(found.oldest, 1)
        for _ in range(MAX_EVENTS + 200):
            self.store.move("task_1", Report(now=11.0, worker="w", attempt=1, data=b"1"))
        self.assertLess(len(self.said()), MAX_EVENTS + 200)

    def test_no_room(self) -> None:
        """When the tasks of a creator take all that they may there is room for where they stand, and no more."""
        self.create(task())
        self.move(assign())
        full = frozenset("a")
        for move in (
            Report(now=11.0, worker="w", attempt=1, data=b"1"),
            Finish(now=11.0, worker="w", attempt=1, result=b"1"),
            Finish(now=11.0, worker="w", attempt=1, error=b'"%s"' % (b"x" * 2000)),
        ):
            self.failureResultOf(self.settle(self.store.move("task_1", move, full)), RateLimited)  # type: ignore[attr-defined]
        self.outcome(self.store.move("task_1", Cancel(now=11.0), full))
        self.assertEqual((self.status(), len(self.said())), (("cancelled", None), 3))

    def test_purged(self) -> None:
        """What has been over for long enough is forgotten, with its events and its key; what is not over never."""
        self.create(task(keep=5.0), key=Key("a", "task.create", "k", b"d"))
        self.create(task(2))
        self.move(Cancel(now=11.0))
        self.assertEqual(self.outcome(self.store.purge(15.0, 9)), [])
        (gone,) = self.outcome(self.store.purge(16.0, 9))
        self.assertEqual((gone.creator, gone.tasks), ("a", 0))
        self.assertGreater(gone.size, ROW)
        self.assertEqual((self.found(), self.said()), (["task_2"], []))
        self.assertFalse(self.create(task(3), key=Key("a", "task.create", "k", b"other")).replayed)

    def test_shifted(self) -> None:
        """When the wall clock was set all dates move with it."""
        self.create(task(expires_at=20.0), task(2))
        self.move(assign(lease=5.0), number=2)
        self.outcome(self.store.shift(1000.0))
        self.assertEqual((self.get().task.expires_at, self.get(2).task.until), (1020.0, 1015.0))
        self.assertEqual(self.outcome(self.store.lapse(100.0, FAR)).following, 1015.0)

    def test_restarted(self) -> None:
        """The next process knows what waits and what is taken; who had begun may come back to it."""
        self.create(task(), task(2), task(3))
        self.move(assign())
        self.move(assign(begins=False), number=2)
        size = sum(self.get(number).task.size for number in (1, 2, 3))
        self.reopen()
        loaded = self.store.load()
        self.assertEqual(loaded.waiting, {"capability:t": 1})
        self.assertEqual(loaded.occupied, [Occupied(creator="a", tasks=3, size=size)])
        moves = self.outcome(self.store.disconnect(20.0))
        self.assertEqual([(m.task.task_id, m.task.held) for m in moves], [("task_1", True), ("task_2", False)])
        self.assertEqual(self.get().task.until, 20.0 + GRACE)
        self.move(Finish(now=21.0, worker="w", attempt=1, result=b"1"))
        self.assertEqual(self.status(), ("completed", None))


class MemoryTaskStoreTests(TaskStoreTests, SynchronousTestCase):
    """L{MemoryTaskStore}."""

    def setUp(self) -> None:
        self.store = MemoryTaskStore()

    def test_broken(self) -> None:
        """A store that is broken, at a test's will, refuses what is asked of it."""
        self.store.broken = True
        self.failureResultOf(self.store.create(task(), b"1", None), Unavailable)


class SQLiteTaskStoreTests(TaskStoreTests, SynchronousTestCase):
    """L{SQLiteTaskStore}."""

    def setUp(self) -> None:
        self.reactor = QueueReactor()
        self.path = Path(self.mktemp())
        self.open()

    def open(self) -> None:
        self.database = Database(self.path, self.reactor)
        self.database.open()
        self.addCleanup(self.database.close)
        self.store = SQLiteTaskStore(self.database, Room(self.database, 1 << 40, 1 << 30))

    def settle(self, deferred: Deferred[Any]) -> Deferred[Any]:
        while not deferred.called:
            self.reactor.turn()
        return deferred

    def reopen(self) -> None:
        self.database.close()
        self.open()

    def test_many_looked_at(self) -> None:
        """A list of what is rare goes on page by page, and no page looks at very many tasks."""
        self.patch(rows, "MAX_LOOKED", 2)
        self.create(*(task(number) for number in range(1, 8)))
        self.move(Cancel(now=11.0), number=2)
        found, pages, before = [], 0, None
        while pages == 0 or before is not None:
            filter = TaskFilter(of="a", status="cancelled", before=before)
            page = self.outcome(self.store.find(filter, 1))
            found += [each.task_id for each in page.tasks]
            before, pages = page.following, pages + 1
        self.assertEqual((found, pages), (["task_2"], 4))

    def test_looks(self) -> None:
        """What waits, what is due and what is somebody's are each found by an index, and not by a scan."""
        self.create(task())
        plans = [
            row[3]
            for query in (
                "SELECT * FROM tasks WHERE target = 'x' AND settled IS NULL AND held = 0 AND due <= 1 ORDER BY due",
                "SELECT MIN(wake) FROM tasks WHERE wake IS NOT NULL",
                "SELECT number FROM tasks WHERE asked = 'x' ORDER BY number DESC LIMIT 1",
                "SELECT number FROM tasks WHERE worker = 'x' ORDER BY number DESC LIMIT 1",
                "SELECT number FROM tasks WHERE creator = 'x' ORDER BY number DESC LIMIT 1",
                "SELECT number FROM tasks WHERE forgotten_at <= 1",
            )
            for row in self.database.read(f"EXPLAIN QUERY PLAN {query}")
        ]
        self.assertEqual([plan for plan in plans if "INDEX" not in plan], [])


class TwoStores(RuleBasedStateMachine):
    """The same steps in both stores, beside what must hold of every task whatever becomes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 10.0
        self.count = 0
        self.reactor = QueueReactor()
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(Path(self.folder.name, "db"), self.reactor)
        self.database.open()
        self.stores = (MemoryTaskStore(), SQLiteTaskStore(self.database, Room(self.database, 1 << 40, 1 << 30)))
        self.seen: dict[str, list[Task]] = {}

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    def both(self, ask: Callable[[Any], Deferred[Any]]) -> Any:
        """Ask both stores for the same: they give the same."""
        outcomes = []
        for store in self.stores:
            got: list[Any] = []
            deferred = ask(store).addErrback(lambda failure: (failure.type, str(failure.value)))
            deferred.addCallback(got.append)
            while not got:
                self.reactor.turn()
            outcomes.append(got[0])
        assert outcomes[0] == outcomes[1], outcomes
        return outcomes[0]

    def note(self, moved: Any) -> None:
        if isinstance(moved, Moved):
            self.seen.setdefault(moved.task.task_id, []).append(moved.task)
            offsets = [event.offset for event in moved.events]
            before = 0 if moved.before is None else moved.before.newest
            assert offsets == list(range(before + 1, moved.task.newest + 1))

    @rule(attempts=st.integers(1, 3), idle=st.sampled_from([None, 5.0]), ttl=st.sampled_from([20.0, 1e5]))
    def create(self, attempts: int, idle: float | None, ttl: float) -> None:
        self.count += 1
        new = task(
            self.count, max_attempts=attempts, idle=idle, expires_at=self.now + ttl, created=self.now, due=self.now
        )
        self.note(self.both(lambda store: store.create(new, b"1", None)))

    @rule(number=st.integers(1, 4), worker=st.sampled_from("wv"), attempt=st.integers(1, 3), data=st.data())
    def move(self, number: int, worker: str, attempt: int, data: st.DataObject) -> None:
        found = self.both(lambda store: store.get(f"task_{number}"))
        question = (found.task.question if found else None) or "none"
        now = self.now
        move = data.draw(
            st.sampled_from(
                [
                    assign(now, worker, attempt=attempt), assign(now, worker, False, attempt),
                    assign(now, worker, attempt=attempt, lease=5.0, connected=False),
                    Report(now=now, worker=worker, attempt=attempt, data=b"1"),
                    Report(now=now, worker=worker, attempt=attempt, data=None),
                    Finish(now=now, worker=worker, attempt=attempt, result=b"1"),
                    Finish(now=now, worker=worker, attempt=attempt, error=b"{}"),
                    Ask(now=now, worker=worker, attempt=attempt, message=b"1", to="p"),
                    Answer(now=now, by="p", question=question, message=b"1"),
                    Disconnect(now=now, attempt=attempt), Release(now=now, attempt=attempt),
                    Release(now=now, attempt=attempt, unsent=True), Refuse(now=now, error=b"{}"),
                    Lapse(now=now), Cancel(now=now),
                ]
            )
        )  # fmt: skip
        self.note(self.both(lambda store: store.move(f"task_{number}", move)))

    @rule(seconds=st.sampled_from([1.0, 6.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for moved in self.both(lambda store: store.lapse(self.now, FAR)).moves:
            self.note(moved)

    @rule()
    def restart(self) -> None:
        for moved in self.both(lambda store: store.disconnect(self.now)):
            self.note(moved)

    @invariant()
    def what_holds(self) -> None:
        one, other = (store.load() for store in self.stores)
        assert (one.waiting, one.asked) == (other.waiting, other.asked)
        assert len(self.both(lambda store: store.asked(["p", "q.*"], FAR))) == one.asked.get("p", 0)
        for task_id, versions in self.seen.items():
            last = versions[-1]
            ends = [each for each in versions if each.settled is not None]
            assert len({(each.status, each.code, each.settled) for each in ends}) <= 1, "it ended twice"
            assert not ends or last.settled is not None, "it came back"
            assert last.tries <= max(last.max_attempts, 1) or last.result, "begun too often"
            assert [each.attempt for each in versions] == sorted(each.attempt for each in versions)
            events = self.both(lambda store, task_id=task_id: store.events(task_id, 0, FAR))
            assert [event.offset for event in events] == list(range(1, last.newest + 1))
            results = [event for event in events if event.type == "result"]
            assert len(results) == (last.result > 0), "two results count"


class TaskStoreModelTests(SynchronousTestCase):
    """Both stores beside each other."""

    def test_model(self) -> None:
        """Whatever comes in whatever order, both stores say the same, and no task ends twice or has two results."""
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            TwoStores,
            settings=settings(
                max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
