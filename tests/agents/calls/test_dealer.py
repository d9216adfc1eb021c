"""Calls that are on their way: their callers, their clocks, and what agents answer."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.agents.calls.call import MAX_TOLD, OVERHEAD, call_request, read_error
from cell0gw.agents.calls.dealer import MAX_SIZE, Dealer
from cell0gw.agents.calls.pools import Policy
from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import Principal
from cell0gw.protocol.errors import AgentFailed, Conflict, InvalidParams, NotFound, RateLimited, RPCError, TimedOut
from cell0gw.protocol.limits import MIB
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Caller
from cell0gw.testing import Client
from tests.agents.calls.calling import CallCase


class OrderTests(SynchronousTestCase):
    """What is asked for."""

    def order(self, policy: Policy = "least_busy", key: str | None = None) -> Any:
        return call_request("a", None, Raw(b"1"), 1500, 250, policy, key, None)

    def test_seconds(self) -> None:
        """What is said in milliseconds is kept in seconds."""
        order = self.order()
        self.assertEqual((order.timeout, order.idle, order.target), (1.5, 0.25, "a"))

    def test_key(self) -> None:
        """The policy sticky takes a key, and no other does."""
        self.assertEqual(self.order("sticky", "k").key, "k")
        others: tuple[Policy, ...] = ("least_busy", "round_robin", "random")
        for policy, key in (("sticky", None), *((other, "k") for other in others)):
            self.assertRaises(InvalidParams, self.order, policy, key)


class ErrorTests(SynchronousTestCase):
    """What agents answer instead of a result."""

    def test_read(self) -> None:
        """The code, the beginning of the message and the data, as they stand, are the agent's."""
        error = read_error(b'{"code":-32000,"message":"%b","data":{"a": 1.50},"more":1}' % (b"x" * (MAX_TOLD + 1)))
        self.assertEqual((error.code, error.message, bytes(error.data)), (-32000, "x" * MAX_TOLD, b'{"a": 1.50}'))

    def test_less(self) -> None:
        """A code alone is an error."""
        error = read_error(b'{"code":5}')
        self.assertEqual((error.code, error.message, bytes(error.data)), (5, "", b"null"))

    @given(st.binary(max_size=40) | st.sampled_from([b"null", b"[]", b'{"code":1,"message":5}', b'{"code":1e400}']))
    def test_anything(self, error: bytes) -> None:
        """What is no error object is one all the same: an internal one of the agent's."""
        self.assertIsInstance(read_error(error).code, int)

    def test_no_refusal(self) -> None:
        """What is no error object never passes for a refusal."""
        for error in (b"null", b'"x"', b"{}", b'{"code":"-32000"}', b'{"code":-32000,"message":1}'):
            self.assertEqual(read_error(error).code, -32603, error)


def bearer() -> Caller:
    """Who calls without a session, and may do everything."""
    proven = Principal(
        entity_id="x", entity_type="system", permissions=Permissions(["*"]), token_id="tok_1", expires_at=None
    )
    return Caller(principal=proven)


class CallsCase(CallCase):
    """The rules themselves."""

    def setUp(self) -> None:
        super().setUp()
        self.calls: Dealer = self.gateway.agents.calls

    def begin(self, client: Client | None = None, request_id: bytes = b"", **params: Any) -> Deferred[Raw]:
        """Make a call without a message on the wire; of nobody's session if there is no client."""
        asked = {"agent_id": None, "capability": None, "message": Raw(b"1"), "timeout_ms": 1000, "idle_ms": None,
                 "policy": "least_busy", "key": None, "in_reply_to": None}  # fmt: skip
        caller = bearer() if client is None else client.server.caller
        return self.calls.call(caller, request_id, call_request(**{**asked, **params}))


