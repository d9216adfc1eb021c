"""``agent.call``: what was given up, and the agent that may still be at it."""

from __future__ import annotations

import json
from typing import Any

from cell0gw.agents.calls.pools import MAX_GIVEN_UP
from cell0gw.testing import Client
from tests.agents.calls.calling import CallCase


class GivenUpTests(CallCase):
    """It counts until the agent has answered."""

    def give_up(self, how: str) -> None:
        """Make a call that is given up, once somebody has it."""
        if how == "gone":
            gone = self.gateway.connect("gone")
            self.call(gone, agent_id="w")
            gone.vanish()
        elif how == "cancelled":
            self.caller.call("agent.cancel", request_id=self.call(agent_id="w"))
        else:
            self.call(agent_id="w", **{how: 1000})
            self.gateway.advance(1)

    def test_until_it_is_answered(self) -> None:
        """Whatever a call is given up for, an agent that takes one at a time gets no other until it has answered."""
        for how in ("timeout_ms", "idle_ms", "cancelled", "gone"):
            worker = self.worker("w", max_inflight=1)
            self.give_up(how)
            request = self.call(agent_id="w")
            self.assertEqual(len(self.asked(worker)), 1, how)
            self.answer(worker, self.asked(worker)[0]["call_id"])
            self.assertEqual(len(self.asked(worker)), 2, how)
            self.answer(worker, self.asked(worker)[1]["call_id"])
            self.assertEqual(self.outcome(request), "done", how)
            worker.disconnect()
        self.assertEqual(self.gateway.agents.calls.late, 4)
        self.assertNothingLeft()

    def test_any_answer(self) -> None:
        """Any answer will do, a refusal and one that is nearly one as well; a second one frees nothing."""
        worker = self.worker("w", max_inflight=1)
        bodies: tuple[dict[str, Any], ...] = ({"error": {"code": -32000}}, {"error": {"code": 5, "message": "no"}}, {})
        for body in bodies:
            self.give_up("cancelled")
            answer = json.dumps({"jsonrpc": "2.0", "id": self.asked(worker)[-1]["call_id"], **body})
            for _ in range(2):
                worker.send(answer)
            self.call(agent_id="w")
            self.call(agent_id="w")
            waiting = self.gateway.agents.calls.waiting
            self.assertEqual(waiting, 1, body)
            for _ in range(2):
                self.answer(worker, self.asked(worker)[-1]["call_id"])
        self.assertNothingLeft()

    def test_whose_answer(self) -> None:
        """Nobody else's answer frees the agent."""
        worker, other = self.worker("w", max_inflight=1), self.worker("other", max_inflight=1)
        self.give_up("cancelled")
        self.answer(other, self.asked(worker)[0]["call_id"])
        self.call(agent_id="w")
        self.assertEqual(len(self.asked(worker)), 1)

    def test_until_its_session_ends(self) -> None:
        """The agent's next session begins with nothing, resumed or not."""
        for resumed in (True, False):
            token = self.gateway.token("w")
            worker = self.gateway.connect()
            secret = worker.call("auth.authenticate", token=token, max_inflight=1)["resume_token"]
            self.give_up("cancelled")
            worker.vanish()
            back = self.gateway.connect(token=token, max_inflight=1)
            if resumed:
                self.assertTrue(back.call("session.resume", resume_token=secret)["resumed"])
            self.call(agent_id="w")
            self.assertEqual(len(self.asked(back)), 1)
            back.disconnect()

    def test_others_take_it(self) -> None:
        """Meanwhile calls go to those that have room, as if the agent had the call still."""
        worker, other = self.worker("w", "dance"), self.worker("v", "dance", max_inflight=1)
        self.give_up("cancelled")
        self.call(capability="dance")
        self.assertEqual((len(self.asked(worker)), len(self.asked(other))), (1, 1))

    def test_shown(self) -> None:
        """Whoever looks sees how many calls an agent is at, and that some were given up."""
        self.worker("w", max_inflight=1)
        self.give_up("cancelled")
        (entry,) = [entry for entry in self.caller.call("agent.list") if entry["entity_id"] == "w"]
        self.assertEqual((entry["inflight"], entry["max_inflight"]), (1, 1))
        operator = self.gateway.connect(token=self.gateway.token("o", permissions=["*"]))
        asked = {"method": "agent.call", "params": {"agent_id": "w", "message": 1}}
        told = operator.request("gateway.explain", asked)["result"]
        self.assertEqual(told["outcome"], "waiting")
        reason = "full: it has 1 of 1 calls, 1 of them given up and not answered"
        self.assertEqual([one["reason"] for one in told["considered"]], [reason])

    def test_bounded(self) -> None:
        """Of an agent that takes any number, and answers nothing, the newest thousand are counted."""
        worker = self.worker("w")
        for _ in range(MAX_GIVEN_UP + 1):
            self.give_up("cancelled")
        session = worker.server.session
        self.assertEqual(self.gateway.agents.workers.of_session(session).load, MAX_GIVEN_UP)
        self.call(agent_id="w")
        self.assertEqual(len(self.asked(worker)), MAX_GIVEN_UP + 2)


class ConvoyTests(CallCase):
    """An agent that does one thing at a time, and is once slower than its callers have patience."""

    def test_recovers(self) -> None:
        """It does not go on with what nobody waits for: those that come later are answered in time."""
        worker, requests = self.worker("w", max_inflight=1), []
        done_at: list[tuple[float, str]] = []
        for tick in range(120):  # of 50 ms; a call every 300 ms, of which each takes 250, but the first one
            now = tick / 20
            if tick % 6 == 0 and len(requests) < 16:
                requests.append(self.call(agent_id="w", timeout_ms=290))
            self.work(worker, done_at, now)
            self.gateway.advance(0.05, step=0.05)
        outcomes = [self.outcome(request) for request in requests]
        self.assertEqual(outcomes[2:], ["done"] * 14)

    def work(self, worker: Client, done_at: list[tuple[float, str]], now: float) -> None:
        """Answer what is done by now, and begin what was asked for when the last thing is done."""
        for end, call_id in done_at:
            if now - 0.025 < end <= now + 0.025:
                self.answer(worker, call_id)
        for asked in self.asked(worker)[len(done_at) :]:
            begun = max([now, *(end for end, _ in done_at[-1:])])
            done_at.append((begun + (0.25 if done_at else 0.6), asked["call_id"]))
