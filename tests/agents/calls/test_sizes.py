"""Calls that are longer than a worker's client takes."""

from __future__ import annotations

import tracemalloc

from cell0gw.agents.calls.call import OVERHEAD
from cell0gw.agents.calls.dealer import MAX_SIZE_OF_CALLER
from tests.agents.calls.calling import CallCase

LIMIT = 2000
LONG = "x" * LIMIT
TOO_LARGE = -32005
RATE_LIMITED = -32003


class SizeTests(CallCase):
    """C{max_message_size} of C{auth.authenticate}."""

    def test_agent(self) -> None:
        """A call to an agent that does not take as much is refused at the caller, and a shorter one goes there."""
        worker = self.worker("w", max_message_size=LIMIT)
        self.assertEqual(self.outcome(self.call(agent_id="w", message=LONG)), TOO_LARGE)
        self.assertEqual(self.asked(worker), [])
        request = self.call(agent_id="w", message="x" * 1000)
        self.answer(worker, self.asked(worker)[0]["call_id"])
        self.assertEqual(self.outcome(request), "done")
        self.assertNothingLeft()

    def test_capability(self) -> None:
        """A call for a capability goes to a worker that takes as much, whatever the policy would say; where none does
        it is refused.
        """
        small = [self.worker(name, "sing", max_message_size=LIMIT) for name in ("a", "b")]
        self.assertEqual(self.outcome(self.call(capability="sing", message=LONG)), TOO_LARGE)
        large = self.worker("c", "sing")
        policies = ({}, {"policy": "round_robin"}, {"policy": "random"}, {"policy": "sticky", "key": "k"})
        for count, policy in enumerate(policies, 1):
            request = self.call(capability="sing", message=LONG, **policy)
            self.assertEqual(len(self.asked(large)), count)
            self.answer(large, self.asked(large)[-1]["call_id"])
            self.assertEqual(self.outcome(request), "done")
        self.assertEqual([self.asked(worker) for worker in small], [[], []])
        self.assertNothingLeft()

    def test_waiting(self) -> None:
        """A call that waits for one that takes as much is not given to one that doesn't; when the last one that does is
        gone it fails.
        """
        large = self.worker("l", "sing", max_inflight=1)
        first = self.call(capability="sing", message="short")
        second = self.call(capability="sing", message=LONG)
        small = self.worker("s", "sing", max_message_size=LIMIT)
        self.gateway.advance(5)
        self.assertEqual((self.asked(small), self.outcome(second)), ([], None))
        self.answer(large, self.asked(large)[0]["call_id"])
        self.assertEqual(self.outcome(first), "done")
        self.assertEqual(len(self.asked(large)), 2)
        third = self.call(capability="sing", message=LONG)
        large.disconnect()
        self.gateway.advance(1)
        self.assertEqual(self.outcome(third), TOO_LARGE)


class KeptTests(CallCase):
    """What a call keeps until it has its answer."""

    def test_white_space(self) -> None:
        """Of the params the message alone is kept, however long the rest of them was written."""
        self.worker("w", max_inflight=1)
        self.call(agent_id="w")
        padded = '{"jsonrpc":"2.0","id":%d,"method":"agent.call","params":{"agent_id":"w","message":1%s}}'
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(10):
            self.caller.send(padded % (number, " " * 100_000))
        after, _ = tracemalloc.get_traced_memory()
        self.assertEqual(self.gateway.agents.calls.waiting, 10)
        self.assertLess(after - before, 10 * 25_000)

    def test_share(self) -> None:
        """What a session's calls take is bounded, the objects around their messages included."""
        self.worker("w", max_inflight=1)
        message = "x" * (MAX_SIZE_OF_CALLER // 4 - OVERHEAD - 2)
        requests = [self.call(agent_id="w", message=message) for _ in range(5)]
        self.gateway.advance(20)  # what is read so fast is waited for
        self.assertEqual([self.outcome(request) for request in requests], [None] * 4 + [RATE_LIMITED])
