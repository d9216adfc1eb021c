"""C{agent.ask} and C{task.answer}: what an agent asks about a task, whom, and who answers."""

from __future__ import annotations

from typing import Any

from tests.tasks.working import TaskCase


class QuestionTests(TaskCase):
    """C{agent.ask} and C{task.answer}"""

    def ask(self, **params: Any) -> tuple[str, str]:
        worker = self.worker()
        task_id = self.create()
        asked = worker.call("agent.ask", call_id=f"{task_id}.1", message="red?", **params)
        self.assertEqual(asked["status"], "input_required")
        self.assertEqual(worker.refusal("agent.ask", call_id=f"{task_id}.1", message="blue?")["code"], -32007)
        return task_id, asked["question"]

    def test_asked(self) -> None:
        """The first answer counts, and the agent reads it among the events of the task."""
        task_id, question = self.ask()
        shown = self.get(task_id)
        self.assertEqual(
            (shown["status"], shown["question"]),
            ("input_required", {"question": question, "to": "creator", "from": "w", "message": "red?"}),
        )
        worker = self.worker()
        worker.call("task.subscribe", task_id=task_id)
        answered = self.creator.call("task.answer", task_id=task_id, question=question, message="yes")
        self.assertEqual(answered["status"], "working")
        error = self.creator.refusal("task.answer", task_id=task_id, question=question, message="no")
        self.assertEqual((error["code"], error["data"]["status"]), (-32007, "working"))
        said = [data for _, type, data in self.events(worker) if type == "message"]
        self.assertEqual(said, [{"answers": question, "from": "creator", "message": "yes"}])

    def test_somebody_else(self) -> None:
        """Somebody else who is asked finds the task, and may answer; others may not."""
        person, other = self.gateway.connect("person"), self.gateway.connect("other")
        task_id, question = self.ask(to="person")
        self.assertEqual([t["task_id"] for t in person.call("task.list", status="input_required")["tasks"]], [task_id])
        self.assertEqual(other.refusal("task.answer", task_id=task_id, question=question, message=1)["code"], -32006)
        person.call("task.answer", task_id=task_id, question=question, message=1)
        self.assertEqual(self.status(task_id), ("working", None))
        self.assertEqual(person.refusal("task.get", task_id=task_id)["code"], -32006)

    def test_role(self) -> None:
        """A pattern of ids is asked as well: all of them may answer, whoever comes, and the first answer counts."""
        other = self.gateway.connect("writers.ann")
        self.gateway.token("reviewers.*", "user")
        task_id, question = self.ask(to="reviewers.*")
        first, second = self.gateway.connect("reviewers.bob"), self.gateway.connect("reviewers.eve")
        for person in (first, second):
            self.assertEqual([t["task_id"] for t in person.call("task.list")["tasks"]], [task_id])
            self.assertEqual(person.call("task.get", task_id=task_id)["question"]["to"], "reviewers.*")
        for stranger in (other, self.gateway.connect("reviewers.a.b")):
            error = stranger.refusal("task.answer", task_id=task_id, question=question, message=1)
            self.assertEqual(error["code"], -32006)
            self.assertEqual(stranger.call("task.list"), {"tasks": []})
        first.call("task.answer", task_id=task_id, question=question, message=1)
        self.assertEqual(second.refusal("task.answer", task_id=task_id, question=question, message=2)["code"], -32006)
        self.assertEqual(self.status(task_id), ("working", None))

    def test_not_by_itself(self) -> None:
        """An agent is not one of those whom it asks: it can't approve of what it does."""
        worker = self.worker("team.w")
        self.gateway.connect("team.a")
        task_id = self.create()
        call_id = f"{task_id}.1"
        self.assertEqual(worker.refusal("agent.ask", call_id=call_id, message=1, to="team.w")["code"], -32602)
        question = worker.call("agent.ask", call_id=call_id, message=1, to="team.*")["question"]
        error = worker.refusal("task.answer", task_id=task_id, question=question, message="yes")
        self.assertEqual(error["code"], -32006)

    def test_whom_one_may_ask(self) -> None:
        """Those are asked whom the agent may write to, if there are such; who must not be seen is not there."""
        for name in ("acme.ann", "zeta.bob"):
            self.gateway.token(name, "user")
        rights = ["agent.serve", "agent.send:zeta.*", "agent.send:team.>", "presence.get:zeta.*"]
        worker = self.gateway.connect(token=self.gateway.token("zeta.w", "agent", rights), capabilities=["ack", "t"])
        call_id = f"{self.create()}.1"
        asked = {
            to: worker.refusal("agent.ask", call_id=call_id, message=1, to=to)
            for to in ("acme.ann", "acme.*", ">", "zeta.bobb", "team.*", "*.bob", "zeta.*.a")
        }
        self.assertEqual(
            {to: error["code"] for to, error in asked.items()},
            {
                "acme.ann": -32002, "acme.*": -32002, ">": -32002, "zeta.bobb": -32006, "team.*": -32006,
                "*.bob": -32602, "zeta.*.a": -32602,
            },
        )  # fmt: skip
        self.assertEqual(asked["acme.*"]["data"]["permission"], "agent.send:acme.*")
        self.assertEqual(asked["zeta.bobb"]["data"]["near"][0], "zeta.bob")
        wide = self.gateway.connect(
            token=self.gateway.token("zeta.v", "agent", ["agent.*", "presence.get:zeta.*"]), capabilities=["ack", "u"]
        )
        other = f"{self.create(capability='u')}.1"
        unseen = [
            wide.refusal("agent.ask", call_id=other, message=1, to=to) for to in ("acme.ann", "acme.nn", "acme.*")
        ]
        self.assertEqual([(e["code"], e["data"].get("near")) for e in unseen], [(-32006, [])] * 3)
        self.assertEqual(worker.call("agent.ask", call_id=call_id, message=1, to="zeta.*")["status"], "input_required")

    def test_no_clock_of_silence(self) -> None:
        """While a question waits the agent may be silent."""
        worker = self.worker()
        task_id = self.create(idle_ms=5000)
        question = worker.call("agent.ask", call_id=f"{task_id}.1", message=1)["question"]
        self.gateway.advance(60)
        self.assertEqual(self.status(task_id), ("input_required", None))
        self.creator.call("task.answer", task_id=task_id, question=question, message=1)
        self.gateway.advance(8)
        self.assertEqual(self.status(task_id), ("failed", "timed_out"))

    def test_calls_ask_not(self) -> None:
        """A call is over soon: it can't ask."""
        self.assertEqual(self.worker().refusal("agent.ask", call_id="call_1", message=1)["code"], -32006)
