"""Messages of tasks are checked by what those who serve the capability say they take, if the operator wants it."""

from __future__ import annotations

from typing import Any

from cell0gw.agents.calls.targets import RETURN_WINDOW
from cell0gw.testing import Client
from tests.agents.calls.test_inputs import TEXT
from tests.tasks.working import TaskCase


class InputTests(TaskCase):
    """With a gateway that checks."""

    options = {"check_inputs": True}

    def serve(self, schema: Any, name: str = "w", **declared: Any) -> Client:
        described = {"name": "t", "input_schema": schema}
        return self.gateway.connect(name, capabilities=["ack", described], **declared)

    def settle(self) -> None:
        """After a restart everybody has had the time to come back."""
        self.gateway.advance(RETURN_WINDOW + 1)

    def test_created(self) -> None:
        """What none of those who are there takes is refused with its place, and no task is made of it."""
        worker = self.serve(TEXT)
        error = self.creator.refusal("task.create", capability="t", message={"text": 5})
        self.assertEqual((error["code"], error["data"]["path"]), (-32602, "params.message.text"))
        self.assertEqual(self.creator.call("task.list"), {"tasks": []})
        self.create(message={"text": "a"})
        self.assertEqual([each["message"] for each in self.asked(worker)], [{"text": "a"}])

    def test_one_takes_it(self) -> None:
        """It is enough that one of those who serve takes it, or says nothing of its input. By name none is checked."""
        self.serve(TEXT)
        self.create(agent_id="w", message=5)
        self.serve({"type": "integer"}, "v")
        self.create(message=5)
        self.gateway.connect("u", capabilities=["t"])
        self.create(message=None)

    def test_given_out(self) -> None:
        """A task that has waited is not given to those who don't take it: it is rejected, and its events say why."""
        self.creator.call("task.subscribe", task_id=(task_id := self.create(message=5)))
        fine = self.create(message={"text": "a"})
        self.settle()
        worker = self.serve(TEXT)
        self.assertEqual(self.status(task_id), ("rejected", None))
        ((_, kind, said),) = self.events()
        self.assertEqual((kind, said["status"], said["error"]["code"]), ("status", "rejected", -32602))
        self.assertEqual(said["error"]["data"]["path"], "params.message")
        self.assertEqual([each["task_id"] for each in self.asked(worker)], [fine])

    def test_pulled(self) -> None:
        """So it is with an agent that asks for tasks; what others take is nothing to one that does not declare it."""
        first, second = self.create(message=5), self.create(message=5)
        self.gateway.agents.targets.await_return()
        worker, other = self.serve(TEXT), self.gateway.connect("other")
        self.assertEqual(worker.call("task.receive", capabilities=["t"], max=1)["tasks"], [])
        (given,) = other.call("task.receive", capabilities=["t"], max=1)["tasks"]
        self.assertEqual((given["task_id"], self.status(second)), (first, ("submitted", None)))
        self.settle()
        self.assertEqual(worker.call("task.receive", capabilities=["t"], max=1)["tasks"], [])
        self.assertEqual((self.status(second), self.asked(worker)), (("rejected", None), []))

    def test_after_a_restart(self) -> None:
        """One that comes back first does not reject what another one takes that is about to."""
        self.serve({"type": "integer"}, "v").disconnect()
        task_id = self.create(message=5)
        self.gateway.agents.targets.await_return()
        first = self.serve(TEXT)
        self.assertEqual((self.status(task_id), self.asked(first)), (("submitted", None), []))
        second = self.serve({"type": "integer"}, "v")
        self.assertEqual(len(self.asked(first)) + len(self.asked(second)), 1)

    def test_created_before(self) -> None:
        """A task that was created under a key stays created, whoever serves it by the time of the second request."""
        params = {"capability": "t", "message": 5, "idempotency_key": "k"}
        task_id = self.creator.call("task.create", **params)["task_id"]
        self.gateway.agents.targets.await_return()
        self.serve(TEXT)
        again = self.creator.call("task.create", **params)
        self.assertEqual((again["task_id"], again["replayed"]), (task_id, True))
        other = params | {"message": 6}
        self.assertEqual(self.creator.refusal("task.create", **other)["code"], -32007)
        self.assertEqual(self.creator.refusal("task.create", **(other | {"idempotency_key": "l"}))["code"], -32602)

    def test_explained(self) -> None:
        """C{gateway.explain} knows of it."""
        self.serve(TEXT)
        token = self.gateway.token("operator", permissions=["gateway.explain", "task.create"])
        asked = {"method": "task.create", "params": {"capability": "t", "message": 5}}
        told = self.gateway.connect(token=token).request("gateway.explain", asked)["result"]
        self.assertEqual(told["outcome"], "refused")
        self.assertIn("params.message", told["reason"])

    def test_full(self) -> None:
        """That a task is rejected is told even where its creator has no room for more."""
        self.settle()
        task_id = self.create(message=5)
        self.gateway.tasks.quotas.size = 1 << 60
        self.serve(TEXT)
        self.assertEqual(self.status(task_id), ("rejected", None))
