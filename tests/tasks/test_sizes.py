"""Tasks that are long: what was taken can be read back, in messages that are no longer than was announced."""

from __future__ import annotations

import json

from cell0gw.protocol.limits import ENVELOPE, KIB
from tests.tasks.working import TaskCase

LIMIT = 64 * KIB
LONG = "x" * (LIMIT - ENVELOPE - 2)
"""As JSON, the longest that is relayed."""


class SizeTests(TaskCase):
    """With a small limit."""

    options = {"max_message_size": LIMIT}

    def fits(self) -> None:
        """Nothing that has come is longer than was announced."""
        self.creator.flush()
        longest = max(len(json.dumps(one, separators=(",", ":"))) for one in self.creator.messages)
        self.assertLessEqual(longest, LIMIT)
        self.assertEqual(self.creator.close_code, None)

    def test_message_and_result(self) -> None:
        """When both are long the task is shown with its result, and without its message; before that with it."""
        task_id = self.create(message=LONG)
        self.assertEqual(self.get(task_id)["message"], LONG)
        worker = self.worker()
        self.creator.call("task.subscribe", task_id=task_id)
        self.answer(worker, f"{task_id}.1", LONG[:-20])
        shown = self.get(task_id)
        self.assertEqual((shown["result"]["result"], "message" in shown), (LONG[:-20], False))
        since = {"offset": 1, "epoch": shown["epoch"]}
        again = self.gateway.connect("creator").call("task.subscribe", task_id=task_id, since=since)
        self.assertEqual((again["recovered"], "message" in again), (True, False))
        self.fits()

    def test_message_and_question(self) -> None:
        """So it is with a question."""
        task_id = self.create(message=LONG)
        worker = self.worker()
        worker.call("agent.ask", call_id=f"{task_id}.1", message=LONG)
        shown = self.get(task_id)
        self.assertEqual((shown["question"]["message"], "message" in shown), (LONG, False))
        self.fits()

    def test_result_that_is_too_long(self) -> None:
        """A result that is longer than anything that is relayed ends the task, and says so; and is not kept late."""
        for late in (False, True):
            task_id = self.create(timeout_ms=1000)
            worker = self.worker()
            self.creator.call("task.subscribe", task_id=task_id)
            self.asked(worker)
            if late:
                worker.call("agent.ack", message_id=f"{task_id}.1", status="started")
                self.gateway.advance(3)
            self.answer(worker, f"{task_id}.1", LONG + "x")
            self.assertEqual(self.status(task_id), ("failed", "timed_out" if late else "agent_failed"))
            self.assertNotIn("result", self.get(task_id))
            worker.disconnect()
        errors = [data["error"]["code"] for _, _, data in self.events() if "error" in data]
        self.assertEqual(errors, [-32005])
        self.fits()

    def test_list(self) -> None:
        """A page has as many tasks as fit an answer, and says where the next one begins."""
        tasks = [self.create(capability="c" * 200) for _ in range(150)]
        seen: list[str] = []
        after: str | None = None
        while after is not None or not seen:
            page = self.creator.call("task.list", limit=1000, after=after)
            seen += [task["task_id"] for task in page["tasks"]]
            after = page.get("next")
        self.assertEqual(seen, tasks[::-1])
        self.fits()
