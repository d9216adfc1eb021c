"""A caller, agents, and what becomes of their calls: for the tests of C{agent.call}."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import Client, MemoryGateway


class CallCase(SynchronousTestCase):
    """With a caller."""

    options: dict[str, Any] = {}

    def setUp(self) -> None:
        self.gateway = MemoryGateway(**self.options)
        self.addCleanup(self.gateway.close)
        self.caller = self.gateway.connect("caller")
        self.ids = 1000

    def worker(self, name: str, *capabilities: str, **declared: Any) -> Client:
        return self.gateway.connect(name, capabilities=list(capabilities), **declared)

    def call(self, client: Client | None = None, **params: Any) -> int:
        """Make a call, and don't wait.

        @return: the id of its request.
        """
        self.ids += 1
        params.setdefault("message", "do it")
        request = {"jsonrpc": "2.0", "id": self.ids, "method": "agent.call", "params": params}
        (client or self.caller).send(json.dumps(request))
        return self.ids

    def asked(self, worker: Client) -> list[dict[str, Any]]:
        """What a worker was asked so far, oldest first."""
        return list(worker.received("agent.invoke"))

    def answer(self, worker: Client, call_id: str, result: Any = "done", **error: Any) -> None:
        body = {"error": error} if error else {"result": result}
        worker.send(json.dumps({"jsonrpc": "2.0", "id": call_id, **body}))

    def refuse(self, worker: Client, call_id: str, code: int = -32000) -> None:
        self.answer(worker, call_id, code=code, message="not now")

    def outcome(self, request_id: int, client: Client | None = None) -> Any:
        """The result of a call, the code of its error, or None while there is no answer."""
        client = client or self.caller
        client.flush()
        answers = [m for m in client.messages if isinstance(m, dict) and m.get("id") == request_id]
        self.assertLessEqual(len(answers), 1)
        if not answers:
            return None
        return answers[0]["result"] if "result" in answers[0] else answers[0]["error"]["code"]

    def error(self, request_id: int) -> dict[str, Any]:
        return next(m["error"] for m in self.caller.messages if isinstance(m, dict) and m.get("id") == request_id)

    def assertNothingLeft(self) -> None:
        """No call, no queue, no timer is left."""
        calls = self.gateway.agents.calls
        self.assertEqual((len(calls), calls.waiting), (0, 0))
        self.assertEqual(calls.made, calls.answered + calls.failed)
        timers = [c for c in self.gateway.clock.getDelayedCalls() if "patience" in repr(c.func)]
        self.assertEqual(timers, [])
