"""``agent.call``: to an agent and back."""

from __future__ import annotations

import json

from cell0gw.agents.calls.dealer import MAX_OF_CALLER
from tests.agents.calls.calling import CallCase


class RoundTripTests(CallCase):
    """There and back."""

    def test_by_name(self) -> None:
        """The agent is asked by a request of the gateway's, and its answer is the caller's."""
        worker = self.worker("w")
        request = self.call(agent_id="w", message={"n": 1}, timeout_ms=5000)
        (asked,) = self.asked(worker)
        self.assertEqual(
            asked,
            {
                "call_id": asked["call_id"],
                "from": "caller",
                "from_type": "agent",
                "message": {"n": 1},
                "capability": None,
                "timestamp": "2026-02-12T10:30:00.000Z",
                "deadline": "2026-02-12T10:30:05.000Z",
                "conversation_id": asked["conversation_id"],
                "in_reply_to": None,
                "hops": 0,
            },
        )
        self.answer(worker, asked["call_id"], {"n": 2})
        self.assertEqual(self.outcome(request), {"n": 2})
        self.assertNothingLeft()

    def test_as_written(self) -> None:
        """The result reaches the caller byte for byte, numbers and escapes included."""
        worker = self.worker("w")
        raw: list[bytes] = []
        self.caller.protocol.onMessage = lambda payload, binary: raw.append(payload)
        self.call(agent_id="w")
        result = '{"big":123456789012345678901234567890,"e":1.50,"u":"\\u00e9 é","deep":[[[{}]]]}'
        worker.send('{{"jsonrpc":"2.0","id":"{}","result":{}}}'.format(self.asked(worker)[0]["call_id"], result))
        self.caller.flush()
        self.assertIn(result.encode(), raw[-1])

    def test_by_capability(self) -> None:
        """Whoever serves the capability is asked, and told which it was."""
        self.worker("other", "sing")
        worker = self.worker("w", "dance")
        request = self.call(capability="dance")
        (asked,) = self.asked(worker)
        self.assertEqual(asked["capability"], "dance")
        self.answer(worker, asked["call_id"])
        self.assertEqual(self.outcome(request), "done")

    def test_in_a_batch(self) -> None:
        """Calls in a batch are answered together."""
        worker = self.worker("w")
        call = {"jsonrpc": "2.0", "method": "agent.call", "params": {"agent_id": "w", "message": 1}}
        self.caller.send(json.dumps([{**call, "id": 1}, {**call, "id": 2}, {**call}]))
        for asked in self.asked(worker):
            self.answer(worker, asked["call_id"], asked["call_id"])
        self.caller.flush()
        self.assertEqual([answer["id"] for answer in self.caller.messages[-1]], [1, 2])
        self.assertNothingLeft()

    def test_its_error(self) -> None:
        """An agent's error is the caller's, as one of the agent's."""
        worker = self.worker("w")
        request = self.call(agent_id="w")
        self.answer(worker, self.asked(worker)[0]["call_id"], code=7, message="no ink", data={"left": 0})
        self.assertEqual(self.outcome(request), -32008)
        self.assertEqual(
            self.error(request)["data"]["agent_error"], {"code": 7, "message": "no ink", "data": {"left": 0}}
        )
        self.assertNothingLeft()

    def test_no_error_at_all(self) -> None:
        """An error that is none of JSON-RPC's is one, too."""
        worker = self.worker("w")
        request = self.call(agent_id="w")
        worker.send('{{"jsonrpc":"2.0","id":"{}","error":"ouch"}}'.format(self.asked(worker)[0]["call_id"]))
        self.assertEqual(self.outcome(request), -32008)

    def test_one_target(self) -> None:
        """A call names an agent or a capability, and a key goes with sticky alone."""
        wrong = (
            {},
            {"agent_id": "w", "capability": "c"},
            {"agent_id": "w", "policy": "sticky"},
            {"agent_id": "w", "key": "k"},
            {"agent_id": "w", "timeout_ms": 0},
        )
        for params in wrong:
            self.assertEqual(self.caller.refusal("agent.call", message=1, **params)["code"], -32602, params)

    def test_permission(self) -> None:
        """A permission reaches agents by their ids, and capabilities by theirs."""
        self.worker("w", "dance")
        token = self.gateway.token("p", permissions=["agent.call:w", "agent.call:capability:sing"])
        client = self.gateway.connect(token=token)
        self.assertIsNone(self.outcome(self.call(client, agent_id="w"), client))
        self.assertEqual(self.outcome(self.call(client, agent_id="caller"), client), -32002)
        self.assertEqual(self.outcome(self.call(client, capability="dance"), client), -32002)
        self.assertEqual(self.outcome(self.call(client, capability="sing"), client), -32006)

    def test_capabilities_by_no_pattern_of_names(self) -> None:
        """A pattern of agents, however wide, reaches no capability, and nobody is named like one."""
        self.worker("w", "secret")
        for pattern, code in (("*", -32002), (">", -32002), ("capability:*", None), ("capability:>", None)):
            client = self.gateway.connect(token=self.gateway.token("p", permissions=[f"agent.call:{pattern}"]))
            self.assertEqual(self.outcome(self.call(client, capability="secret"), client), code, pattern)
        operator = self.gateway.connect(token=self.gateway.token("o", permissions=["*"]))
        refusal = operator.refusal("auth.generateToken", entity_id="capability:secret")
        self.assertEqual((refusal["code"], refusal["data"]["path"]), (-32602, "params.entity_id"))
        self.assertIn("no name begins with capability:", refusal["message"])

    def test_running_id(self) -> None:
        """Only the id of a call that is running is taken."""
        worker = self.worker("w")
        request = {"jsonrpc": "2.0", "id": "x", "method": "agent.call", "params": {"agent_id": "w", "message": 1}}
        self.caller.send(json.dumps(request))
        self.assertEqual(self.caller.send(json.dumps(request))[0]["error"]["code"], -32007)
        self.answer(worker, self.asked(worker)[0]["call_id"])
        self.caller.flush()
        self.caller.send(json.dumps(request))
        self.assertEqual(len(self.asked(worker)), 2)

    def test_bounded(self) -> None:
        """One session has so many calls on their way, and no more."""
        self.worker("w")
        for _ in range(MAX_OF_CALLER):
            self.call(agent_id="w")
        self.assertEqual(self.outcome(self.call(agent_id="w")), -32003)

    def test_without_id(self) -> None:
        """A call that wants no answer is made, gets none, and ends with its caller."""
        worker = self.worker("w")
        self.caller.send('{"jsonrpc":"2.0","method":"agent.call","params":{"agent_id":"w","message":1}}')
        (asked,) = self.asked(worker)
        self.assertEqual(worker.call("agent.progress", call_id=asked["call_id"], data=1), {"success": True})
        self.assertEqual(self.caller.received("agent.progress"), [])
        self.caller.disconnect()
        self.assertEqual(len(worker.received("agent.cancelled")), 1)
        self.assertNothingLeft()

    def test_stray_answers(self) -> None:
        """Answers to nothing are dropped and counted, and get no answer."""
        worker, thief = self.worker("w"), self.worker("thief")
        request = self.call(agent_id="w")
        (asked,) = self.asked(worker)
        for body in ('"id":"call_no","result":1', f'"id":"{asked["call_id"]}","result":"stolen"', '"id":5,"result":1'):
            self.assertEqual(thief.send(f'{{"jsonrpc":"2.0",{body}}}'), [])
        self.answer(worker, asked["call_id"])
        self.assertEqual(worker.send('{{"jsonrpc":"2.0","id":"{}","result":2}}'.format(asked["call_id"])), [])
        self.assertEqual(self.outcome(request), "done")
        self.assertEqual(self.gateway.agents.calls.late, 3)


