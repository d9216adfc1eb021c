"""Messages of calls are checked by what those who serve the capability say they take."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents.calls.inputs import MAX_CHECKED
from cell0gw.presence import validators
from cell0gw.testing import Client, MemoryGateway

TEXT = {"type": "object", "properties": {"text": {"type": "string", "pattern": "^[a-z]+$"}}, "required": ["text"]}


def translate(schema: Any) -> dict[str, Any]:
    return {"name": "translate", "input_schema": schema}


class Case(SynchronousTestCase):
    """With a gateway that checks."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway(check_inputs=True)
        self.addCleanup(self.gateway.close)
        self.caller = self.gateway.connect("caller")
        self.ids = itertools.count(1000)

    def call(self, message: Any, **target: Any) -> dict[str, Any] | None:
        """The error of a call; None: somebody has it."""
        params = {"message": message, **(target or {"capability": "translate"})}
        request = {"jsonrpc": "2.0", "method": "agent.call", "params": params, "id": next(self.ids)}
        answers = [each for each in self.caller.send(json.dumps(request)) if each.get("id") == request["id"]]
        return dict(answers[0]["error"]) if answers else None

    def got(self, agent: Client) -> list[Any]:
        return [invocation["message"] for invocation in agent.received("agent.invoke")]


class InputTests(Case):
    """C{agent.call}"""

    def test_checked(self) -> None:
        """What the schema takes goes to the agent; all else is refused with its place, and nobody gets it."""
        agent = self.gateway.connect("a", capabilities=[translate(TEXT)])
        self.assertIsNone(self.call({"text": "hello"}))
        for message, path in ((5, "params.message"), ({}, "params.message"), ({"text": 5}, "params.message.text")):
            refusal = self.call(message)
            assert refusal is not None
            self.assertEqual((refusal["code"], refusal["data"]["path"]), (-32602, path))
        self.assertEqual(self.got(agent), [{"text": "hello"}])

    def test_told_briefly(self) -> None:
        """The refusal does not repeat the message, however long that is."""
        self.gateway.connect("a", capabilities=[translate(TEXT)])
        refusal = self.call({"text": "A" * 10_000})
        assert refusal is not None
        self.assertLess(len(json.dumps(refusal)), 500)
        self.assertNotIn("AAA", refusal["message"])

    def test_one_takes_it(self) -> None:
        """A message that one of those who serve takes, or who says nothing of its input, is passed on."""
        self.gateway.connect("a", capabilities=[translate(TEXT)])
        self.gateway.connect("b", capabilities=[translate({"type": "integer"})])
        self.assertIsNone(self.call(5))
        self.assertIsNotNone(self.call(None))
        self.gateway.connect("c", capabilities=["translate"])
        self.assertIsNone(self.call(None))

    def test_not_checked(self) -> None:
        """A call by name is not, nor is a long message."""
        self.gateway.connect("a", capabilities=[translate(TEXT)])
        self.assertIsNone(self.call(5, agent_id="a"))
        self.assertIsNone(self.call("x" * MAX_CHECKED, capability="translate"))

    def test_off(self) -> None:
        """Nothing is checked unless the operator says so."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        self.gateway, self.caller = gateway, gateway.connect("caller")
        gateway.connect("a", capabilities=[translate({**TEXT, "pattern": "(?=a)"})])
        self.assertIsNone(self.call(5))

    def test_explained(self) -> None:
        """C{gateway.explain} knows of it."""
        self.gateway.connect("a", capabilities=[translate(TEXT)])
        token = self.gateway.token("operator", "agent", ["gateway.explain", "agent.*"])
        asked = {"method": "agent.call", "params": {"capability": "translate", "message": 5}}
        explained = self.gateway.connect(token=token).request("gateway.explain", asked)["result"]
        self.assertEqual(explained["outcome"], "refused")
        self.assertIn("params.message", explained["reason"])

    def test_beyond_all_bounds(self) -> None:
        """A message that no decoder takes is refused, not passed on unseen."""
        self.gateway.connect("a", capabilities=[translate(True)])
        params = '{"capability": "translate", "message": 1e999}'
        request = f'{{"jsonrpc": "2.0", "method": "agent.call", "id": 1, "params": {params}}}'
        (answer,) = [each for each in self.caller.send(request) if each.get("id") == 1]
        self.assertEqual(answer["error"]["code"], -32602)


class PatternTests(Case):
    """Regular expressions."""

    def refused(self, pattern: str) -> dict[str, Any]:
        declared = [translate({"properties": {"text": {"pattern": pattern}}})]
        return self.gateway.connect().refusal("auth.authenticate", token=self.gateway.token("a"), capabilities=declared)

    def test_of_no_use(self) -> None:
        """One that can't be compiled, that needs backtracking, or that takes too much room is refused."""
        for pattern in ("(", "(?=a)b", r"(a)\1", "((a{200}){200}){200}"):
            refusal = self.refused(pattern)
            self.assertEqual(
                (refusal["code"], refusal["data"]["path"]), (-32602, "params.capabilities[0].input_schema"), pattern
            )

    def test_linear(self) -> None:
        """One that would take others for ever judges a long text at once."""
        self.gateway.connect("a", capabilities=[translate({"type": "string", "pattern": "^(a+)+$"})])
        started = time.process_time()
        self.assertIsNotNone(self.call("a" * 50_000 + "b"))
        self.assertLess(time.process_time() - started, 1.0)

    def test_kept(self) -> None:
        """So many validators are kept, those that were used last."""
        self.patch(validators, "MAX_KEPT", 2)
        for number in range(3):
            self.gateway.connect(f"a{number}", capabilities=[{"name": f"c{number}", "input_schema": {"const": number}}])
        for number in (0, 1, 0, 2, 0):
            self.assertIsNone(self.call(number, capability=f"c{number}"))
        kept = [json.loads(text)["name"] for text in self.gateway.presence.validators._kept]
        self.assertEqual(kept, ["c2", "c0"])
