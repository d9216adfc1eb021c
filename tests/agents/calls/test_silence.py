"""``agent.call``: agents whose connection is dead, though nobody has noticed."""

from __future__ import annotations

from typing import Any

from cell0gw.sessions.signs import LONG
from cell0gw.testing import Client
from tests.agents.calls.calling import CallCase


class SilenceCase(CallCase):
    """With agents that fall silent."""

    def falls_silent(self, worker: Client) -> None:
        """The other end is gone, or stands still: nothing comes from there any more, pongs neither."""
        self.gateway._clients.remove(worker)

    def is_back(self, worker: Client) -> None:
        """It stood still, and goes on: what it was sent is there."""
        self.gateway._clients.append(worker)
        self.gateway.advance(1)

    def lost(self, *capabilities: str, **declared: Any) -> Client:
        """An agent whose connection is dead."""
        worker = self.worker("w", *capabilities, **declared)
        self.falls_silent(worker)
        self.gateway.advance(5)
        return worker

    def count(self, worker: Client) -> int:
        """How many calls the gateway has given to a worker, be they read or not."""
        return self.gateway.agents.workers.of_session(worker.server.session).load


class ChoiceTests(SilenceCase):
    """Who gets a call."""

    def test_back_on_another_connection(self) -> None:
        """Who is back while its old connection looks alive still gets its calls, at once and whatever the policy."""
        for policy in ("least_busy", "round_robin", "random", "sticky"):
            old = self.lost("dance")
            new = self.worker("w", "dance")
            for target in ({"agent_id": "w"}, {"capability": "dance"}):
                for _ in range(3):
                    self.call(policy=policy, **target, **({"key": "k"} if policy == "sticky" else {}))
            self.assertEqual((self.count(old), self.count(new)), (0, 6), policy)
            for client in (old, new):
                client.server.abort()

    def test_noticed_by_a_heartbeat(self) -> None:
        """Who does not answer a heartbeat comes after all others, be they of the same agent or not."""
        silent, other = self.lost("dance"), self.worker("v", "dance")
        self.gateway.advance(32)
        for _ in range(3):
            self.call(capability="dance", policy="round_robin")
        self.assertEqual((self.count(silent), self.count(other)), (0, 3))

    def test_nobody_else(self) -> None:
        """When the others are full, or there are none, a silent one gets the call: it may be slow, and not dead."""
        old = self.lost("dance")
        new = self.worker("w", "dance", max_inflight=1)
        for _ in range(3):
            self.call(capability="dance")
        self.assertEqual((self.count(old), self.count(new)), (2, 1))

    def test_heard(self) -> None:
        """Who shows a sign of life is one like the others again."""
        old = self.lost("dance")
        new = self.worker("w", "dance")
        self.is_back(old)
        for _ in range(2):
            self.call(capability="dance")
        self.assertEqual((self.count(old), self.count(new)), (1, 1))

    def test_who_answers_is_not_doubted(self) -> None:
        """Agents that answer pings are never passed over, however long they have nothing to say."""
        first = self.worker("w", "dance")
        self.gateway.advance(100)
        second = self.worker("w", "dance")
        self.gateway.advance(1)
        for _ in range(4):
            self.call(capability="dance")
        self.assertEqual((len(self.asked(first)), len(self.asked(second))), (2, 2))

    def test_sticky(self) -> None:
        """A key goes elsewhere while its session is silent, and then comes back."""
        worker, other = self.worker("w", "dance"), self.worker("v", "dance")
        self.call(capability="dance", policy="sticky", key="k")
        self.assertEqual(self.count(worker), 1)
        self.falls_silent(worker)
        self.gateway.advance(35)
        self.call(capability="dance", policy="sticky", key="k")
        self.assertEqual((self.count(worker), self.count(other)), (1, 1))
        self.is_back(worker)
        self.call(capability="dance", policy="sticky", key="k")
        self.assertEqual((self.count(worker), self.count(other)), (2, 1))

    def test_mail(self) -> None:
        """A message goes to the newest session that shows signs of life."""
        old = self.worker("w")
        self.falls_silent(self.worker("w"))
        self.gateway.advance(35)
        self.caller.call("agent.send", agent_id="w", message="hello")
        self.assertEqual(len(old.received("agent.message")), 1)

    def test_explained(self) -> None:
        """C{gateway.explain} says who is silent."""
        self.lost("dance")
        self.worker("w", "dance")
        operator = self.gateway.connect(token=self.gateway.token("o", permissions=["*"]))
        asked = {"method": "agent.call", "params": {"agent_id": "w", "message": 1}}
        told = operator.request("gateway.explain", asked)["result"]
        chosen, other = told["considered"]
        self.assertEqual((chosen["chosen"], other["chosen"]), (True, False))
        self.assertEqual(
            other["reason"], "it shows no sign of life, and others come first: it has 0 of any number calls"
        )


