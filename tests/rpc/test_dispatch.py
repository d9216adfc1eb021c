"""From a message to its answer."""

from __future__ import annotations

import json
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import Principal
from cell0gw.protocol.errors import InvalidParams, MethodNotFound, NotAuthenticated, NotFound, PermissionDenied
from cell0gw.protocol.jsonrpc import Response
from cell0gw.protocol.limits import Limits
from cell0gw.rpc.access import anonymous_read, anyone, permission, session
from cell0gw.rpc.dispatch import Dispatcher
from cell0gw.sessions.session import Caller, Session
from cell0gw.testing import RecordingConnection
from tests.guard.guards import quiet_guard, quiet_sessions


class Lab(Service):
    """Methods of every kind."""

    name = "lab"

    def __init__(self) -> None:
        self.pending: list[Deferred[Any]] = []
        self.ran: list[str] = []

    @anyone
    def rpc_raise(self, caller: Caller) -> None:
        raise ZeroDivisionError("secret detail")

    @anyone
    def rpc_refuse(self, caller: Caller) -> None:
        raise NotFound("no such thing", near=["thing"])

    @anyone
    def rpc_garbage(self, caller: Caller) -> Any:
        return object()

    @anyone
    def rpc_wait(self, caller: Caller) -> Deferred[Any]:
        self.pending.append(Deferred())
        return self.pending[-1]

    @anyone
    async def rpc_coroutine(self, caller: Caller) -> str:
        return str(await self.rpc_wait(caller))

    @anyone
    def rpc_large(self, caller: Caller, *, size: int) -> str:
        return "x" * size

    @anyone
    def rpc_note(self, caller: Caller, *, name: str) -> None:
        self.ran.append(name)

    @session
    def rpc_member(self, caller: Caller) -> str:
        return "ok"

    @anonymous_read
    def rpc_read(self, caller: Caller) -> str:
        return "ok"

    @permission(resource="name", open=("free",))
    def rpc_guarded(self, caller: Caller, *, name: str) -> str:
        self.ran.append(name)
        return name

    @anyone
    def rpc_whichId(self, caller: Caller, request_id: bytes, *, name: str) -> str:
        return f"{name}: {request_id.decode()}"

    def startService(self) -> None:
        raise AssertionError("no method of the wire")


class DispatchTestCase(SynchronousTestCase):
    """A dispatcher over the lab."""

    limits = Limits(max_message_size=1000, max_batch=5)

    def setUp(self) -> None:
        self.lab = Lab()
        self.services = MultiService()
        self.lab.setServiceParent(self.services)
        self.dispatcher = self.make()
        self.caller = Caller()

    def make(self, answered: Any = None, anonymous_reads: bool = True) -> Dispatcher:
        return Dispatcher(self.services, quiet_guard(self.limits), quiet_sessions(), answered, anonymous_reads)

    def bearer(self, *permissions: str) -> Caller:
        return Caller(
            principal=Principal(
                entity_id="a",
                entity_type="agent",
                permissions=Permissions(permissions),
                token_id="tok_1",
                expires_at=None,
            )
        )

    def send(self, message: Any, caller: Caller | None = None) -> Any:
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        answer = self.dispatcher.dispatch(caller or self.caller, payload)
        return json.loads(answer) if isinstance(answer, bytes) else answer

    def call(self, method: str, params: Any = (), caller: Caller | None = None) -> Any:
        answer = self.send({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}, caller)
        return answer["error"]["code"] if "error" in answer else answer["result"]


class GoingDownTests(DispatchTestCase):
    """L{Dispatcher.drain}."""

    def test_refused(self) -> None:
        """New work is refused, whether the method was called before or not; what is unknown stays unknown."""
        self.assertEqual(self.call("lab.coroutine.x"), -32601)
        self.assertIsNone(self.call("lab.note", ["before"]))
        self.dispatcher.drain(True)
        for method in ("lab.note", "lab.read"):
            self.assertEqual(self.call(method, ["now"] if method == "lab.note" else ()), -32000)
        self.assertEqual(self.call("lab.nothing"), -32601)
        self.assertIn("lab.note", [method.name for method in self.dispatcher.methods()])
        self.assertEqual(self.call("lab.note", ["now"]), -32000)
        self.assertEqual(self.lab.ran, ["before"])

    def test_what_was_begun(self) -> None:
        """What was begun before is answered."""
        answer = self.send({"jsonrpc": "2.0", "method": "lab.wait", "id": 1})
        self.dispatcher.drain(True)
        self.lab.pending[0].callback("done")
        self.assertEqual(json.loads(self.successResultOf(answer))["result"], "done")

    def test_again(self) -> None:
        """A gateway that starts again takes work again."""
        self.dispatcher.drain(True)
        self.dispatcher.drain(False)
        self.assertEqual(self.call("lab.read"), "ok")


