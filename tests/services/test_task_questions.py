"""C{agent.ask} and C{task.answer}: what an agent asks about a task, whom, and who answers."""

from __future__ import annotations

from typing import Any

from cell0gw.tasks import questions
from cell0gw.testing import Client
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


class NotificationTests(TaskCase):
    """C{task.question}: who is asked hears of it."""

    def ask(self, **params: Any) -> tuple[str, str]:
        task_id = self.create()
        asked = self.worker().call("agent.ask", call_id=f"{task_id}.1", message="red?", **params)
        return task_id, asked["question"]

    def told(self, client: Client) -> list[tuple[str, str, bool]]:
        client.flush()
        return [(told["task_id"], told["to"], told["waits"]) for told in client.received("task.question")]

    def test_creator(self) -> None:
        """Who has created the task is told that a question waits, and that it no longer does."""
        task_id, question = self.ask()
        told = {"task_id": task_id, "question": question, "to": "creator", "from": "w"}
        self.creator.flush()
        self.assertEqual(self.creator.received("task.question"), [told | {"waits": True}])
        self.creator.call("task.answer", task_id=task_id, question=question, message=1)
        self.assertEqual(self.creator.received("task.question")[1:], [told | {"waits": False}])

    def test_role(self) -> None:
        """All sessions of all who are asked are told, and that it is over when one of them has answered; no others."""
        others = [self.gateway.connect(name) for name in ("reviewers", "reviewers.a.b", "reviewersx.a", "a")]
        asked = [self.gateway.connect(name) for name in ("reviewers.ann", "reviewers.ann", "reviewers.bob")]
        task_id, question = self.ask(to="reviewers.*")
        for client in asked:
            self.assertEqual(self.told(client), [(task_id, "reviewers.*", True)])
        asked[2].call("task.answer", task_id=task_id, question=question, message=1)
        for client in asked:
            self.assertEqual(self.told(client)[1:], [(task_id, "reviewers.*", False)])
        self.assertEqual([self.told(client) for client in (*others, self.creator)], [[]] * 5)

    def test_away(self) -> None:
        """Who is away is told when they come, after a restart as well, for as long as the question waits."""
        self.gateway.token("reviewers.*", "user")
        self.gateway.connect("person").disconnect()
        first, question = self.ask(to="reviewers.*")
        second, _ = self.ask(to="person")
        self.assertEqual(self.told(self.gateway.connect("reviewers.ann")), [(first, "reviewers.*", True)])
        self.crash()
        self.assertEqual(self.told(self.gateway.connect("person")), [(second, "person", True)])
        self.assertEqual(self.told(self.gateway.connect("other")), [])
        self.gateway.connect("reviewers.bob").call("task.answer", task_id=first, question=question, message=1)
        self.assertEqual(self.told(self.gateway.connect("reviewers.ann")), [])

    def test_resumed(self) -> None:
        """Who resumes a session is told what was asked meanwhile."""
        token, person = self.gateway.token("person"), self.gateway.connect()
        secret = person.call("auth.authenticate", token=token)["resume_token"]
        person.vanish()
        task_id, _ = self.ask(to="person")
        again = self.gateway.connect(token=token)
        self.assertIs(again.call("session.resume", resume_token=secret)["resumed"], True)
        self.assertEqual(self.told(again), [(task_id, "person", True)])

    def test_lost(self) -> None:
        """A question ends with the attempt that has it."""
        self.gateway.connect("person")
        task_id, _ = self.ask(to="person")
        person = self.gateway.connect("person")
        self.creator.call("task.cancel", task_id=task_id)
        self.assertEqual(self.told(person), [(task_id, "person", True), (task_id, "person", False)])

    def test_not_itself(self) -> None:
        """The agent is not told of what it asks a role of its own, but a creator that does its own task is."""
        worker = self.worker("team.w")
        colleague = self.gateway.connect("team.a")
        call_id = f"{self.create()}.1"
        worker.call("agent.ask", call_id=call_id, message=1, to="team.*")
        self.assertEqual((self.told(worker), len(self.told(colleague))), ([], 1))
        own = worker.call("task.create", agent_id="team.w", message=1)["task_id"]
        worker.call("agent.ask", call_id=f"{own}.1", message=1)
        self.assertEqual(self.told(worker), [(own, "team.w", True)])

    def test_bounded(self) -> None:
        """Of a role of very many some are told at once, and who comes is told of some questions."""
        self.patch(questions, "MAX_TOLD", 2)
        self.patch(questions, "MAX_BROUGHT", 1)
        people = [self.gateway.connect(f"people.p{number}") for number in range(3)]
        first, _ = self.ask(to="people.*")
        self.ask(to="people.*")
        self.assertEqual([len(self.told(person)) for person in people], [2, 2, 0])
        again = self.gateway.connect("people.p2")
        self.assertEqual(self.told(again), [(first, "people.*", True)])
        self.assertEqual(len(again.call("task.list", status="input_required")["tasks"]), 2)

    def test_disk_out_of_order(self) -> None:
        """Who comes while the disk can't be read is told as soon as it can be."""
        self.gateway.connect("person").disconnect()
        task_id, _ = self.ask(to="person")
        self.store.broken = True
        person, gone = self.gateway.connect("person"), self.gateway.connect("person")
        self.assertEqual(self.told(person), [])
        gone.disconnect()
        self.store.broken = False
        self.gateway.advance(2)
        self.assertEqual(self.told(person), [(task_id, "person", True)])

    def test_unseen_agent(self) -> None:
        """An agent whom the reader does not see is not named to it."""
        token = self.gateway.token("team.a", "user", ["presence.get:team.>"])
        person = self.gateway.connect(token=token)
        task_id, question = self.ask(to="team.a")
        again = self.gateway.connect(token=token)
        for client in (person, again):
            client.flush()
            told = {"task_id": task_id, "question": question, "to": "team.a", "waits": True}
            self.assertEqual(client.received("task.question"), [told])
