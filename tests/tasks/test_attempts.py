"""Tasks that wait are given to agents that are connected."""

from __future__ import annotations

from cell0gw.tasks import attempt, quotas
from cell0gw.tasks.task import GRACE
from tests.tasks.working import TaskCase


class GivingTests(TaskCase):
    """Who gets a task, and when."""

    def test_nobody_there(self) -> None:
        """A task for which nobody is there waits on the gateway, and is given to the first who comes."""
        task_id = self.create(message={"text": "hi"})
        self.gateway.advance(3600)
        (asked,) = self.asked(self.worker())
        self.assertEqual(
            (asked["task_id"], asked["attempt"], asked["call_id"], asked["message"], asked["from"], asked["deadline"]),
            (task_id, 1, f"{task_id}.1", {"text": "hi"}, "creator", None),
        )

    def test_by_name(self) -> None:
        """A task for an agent is given to that one alone."""
        other = self.worker("x")
        self.create(agent_id="w")
        self.assertEqual((self.asked(other), len(self.asked(self.worker()))), ([], 1))

    def test_room(self) -> None:
        """An agent gets no more at once than it takes, and the next one once it has answered, in order."""
        worker = self.worker(max_inflight=1)
        tasks = [self.create() for _ in range(3)]
        for number, task_id in enumerate(tasks, 1):
            self.assertEqual([a["task_id"] for a in self.asked(worker)], tasks[:number])
            self.answer(worker, f"{task_id}.1", number)
        self.assertEqual([self.get(task_id)["result"]["result"] for task_id in tasks], [1, 2, 3])

    def test_calls_as_well(self) -> None:
        """Calls and tasks share the room of an agent; when a call ends a task may follow at once."""
        worker = self.worker(max_inflight=1)
        self.creator.send('{"jsonrpc":"2.0","id":99,"method":"agent.call","params":{"capability":"t","message":1}}')
        self.create()
        (call,) = self.asked(worker)
        self.assertNotIn("task_id", call)
        self.answer(worker, call["call_id"])
        self.assertEqual(len(self.asked(worker)), 2)

    def test_not_before(self) -> None:
        """A task that is for later is given to nobody before."""
        worker = self.worker()
        self.create(not_before="2026-02-12T10:31:00Z")
        self.gateway.advance(58)
        self.assertEqual(self.asked(worker), [])
        self.gateway.advance(3)
        self.assertEqual(len(self.asked(worker)), 1)

    def test_resting(self) -> None:
        """An agent that accepts nothing now gets nothing, until it does."""
        worker = self.worker()
        worker.call("presence.update", status="do_not_disturb")
        self.create()
        self.assertEqual(self.asked(worker), [])
        worker.call("presence.update", status="online")
        self.assertEqual(len(self.asked(worker)), 1)

    def test_many(self) -> None:
        """More tasks than are read at once are all given, in order."""
        tasks = [self.create() for _ in range(100)]
        self.assertEqual([a["task_id"] for a in self.asked(self.worker())], tasks)

    def test_too_long_for_one(self) -> None:
        """A task that is longer than an agent takes keeps it from no other one."""
        self.create(message="x" * 9000)
        short = self.create()
        worker = self.worker(max_message_size=8192)
        self.assertEqual([a["task_id"] for a in self.asked(worker)], [short])

    def test_slow_disk(self) -> None:
        """Nobody hears of a task before it is on disk."""
        worker = self.worker()
        self.store.held = True
        self.creator.send('{"jsonrpc":"2.0","id":99,"method":"task.create","params":{"capability":"t","message":1}}')
        self.assertEqual((self.asked(worker), [m for m in self.creator.messages if m.get("id") == 99]), ([], []))
        self.store.held = False
        self.store.release()
        self.assertEqual(len(self.asked(worker)), 1)