class NobodyTests(CallCase):
    """When nobody can."""

    def test_nobody(self) -> None:
        """What nobody serves is refused at once, with what it may have meant and the caller may call."""
        self.worker("translator-1", "translate")
        refusal = self.caller.refusal("agent.call", capability="trnslate", message=1)
        self.assertEqual((refusal["code"], refusal["data"]["near"]), (-32006, ["translate"]))
        refusal = self.caller.refusal("agent.call", agent_id="translator-2", message=1)
        self.assertEqual((refusal["code"], refusal["data"]["near"]), (-32006, ["translator-1"]))
        narrow = self.gateway.connect(token=self.gateway.token("n", permissions=["agent.call:translator-2"]))
        self.assertEqual(narrow.refusal("agent.call", agent_id="translator-2", message=1)["data"]["near"], [])

    def test_may_not_serve(self) -> None:
        """Who only says that it can, and whose token does not let it, is asked nothing."""
        token = self.gateway.token("w", permissions=["agent.serve:sing"])
        worker = self.gateway.connect(token=token, capabilities=["dance", "sing"])
        self.assertEqual(self.caller.refusal("agent.call", capability="dance", message=1)["code"], -32006)
        self.call(capability="sing")
        self.assertEqual(len(self.asked(worker)), 1)

    def test_another_token(self) -> None:
        """Another token changes at once what its session may serve."""
        worker = self.worker("w", "dance")
        worker.call("auth.refresh", token=self.gateway.token("w", permissions=["session.*"]))
        self.assertEqual(self.caller.refusal("agent.call", capability="dance", message=1)["code"], -32000)
        worker.call("auth.refresh", token=self.gateway.token("w", permissions=["agent.serve:dance"]))
        self.call(capability="dance")
        self.assertEqual(len(self.asked(worker)), 1)

    def test_resting(self) -> None:
        """Who does not want to be disturbed is asked nothing new, and goes on with what it has."""
        worker = self.worker("w", "dance")
        running = self.call(capability="dance")
        worker.call("presence.update", status="do_not_disturb")
        for target in ({"capability": "dance"}, {"agent_id": "w"}):
            self.assertEqual(self.caller.refusal("agent.call", message=1, **target)["code"], -32000)
        self.answer(worker, self.asked(worker)[0]["call_id"])
        self.assertEqual(self.outcome(running), "done")
        worker.call("presence.update", status="online")
        self.call(capability="dance")
        self.assertEqual(len(self.asked(worker)), 2)

    def test_comes_to_rest(self) -> None:
        """Calls that wait are told when all who could take them come to rest, or go."""
        worker = self.worker("w", "dance", max_inflight=1)
        self.call(capability="dance")
        waiting = self.call(capability="dance")
        worker.call("presence.update", status="do_not_disturb")
        self.assertEqual(self.outcome(waiting), -32000)
        worker.call("presence.update", status="online")
        waiting = self.call(capability="dance")
        worker.disconnect()
        self.assertEqual(self.outcome(waiting), -32000)
        self.assertNothingLeft()


