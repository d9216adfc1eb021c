"""``agent.call``: who gets it when all are busy, when it was refused, and when its agent is lost."""

from __future__ import annotations

from cell0gw.agents.calls.assignments import MAX_WAITING
from tests.agents.calls.calling import CallCase


class QueueTests(CallCase):
    """When all are busy."""

    def test_max_inflight(self) -> None:
        """A worker has as many calls as it takes; the others wait, and come in their order."""
        worker = self.worker("w", "dance", max_inflight=2)
        requests = [self.call(capability="dance", message=n) for n in range(4)]
        self.assertEqual([asked["message"] for asked in self.asked(worker)], [0, 1])
        self.answer(worker, self.asked(worker)[1]["call_id"])
        self.assertEqual([asked["message"] for asked in self.asked(worker)], [0, 1, 2])
        for asked in self.asked(worker)[2:]:
            self.answer(worker, asked["call_id"])
        self.answer(worker, self.asked(worker)[0]["call_id"])
        self.answer(worker, self.asked(worker)[3]["call_id"])
        self.assertEqual([self.outcome(request) for request in requests], ["done"] * 4)
        self.assertNothingLeft()

    def test_next_of_both(self) -> None:
        """A worker that is free takes the call that has waited longest, by whatever name."""
        worker = self.worker("w", "dance", "sing", max_inflight=1)
        self.call(capability="dance", message=0)
        for message, capability in enumerate(("sing", "dance", "sing"), 1):
            self.gateway.advance(0.1)
            self.call(capability=capability, message=message)
        for place in range(3):
            self.answer(worker, self.asked(worker)[place]["call_id"])
        self.assertEqual([asked["message"] for asked in self.asked(worker)], [0, 1, 2, 3])

    def test_one_more_comes(self) -> None:
        """Calls that wait go to whoever comes and can take them."""
        self.worker("w", "dance", max_inflight=1)
        self.call(capability="dance", message=0)
        self.call(capability="dance", message=1)
        other = self.worker("v", "dance")
        self.assertEqual([asked["message"] for asked in self.asked(other)], [1])

    def test_deadline(self) -> None:
        """A call waits no longer than its caller."""
        self.worker("w", "dance", max_inflight=1)
        self.call(capability="dance")
        waiting = self.call(capability="dance", timeout_ms=2000)
        self.gateway.advance(3)
        self.assertEqual(self.outcome(waiting), -32004)

    def test_full(self) -> None:
        """One caller's calls wait up to a half of all that may; another one's find room then."""
        worker = self.worker("w", "dance", max_inflight=1)
        self.call(capability="dance")
        for _ in range(MAX_WAITING // 2):
            self.call(capability="dance")
        sessions = [self.caller, self.gateway.connect("caller")]
        for client in sessions:
            self.assertEqual(self.outcome(self.call(client, capability="dance"), client), -32003)
        other = self.gateway.connect("other")
        for _ in range(MAX_WAITING // 4):
            self.call(other, capability="dance")
        self.assertEqual(self.outcome(self.call(other, capability="dance"), other), -32003)
        self.assertIsNone(self.outcome(self.call(self.gateway.connect("third"), capability="dance")))
        (pool,) = self.gateway.agents.calls.assignments._queues
        self.assertEqual(pool.waiting_of, {"caller": 500, "other": 250, "third": 1})
        for client in sessions:
            client.disconnect()
        self.assertEqual(pool.waiting_of, {"other": 250, "third": 1})
        worker.disconnect()
        self.assertEqual((pool.waiting_of, pool.waiting), ({}, {}))

    def test_slow_worker(self) -> None:
        """A worker that does not read what it is sent is passed over, until it does."""
        slow = self.worker("slow", "dance")
        slow.server.__class__ = type("Slow", (type(slow.server),), {"backlog": 2**21})
        waiting = self.call(capability="dance", message=0)
        other = self.worker("other", "dance", max_inflight=1)
        self.call(capability="dance", message=1)
        self.assertEqual([asked["message"] for asked in self.asked(other)], [0])
        slow.server.__class__ = type(slow.server).__mro__[1]
        self.gateway.advance(2)
        self.assertEqual([asked["message"] for asked in self.asked(slow)], [1])
        self.assertIsNone(self.outcome(waiting))


class PassingOnTests(CallCase):
    """Refused, and lost."""

    def test_refused(self) -> None:
        """A call that was refused before it had begun goes to the next, never to the same again."""
        for code in (-32000, -32003, -32601):
            workers = [self.worker(f"w{code}{n}", f"skill{code}") for n in range(3)]
            request = self.call(capability=f"skill{code}")
            for worker in workers[:2]:
                self.refuse(worker, self.asked(worker)[0]["call_id"], code)
            self.answer(workers[2], self.asked(workers[2])[0]["call_id"])
            self.assertEqual(self.outcome(request), "done")
            self.assertEqual([len(self.asked(worker)) for worker in workers], [1, 1, 1])
        self.assertNothingLeft()

    def test_refused_by_all(self) -> None:
        """When all have refused the caller is told so at once."""
        workers = [self.worker(f"w{n}", "dance") for n in range(2)]
        request = self.call(capability="dance")
        for worker in workers:
            self.refuse(worker, self.asked(worker)[0]["call_id"])
        self.assertEqual(self.outcome(request), -32000)
        self.assertEqual(self.error(request)["data"]["refusal"], "not now")
        self.assertNothingLeft()

    def test_begun_and_refused(self) -> None:
        """Who has begun can't refuse any more: that is a failure."""
        first, second = self.worker("w1", "dance"), self.worker("w2", "dance")
        request = self.call(capability="dance")
        call_id = self.asked(first)[0]["call_id"]
        first.call("agent.progress", call_id=call_id, data=1)
        self.refuse(first, call_id)
        self.assertEqual(self.outcome(request), -32008)
        self.assertEqual(self.asked(second), [])

    def test_waits_in_front(self) -> None:
        """A call that was refused, and for which nobody else is free, waits before those that came later."""
        first = self.worker("w1", "dance", max_inflight=1)
        second = self.worker("w2", "dance", max_inflight=1)
        requests = [self.call(capability="dance", message=n) for n in range(3)]
        self.refuse(first, self.asked(first)[0]["call_id"])
        self.assertEqual([asked["message"] for asked in self.asked(first)], [0, 2])
        self.answer(second, self.asked(second)[0]["call_id"])
        self.assertEqual([asked["message"] for asked in self.asked(second)], [1, 0])
        self.assertIsNone(self.outcome(requests[0]))

    def test_lost_before(self) -> None:
        """A call goes to the next when its agent, which would have said so, is lost before it began."""
        first, second = self.worker("w1", "dance", "ack"), self.worker("w2", "dance", "ack")
        request = self.call(capability="dance")
        first.vanish()
        self.answer(second, self.asked(second)[0]["call_id"])
        self.assertEqual(self.outcome(request), "done")

    def test_lost_after(self) -> None:
        """A call whose agent is lost after it began fails at once, and is nobody else's."""
        for begins in ("agent.ack", "agent.progress", None):
            capabilities = ["dance"] if begins is None else ["dance", "ack"]
            first, second = self.worker("w1", *capabilities), self.worker("w2", *capabilities)
            request = self.call(capability="dance")
            call_id = self.asked(first)[0]["call_id"]
            if begins == "agent.ack":
                first.call("agent.ack", message_id=call_id, status="started")
            elif begins is not None:
                first.call("agent.progress", call_id=call_id, data=1)
            first.vanish()
            self.assertEqual(self.outcome(request), -32008, begins)
            self.assertEqual(self.asked(second), [], begins)
            second.disconnect()
        self.assertNothingLeft()

    def test_received_is_not_begun(self) -> None:
        """Who has only received a call has not begun it."""
        first, second = self.worker("w1", "dance", "ack"), self.worker("w2", "dance", "ack")
        self.call(capability="dance")
        first.call("agent.ack", message_id=self.asked(first)[0]["call_id"], status="received")
        first.vanish()
        self.assertEqual(len(self.asked(second)), 1)

    def test_ends_with_its_answer(self) -> None:
        """A call is not ended by an acknowledgement."""
        worker = self.worker("w", "ack")
        self.call(agent_id="w")
        refusal = worker.refusal("agent.ack", message_id=self.asked(worker)[0]["call_id"], status="done")
        self.assertEqual(refusal["code"], -32602)
