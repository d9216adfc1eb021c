"""``agent.call``: progress before its answer, and the ends that are none."""

from __future__ import annotations

import json

from tests.agents.calls.calling import CallCase


class ProgressTests(CallCase):
    """Before the answer."""

    def test_stream(self) -> None:
        """Progress reaches the caller in order, numbered, under the id of its request."""
        worker = self.worker("w")
        request = self.call(agent_id="w")
        call_id = self.asked(worker)[0]["call_id"]
        for token in ("once", "upon", "a"):
            worker.send(json.dumps({"jsonrpc": "2.0", "method": "agent.progress", "params": [call_id, token]}))
        self.answer(worker, call_id, "once upon a time")
        self.assertEqual(
            self.caller.received("agent.progress"),
            [
                {"request_id": request, "call_id": call_id, "sequence": number, "data": token}
                for number, token in enumerate(("once", "upon", "a"), 1)
            ],
        )
        self.assertEqual(self.caller.messages[-1]["result"], "once upon a time")

    def test_whose(self) -> None:
        """Nobody makes progress with another one's call, or with one that is over."""
        worker, other = self.worker("w"), self.worker("other")
        self.call(agent_id="w")
        call_id = self.asked(worker)[0]["call_id"]
        self.assertEqual(other.call("agent.progress", call_id=call_id, data=1), {"success": False})
        self.answer(worker, call_id)
        self.assertEqual(worker.call("agent.progress", call_id=call_id, data=1), {"success": False})
        self.assertEqual(self.caller.received("agent.progress"), [])

    def test_two_clocks(self) -> None:
        """Progress keeps a call alive between two signs of life, and not beyond the whole of its time."""
        worker = self.worker("w")
        request = self.call(agent_id="w", timeout_ms=10_000, idle_ms=3000)
        call_id = self.asked(worker)[0]["call_id"]
        for _ in range(4):
            self.gateway.advance(2)
            worker.call("agent.progress", call_id=call_id, data=1)
        self.assertIsNone(self.outcome(request))
        self.gateway.advance(2)
        self.assertEqual((self.outcome(request), self.error(request)["data"]["clock"]), (-32004, "timeout"))
        self.assertEqual(worker.received("agent.cancelled")[0]["reason"], "timeout")
        self.assertNothingLeft()

    def test_idle(self) -> None:
        """A call that shows no life in time is given up."""
        worker = self.worker("w")
        request = self.call(agent_id="w", timeout_ms=60_000, idle_ms=3000)
        self.gateway.advance(4)
        self.assertEqual((self.outcome(request), self.error(request)["data"]["clock"]), (-32004, "idle"))
        self.assertEqual(worker.received("agent.cancelled")[0]["reason"], "idle")


class CancelTests(CallCase):
    """When the answer is not wanted any more."""

    def test_cancel(self) -> None:
        """A caller cancels by the id of its request: it gets an error, its agent is told, a late answer is dropped."""
        worker = self.worker("w")
        request = self.call(agent_id="w")
        (asked,) = self.asked(worker)
        self.assertEqual(self.caller.call("agent.cancel", request_id=request), {"success": True})
        self.assertEqual(self.outcome(request), -32009)
        self.assertEqual(worker.received("agent.cancelled"), [{"call_id": asked["call_id"], "reason": "cancelled"}])
        self.answer(worker, asked["call_id"])
        self.assertEqual(self.gateway.agents.calls.late, 1)
        self.assertNothingLeft()

    def test_while_it_waits(self) -> None:
        """A call that waits still can be cancelled; nobody ever hears of it."""
        worker = self.worker("w", max_inflight=1)
        self.call(agent_id="w")
        waiting = self.call(agent_id="w")
        self.caller.call("agent.cancel", request_id=waiting)
        self.assertEqual(self.outcome(waiting), -32009)
        self.assertEqual(worker.received("agent.cancelled"), [])

    def test_whose(self) -> None:
        """Nobody cancels another one's call, or one that is not running."""
        self.worker("w")
        request = self.call(agent_id="w")
        other = self.gateway.connect("other")
        self.assertEqual(other.refusal("agent.cancel", request_id=request)["code"], -32006)
        self.assertEqual(self.caller.refusal("agent.cancel", request_id=request + 1)["code"], -32006)

    def test_caller_gone(self) -> None:
        """The calls of a caller that is gone are cancelled, those that wait, too."""
        worker = self.worker("w", max_inflight=1)
        for _ in range(2):
            self.call(agent_id="w")
        self.caller.vanish()
        self.assertEqual([m["reason"] for m in worker.received("agent.cancelled")], ["caller_gone"])
        self.assertEqual(len(self.asked(worker)), 1)
        self.assertNothingLeft()


