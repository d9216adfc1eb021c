"""``agent.call`` to those whose connection broke, and to those who were here before."""

from __future__ import annotations

from typing import Any

from cell0gw.agents.calls.refusals import MAX_LOSSES
from cell0gw.agents.calls.targets import RETURN_WINDOW
from cell0gw.engines.memory.mail import MemoryMailStore
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.testing import Client, MemoryGateway
from tests.agents.calls.calling import CallCase

WINDOW = 30.0


class AbsenceCase(CallCase):
    """With agents that may come back, for a while."""

    options = {"resume_window": WINDOW}

    def setUp(self) -> None:
        super().setUp()
        self.tokens: dict[str, str] = {}
        self.secrets: dict[str, str] = {}

    def come(self, name: str, *capabilities: str, resume: bool = False, **declared: Any) -> Client:
        """An agent connects, with the token that it had before; C{resume}: it takes its old place, too."""
        token = self.tokens.setdefault(name, self.gateway.token(name))
        client = self.gateway.connect()
        opened = client.call("auth.authenticate", token=token, capabilities=list(capabilities), **declared)
        if resume:
            self.assertTrue(client.call("session.resume", resume_token=self.secrets[name])["resumed"])
        self.secrets[name] = opened["resume_token"]
        return client

    def lose(self, name: str, *capabilities: str, **declared: Any) -> Client:
        """An agent that was here, and whose connection has broken."""
        client = self.come(name, *capabilities, **declared)
        client.vanish()
        return client

    def messages(self, worker: Client) -> list[Any]:
        return [asked["message"] for asked in self.asked(worker)]

    def assertUnavailable(self, request: int) -> None:
        """The call was refused, and may be made again soon."""
        self.assertEqual(self.outcome(request), -32000)
        error = self.error(request)
        self.assertEqual((error["code"], error["data"]["retryable"]), (-32000, True))
        self.assertEqual(error["data"]["retry_after_ms"], 1000)


class WaitingTests(AbsenceCase):
    """A call waits for a session whose place is kept."""

    def test_resumed(self) -> None:
        """It is assigned when the session is resumed, be it by id or by what the old session could do."""
        for target in ({"agent_id": "w"}, {"capability": "dance"}):
            self.lose("w", "dance")
            request = self.call(**target)
            self.assertIsNone(self.outcome(request))
            back = self.come("w", resume=True)
            self.answer(back, self.asked(back)[0]["call_id"])
            self.assertEqual(self.outcome(request), "done", target)
            back.disconnect()
        self.assertNothingLeft()

    def test_capability_only_when_resumed(self) -> None:
        """A new session that does not say what it can gets calls for that once it has resumed, not before."""
        self.lose("w", "dance")
        request = self.call(capability="dance")
        back = self.come("w")
        self.assertEqual((self.asked(back), self.outcome(request)), ([], None))

    def test_new_session(self) -> None:
        """It is assigned to a new session of the agent, or of the capability, whoever takes the old place."""
        self.lose("w", "dance")
        by_name, by_capability = self.call(agent_id="w", message=1), self.call(capability="dance", message=2)
        other = self.come("v", "dance")
        self.assertEqual(self.messages(other), [2])
        again = self.come("w")
        self.assertEqual(self.messages(again), [1])
        for worker in (other, again):
            self.answer(worker, self.asked(worker)[0]["call_id"])
        self.assertEqual([self.outcome(by_name), self.outcome(by_capability)], ["done", "done"])

    def test_in_order(self) -> None:
        """Several come in their order, as many at once as the session takes."""
        self.lose("w", "dance", max_inflight=2)
        for message in range(4):
            self.call(capability="dance", message=message)
        back = self.come("w", resume=True)
        self.assertEqual(self.messages(back), [0, 1])
        self.answer(back, self.asked(back)[0]["call_id"])
        self.assertEqual(self.messages(back), [0, 1, 2])

    def test_within_its_time(self) -> None:
        """It waits no longer than its caller."""
        self.lose("w", "dance")
        request = self.call(agent_id="w", timeout_ms=2000, idle_ms=1000)
        self.gateway.advance(1.5)
        self.assertIsNone(self.outcome(request))
        self.gateway.advance(1)
        self.assertEqual((self.outcome(request), self.error(request)["data"]["clock"]), (-32004, "timeout"))
        self.assertNothingLeft()

    def test_does_not_come_back(self) -> None:
        """When the place is kept no longer the caller is told, and that it may ask again."""
        self.lose("w", "dance")
        requests = [self.call(agent_id="w"), self.call(capability="dance")]
        self.gateway.advance(WINDOW - 1)
        self.assertEqual([self.outcome(request) for request in requests], [None, None])
        self.gateway.advance(2)
        for request in requests:
            self.assertUnavailable(request)
        self.assertNothingLeft()

    def test_one_of_several(self) -> None:
        """As long as one of several may come back it waits."""
        self.lose("w", "dance")
        self.gateway.advance(WINDOW / 2)
        self.lose("v", "dance")
        request = self.call(capability="dance")
        self.gateway.advance(WINDOW / 2 + 1)
        self.assertIsNone(self.outcome(request))
        self.gateway.advance(WINDOW / 2 + 1)
        self.assertUnavailable(request)

    def test_token_revoked(self) -> None:
        """Who may not come back is not waited for."""
        self.lose("w", "dance")
        request = self.call(capability="dance")
        self.gateway.connect(token=self.gateway.token("o", permissions=["*"])).call("auth.revokeToken", entity_id="w")
        self.caller.flush()
        self.assertUnavailable(request)

    def test_others_first(self) -> None:
        """Nobody waits for who is absent while another one can take the call, or is full and will."""
        self.lose("w", "dance")
        other = self.come("v", "dance", max_inflight=1)
        requests = [self.call(capability="dance", message=n) for n in range(2)]
        for place in range(2):
            self.answer(other, self.asked(other)[place]["call_id"])
        self.assertEqual([self.outcome(request) for request in requests], ["done", "done"])

    def test_rest(self) -> None:
        """Who had come to rest is not waited for; one who had not is, though those who are here rest."""
        resting = self.come("w", "dance")
        resting.call("presence.update", status="do_not_disturb")
        resting.vanish()
        self.assertEqual(self.outcome(self.call(capability="dance")), -32000)
        self.lose("v", "dance")
        self.come("u", "dance").call("presence.update", status="offline")
        request = self.call(capability="dance")
        self.assertIsNone(self.outcome(request))
        back = self.come("v", resume=True)
        self.assertEqual(len(self.asked(back)), 1)

    def test_given_up(self) -> None:
        """It is over when it is cancelled, when its caller goes, and when the gateway does."""
        self.lose("w", "dance")
        request = self.call(agent_id="w")
        self.caller.call("agent.cancel", request_id=request)
        self.assertEqual(self.outcome(request), -32009)
        other = self.gateway.connect("other")
        self.call(other, agent_id="w")
        other.vanish()
        self.assertNothingLeft()
        request = self.call(agent_id="w")
        self.gateway.drain()
        self.assertEqual(self.outcome(request), -32000)
        self.assertNothingLeft()