class CallerTests(CallsCase):
    """Whose calls they are."""

    def test_interface(self) -> None:
        """Calls hear of sessions."""
        verifyObject(ISessionObserver, self.calls)

    def test_without_a_session(self) -> None:
        """Who has no session calls as well, as often as it likes at once, and gets what the agent wrote."""
        worker = self.worker("w")
        answers = [self.begin(request_id=b"1", agent_id="w") for _ in range(2)]
        first, second = self.asked(worker)
        worker.send('{{"jsonrpc":"2.0","id":"{}","result":{{"x": 1.0}}}}'.format(first["call_id"]))
        self.assertEqual(bytes(self.successResultOf(answers[0])), b'{"x": 1.0}')
        self.answer(worker, second["call_id"], code=1, message="no")
        self.failureResultOf(answers[1], AgentFailed)
        self.assertEqual(worker.call("agent.progress", call_id=first["call_id"], data=1), {"success": False})
        self.assertNothingLeft()

    def test_of_one_session(self) -> None:
        """Ids of requests are told apart by how they are written, and each session has its own."""
        self.worker("w")
        other = self.gateway.connect("other")
        pending = [
            self.begin(self.caller, written, agent_id="w") for written in (b"1", b"1.0", b'"1"', b"null", b"", b"")
        ]
        pending.append(self.begin(other, b"1", agent_id="w"))
        for written in (b"1", b'"1"', b"null"):
            self.assertRaises(Conflict, self.begin, self.caller, written, agent_id="w")
        self.calls.cancel(self.caller.server.session, b"1.0")
        self.assertEqual([answer.called for answer in pending], [False, True, False, False, False, False, False])
        self.failureResultOf(pending[1], RPCError)
        for answer in pending:
            answer.addErrback(lambda failure: None)

    def test_long_messages(self) -> None:
        """What the calls of a session hold is bounded; one alone may be as long as any message."""
        worker, long = self.worker("w", max_inflight=1), Raw(b'"%b"' % (b"x" * 9 * MIB))
        first = self.begin(self.caller, b"1", agent_id="w", message=long)
        self.assertRaises(RateLimited, self.begin, self.caller, b"2", agent_id="w", message=long)
        pending = [first, self.begin(self.caller, b"3", agent_id="w")]
        self.answer(worker, self.asked(worker)[0]["call_id"], 1)
        self.successResultOf(first)
        pending.append(self.begin(self.caller, b"2", agent_id="w", message=long))
        for answer in pending[1:]:
            answer.addErrback(lambda failure: None)
        worker.disconnect()
        self.assertNothingLeft()

    def test_share_of_an_entity(self) -> None:
        """All sessions of an entity together have a share of what calls hold, and leave room for others'."""
        worker, long = self.worker("w"), Raw(b'"%b"' % (b"x" * 9 * MIB))
        sessions = [self.gateway.connect("evil") for _ in range(MAX_SIZE // (9 * MIB))]
        pending = []
        for client in sessions:
            try:
                pending.append(self.begin(client, b"1", agent_id="w", message=long))
            except RateLimited as refusal:
                taken = len(pending) * (9 * MIB + 2 + OVERHEAD)
                self.assertIn(f"{taken} of them those of evil", refusal.message)
        self.assertEqual(len(pending), MAX_SIZE // 2 // (9 * MIB))
        pending.append(self.begin(self.caller, b"1", agent_id="w", message=long))
        sessions[0].disconnect()
        pending.append(self.begin(sessions[-1], b"2", agent_id="w", message=long))
        for answer in pending:
            answer.addErrback(lambda failure: None)
        worker.disconnect()
        self.assertNothingLeft()
        self.assertEqual((self.calls._size, self.calls._sizes), (0, {}))

    def test_refused_leaves_nothing(self) -> None:
        """A call that is refused at once was none: its id is free, it is not counted, and no clock runs for it."""
        worker = self.worker("w")
        worker.call("presence.update", status="offline")
        for _ in range(2):
            self.assertRaises(RPCError, self.begin, self.caller, b"1", agent_id="w")
            self.assertRaises(NotFound, self.begin, self.caller, b"1", agent_id="nobody")
        self.assertEqual(self.calls.made, 0)
        self.assertNothingLeft()

    def test_on_its_way_out(self) -> None:
        """Who ends its own session begins no call after that, not in the same batch either."""
        worker = self.worker("w")
        client = self.gateway.connect(token=self.gateway.token("c", permissions=["*"]))
        batch = [("auth.revokeToken", {"entity_id": "c"}), ("agent.call", {"agent_id": "w", "message": 1})]
        client.send(
            json.dumps([{"jsonrpc": "2.0", "id": n, "method": m, "params": p} for n, (m, p) in enumerate(batch)])
        )
        self.assertEqual((client.close_code, self.asked(worker)), (4507, []))
        self.assertNothingLeft()

    def test_farewell(self) -> None:
        """Others are told of a loss although the answer to one of its callers was what ended that one's connection."""
        worker, other, client = self.worker("w"), self.gateway.connect("other"), self.gateway.connect("c")
        for _ in range(2):
            self.call(client, agent_id="w")
        bad_tokens = [("auth.authenticate", {"token": "wrong"})] * 5 + [("agent.call", {"agent_id": "w", "message": 1})]
        client.send(
            json.dumps([{"jsonrpc": "2.0", "id": n, "method": m, "params": p} for n, (m, p) in enumerate(bad_tokens)])
        )
        request = self.call(other, agent_id="w")
        worker.vanish()
        client.flush()
        self.assertEqual((client.close_code, self.outcome(request, other)), (4500, -32008))
        self.assertNothingLeft()


class ClockTests(CallsCase):
    """The two clocks."""

    def test_one_timer(self) -> None:
        """A call has one timer, whatever becomes of it, and none when it is over."""
        worker = self.worker("w")
        request = self.call(agent_id="w", timeout_ms=10_000, idle_ms=2000)
        call_id = self.asked(worker)[0]["call_id"]
        for _ in range(3):
            worker.call("agent.progress", call_id=call_id, data=1)
            timers = [timer for timer in self.gateway.clock.getDelayedCalls() if "patience" in repr(timer.func)]
            self.assertEqual(len(timers), 1)
        self.answer(worker, call_id)
        self.assertEqual(self.outcome(request), "done")
        self.assertNothingLeft()

    def test_to_the_moment(self) -> None:
        """Time is up when it is, and not before."""
        self.worker("w")
        for whole, idle, clock, seconds in ((3, None, "timeout", 3), (9, 2, "idle", 2), (2, 2, "timeout", 2)):
            idle_ms = None if idle is None else idle * 1000
            pending = self.begin(agent_id="w", timeout_ms=whole * 1000, idle_ms=idle_ms)
            self.gateway.clock.advance(seconds - 0.01)
            self.assertNoResult(pending)
            self.gateway.clock.advance(0.01)
            self.assertEqual(self.failureResultOf(pending, TimedOut).value.data["clock"], clock)
        self.assertNothingLeft()

    def test_waiting_is_not_idle(self) -> None:
        """Nobody is idle while a call waits for one; from then on the agent has all of its patience."""
        worker = self.worker("w", max_inflight=1)
        self.call(agent_id="w")
        request = self.call(agent_id="w", idle_ms=1000, timeout_ms=10_000)
        self.gateway.advance(5)
        self.answer(worker, self.asked(worker)[0]["call_id"])
        self.gateway.advance(0.5)
        self.assertIsNone(self.outcome(request))
        self.gateway.advance(1)
        self.assertEqual(self.error(request)["data"]["clock"], "idle")

    def test_started_is_a_sign(self) -> None:
        """That an agent has begun counts as progress."""
        worker = self.worker("w", "ack")
        request = self.call(agent_id="w", idle_ms=2000)
        self.gateway.advance(1.5)
        worker.call("agent.ack", message_id=self.asked(worker)[0]["call_id"], status="started")
        self.gateway.advance(1.5)
        self.assertIsNone(self.outcome(request))

    def test_counts(self) -> None:
        """What was made was answered, or failed, or is open."""
        worker = self.worker("w")
        for _ in range(4):
            self.call(agent_id="w")
        ids = [asked["call_id"] for asked in self.asked(worker)]
        self.answer(worker, ids[0])
        self.answer(worker, ids[1], code=1, message="no")
        self.answer(worker, ids[1])
        worker.send(f'{{"jsonrpc":"2.0","id":"{ids[2]}","error":null,"result":null}}')
        calls = self.calls
        self.assertEqual((calls.made, calls.answered, calls.failed, calls.late, len(calls)), (4, 2, 1, 1, 1))
        admin = self.gateway.connect(token=self.gateway.token("s", "system", ["*"]))
        figures = admin.call("gateway.getStats")["services"]["agent"]
        expected = {"calls": 4, "calls_answered": 2, "calls_failed": 1, "calls_inflight": 1, "calls_waiting": 0}
        self.assertEqual({name: figures[name] for name in expected}, expected)
