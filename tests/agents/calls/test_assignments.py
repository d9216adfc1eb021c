"""Which worker has which call, and which calls wait: what goes wrong between two workers, and between two calls."""

from __future__ import annotations

from typing import Any

from cell0gw.agents.calls.dealer import Dealer
from cell0gw.protocol.errors import RPCError
from cell0gw.testing import Client
from tests.agents.calls.calling import CallCase


class AssignmentCase(CallCase):
    """With the inside of the router."""

    def setUp(self) -> None:
        super().setUp()
        self.calls: Dealer = self.gateway.agents.calls

    def messages(self, worker: Client) -> list[Any]:
        return [asked["message"] for asked in self.asked(worker)]

    def last(self, worker: Client) -> str:
        return str(self.asked(worker)[-1]["call_id"])


class OrderTests(AssignmentCase):
    """Who waits in front of whom."""

    def test_several_passed_on(self) -> None:
        """Of several calls that were refused and wait again, the oldest is first still."""
        first, second, third = (self.worker(name, "dance", max_inflight=1) for name in "abc")
        for message in range(3):
            self.gateway.advance(0.1)
            self.call(capability="dance", message=message)
        self.refuse(first, self.last(first))
        self.refuse(second, self.last(second))
        self.assertEqual((self.messages(first), self.messages(second)), ([0, 1], [1, 0]))
        self.refuse(second, self.last(second))
        self.refuse(first, self.last(first))
        self.call(capability="dance", message=3)
        self.call(capability="dance", message=4)
        self.call(capability="dance", message=5)
        for _ in range(3):
            self.answer(third, self.last(third))
        self.assertEqual(self.messages(third), [2, 0, 1, 5])

    def test_by_name_and_by_capability(self) -> None:
        """A worker that is free takes what has waited longest, be it for its name or for what it can."""
        worker = self.worker("w", "dance", max_inflight=1)
        self.call(agent_id="w", message=0)
        for message, target in enumerate(({"capability": "dance"}, {"agent_id": "w"}, {"capability": "dance"}), 1):
            self.gateway.advance(0.1)
            self.call(message=message, **target)
        for _ in range(3):
            self.answer(worker, self.last(worker))
        self.assertEqual(self.messages(worker), [0, 1, 2, 3])

    def test_more_room(self) -> None:
        """Who may have more than before gets as many of those that wait, at once."""
        opened = self.gateway.connect(token=self.gateway.token("w"), capabilities=["dance"], max_inflight=1)
        for message in range(4):
            self.call(capability="dance", message=message)
        self.assertEqual(self.messages(opened), [0])
        self.gateway.presence.directory.update(opened.server.session, max_inflight=3)
        self.assertEqual(self.messages(opened), [0, 1, 2])

    def test_after_a_rest(self) -> None:
        """Who no longer rests gets what waits for those that are full."""
        full, rested = self.worker("full", "dance", max_inflight=1), self.worker("rested", "dance")
        rested.call("presence.update", status="offline")
        for message in range(3):
            self.call(capability="dance", message=message)
        self.assertEqual((self.messages(full), self.messages(rested)), ([0], []))
        rested.call("presence.update", status="busy")
        self.assertEqual(self.messages(rested), [1, 2])

    def test_cancelled_while_it_waits(self) -> None:
        """A call that was cancelled while it waited leaves its place to the next one."""
        worker = self.worker("w", "dance", max_inflight=1)
        requests = [self.call(capability="dance", message=message) for message in range(3)]
        self.caller.call("agent.cancel", request_id=requests[1])
        self.answer(worker, self.last(worker))
        self.assertEqual(self.messages(worker), [0, 2])


