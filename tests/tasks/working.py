"""Who creates tasks, who does them, and what becomes of them: for the tests of C{task}."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.engines.memory.tasks import MemoryTaskStore
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.testing import Client, MemoryGateway


class TaskCase(SynchronousTestCase):
    """With somebody who creates tasks."""

    options: dict[str, Any] = {}

    def setUp(self) -> None:
        self.store, self.tokens = MemoryTaskStore(), MemoryTokenStore()
        self.start()

    def start(self) -> None:
        """A gateway; a second one is as after a crash, with the same store."""
        self.gateway = MemoryGateway(self.tokens, task_store=self.store, **self.options)
        self.addCleanup(self.gateway.close)
        self.creator = self.gateway.connect("creator")

    def crash(self) -> None:
        """The process ends, without a word, and the next one begins, a second later."""
        later = self.gateway.clock.seconds() + 1
        self.gateway.close()
        self.start()
        self.gateway.clock.rightNow = later

    def worker(self, name: str = "w", *capabilities: str, **declared: Any) -> Client:
        """An agent that acknowledges."""
        return self.gateway.connect(name, capabilities=["ack", *(capabilities or ("t",))], **declared)

    def create(self, **params: Any) -> str:
        params = {"capability": "t", "message": "do it"} | params
        if "agent_id" in params:
            del params["capability"]
        return str(self.creator.call("task.create", **params)["task_id"])

    def asked(self, worker: Client) -> list[dict[str, Any]]:
        """What a worker was asked so far, oldest first."""
        worker.flush()
        return list(worker.received("agent.invoke"))

    def answer(self, worker: Client, call_id: str, result: Any = "done", **error: Any) -> None:
        body = {"error": error} if error else {"result": result}
        worker.send(json.dumps({"jsonrpc": "2.0", "id": call_id, **body}))

    def get(self, task_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.creator.call("task.get", task_id=task_id)
        return shown

    def status(self, task_id: str) -> tuple[str, str | None]:
        shown = self.get(task_id)
        return shown["status"], shown.get("code")

    def events(self, client: Client | None = None) -> list[tuple[int | None, str, Any]]:
        """What came of tasks so far."""
        client = client or self.creator
        client.flush()
        return [(e.get("offset"), e["type"], e["data"]) for e in client.received("task.event")]