class LostTests(SilenceCase):
    """What a silent one has."""

    def test_goes_to_another(self) -> None:
        """A call that was not begun goes to another one when no sign of life came in time, if the agent says when it
        begins.
        """
        silent = self.worker("w", "dance", "ack")
        other = self.worker("v", "dance", "ack")
        self.gateway.advance(2)
        self.falls_silent(silent)
        request = self.call(capability="dance")
        self.assertEqual(self.count(silent), 1)
        self.gateway.advance(LONG - 1)
        self.assertEqual(self.count(other), 0)
        self.gateway.advance(2)
        self.answer(other, self.asked(other)[0]["call_id"])
        self.assertEqual(self.outcome(request), "done")
        self.assertEqual([one["reason"] for one in silent.received("agent.cancelled")], ["lost"])
        self.answer(silent, self.asked(silent)[0]["call_id"], "late")
        self.assertEqual((self.gateway.agents.calls.late, self.count(silent)), (1, 0))
        self.assertNothingLeft()

    def test_begun(self) -> None:
        """What was begun, or may have been, stays where it is."""
        for capabilities in (("dance",), ("dance", "ack")):
            silent = self.worker("w", *capabilities)
            self.call(capability="dance")
            if "ack" in capabilities:
                silent.call("agent.ack", message_id=self.asked(silent)[0]["call_id"], status="started")
            other = self.worker("v", "dance", "ack")
            self.falls_silent(silent)
            self.gateway.advance(45)
            self.assertEqual((self.count(silent), self.count(other)), (1, 0))
            for client in (silent, other):
                client.server.abort()

    def test_waits_for_another(self) -> None:
        """While there is no other it stays where it is, and the next one that comes gets it."""
        silent = self.lost("dance", "ack")
        request = self.call(capability="dance", timeout_ms=50_000)
        self.gateway.advance(LONG + 2)
        self.assertIsNone(self.outcome(request))
        new = self.worker("w", "dance", "ack")
        self.answer(new, self.asked(new)[0]["call_id"])
        self.assertEqual(self.outcome(request), "done")
        self.assertEqual(self.count(silent), 1)

    def test_given_to_who_is_silent_for_long(self) -> None:
        """It is so as well for a call that was made when the silence had lasted already."""
        self.lost("dance", "ack")
        self.call(capability="dance", timeout_ms=50_000)
        self.gateway.advance(LONG + 2)
        request = self.call(capability="dance")
        new = self.worker("w", "dance", "ack")
        self.assertEqual(len(self.asked(new)), 2)
        self.answer(new, self.asked(new)[1]["call_id"])
        self.assertEqual(self.outcome(request), "done")

    def test_was_only_slow(self) -> None:
        """Who goes on before another one took the call has it still, and nobody else gets it any more."""
        slow = self.lost("dance", "ack")
        request = self.call(capability="dance", timeout_ms=50_000)
        self.gateway.advance(LONG + 2)
        self.is_back(slow)
        self.assertEqual(self.gateway.agents.calls.waiting, 0)
        other = self.worker("v", "dance", "ack")
        self.assertEqual((self.asked(other), len(self.asked(slow))), ([], 1))
        self.answer(slow, self.asked(slow)[0]["call_id"])
        self.assertEqual(self.outcome(request), "done")
        self.assertNothingLeft()

    def test_begins_after_all(self) -> None:
        """Who says that it begins has the call for itself from that moment on."""
        slow = self.lost("dance", "ack")
        request = self.call(capability="dance", timeout_ms=50_000)
        self.gateway.advance(LONG + 2)
        slow.call("agent.ack", message_id=self.asked(slow)[0]["call_id"], status="started")
        other = self.worker("v", "dance", "ack")
        self.assertEqual(self.asked(other), [])
        self.answer(slow, self.asked(slow)[0]["call_id"])
        self.assertEqual(self.outcome(request), "done")
        self.assertNothingLeft()

    def test_ends_while_it_waits(self) -> None:
        """It ends like any other: answered, refused, cancelled, or with the connection of who has it."""
        for how, outcome in (("answer", "done"), ("refuse", -32000), ("cancel", -32009), ("lose", -32000)):
            slow = self.lost("dance", "ack")
            request = self.call(capability="dance", timeout_ms=50_000)
            self.gateway.advance(LONG + 2)
            if how == "cancel":
                self.caller.call("agent.cancel", request_id=request)
            elif how == "lose":
                slow.server.close(4507, "over")
                slow.flush()
            else:
                getattr(self, how)(slow, self.asked(slow)[0]["call_id"])
            self.assertEqual(self.outcome(request), outcome, how)
            self.assertNothingLeft()
            slow.server.abort()
            slow.flush()
            self.gateway.advance(130)