class PassingOnTests(AssignmentCase):
    """From one to the next."""

    def test_nobody_left_awake(self) -> None:
        """A call that some refused while the others rest is told so at once: nobody will take it."""
        awake, resting = self.worker("a", "dance"), self.worker("b", "dance")
        resting.call("presence.update", status="do_not_disturb")
        request = self.call(capability="dance")
        self.refuse(awake, self.last(awake))
        self.assertEqual(self.outcome(request), -32000)
        self.assertNothingLeft()

    def test_the_last_one_comes_to_rest(self) -> None:
        """A call that waits, refused by some, is told when the last who could take it comes to rest, or goes."""
        for leaves in (False, True):
            awake, full = self.worker("a", "dance"), self.worker("b", "dance", max_inflight=1)
            running = self.call(agent_id="b")
            request = self.call(capability="dance")
            self.refuse(awake, self.last(awake))
            self.assertIsNone(self.outcome(request))
            if leaves:
                full.disconnect()
            else:
                full.call("presence.update", status="do_not_disturb")
                self.answer(full, self.last(full))
            self.assertEqual(self.outcome(request), -32000, leaves)
            self.assertIsNotNone(self.outcome(running))
            full.disconnect()
            awake.disconnect()
        self.assertNothingLeft()

    def test_to_those_who_serve_now(self) -> None:
        """A call goes on to those who serve its capability by then, even if for a moment nobody did."""
        first = self.worker("a", "dance")
        request = self.call(capability="dance")
        first.call("auth.refresh", token=self.gateway.token("a", permissions=["session.*"]))
        second = self.worker("b", "dance")
        self.refuse(first, self.last(first))
        self.answer(second, self.last(second))
        self.assertEqual(self.outcome(request), "done")

    def test_to_nobody(self) -> None:
        """A call that was refused by the last who served its capability is told that nobody is here now who does."""
        worker = self.worker("a", "dance")
        request = self.call(capability="dance")
        worker.call("auth.refresh", token=self.gateway.token("a", permissions=["session.*"]))
        self.refuse(worker, self.last(worker))
        self.assertEqual((self.outcome(request), self.error(request)["data"]["retry_after_ms"]), (-32000, 1000))
        self.assertNothingLeft()

    def test_patience_while_it_waits_again(self) -> None:
        """A call that was refused and waits again has all of its time, and its next agent all of its patience."""
        first, second = (self.worker(name, "dance", max_inflight=1) for name in "ab")
        self.call(capability="dance")
        request = self.call(capability="dance", idle_ms=1000, timeout_ms=20_000)
        self.refuse(second, self.last(second))
        self.gateway.advance(10)
        self.assertIsNone(self.outcome(request))
        self.answer(first, self.last(first))
        self.gateway.advance(0.5)
        self.assertIsNone(self.outcome(request))
        self.gateway.advance(1)
        self.assertEqual(self.error(request)["data"]["clock"], "idle")
        self.assertNothingLeft()

    def test_late_refusal(self) -> None:
        """A second refusal of the same call, or one after its end, changes nothing."""
        first, second = self.worker("a", "dance"), self.worker("b", "dance")
        request = self.call(capability="dance")
        call_id = self.last(first)
        self.refuse(first, call_id)
        self.refuse(first, call_id)
        self.answer(first, call_id, "too late")
        self.assertIsNone(self.outcome(request))
        self.answer(second, call_id)
        self.refuse(second, call_id)
        self.assertEqual(self.outcome(request), "done")
        self.assertEqual(self.calls.late, 3)

    def test_several_of_one(self) -> None:
        """Of the calls of a worker that is lost those that it began fail, and the others go on, oldest first."""
        first = self.worker("a", "dance", "ack")
        requests = [self.call(capability="dance", message=message) for message in range(3)]
        second = self.worker("b", "dance", "ack")
        first.call("agent.progress", call_id=self.asked(first)[1]["call_id"], data=1)
        first.vanish()
        self.assertEqual([self.outcome(request) for request in requests], [None, -32008, None])
        self.assertEqual(self.messages(second), [0, 2])

    def test_one_session_of_several(self) -> None:
        """A call for an agent goes to another session of it when the one that had it is lost."""
        first, second = self.worker("w", "ack"), self.worker("w", "ack")
        request = self.call(agent_id="w")
        lost, left = (first, second) if self.asked(first) else (second, first)
        lost.vanish()
        self.answer(left, self.last(left))
        self.assertEqual(self.outcome(request), "done")


class InTheMiddleTests(AssignmentCase):
    """An answer may have its receiver do something, while others still wait for theirs."""

    def test_end_of_others(self) -> None:
        """When the first of several calls is told of a loss and its caller ends the next, all others are told, too."""
        worker = self.worker("w", "dance")
        other = self.gateway.connect("other")
        running = [self.call(agent_id="w"), self.call(agent_id="w")]
        others = self.call(other, agent_id="w")
        self.when_told(running[1])
        worker.vanish()
        self.assertEqual(self.outcome(running[0]), -32008)
        self.assertEqual(self.outcome(others, other), -32008)
        self.assertNothingLeft()

    def test_end_of_others_that_wait(self) -> None:
        """It is the same with calls that wait."""
        worker = self.worker("w", "dance", max_inflight=1)
        other = self.gateway.connect("other")
        self.call(agent_id="w")
        waiting = [self.call(capability="dance"), self.call(capability="dance")]
        others = self.call(other, capability="dance")
        self.when_told(waiting[1])
        worker.call("presence.update", status="do_not_disturb")
        self.assertEqual(self.outcome(waiting[0]), -32000)
        self.assertEqual(self.outcome(others, other), -32000)
        self.answer(worker, self.last(worker))
        self.assertNothingLeft()

    def when_told(self, request: int) -> None:
        """Cancel one of the caller's calls as soon as it is told of the end of another one."""
        session = self.caller.server.session
        failed = self.calls.assignments._failed

        def fail(call: Any, error: RPCError) -> None:
            failed(call, error)
            self.calls.assignments._failed = failed
            self.calls.cancel(session, str(request).encode())

        self.calls.assignments._failed = fail
