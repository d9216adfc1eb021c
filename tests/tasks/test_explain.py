"""``gateway.explain`` of tasks: who would get one, why one waits, and that asking changes nothing."""

from __future__ import annotations

from typing import Any

from cell0gw.tasks import attempt, quotas
from tests.tasks.working import TaskCase


class ExplainCase(TaskCase):
    """With one who may ask."""

    options = {"max_hops": 3}

    def start(self) -> None:
        super().start()
        rights = ["agent.*", "task.create", "gateway.explain"]
        self.creator = self.gateway.connect(token=self.gateway.token("creator", permissions=rights))

    def explain(self, method: str = "task.create", **params: Any) -> dict[str, Any]:
        if method == "task.create":
            params.setdefault("message", 1)
        return dict(self.creator.request("gateway.explain", {"method": method, "params": params})["result"])

    def verdict(self, method: str = "task.create", **params: Any) -> tuple[str, str, dict[str, str]]:
        told = self.explain(method, **params)
        return told["outcome"], told["reason"], {each["entity_id"]: each["reason"] for each in told["considered"]}


class CreationTests(ExplainCase):
    """Of tasks that are not there."""

    def test_everyone(self) -> None:
        """Each session is told why it would get the task or not, the chosen one first; and that one gets it."""
        self.worker("full", max_inflight=1)
        self.create(agent_id="full")
        self.worker("resting").call("presence.update", status="do_not_disturb")
        self.worker("small", max_message_size=65_536)
        self.gateway.connect(token=self.gateway.token("not", permissions=["agent.call"]), capabilities=["t"])
        free = self.worker("free")
        told = self.explain(capability="t", message="x" * 65_000)
        self.assertEqual((told["outcome"], told["reason"]), ("sent", "somebody can take it now"))
        self.assertEqual(told["considered"][0]["entity_id"], "free")
        self.assertEqual(
            {each["entity_id"]: each["reason"] for each in told["considered"]},
            {
                "free": "chosen by least_busy: it has 0 of any number calls",
                "full": "full: it has 1 of 1 calls",
                "resting": "it accepts no calls now: do_not_disturb or offline",
                "small": "the task is longer than the 65536 bytes that it takes",
                "not": "its token lacks agent.serve:t",
            },
        )
        self.assertEqual(self.asked(free), [])
        self.create(capability="t", message="x" * 65_000)
        self.assertEqual(len(self.asked(free)), 1)

    def test_waits(self) -> None:
        """That nobody can take it now is no refusal: it waits, and says why."""
        self.assertEqual(self.verdict(capability="t"), ("waiting", "nobody who could do it is connected now", {}))
        worker = self.worker("w", "translate")
        told = self.explain(capability="translat")
        self.assertEqual((told["outcome"], told["near"]), ("waiting", ["translate"]))
        worker.call("presence.update", status="offline")
        reason = "no worker accepts tasks now: do_not_disturb or offline"
        self.assertEqual(self.verdict(capability="translate")[:2], ("waiting", reason))
        worker.call("presence.update", status="online")
        self.patch(attempt, "MAX_HELD", 1)
        self.create(agent_id="w")
        self.assertEqual(
            self.verdict(agent_id="w"),
            ("waiting", "nobody has room for it", {"w": "it has 1 calls and tasks, and gets no more"}),
        )
        worker.vanish()
        self.assertEqual(self.verdict(agent_id="w")[:2], ("waiting", "it waits for a session to come back"))

    def test_not_before(self) -> None:
        """A task for later waits, whoever is here."""
        self.worker()
        outcome, reason, _ = self.verdict(capability="t", not_before="2026-02-12T11:30:00Z")
        self.assertEqual(outcome, "waiting")
        self.assertTrue(reason.startswith("nobody gets it before 2026-02-12T11:30:00"), reason)
        self.assertFalse(
            any(c["chosen"] for c in self.explain(capability="t", not_before="2026-02-12T11:30:00Z")["considered"])
        )

    def test_refused_as_the_task(self) -> None:
        """What `task.create` refuses is refused, for the same reason."""
        self.patch(quotas, "MAX_TASKS", 1)
        wrong: list[dict[str, Any]] = [
            {"capability": "t", "policy": "sticky"},
            {"capability": "t", "not_before": "2027-02-12T11:30:00Z"},
            {"capability": "t", "in_reply_to": "msg_1"},
            {"capability": "t", "agent_id": "w"},
            {"capability": "t"},
        ]
        self.gateway.connect("other").call("task.create", capability="u", message=1)
        for params in wrong:
            error = self.creator.refusal("task.create", message=1, **params)
            self.assertEqual(self.verdict(**params), ("refused", error["message"], {}), params)


class TaskTests(ExplainCase):
    """Of those that are."""

    def test_why_it_waits(self) -> None:
        """A task is followed from its waiting to its end."""
        task_id = self.create()
        self.assertEqual(
            self.verdict("task.get", task_id=task_id), ("waiting", "nobody who could do it is connected now", {})
        )
        worker = self.worker(max_inflight=1)
        self.assertEqual(
            self.verdict("task.get", task_id=task_id)[:2], ("sent", "an agent has it, and has not begun yet")
        )
        second = self.create()
        self.assertEqual(
            self.verdict("task.get", task_id=second),
            ("waiting", "nobody has room for it", {"w": "full: it has 1 of 1 calls"}),
        )
        worker.call("agent.progress", call_id=f"{task_id}.1", data=1)
        self.assertEqual(self.verdict("task.get", task_id=task_id)[:2], ("sent", "an agent has it, and has begun"))
        worker.call("agent.ask", call_id=f"{task_id}.1", message=1)
        reason = "its agent waits for the answer to a question"
        self.assertEqual(self.verdict("task.get", task_id=task_id)[:2], ("sent", reason))
        worker.call("task.complete", task_id=task_id, attempt=1, error={"code": 1, "message": "no"})
        self.assertEqual(self.verdict("task.get", task_id=task_id)[:2], ("over", "it is failed: agent_failed"))
        self.creator.call("task.cancel", task_id=second)
        self.assertEqual(self.verdict("task.get", task_id=second)[:2], ("over", "it is cancelled"))

    def test_back_off(self) -> None:
        """A task that waits for its next attempt says until when."""
        worker = self.worker()
        task_id = self.create()
        self.answer(worker, f"{task_id}.1", code=-32003, message="not now")
        outcome, reason, _ = self.verdict("task.get", task_id=task_id)
        self.assertEqual((outcome, reason.partition(" 20")[0]), ("waiting", "nobody gets it before"))

    def test_not_for_others(self) -> None:
        """What one may not see is not there."""
        task_id = str(self.gateway.connect("other").call("task.create", capability="t", message=1)["task_id"])
        for each in (task_id, "task_0"):
            self.assertEqual(self.verdict("task.get", task_id=each), ("refused", "You have no such task", {}))