class LostTests(AbsenceCase):
    """A call that was given to a session and not begun waits for that one as well."""

    def test_comes_back(self) -> None:
        """Who was lost before it had begun gets the call again when it comes back, before those that came later."""
        worker = self.come("w", "dance", "ack")
        request = self.call(capability="dance", message=1)
        worker.vanish()
        self.call(capability="dance", message=2)
        back = self.come("w", resume=True)
        self.assertEqual(self.messages(back), [1, 2])
        self.answer(back, self.asked(back)[0]["call_id"])
        self.assertEqual(self.outcome(request), "done")

    def test_begun(self) -> None:
        """What was begun, or may have been, fails at once: nobody does it again."""
        for capabilities in (("dance",), ("dance", "ack")):
            worker = self.come("w", *capabilities)
            request = self.call(capability="dance")
            if "ack" in capabilities:
                worker.call("agent.ack", message_id=self.asked(worker)[0]["call_id"], status="started")
            worker.vanish()
            self.assertEqual(self.outcome(request), -32008)
            back = self.come("w", resume=True)
            self.assertEqual(self.asked(back), [])
            back.disconnect()

    def test_of_what_it_dies(self) -> None:
        """A call that is lost with one session after the other is waited for no more: it may be what they die of."""
        worker = self.come("w", "dance", "ack")
        request = self.call(capability="dance")
        for _ in range(MAX_LOSSES - 1):
            worker.vanish()
            worker = self.come("w", resume=True)
            self.assertEqual(len(self.asked(worker)), 1)
        worker.vanish()
        self.assertUnavailable(request)
        self.assertNothingLeft()

    def test_refused_and_lost(self) -> None:
        """A call that those who are here have refused waits for one who is not."""
        self.lose("w", "dance")
        other = self.come("v", "dance")
        request = self.call(capability="dance")
        self.refuse(other, self.asked(other)[0]["call_id"])
        self.assertIsNone(self.outcome(request))
        back = self.come("w", resume=True)
        self.answer(back, self.asked(back)[0]["call_id"])
        self.assertEqual(self.outcome(request), "done")
        self.assertEqual(len(self.asked(other)), 1)