class EndingTests(TaskCase):
    """What becomes of a task that was given to an agent."""

    def test_done(self) -> None:
        """The result is kept, as the agent wrote it."""
        worker = self.worker()
        task_id = self.create()
        self.answer(worker, f"{task_id}.1", {"b": 1, "a": [None]})
        self.assertEqual(self.get(task_id)["result"], {"result": {"b": 1, "a": [None]}})
        self.assertEqual(self.status(task_id), ("completed", None))

    def test_failed(self) -> None:
        """An error of the agent ends the task, and is kept."""
        worker = self.worker()
        task_id = self.create()
        self.creator.call("task.subscribe", task_id=task_id)
        self.answer(worker, f"{task_id}.1", code=5, message="no ink")
        self.assertEqual(self.status(task_id), ("failed", "agent_failed"))
        (_, _, said) = self.events()[-1]
        self.assertEqual(said["error"], {"code": 5, "message": "no ink", "data": None})

    def test_refused(self) -> None:
        """What an agent refuses comes again after a moment, and the attempt does not count."""
        worker = self.worker()
        task_id = self.create()
        self.answer(worker, f"{task_id}.1", code=-32000, message="not now")
        self.assertEqual((self.status(task_id), len(self.asked(worker))), (("submitted", None), 1))
        self.gateway.advance(3)
        self.assertEqual([a["attempt"] for a in self.asked(worker)], [1, 2])

    def test_rejected(self) -> None:
        """What the one agent that was asked for never does is rejected."""
        worker = self.worker()
        task_id = self.create(agent_id="w")
        self.answer(worker, f"{task_id}.1", code=-32601, message="not I")
        self.assertEqual(self.status(task_id), ("rejected", None))

    def test_lost_before_it_began(self) -> None:
        """What was lost before it began goes to the next one at once; what the first says then is fenced."""
        first = self.worker("w")
        task_id = self.create()
        second = self.worker("v")
        first.disconnect()
        self.assertEqual([a["attempt"] for a in self.asked(second)], [2])
        second.call("agent.ack", message_id=f"{task_id}.2", status="started")
        again = self.worker("w", "other")
        error = again.refusal("task.complete", task_id=task_id, attempt=1, result=1)
        self.assertEqual((error["code"], error["data"]["code"]), (-32007, "fenced"))
        self.assertEqual(again.refusal("agent.progress", call_id=f"{task_id}.1", data=1)["data"]["code"], "fenced")
        self.assertEqual(self.status(task_id), ("working", None))

    def test_lost_after_it_began(self) -> None:
        """What was begun is given to nobody else; when the agent does not come back the task has failed."""
        worker = self.worker()
        task_id = self.create()
        worker.call("agent.ack", message_id=f"{task_id}.1", status="started")
        worker.disconnect()
        other = self.worker("v")
        self.gateway.advance(GRACE - 2)
        self.assertEqual(self.status(task_id), ("working", None))
        self.gateway.advance(4)
        self.assertEqual((self.status(task_id), self.asked(other)), (("failed", "lost"), []))

    def test_comes_back(self) -> None:
        """An agent whose connection was lost brings its result by another one."""
        worker = self.worker()
        task_id = self.create()
        worker.call("agent.progress", call_id=f"{task_id}.1", data=1)
        worker.disconnect()
        self.gateway.advance(10)
        again = self.worker()
        self.assertEqual(again.call("task.complete", task_id=task_id, attempt=1, result=7)["status"], "completed")
        self.assertEqual(self.get(task_id)["result"], {"result": 7})

    def test_late(self) -> None:
        """A result that comes after the task was given up is kept beside that: two events, and the end stays."""
        worker = self.worker()
        task_id = self.create(timeout_ms=5000)
        self.creator.call("task.subscribe", task_id=task_id)
        worker.call("agent.progress", call_id=f"{task_id}.1", data=1)
        self.gateway.advance(7)
        self.assertEqual(self.status(task_id), ("failed", "timed_out"))
        (told,) = worker.received("agent.cancelled")
        self.assertEqual((told["call_id"], told["reason"]), (f"{task_id}.1", "timeout"))
        self.assertTrue(worker.call("task.complete", task_id=task_id, attempt=1, result=7)["late"])
        self.assertEqual(self.status(task_id), ("failed", "timed_out"))
        self.assertEqual(self.events()[-1], (5, "result", {"late": True, "result": 7}))

    def test_begun_again(self) -> None:
        """With more attempts a task whose agent was lost is begun again, by somebody else, after a moment."""
        worker = self.worker()
        task_id = self.create(max_attempts=2)
        worker.call("agent.ack", message_id=f"{task_id}.1", status="started")
        worker.disconnect()
        other = self.worker("v")
        self.gateway.advance(GRACE + 5)
        self.assertEqual([a["attempt"] for a in self.asked(other)], [2])
        self.answer(other, f"{task_id}.2", 2)
        self.assertEqual(self.get(task_id)["result"], {"result": 2})

    def test_silent(self) -> None:
        """Progress holds the task; silence for longer than C{idle_ms} ends it."""
        worker = self.worker()
        task_id = self.create(idle_ms=10_000)
        for _ in range(3):
            self.gateway.advance(8)
            worker.call("agent.progress", call_id=f"{task_id}.1", data=1, ephemeral=True)
        self.assertEqual(self.status(task_id), ("working", None))
        self.gateway.advance(12)
        self.assertEqual(self.status(task_id), ("failed", "timed_out"))
        self.assertEqual([told["reason"] for told in worker.received("agent.cancelled")], ["idle"])
        self.assertEqual(worker.call("agent.progress", call_id=f"{task_id}.1", data=1), {"success": False})

    def test_cancelled(self) -> None:
        """The agent hears of a task that was cancelled, and has room for the next one once it has answered."""
        worker = self.worker(max_inflight=1)
        task_id, other = self.create(), self.create()
        self.assertEqual(self.creator.call("task.cancel", task_id=task_id)["status"], "cancelled")
        worker.flush()
        self.assertEqual([told["reason"] for told in worker.received("agent.cancelled")], ["cancelled"])
        self.assertEqual([a["task_id"] for a in self.asked(worker)], [task_id])
        self.answer(worker, f"{task_id}.1", "too late")
        self.assertEqual([a["task_id"] for a in self.asked(worker)], [task_id, other])
        self.assertEqual(self.get(task_id)["result"], {"late": True, "result": "too late"})
        self.assertEqual(self.creator.call("task.cancel", task_id=task_id)["status"], "cancelled")

    def test_does_not_acknowledge(self) -> None:
        """An agent that does not say when it begins has begun with getting it."""
        worker = self.gateway.connect("w", capabilities=["t"])
        task_id = self.create()
        self.assertEqual(self.status(task_id), ("working", None))
        worker.disconnect()
        self.gateway.advance(GRACE + 2)
        self.assertEqual(self.status(task_id), ("failed", "lost"))

    def test_expired(self) -> None:
        """What nobody has taken in time has expired."""
        task_id = self.create(ttl_seconds=5)
        self.gateway.advance(8)
        self.assertEqual(self.status(task_id), ("failed", "expired"))
        self.assertEqual(self.asked(self.worker()), [])

    def test_result_not_written(self) -> None:
        """A result that can't be written down is not lost: it is written once it can be."""
        worker = self.worker()
        task_id = self.create()
        self.store.broken = True
        self.answer(worker, f"{task_id}.1", 7)
        self.gateway.advance(3)
        self.store.broken = False
        self.gateway.advance(3)
        self.assertEqual(self.get(task_id)["result"], {"result": 7})

    def test_results_bounded(self) -> None:
        """Results that wait for the disk have a share of the memory; whose has no room is told to bring it again."""
        self.patch(quotas, "MAX_UNWRITTEN", 3000)
        worker = self.worker()
        first, second = self.create(), self.create()
        self.store.held = True
        for task_id in (first, second):
            self.answer(worker, f"{task_id}.1", "x" * 1000)
        self.assertEqual([told["reason"] for told in worker.received("agent.cancelled")], ["not_kept"])
        self.store.held = False
        self.store.release()
        self.assertEqual(self.status(first), ("completed", None))
        self.assertEqual(worker.call("task.complete", task_id=second, attempt=1, result=7)["status"], "completed")

    def test_held_bounded(self) -> None:
        """An agent that takes any number gets no more than it can be trusted with at once."""
        self.patch(attempt, "MAX_HELD", 2)
        worker = self.worker()
        tasks = [self.create() for _ in range(3)]
        self.assertEqual(len(self.asked(worker)), 2)
        self.answer(worker, f"{tasks[0]}.1")
        self.assertEqual(len(self.asked(worker)), 3)

    def test_crash(self) -> None:
        """After a crash what waited waits, what had not begun is given out anew, and what had may be brought."""
        worker = self.worker(max_inflight=2)
        begun, given, waiting = self.create(), self.create(), self.create()
        worker.call("agent.ack", message_id=f"{begun}.1", status="started")
        self.crash()
        again = self.worker("v")
        self.assertEqual([(a["task_id"], a["attempt"]) for a in self.asked(again)], [(given, 2), (waiting, 1)])
        back = self.worker("w", "other")
        self.assertEqual(back.call("task.complete", task_id=begun, attempt=1, result=7)["status"], "completed")

    def test_crash_and_gone(self) -> None:
        """Who does not come back after a crash has lost the task; who has created it reads so."""
        worker = self.worker()
        task_id = self.create()
        worker.call("agent.ack", message_id=f"{task_id}.1", status="started")
        self.crash()
        self.gateway.advance(GRACE + 2)
        self.assertEqual(self.status(task_id), ("failed", "lost"))

    def test_nothing_left(self) -> None:
        """When all is over nothing of it is left in memory."""
        worker = self.worker()
        for _ in range(3):
            self.answer(worker, f"{self.create()}.1")
        tasks = self.gateway.tasks
        self.assertEqual((len(tasks.attempts), dict(tasks.ledger.waiting), tasks.quotas.tasks), (0, {}, 0))
        self.assertEqual(self.gateway.agents.workers.load("w").inflight, 0)

    def test_reply(self) -> None:
        """What an agent sends for the sake of a task belongs to its conversation."""
        worker = self.worker()
        self.create()
        (asked,) = self.asked(worker)
        sent = worker.call("agent.send", agent_id="creator", message=1, in_reply_to=asked["call_id"])
        (message,) = [m for m in self.creator.received("agent.message") if m["message_id"] == sent["message_id"]]
        self.assertEqual(message["conversation_id"], asked["conversation_id"])