class FailureTests(DispatchTestCase):
    """Failures become answers, here and nowhere else."""

    def test_unknown_failure(self) -> None:
        """What a method lets slip is logged whole and told as an internal error without a word of it."""
        answer = self.send({"jsonrpc": "2.0", "method": "lab.raise", "id": 7})
        self.assertEqual(
            answer,
            {
                "jsonrpc": "2.0",
                "error": {
                    "code": -32603,
                    "message": "Internal error",
                    "data": {"code": "internal_error", "retryable": False},
                },
                "id": 7,
            },
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_refusal(self) -> None:
        """A refusal is told as it is, and is no news for the log."""
        answer = self.send({"jsonrpc": "2.0", "method": "lab.refuse", "id": 7})
        self.assertEqual(
            answer["error"],
            {
                "code": -32006,
                "message": "no such thing",
                "data": {"code": "not_found", "retryable": False, "near": ["thing"]},
            },
        )
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_result_that_is_no_json(self) -> None:
        """A result that can't be written is an internal error."""
        self.assertEqual(self.call("lab.garbage"), -32603)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_late_failure(self) -> None:
        """A Deferred or a coroutine that fails later is answered like one that fails at once."""
        for method in ("lab.wait", "lab.coroutine"):
            answer = self.send({"jsonrpc": "2.0", "method": method, "id": 1})
            self.assertNoResult(answer)
            self.lab.pending[-1].errback(ZeroDivisionError())
            self.assertEqual(json.loads(self.successResultOf(answer))["error"]["code"], -32603)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_notifications_are_never_answered(self) -> None:
        """Not with a result, not with an error, not later."""
        for method in ("lab.raise", "lab.refuse", "lab.garbage", "lab.none", "lab.note", "none.none", "lab.guarded"):
            self.assertIsNone(self.send({"jsonrpc": "2.0", "method": method}), method)
        answer = self.send({"jsonrpc": "2.0", "method": "lab.wait"})
        self.lab.pending[-1].callback("late")
        self.assertIsNone(self.successResultOf(answer))
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_clients_heartbeat(self) -> None:
        """A client's heartbeat is no error, whatever its params; called, it is no method."""
        for params in ({}, [1], {"timestamp": "x"}):
            self.assertIsNone(self.send({"jsonrpc": "2.0", "method": "heartbeat", "params": params}))
        self.assertEqual(self.dispatcher.errors, 0)
        self.assertEqual(self.call("heartbeat"), -32601)

    def test_too_large(self) -> None:
        """An answer beyond the limit is an error in its place, alone and in a batch."""
        self.assertEqual(self.call("lab.large", [900]), "x" * 900)
        self.assertEqual(self.call("lab.large", [1000]), -32005)

    def test_too_large_together(self) -> None:
        """In a batch each answer that does not fit beside the others is an error with its own id; the others come."""

        def entry(id: Any, size: int) -> dict[str, Any]:
            return {"jsonrpc": "2.0", "method": "lab.large", "params": [size], "id": id}

        def sent(*entries: tuple[Any, int]) -> list[Any]:
            answers = self.send([entry(id, size) for id, size in entries])
            self.assertLessEqual(len(json.dumps(answers, separators=(",", ":"))), 1000)
            self.assertEqual([answer["id"] for answer in answers], [id for id, _ in entries])
            return [answer["error"]["code"] if "error" in answer else len(answer["result"]) for answer in answers]

        self.assertEqual(sent((1, 400), (2, 400)), [400, 400])
        self.assertEqual(sent((1, 300), ("b", 1), (3, 300), (4, 300)), [300, 1, 300, -32005])
        self.assertEqual(sent((1, 900), (2, 100)), [-32005, 100])
        self.assertEqual(sent((1, 400), (2, 900), (3, 10)), [400, -32005, 10])
        before = self.dispatcher.errors
        self.assertEqual(sent(*((id, 900) for id in range(5))), [-32005] * 5)
        self.assertEqual(self.dispatcher.errors, before + 5)

    def test_no_room(self) -> None:
        """A batch whose answers have no room even as errors is refused before anything of it is done."""
        entry = {"jsonrpc": "2.0", "method": "lab.note", "params": ["x"], "id": "i" * 126}
        self.assertEqual(self.send([entry] * 4)["error"]["code"], -32600)
        self.assertEqual(self.lab.ran, [])
        self.assertEqual(len(self.send([entry] * 3)), 3)


class LookupTests(DispatchTestCase):
    """Which method is meant."""

    def test_only_rpc_methods(self) -> None:
        """Nothing of a service but its rpc_ methods is reached by a name."""
        for method in ("lab.startService", "lab.name", "lab.", "lab", "", ".", "lab.__init__", "lab.rpc_note", "none.x",
                       "lab.note.more", "LAB.note", "lab.Note", "lab. note", "x" * 100_000, "lab.\x00"):  # fmt: skip
            self.assertEqual(self.call(method), -32601, method[:20])

    def test_unknown_before_authentication(self) -> None:
        """An unknown method is unknown, to strangers too."""
        self.assertEqual(self.call("lab.nosuch"), -32601)

    def test_all_methods(self) -> None:
        """Every method is found, and unknown names leave nothing behind."""
        for n in range(100):
            self.call(f"lab.nosuch{n}")
        names = {method.name for method in self.dispatcher.methods()}
        self.assertEqual(len(names), 11)
        self.assertEqual(set(self.dispatcher._lookup.located), names)

    def test_plain_services(self) -> None:
        """A service without a name may stand beside the namespaces."""
        Service().setServiceParent(self.services)
        self.assertEqual(len(list(self.dispatcher.methods())), 11)

    def test_service_that_left(self) -> None:
        """The methods of a service that was taken out are unknown again."""
        self.assertEqual(self.call("lab.read"), "ok")
        self.lab.disownServiceParent()
        self.dispatcher.forget("lab")
        self.assertEqual(self.call("lab.read"), -32601)


class JudgementTests(DispatchTestCase):
    """The order of judgement: known, authenticated, permitted, params, resource."""

    def test_order(self) -> None:
        """Of several faults the first in order is told."""
        for params, caller, expected in (
            ([1], Caller(), -32001), ([1], self.bearer("lab.read"), -32002), ([1], self.bearer("lab.guarded"), -32602),
            ([1], self.bearer("lab.guarded:a.*"), -32602), (["b"], self.bearer("lab.guarded:a.*"), -32002),
            (["a.b"], self.bearer("lab.guarded:a.*"), "a.b"), (["b"], self.bearer("lab.*"), "b"),
            (["b"], self.bearer("*"), "b"), (["free"], self.bearer(), "free"), ([1], self.bearer(), -32002),
            (["free"], Caller(), -32001),
        ):  # fmt: skip
            self.assertEqual(self.call("lab.guarded", params, caller), expected, (params, caller.principal))

    def test_refused_does_not_run(self) -> None:
        """A method that is refused has not run."""
        self.call("lab.guarded", ["x"], self.bearer("lab.guarded:a"))
        self.call("lab.guarded", ["x"])
        self.assertEqual(self.lab.ran, [])

    def test_session_needed(self) -> None:
        """What is for sessions is not for the bearer of a token without one."""
        self.assertEqual(self.call("lab.member", (), self.bearer("*")), -32001)

    def test_anonymous_reads(self) -> None:
        """Reads are open to strangers until that is switched off."""
        self.assertEqual(self.call("lab.read"), "ok")
        self.dispatcher = self.make(anonymous_reads=False)
        self.assertEqual(self.call("lab.read"), -32001)
        self.assertEqual(self.call("lab.read", (), self.bearer()), "ok")

    def test_examine(self) -> None:
        """Whether a call would be refused can be asked, with the same judgement; it is not made, nor counted."""
        for name, params, caller, refusal in (
            ("lab.nosuch", b"", self.bearer("*"), MethodNotFound),
            ("lab.guarded", b'["x"]', Caller(), NotAuthenticated),
            ("lab.guarded", b'["x"]', self.bearer("lab.read"), PermissionDenied),
            ("lab.guarded", b"[1]", self.bearer("*"), InvalidParams),
            ("lab.guarded", b'["x"]', self.bearer("lab.guarded:a"), PermissionDenied),
        ):  # fmt: skip
            self.assertRaises(refusal, self.dispatcher.examine, caller, name, params)
        examined: Any = self.dispatcher.examine(self.bearer("lab.guarded:a"), "lab.guarded", b'{"name":"a"}')
        self.assertEqual(examined.name, "a")
        self.assertEqual((self.lab.ran, self.dispatcher.calls, self.dispatcher.errors), ([], 0, 0))


class IdTests(DispatchTestCase):
    """The id of a request."""

    def test_handed_over(self) -> None:
        """A method that asks for it gets it as it is written, nothing for a notification; no param can forge it."""
        for written in ("1", "1.0", '"a\\u0062"', "null"):
            sent = f'{{"jsonrpc":"2.0","method":"lab.whichId","params":["x"],"id":{written}}}'
            self.assertEqual(self.send(sent.encode())["result"], f"x: {written}")
        self.assertEqual(self.call("lab.whichId", {"name": "x", "request_id": "2"}), -32602)
        self.assertEqual(self.call("lab.whichId", ["2", "x"]), -32602)
        self.assertIsNone(self.send({"jsonrpc": "2.0", "method": "lab.whichId", "params": ["x"]}))


class ResponseTests(DispatchTestCase):
    """Responses to requests of the gateway's."""

    def setUp(self) -> None:
        super().setUp()
        self.answered: list[tuple[Session, Response]] = []
        self.dispatcher = self.make(self.take)
        bearer = self.bearer().principal
        assert bearer is not None
        self.member = Caller(RecordingConnection(), bearer)
        self.member.session = Session("sess_1", "a", bearer, RecordingConnection(), 0.0)

    def take(self, session: Session, response: Response) -> None:
        self.answered.append((session, response))
        if response.result == b'"fail"':
            raise ZeroDivisionError

    def test_taken(self) -> None:
        """A response is handed on with the session that sent it, and gets no answer, alone and in a batch."""
        response = {"jsonrpc": "2.0", "id": "c", "result": 1}
        request = {"jsonrpc": "2.0", "id": 7, "method": "lab.read"}
        self.assertIsNone(self.send(response, self.member))
        self.assertEqual([answer["id"] for answer in self.send([response, request], self.member)], [7])
        self.assertIsNone(self.send([response], self.member))
        self.assertEqual(self.answered, [(self.member.session, Response("c", b"1"))] * 3)
        self.assertEqual((self.dispatcher.calls, self.dispatcher.errors), (1, 0))

    def test_of_strangers(self) -> None:
        """Who has no session was asked nothing."""
        self.assertIsNone(self.send({"jsonrpc": "2.0", "id": "c", "result": 1}))
        self.assertEqual(self.answered, [])

    def test_to_nothing(self) -> None:
        """What answers no request of the gateway's is dropped."""
        self.assertIsNone(self.send({"jsonrpc": "2.0", "id": 1, "result": 1}, self.member))
        self.assertEqual((self.answered, self.dispatcher.errors), ([], 1))

    def test_failure(self) -> None:
        """One that comes to nothing here is logged, and what follows in its batch is handed on."""
        responses = [{"jsonrpc": "2.0", "id": "c", "result": result} for result in ("fail", "fine")]
        self.assertIsNone(self.send(responses, self.member))
        self.assertEqual(len(self.answered), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class BatchTests(DispatchTestCase):
    """Batches."""

    def entry(self, method: str, params: Any = (), **more: Any) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "method": method, "params": params, **more}

    def test_in_order(self) -> None:
        """Entries run in their order, whatever becomes of those before."""
        answers = self.send(
            [self.entry("lab.note", ["1"], id=1), self.entry("lab.raise", id=2), self.entry("lab.note", ["2"])]
        )
        self.assertEqual([answer["id"] for answer in answers], [1, 2])
        self.assertEqual(self.lab.ran, ["1", "2"])
        self.flushLoggedErrors(ZeroDivisionError)

    def test_waits_for_all(self) -> None:
        """One answer holds those that came at once and those that came late."""
        waiting = self.send([self.entry("lab.wait", id="w"), self.entry("lab.read", id="r"), self.entry("lab.wait")])
        self.lab.pending[1].callback("notified")
        self.assertNoResult(waiting)
        self.lab.pending[0].callback("done")
        self.assertEqual(
            {a["id"]: a["result"] for a in json.loads(self.successResultOf(waiting))}, {"w": "done", "r": "ok"}
        )

    def test_too_long(self) -> None:
        """Of a batch beyond the limit nothing runs."""
        answer = self.send([self.entry("lab.note", ["x"], id=1)] * 6)
        self.assertEqual((answer["error"]["code"], answer["id"]), (-32600, None))
        self.assertEqual(self.lab.ran, [])

    def test_empty_and_silent(self) -> None:
        """An empty batch is invalid; one of notifications only is not answered at all."""
        self.assertEqual(self.send(b"[]")["error"]["code"], -32600)
        self.assertIsNone(self.send([self.entry("lab.note", ["x"])] * 2))

    def test_nested(self) -> None:
        """An array in a batch is an invalid entry, and the others are answered."""
        answers = self.send([[], self.entry("lab.read", id=1)])
        self.assertEqual(answers[0]["error"]["code"], -32600)
        self.assertEqual(answers[1]["result"], "ok")