class GoneTests(AbsenceCase):
    """Those who have said goodbye, and those who never were."""

    def test_known(self) -> None:
        """Whom a token names, who was here, and what was served, is not here now; it may be called again."""
        self.come("w", "dance").disconnect()
        self.gateway.token("never.came")
        shared = self.gateway.connect()
        shared.call("auth.authenticate", token=self.gateway.token("worker.*"), entity_id="worker.1")
        shared.disconnect()
        for target in (
            {"agent_id": "w"},
            {"capability": "dance"},
            {"agent_id": "never.came"},
            {"agent_id": "worker.1"},
        ):
            request = self.call(**target)
            self.assertUnavailable(request)
            self.assertNotIn("near", self.error(request)["data"])

    def test_unknown(self) -> None:
        """What nobody ever was, or served, is not found; those who may come back are suggested."""
        self.lose("worker", "dance")
        for target, near in (({"agent_id": "workr"}, ["worker"]), ({"capability": "dnce"}, ["dance"])):
            refusal = self.caller.refusal("agent.call", message=1, **target)
            self.assertEqual((refusal["code"], refusal["data"]["retryable"]), (-32006, False))
            self.assertEqual(refusal["data"]["near"], near)
        self.assertEqual(self.caller.refusal("agent.call", agent_id="x", message=1)["message"], "Nobody is called x")
        self.assertEqual(
            self.caller.refusal("agent.call", capability="x", message=1)["message"], "Nobody serves capability:x"
        )

    def test_messages(self) -> None:
        """The refusal says who is not here."""
        self.come("w", "dance").disconnect()
        for target, said in (
            ({"agent_id": "w"}, "No worker for w is connected now"),
            ({"capability": "dance"}, "No worker for capability:dance is connected now"),
        ):
            self.assertEqual(self.caller.refusal("agent.call", message=1, **target)["message"], said)


class PlacesTests(CallCase):
    """Where places are not kept."""

    options = {"resume_window": 0.0}

    def test_at_once(self) -> None:
        """Nobody is waited for: the call may be made again."""
        self.worker("w", "dance").vanish()
        for target in ({"agent_id": "w"}, {"capability": "dance"}):
            self.assertEqual(self.error(self.call(**target))["data"]["retry_after_ms"], 1000)


class RestartTests(CallCase):
    """After a start."""

    def setUp(self) -> None:
        super().setUp()
        self.mail, self.tokens = MemoryMailStore(), MemoryTokenStore()
        self.start()

    def start(self) -> None:
        self.gateway = MemoryGateway(self.tokens, mail_store=self.mail)
        self.addCleanup(self.gateway.close)
        self.caller = self.gateway.connect("caller")

    def test_on_their_way(self) -> None:
        """For a while after a start agents that were here before may be on their way, whatever they serve."""
        self.worker("w", "dance")
        self.start()
        for target in ({"agent_id": "w"}, {"capability": "dance"}):
            self.assertEqual(self.error(self.call(**target))["data"]["retry_after_ms"], 1000)
        self.assertEqual(self.outcome(self.call(agent_id="nobody")), -32006)
        self.gateway.advance(RETURN_WINDOW)
        self.assertEqual(self.outcome(self.call(capability="dance")), -32006)
        self.assertEqual(self.outcome(self.call(agent_id="w")), -32000)

    def test_first_start(self) -> None:
        """At the first start of all nobody is on the way."""
        self.assertEqual(self.outcome(self.call(capability="dance")), -32006)


class ExplainTests(AbsenceCase):
    """C{gateway.explain} says the same."""

    def setUp(self) -> None:
        super().setUp()
        token = self.gateway.token("caller", permissions=["agent.*", "gateway.explain"])
        self.caller = self.gateway.connect(token=token)

    def explain(self, **target: Any) -> tuple[str, str, list[str], dict[str, str]]:
        params = {"method": "agent.call", "params": {"message": 1, **target}}
        told = self.caller.request("gateway.explain", params)["result"]
        reasons = {each["entity_id"]: each["reason"] for each in told["considered"]}
        return told["outcome"], told["reason"], told["near"], reasons

    def test_waiting(self) -> None:
        """A call to who is absent would wait for it."""
        self.lose("w", "dance")
        self.call(capability="dance")
        for target, waiting in (({"agent_id": "w"}, 0), ({"capability": "dance"}, 1)):
            reason = f"it waits for a session to come back; {waiting} calls wait already"
            why = {"w": "its connection broke, and its place is kept"}
            self.assertEqual(self.explain(**target), ("waiting", reason, [], why))
        self.come("v", "dance")
        outcome, _, _, why = self.explain(capability="dance")
        self.assertEqual((outcome, set(why)), ("sent", {"v", "w"}))

    def test_refused(self) -> None:
        """A call to who is gone would be refused, with the words for that; and so one to who rests."""
        self.come("w", "dance").disconnect()
        for target in ({"agent_id": "w"}, {"capability": "dance"}):
            self.assertEqual(self.explain(**target), ("refused", "no worker for it is connected now", [], {}))
        self.assertEqual(self.explain(capability="dnce"), ("refused", "nobody here serves it", [], {}))
        resting = self.come("v", "sing")
        resting.call("presence.update", status="offline")
        resting.vanish()
        outcome, reason, _, why = self.explain(capability="sing")
        self.assertEqual((outcome, reason), ("refused", "no worker accepts calls now: do_not_disturb or offline"))
        self.assertEqual(why, {"v": "its connection broke, and its place is kept"})