class ConversationTests(CallCase):
    """Calls within calls."""

    options = {"max_hops": 2}

    def test_nested(self) -> None:
        """A call made for a call is one hop further in the same conversation, and too many are stopped."""
        worker = self.worker("w")
        self.call(agent_id="w")
        first = self.asked(worker)[0]
        self.call(worker, agent_id="w", in_reply_to=first["call_id"])
        second = self.asked(worker)[1]
        self.assertEqual((second["conversation_id"], second["hops"]), (first["conversation_id"], 1))
        self.assertEqual(second["in_reply_to"], first["call_id"])
        self.call(worker, agent_id="w", in_reply_to=second["call_id"])
        third = self.asked(worker)[2]
        refusal = worker.refusal("agent.call", agent_id="w", message=1, in_reply_to=third["call_id"])
        self.assertEqual(refusal["code"], -32010)
        self.assertEqual(
            self.caller.refusal("agent.call", agent_id="w", message=1, in_reply_to="call_1")["code"], -32006
        )

    def test_mail_for_a_call(self) -> None:
        """Mail may belong to a call that its sender has."""
        worker = self.worker("w")
        self.call(agent_id="w")
        (asked,) = self.asked(worker)
        worker.call("agent.send", agent_id="caller", message="on it", in_reply_to=asked["call_id"])
        (mail,) = self.caller.received("agent.message")
        self.assertEqual((mail["conversation_id"], mail["hops"]), (asked["conversation_id"], 1))


class ListTests(CallCase):
    """C{agent.list} with load."""

    def test_load(self) -> None:
        """An agent's load is that of all its sessions."""
        self.worker("w", "dance", max_inflight=2)
        self.worker("w", "dance", max_inflight=3)
        self.call(capability="dance")
        (entry,) = self.caller.call("agent.list", capability="dance")
        self.assertEqual((entry["inflight"], entry["max_inflight"]), (1, 5))
        self.worker("w", "sing")
        (entry,) = self.caller.call("agent.list", capability="sing")
        self.assertEqual((entry["inflight"], entry["max_inflight"]), (1, None))

    def test_resumed(self) -> None:
        """A session that takes up another one's place serves what that one did, and takes as many calls."""
        token = self.gateway.token("w")
        worker = self.gateway.connect()
        opened = worker.call("auth.authenticate", token=token, capabilities=["dance", "ack"], max_inflight=1)
        worker.vanish()
        back = self.gateway.connect(token=token)
        back.call("session.resume", resume_token=opened["resume_token"])
        for _ in range(2):
            self.call(capability="dance")
        self.assertEqual(len(self.asked(back)), 1)
