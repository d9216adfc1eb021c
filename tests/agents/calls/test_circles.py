"""``agent.call``: calls that wait for each other."""

from __future__ import annotations

from typing import Any

from cell0gw.agents.calls.circles import MOST
from cell0gw.testing import Client
from tests.agents.calls.calling import CallCase

REASON = "all who could take the call wait for it"


class CircleCase(CallCase):
    """With agents that take one call at a time, and make others for its sake."""

    def one_at_a_time(self, name: str, *capabilities: str) -> Client:
        return self.worker(name, *capabilities, max_inflight=1)

    def passes_on(self, worker: Client, **target: Any) -> int:
        """An agent calls somebody for the sake of the call that it got last."""
        return self.call(worker, in_reply_to=self.asked(worker)[-1]["call_id"], **target)

    def refusal(self, client: Client, request: int) -> dict[str, Any]:
        """The error of an agent's own call."""
        return next(m["error"] for m in client.messages if isinstance(m, dict) and m.get("id") == request)


class CircleTests(CircleCase):
    """What can't end is told at once."""

    def test_there_and_back(self) -> None:
        """Who calls back the one that waits for its answer is told so at once, and can go on."""
        first, second = self.one_at_a_time("a"), self.one_at_a_time("b")
        request = self.call(agent_id="a")
        onward = self.passes_on(first, agent_id="b")
        back = self.passes_on(second, agent_id="a")
        self.assertEqual(self.outcome(back, second), -32010)
        error = self.refusal(second, back)
        self.assertEqual(error["message"], f"The conversation goes in circles: {REASON}")
        self.assertEqual((error["data"]["retryable"], error["data"]["hops"]), (False, 2))
        self.assertEqual(error["data"]["conversation_id"], self.asked(first)[0]["conversation_id"])
        self.answer(second, self.asked(second)[0]["call_id"])
        self.assertEqual(self.outcome(onward, first), "done")
        self.answer(first, self.asked(first)[0]["call_id"])
        self.assertEqual(self.outcome(request), "done")
        self.assertNothingLeft()

    def test_own_capability(self) -> None:
        """Who is alone with a capability, and calls for it while it serves it, waits for itself."""
        worker = self.one_at_a_time("a", "dance")
        self.call(capability="dance")
        self.assertEqual(self.outcome(self.passes_on(worker, capability="dance"), worker), -32010)

    def test_in_turn(self) -> None:
        """It is the same when each of several has one for the next, and the last one has nobody left."""
        workers = [self.one_at_a_time(name, "dance") for name in "abc"]
        self.call(capability="dance")
        for worker in workers[:2]:
            self.assertIsNone(self.outcome(self.passes_on(worker, capability="dance"), worker))
        self.assertEqual(self.outcome(self.passes_on(workers[2], capability="dance"), workers[2]), -32010)

    def test_two_that_cross(self) -> None:
        """Two that call each other at the same time wait for each other: the second is told, and may try again."""
        first, second = self.one_at_a_time("a"), self.one_at_a_time("b")
        requests = [self.call(agent_id="a"), self.call(agent_id="b")]
        waiting = self.passes_on(first, agent_id="b")
        crossing = self.passes_on(second, agent_id="a")
        self.assertEqual((self.outcome(waiting, first), self.outcome(crossing, second)), (None, -32010))
        data = self.refusal(second, crossing)["data"]
        self.assertEqual((data["retryable"], data["retry_after_ms"]), (True, 1000))
        self.answer(second, self.asked(second)[0]["call_id"])
        self.answer(second, self.asked(second)[1]["call_id"])
        self.assertEqual(self.outcome(waiting, first), "done")
        self.answer(first, self.asked(first)[0]["call_id"])
        self.assertEqual([self.outcome(request) for request in requests], ["done", "done"])
        self.assertNothingLeft()

    def test_when_the_last_other_goes(self) -> None:
        """A call that waits for somebody else is told when that one goes, or rests, and only a circle is left."""
        for how in ("goes", "rests"):
            worker, other = self.one_at_a_time("a", "dance"), self.one_at_a_time("b", "dance")
            self.call(agent_id="b")
            self.call(agent_id="a")
            request = self.passes_on(worker, capability="dance")
            self.assertIsNone(self.outcome(request, worker))
            if how == "goes":
                other.disconnect()
            else:
                other.call("presence.update", status="do_not_disturb")
                other.flush()
            self.assertEqual(self.outcome(request, worker), -32010, how)
            for client in (worker, other):
                client.disconnect()

    def test_event(self) -> None:
        """Operators are told by the event of loops."""
        operator = self.gateway.connect(token=self.gateway.token("o", permissions=["*"]))
        operator.call("channel.subscribe", channel="$system")
        worker = self.one_at_a_time("a", "dance")
        self.call(capability="dance")
        self.passes_on(worker, capability="dance")
        (event,) = [e["data"] for e in operator.received("event") if e["type"] == "agent.loop"]
        self.assertEqual((event["from"], event["agent_id"], event["reason"]), ("a", "capability:dance", REASON))

    def test_explained(self) -> None:
        """C{gateway.explain} says so of a call that has not been made."""
        token = self.gateway.token("a", permissions=["agent.*", "gateway.explain"])
        worker = self.gateway.connect(token=token, capabilities=["dance"], max_inflight=1)
        self.call(capability="dance")
        params = {"capability": "dance", "message": 1, "in_reply_to": self.asked(worker)[0]["call_id"]}
        told = worker.request("gateway.explain", {"method": "agent.call", "params": params})["result"]
        self.assertEqual((told["outcome"], told["reason"]), ("refused", REASON))
        del params["in_reply_to"]
        told = worker.request("gateway.explain", {"method": "agent.call", "params": params})["result"]
        self.assertEqual(told["outcome"], "waiting")


