"""``agent.call``: answers that are none, or nearly one."""

from __future__ import annotations

import json
from typing import Any

from tests.agents.calls.calling import CallCase

BOTCHED: tuple[dict[str, Any], ...] = (
    {"jsonrpc": "2.0"},  # what JSON.stringify makes of a result that is undefined
    {"result": 1},
    {"error": {"code": -32000, "message": "busy"}},
    {"jsonrpc": "1.0", "result": 1},
    {"jsonrpc": 2.0, "result": 1},
    {"jsonrpc": "2.0", "result": 1, "method": None},
    {"jsonrpc": "2.0", "result": 1, "method": "agent.invoke"},
    {"jsonrpc": "2.0", "method": "agent.invoke", "params": {}},
    {"jsonrpc": "2.0", "result": 1, "method": "agent.invoke", "params": 5},
    {"jsonrpc": "2.0", "results": 1},
    {"message": "done"},
)
"""What agents have sent under the id of a call, and meant as its answer."""


class BotchedTests(CallCase):
    """What an agent meant as its answer."""

    def test_ends_at_once(self) -> None:
        """What stands under the id of a call, and is neither an answer nor a call that there is, ends it at once."""
        worker = self.worker("w", "ack", max_inflight=1)
        for body in BOTCHED:
            request = self.call(agent_id="w")
            worker.send(json.dumps({"id": self.asked(worker)[-1]["call_id"], **body}))
            self.assertEqual(self.outcome(request), -32008, body)
            data = self.error(request)["data"]
            said = {"code": -32603, "message": "an answer that is none of JSON-RPC's", "data": None}
            self.assertEqual((data["agent_id"], data["agent_error"]), ("w", said), body)
        self.assertEqual(self.gateway.agents.calls.late, 0)
        self.assertNothingLeft()

    def test_in_a_batch(self) -> None:
        """It is one as well among others, which count all the same."""
        worker = self.worker("w")
        requests = [self.call(agent_id="w") for _ in range(3)]
        ids = [asked["call_id"] for asked in self.asked(worker)]
        good = {"jsonrpc": "2.0", "id": ids[1], "result": "done"}
        worker.send(json.dumps([{"jsonrpc": "2.0", "id": ids[0]}, good, {"id": ids[2], "result": 1}]))
        self.assertEqual([self.outcome(request) for request in requests], [-32008, "done", -32008])

    def test_what_the_agent_is_told(self) -> None:
        """The agent gets the error that such a message gets anyway, under the same id; for a result, nothing."""
        worker = self.worker("w")
        for body, told in (({"jsonrpc": "2.0"}, -32600), ({"result": 1}, None)):
            self.call(agent_id="w")
            call_id = self.asked(worker)[-1]["call_id"]
            answers = [m for m in worker.send(json.dumps({"id": call_id, **body})) if m.get("id") == call_id]
            self.assertEqual([m["error"]["code"] for m in answers], [told] if told else [])

    def test_whose(self) -> None:
        """Only who has a call ends it like this; other ids, and calls by methods that there are, change nothing."""
        worker, other = self.worker("w"), self.worker("other")
        request = self.call(agent_id="w")
        call_id = self.asked(worker)[0]["call_id"]
        for client, named in ((other, call_id), (worker, "call_0"), (worker, 1), (worker, None), (worker, [call_id])):
            client.send(json.dumps({"jsonrpc": "2.0", "id": named}))
            client.send(json.dumps({"id": named, "result": 1}))
        ping = {"jsonrpc": "2.0", "id": call_id, "method": "rpc.ping", "result": 1}
        self.assertEqual(worker.send(json.dumps(ping))[0]["id"], call_id)
        self.assertIsNone(self.outcome(request))
        self.answer(worker, call_id)
        self.assertEqual(self.outcome(request), "done")
        self.assertEqual(self.gateway.agents.calls.late, 0)