class TruthTests(CallCase):
    """What an error says of the work."""

    def told(self, request: int) -> tuple[int, bool, bool | None]:
        error = self.error(request)
        return error["code"], error["data"]["retryable"], error["data"].get("begun")

    def test_timed_out(self) -> None:
        """A call that was too late may be made again if nobody has begun, and not if somebody has, or may have."""
        plain, acks = self.worker("plain"), self.worker("acks", "ack", max_inflight=2)
        requests = [self.call(agent_id=name, timeout_ms=1000) for name in ("plain", "acks", "acks", "acks")]
        acks.call("agent.ack", message_id=self.asked(acks)[0]["call_id"], status="started")
        self.gateway.advance(1)
        self.assertEqual(len(self.asked(plain)), 1)
        self.assertEqual(
            [self.told(request) for request in requests],
            [(-32004, False, True), (-32004, False, True), (-32004, True, False), (-32004, True, False)],
        )

    def test_idle(self) -> None:
        """It is the same for who was silent for too long."""
        acks = self.worker("acks", "ack")
        requests = [self.call(agent_id="acks", idle_ms=1000) for _ in range(2)]
        acks.call("agent.progress", call_id=self.asked(acks)[0]["call_id"], data=1)
        self.gateway.advance(1)
        self.assertEqual([self.told(request)[1:] for request in requests], [(False, True), (True, False)])

    def test_after_a_refusal(self) -> None:
        """What was refused, or lost before it had begun, and then waited for too long, nobody has begun."""
        one, two = self.worker("one", "dance"), self.worker("two", "dance", "ack", max_inflight=1)
        self.call(agent_id="two")
        request = self.call(capability="dance", timeout_ms=1000)
        self.refuse(one, self.asked(one)[0]["call_id"])
        self.assertEqual(len(self.asked(two)), 1)
        self.gateway.advance(1)
        self.assertEqual(self.told(request), (-32004, True, False))

    def test_failed_and_cancelled(self) -> None:
        """An agent that has failed, or was lost, had begun; one whose call was cancelled maybe, and that is said."""
        worker, acks = self.worker("w"), self.worker("acks", "ack")
        failed, lost, cancelled = (self.call(agent_id="w") for _ in range(3))
        unbegun = self.call(agent_id="acks")
        self.answer(worker, self.asked(worker)[0]["call_id"], code=1, message="no")
        for request in (cancelled, unbegun):
            self.caller.call("agent.cancel", request_id=request)
        worker.vanish()
        self.caller.flush()
        self.assertEqual(len(self.asked(acks)), 1)
        self.assertEqual(
            [self.told(request) for request in (failed, lost, cancelled, unbegun)],
            [(-32008, False, True), (-32008, False, True), (-32009, False, True), (-32009, False, False)],
        )


class DrainTests(CallCase):
    """When the gateway goes down."""

    def test_drain(self) -> None:
        """Whoever waits for an answer is told before the goodbye, and may ask again only if nobody has begun."""
        plain, acks = self.worker("plain"), self.worker("acks", "ack", max_inflight=2)
        requests = [self.call(agent_id=name) for name in ("plain", "acks", "acks", "acks")]
        acks.call("agent.ack", message_id=self.asked(acks)[0]["call_id"], status="started")
        self.gateway.drain()
        self.assertEqual([self.outcome(request) for request in requests], [-32008, -32008, -32000, -32000])
        self.assertTrue(self.error(requests[3])["data"]["retryable"])
        self.assertEqual([one["reason"] for one in plain.received("agent.cancelled")], ["draining"])
        self.assertEqual(len(self.asked(acks)), 2)
        self.assertEqual(self.caller.close_code, 4001)
        self.assertNothingLeft()