class NoCircleTests(CircleCase):
    """What may end waits."""

    def assertWaits(self, request: int, client: Client) -> None:
        self.assertIsNone(self.outcome(request, client))
        self.assertEqual(self.gateway.agents.calls.waiting, 1)

    def test_one_more_at_once(self) -> None:
        """Who has room for the one that comes back gets it."""
        first, second = self.worker("a", max_inflight=2), self.one_at_a_time("b")
        self.call(agent_id="a")
        self.passes_on(first, agent_id="b")
        back = self.passes_on(second, agent_id="a")
        self.answer(first, self.asked(first)[1]["call_id"])
        self.assertEqual(self.outcome(back, second), "done")

    def test_one_that_is_not_waited_for(self) -> None:
        """Who is busy with something else as well will have room when that is done."""
        first, second = self.worker("a", max_inflight=2), self.one_at_a_time("b")
        self.call(agent_id="a")
        self.passes_on(first, agent_id="b")
        self.call(agent_id="a")
        back = self.passes_on(second, agent_id="a")
        self.assertWaits(back, second)
        self.answer(first, self.asked(first)[1]["call_id"])
        self.assertEqual(len(self.asked(first)), 3)

    def test_what_was_given_up(self) -> None:
        """Who is still at something that was given up will have room when it answers that."""
        first, second = self.worker("a", max_inflight=2), self.one_at_a_time("b")
        given_up = self.call(agent_id="a")
        self.call(agent_id="a")
        self.passes_on(first, agent_id="b")
        self.caller.call("agent.cancel", request_id=given_up)
        self.assertWaits(self.passes_on(second, agent_id="a"), second)

    def test_somebody_else(self) -> None:
        """As long as one of several may take it, be it full or away, it waits."""
        for away in (True, False):
            worker, other = self.one_at_a_time("a", "dance"), self.one_at_a_time("b", "dance")
            self.call(agent_id="b")
            self.call(agent_id="a")
            if away:
                other.vanish()
            request = self.passes_on(worker, capability="dance")
            self.assertWaits(request, worker)
            for client in (worker, other):
                client.disconnect()
            self.gateway.advance(130)

    def test_another_branch(self) -> None:
        """Who waits for one that can end is no part of a circle, though it has others that can't."""
        first, second, third = (self.one_at_a_time(name) for name in "abc")
        for agent_id in "abc":
            self.call(agent_id=agent_id)
        onward = [self.passes_on(first, agent_id="c"), self.passes_on(second, agent_id="a")]
        self.assertEqual([self.outcome(onward[0], first), self.outcome(onward[1], second)], [None, None])
        self.answer(third, self.asked(third)[0]["call_id"])
        self.answer(third, self.asked(third)[1]["call_id"])
        self.assertEqual(self.outcome(onward[0], first), "done")

    def test_without_in_reply_to(self) -> None:
        """A call that does not say for whose sake it is made waits like any other."""
        worker = self.one_at_a_time("a", "dance")
        self.call(capability="dance")
        self.assertWaits(self.call(worker, capability="dance"), worker)

    def test_parent_is_over(self) -> None:
        """What is over waits for nothing: calls that were made for it are like any other."""
        first, second = self.one_at_a_time("a"), self.one_at_a_time("b")
        self.call(agent_id="a")
        self.call(agent_id="b")
        child = self.passes_on(first, agent_id="b")
        self.answer(first, self.asked(first)[0]["call_id"])
        self.call(agent_id="a")
        other = self.passes_on(second, agent_id="a")
        self.assertEqual([self.outcome(child, first), self.outcome(other, second)], [None, None])

    def test_many(self) -> None:
        """However much there is to look at, no more than some of it is: the rest is left to the clocks."""
        workers = [self.one_at_a_time(f"w{number}", "dance") for number in range(MOST // 2 + 2)]
        self.gateway.agents.conversations._max_hops = 0
        self.call(capability="dance")
        for worker in workers[:-1]:
            self.passes_on(worker, capability="dance")
        last = self.passes_on(workers[-1], capability="dance")
        self.assertIn(self.outcome(last, workers[-1]), (None, -32010))
