"""Agents that ask for tasks."""

from __future__ import annotations

import json
from typing import Any

from cell0gw.tasks.moves import Assign, Release
from cell0gw.testing import Client
from tests.tasks.working import TaskCase


class PullTests(TaskCase):
    """C{task.receive} and C{task.complete}"""

    def puller(self, name: str = "w", *capabilities: str) -> Client:
        """An agent that is not given tasks by capability unless it asks."""
        return self.gateway.connect(name, capabilities=list(capabilities))

    def receive(self, worker: Client, **params: Any) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = worker.call("task.receive", capabilities=["t"], **params)["tasks"]
        return tasks

    def test_received(self) -> None:
        """An agent gets what waits, as many as it asks for, and ends it."""
        tasks = [self.create() for _ in range(3)]
        worker = self.puller()
        received = self.receive(worker, max=2)
        self.assertEqual([(r["task_id"], r["attempt"]) for r in received], [(tasks[0], 1), (tasks[1], 1)])
        done = worker.call("task.complete", task_id=tasks[0], attempt=1, result=[1])
        self.assertEqual((done["status"], self.get(tasks[0])["result"]), ("completed", {"result": [1]}))
        failed = worker.call("task.complete", task_id=tasks[1], attempt=1, error={"code": 3, "message": "no"})
        self.assertEqual((failed["status"], self.status(tasks[1])), ("failed", ("failed", "agent_failed")))

    def test_nothing(self) -> None:
        """When nothing waits the answer says so at once."""
        self.assertEqual(self.receive(self.puller()), [])

    def test_waits(self) -> None:
        """An agent that waits gets the first task that comes."""
        worker = self.puller()
        worker.send('{"jsonrpc":"2.0","id":77,"method":"task.receive","params":{"capabilities":["t"],"wait_ms":5000}}')
        task_id = self.create()
        worker.flush()
        (answer,) = [m for m in worker.messages if m.get("id") == 77]
        self.assertEqual([r["task_id"] for r in answer["result"]["tasks"]], [task_id])

    def test_waits_in_vain(self) -> None:
        """When nothing has come in time the answer says so; a second question ends the first."""
        worker = self.puller()
        for number in (77, 78):
            params = {"capabilities": ["t"], "wait_ms": 5000}
            worker.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": "task.receive", "params": params}))
        self.gateway.advance(3)
        self.assertEqual([m["id"] for m in worker.messages if "result" in m and m["id"] in (77, 78)], [77])
        self.gateway.advance(4)
        self.assertEqual([m["id"] for m in worker.messages if "result" in m and m["id"] in (77, 78)], [77, 78])

    def test_lease(self) -> None:
        """A lease holds as long as it is renewed, on whatever connection; then the task is lost."""
        worker = self.puller()
        task_id = self.create()
        self.receive(worker, lease_ms=5000)
        worker.disconnect()
        for _ in range(3):
            self.gateway.advance(4)
            self.puller().call("agent.progress", call_id=f"{task_id}.1", data=1)
        self.assertEqual(self.status(task_id), ("working", None))
        self.gateway.advance(7)
        self.assertEqual(self.status(task_id), ("failed", "lost"))

    def test_gone_before_the_answer(self) -> None:
        """What was taken for somebody who is gone by then is given to the next."""
        worker = self.puller()
        task_id = self.create()
        self.store.held = True
        worker.send('{"jsonrpc":"2.0","id":77,"method":"task.receive","params":{"capabilities":["t"]}}')
        worker.disconnect()
        self.store.held = False
        for _ in range(5):
            self.store.release()
        (received,) = self.receive(self.puller("v"))
        self.assertEqual(received["task_id"], task_id)

    def test_disk_broken_on_the_way(self) -> None:
        """What was taken when the disk fails is the agent's, and it is told so; the rest waits."""
        tasks = [self.create() for _ in range(3)]
        move = self.store.move
        failing = iter((False, True))

        def moving(*step: Any) -> Any:
            self.store.broken = next(failing, False)
            try:
                return move(*step)
            finally:
                self.store.broken = False

        self.patch(self.store, "move", moving)
        worker = self.puller()
        self.assertEqual([r["task_id"] for r in self.receive(worker, max=3)], tasks[:1])
        self.assertEqual([r["task_id"] for r in self.receive(worker, max=3)], tasks[1:])

    def test_disk_broken_when_it_is_gone(self) -> None:
        """What was taken for somebody who is gone by then waits again, however long the disk can't be told."""
        worker = self.puller()
        task_id = self.create()
        self.store.held = True
        worker.send('{"jsonrpc":"2.0","id":77,"method":"task.receive","params":{"capabilities":["t"]}}')
        self.store.held = False
        move = self.store.move

        def moving(task_id: str, step: Any, *more: Any) -> Any:
            if isinstance(step, Assign):
                worker.vanish()
            self.store.broken = isinstance(step, Release)
            return move(task_id, step, *more)

        self.patch(self.store, "move", moving)
        self.store.release()
        self.gateway.advance(5)
        self.assertEqual(self.gateway.tasks.ledger.waiting["capability:t"], 0)
        self.patch(self.store, "move", move)
        self.store.broken = False
        self.gateway.advance(3)
        (received,) = self.receive(self.puller("v"))
        self.assertEqual((received["task_id"], received["attempt"]), (task_id, 2))

    def test_comes_while_another_is_read(self) -> None:
        """What comes while tasks of another kind are read is given at once, and not with the next look."""
        worker = self.puller()
        self.create(not_before="2026-02-12T11:30:00Z")
        self.store.held = True
        self.create_held("s")
        params = {"capabilities": ["s", "t"], "wait_ms": 5000}
        worker.send(json.dumps({"jsonrpc": "2.0", "id": 77, "method": "task.receive", "params": params}))
        self.store.held = False
        self.store.release()
        worker.flush()
        self.assertEqual(len([m for m in worker.messages if m.get("id") == 77]), 1)

    def create_held(self, capability: str) -> None:
        """Create a task, without waiting for the answer."""
        params = {"capability": capability, "message": 1}
        self.creator.send(json.dumps({"jsonrpc": "2.0", "id": "c", "method": "task.create", "params": params}))

    def test_too_long(self) -> None:
        """What is longer than an agent takes is left to others, and keeps nothing from it."""
        tasks = [self.create(message="x" * 9000) for _ in range(40)]
        short = self.create()
        small = self.gateway.connect("small", max_message_size=8192)
        self.assertEqual([r["task_id"] for r in self.receive(small, max=2)], [short])
        self.assertEqual([r["task_id"] for r in self.receive(self.puller(), max=2)], tasks[:2])

    def test_permission(self) -> None:
        """Nobody gets tasks for a capability that its token does not let it serve."""
        self.create()
        token = self.gateway.token("x", permissions=["agent.serve:other"])
        worker = self.gateway.connect(token=token)
        self.assertEqual(self.receive(worker), [])

    def test_own(self) -> None:
        """Tasks for the agent itself are among them, whatever it serves."""
        worker = self.puller()
        worker.call("presence.update", status="do_not_disturb")
        task_id = self.create(agent_id="w")
        self.assertEqual([r["task_id"] for r in worker.call("task.receive")["tasks"]], [task_id])

    def test_others(self) -> None:
        """Nobody ends what was given to another, or learns that it is there."""
        worker = self.puller()
        task_id = self.create()
        self.receive(worker)
        other = self.puller("x")
        for refused in (
            other.refusal("task.complete", task_id=task_id, attempt=1, result=1),
            other.refusal("task.complete", task_id="task_0", attempt=1, result=1),
        ):
            self.assertEqual((refused["code"], refused["message"]), (-32006, "You have no such task"))
        both = worker.refusal("task.complete", task_id=task_id, attempt=1, result=1, error={"code": 1})
        self.assertEqual(both["code"], -32602)
