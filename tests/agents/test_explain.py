"""``gateway.explain``: who would get it, why the others not, and that asking changes nothing."""

from __future__ import annotations

from typing import Any

from cell0gw.agents import explain
from cell0gw.agents.mail import mailbox
from cell0gw.testing import Client
from tests.agents.calls.calling import CallCase


class ExplainCase(CallCase):
    """With one who may ask."""

    options = {"max_hops": 3, "mailbox_messages": 4, "conversation_rate": 4}

    def setUp(self) -> None:
        super().setUp()
        token = self.gateway.token("caller", permissions=["agent.*", "gateway.explain"])
        self.caller = self.gateway.connect(token=token)

    def explain(self, method: str, client: Client | None = None, **params: Any) -> dict[str, Any]:
        params.setdefault("message", 1)
        return dict((client or self.caller).request("gateway.explain", {"method": method, "params": params})["result"])

    def verdict(self, method: str = "agent.call", **params: Any) -> tuple[str, dict[str, str]]:
        """What would become of it, and why of everyone who was considered."""
        told = self.explain(method, **params)
        return told["outcome"], {each["entity_id"]: each["reason"] for each in told["considered"]}

    def slow(self, client: Client) -> None:
        client.server.__class__ = type("Slow", (type(client.server),), {"backlog": 2**21})


class CallTests(ExplainCase):
    """Of calls."""

    def test_everyone(self) -> None:
        """Each session is told why it would get the call or not, the chosen one first."""
        self.worker("full", "dance", max_inflight=1)
        self.call(agent_id="full")
        self.worker("busy", "dance", max_inflight=5)
        self.call(agent_id="busy")
        self.worker("resting", "dance").call("presence.update", status="do_not_disturb")
        self.slow(self.worker("slow", "dance"))
        self.gateway.connect(token=self.gateway.token("not", permissions=["agent.call"]), capabilities=["dance"])
        self.worker("free", "dance")
        self.worker("other", "sing")
        told = self.explain("agent.call", capability="dance")
        self.assertEqual((told["outcome"], told["total"], told["near"]), ("sent", 6, []))
        self.assertEqual(
            {each["entity_id"]: each["reason"] for each in told["considered"]},
            {
                "free": "chosen by least_busy: it has 0 of any number calls",
                "full": "full: it has 1 of 1 calls",
                "busy": "another one is chosen by least_busy: it has 1 of 5 calls",
                "resting": "it accepts no calls now: do_not_disturb or offline",
                "slow": "slow to read",
                "not": "its token lacks agent.serve:dance",
            },
        )
        self.assertEqual([each["entity_id"] for each in told["considered"] if each["chosen"]], ["free"])
        self.assertEqual(told["considered"][0]["entity_id"], "free")

    def test_is_true(self) -> None:
        """Who is said to be chosen gets the call, whatever the policy."""
        workers = {name: self.worker(name, "dance", max_inflight=2) for name in "abc"}
        for n in range(6):
            policy = ("least_busy", "round_robin", "sticky")[n % 3]
            params = {"capability": "dance", "policy": policy} | ({"key": "k"} if policy == "sticky" else {})
            told = self.explain("agent.call", **params)["considered"][0]
            self.assertTrue(told["chosen"])
            self.call(message=n, **params)
            self.assertEqual(self.asked(workers[told["entity_id"]])[-1]["message"], n)
        self.assertEqual(self.explain("agent.call", capability="dance")["outcome"], "waiting")

    def test_random(self) -> None:
        """By chance anybody may get it: nobody is chosen."""
        for name in "ab":
            self.worker(name, "dance")
        outcome, reasons = self.verdict(capability="dance", policy="random")
        self.assertEqual(outcome, "sent")
        self.assertEqual(set(reasons.values()), {"as likely as the others: it has 0 of any number calls"})

    def test_waiting(self) -> None:
        """When all are full or slow it would wait, and how many do."""
        self.worker("full", "dance", max_inflight=1)
        self.slow(self.worker("slow", "dance"))
        for _ in range(3):
            self.call(capability="dance")
        told = self.explain("agent.call", capability="dance")
        self.assertEqual((told["outcome"], told["reason"]), ("waiting", "all are busy; 2 calls wait already"))

    def test_nobody(self) -> None:
        """What nobody serves, or whoever does rests, would be refused, as the call itself is."""
        self.worker("w", "dance").call("presence.update", status="offline")
        for target, code in (
            ({"capability": "dnce"}, -32006),
            ({"agent_id": "ww"}, -32006),
            ({"agent_id": "w"}, -32000),
        ):
            told = self.explain("agent.call", **target)
            self.assertEqual(told["outcome"], "refused", target)
            refusal = self.caller.refusal("agent.call", message=1, **target)
            self.assertEqual(refusal["code"], code)
            self.assertEqual(told["near"], refusal["data"].get("near", []))

    def test_only_those_who_may_not(self) -> None:
        """Who says it can and may not is shown, though nobody serves it."""
        self.gateway.connect(token=self.gateway.token("not", permissions=[]), capabilities=["dance"])
        self.assertEqual(self.verdict(capability="dance"), ("refused", {"not": "its token lacks agent.serve:dance"}))

    def test_refused_as_the_call(self) -> None:
        """What the call itself would be refused for, it is refused for here, in the same words."""
        worker = self.worker("w", "dance")
        self.call(agent_id="w")
        narrow = self.gateway.connect(
            token=self.gateway.token("caller", permissions=["agent.call:w", "gateway.explain"])
        )
        none = self.gateway.connect(token=self.gateway.token("caller", permissions=["gateway.explain"]))
        for client, params in (
            (narrow, {"agent_id": "caller"}), (none, {"agent_id": "w"}), (narrow, {"capability": "dance"}),
            (self.caller, {}), (self.caller, {"agent_id": "w", "capability": "dance"}),
            (self.caller, {"agent_id": "w", "policy": "sticky"}), (self.caller, {"agent_id": "w", "policy": "best"}),
            (self.caller, {"agent_id": "w", "more": 1}), (self.caller, {"agent_id": "w", "in_reply_to": "msg_1-x"}),
            (self.caller, {"agent_id": "*"}),
        ):  # fmt: skip
            told = self.explain("agent.call", client, **params)
            refusal = client.refusal("agent.call", **{"message": 1, **params})
            self.assertEqual((told["outcome"], told["reason"]), ("refused", refusal["message"]), params)
        self.assertEqual(len(self.asked(worker)), 1)

    def test_bounded(self) -> None:
        """Of many who were considered some are shown, the chosen one among them, and how many there are."""
        self.patch(explain, "MAX_CONSIDERED", 2)
        for name in "abcd":
            self.worker(name, "dance")
        self.call(agent_id="a")
        told = self.explain("agent.call", capability="dance")
        self.assertEqual((len(told["considered"]), told["total"]), (2, 4))
        self.assertEqual((told["considered"][0]["entity_id"], told["considered"][0]["chosen"]), ("b", True))

    def test_permission(self) -> None:
        """Asking takes the permission to ask, and is about the two methods only."""
        plain = self.gateway.connect("plain")
        asked = {"method": "agent.call", "params": {"agent_id": "caller", "message": 1}}
        for client, params, code in ((plain, asked, -32002), (self.caller, asked | {"method": "rpc.ping"}, -32602)):
            self.assertEqual(client.request("gateway.explain", params)["error"]["code"], code)


class NothingHappensTests(ExplainCase):
    """Asking changes nothing."""

    def test_calls(self) -> None:
        """No call is made, nobody's turn is over, no key is given to anybody."""
        workers = [self.worker(name, "dance") for name in "abc"]
        for _ in range(2):
            for params in ({}, {"policy": "round_robin"}, {"policy": "random"}, {"policy": "sticky", "key": "k"}):
                self.explain("agent.call", capability="dance", **params)
        calls = self.gateway.agents.calls
        self.assertEqual((len(calls), calls.made, calls.failed), (0, 0, 0))
        self.assertEqual([self.asked(worker) for worker in workers], [[], [], []])
        self.call(capability="dance", policy="round_robin")
        self.assertEqual(len(self.asked(workers[0])), 1)
        self.call(capability="dance", policy="sticky", key="k")
        self.assertEqual(len(self.asked(workers[1])), 1)

    def test_conversations(self) -> None:
        """A conversation is no longer for it, and one that goes in circles is no news."""
        worker = self.worker("w")
        self.call(agent_id="w")
        (asked,) = self.asked(worker)
        replier = self.gateway.connect(token=self.gateway.token("w", permissions=["*"]))
        reply = {"agent_id": "caller", "in_reply_to": asked["call_id"]}
        for _ in range(5):
            for method in ("agent.send", "agent.call"):
                self.assertEqual(self.explain(method, replier, **reply)["outcome"], "sent")
        for _ in range(4):
            replier.call("agent.send", message=1, **reply)
        replier.call("channel.subscribe", channel="$system")
        refused = self.gateway.agents.conversations.refused
        for method in ("agent.send", "agent.call"):
            told = self.explain(method, replier, **reply)
            self.assertEqual(told["outcome"], "refused")
            self.assertIn("in circles", told["reason"])
        self.assertEqual((self.gateway.agents.conversations.refused, replier.received("event")), (refused, []))

    def test_messages(self) -> None:
        """Nothing is sent, and no mailbox is any fuller."""
        here = self.worker("here", "ack")
        self.gateway.connect("away").vanish()
        for _ in range(5):
            self.assertEqual(self.explain("agent.send", agent_id="here")["outcome"], "sent")
            self.assertEqual(self.explain("agent.send", agent_id="away")["outcome"], "queued")
        self.gateway.advance(1)
        self.assertEqual(here.received("agent.message"), [])
        self.assertEqual((self.gateway.agents.mail.sent, self.gateway.agents.mail.queued), (0, 0))
        self.assertEqual(self.gateway.agents.mailboxes.waiting.messages, 0)


class MessageTests(ExplainCase):
    """Of messages."""

    def test_newest(self) -> None:
        """The newest session that reads would get it."""
        older, newest = self.worker("w"), self.worker("w")
        ids = [client.call("session.getInfo")["session_id"] for client in (newest, older)]
        told = self.explain("agent.send", agent_id="w")
        self.assertEqual((told["outcome"], told["reason"], told["total"]), ("sent", "it is here", 2))
        self.assertEqual(
            [(each["session_id"], each["chosen"], each["reason"]) for each in told["considered"]],
            [
                (ids[0], True, "the newest session that keeps up with reading"),
                (ids[1], False, "a newer session is here"),
            ],
        )
        self.slow(newest)
        told = self.explain("agent.send", agent_id="w")
        self.assertEqual([each["session_id"] for each in told["considered"]], ids[::-1])
        self.assertEqual(told["considered"][1]["reason"], "slow to read")

    def test_queued(self) -> None:
        """It would wait for who is away, who is slow, and who has mail already."""
        self.gateway.connect("away").vanish()
        self.slow(self.worker("slow"))
        self.patch(mailbox, "WINDOW", 1)
        self.worker("behind", "ack")
        self.caller.call("agent.send", agent_id="behind", message=1)
        for name, word in (("away", "away"), ("slow", "slow"), ("behind", "come first")):
            told = self.explain("agent.send", agent_id=name)
            self.assertEqual(told["outcome"], "queued", name)
            self.assertIn(word, told["reason"])
            self.assertEqual(self.caller.call("agent.send", agent_id=name, message=2)["status"], "queued")

    def test_room_in_the_window(self) -> None:
        """It would be sent to who has room for one more, though something is not acknowledged yet."""
        self.worker("w", "ack")
        self.caller.call("agent.send", agent_id="w", message=1)
        self.assertEqual(self.explain("agent.send", agent_id="w")["outcome"], "sent")
        self.assertEqual(self.caller.call("agent.send", agent_id="w", message=2)["status"], "sent")

    def test_kept_in_any_case(self) -> None:
        """What asks for receipts, or has a key, is held against the bounds, whoever is here."""
        self.worker("w")
        for _ in range(self.gateway.config.sender_messages):
            self.gateway.agents.mailboxes._quotas.add("caller", "elsewhere", 1)
        self.assertEqual(self.explain("agent.send", agent_id="w")["outcome"], "sent")
        for more in ({"receipts": True}, {"idempotency_key": "k"}):
            self.assertEqual(self.explain("agent.send", agent_id="w", **more)["outcome"], "refused")
            self.assertEqual(self.caller.refusal("agent.send", agent_id="w", message=1, **more)["code"], -32003)

    def test_refused(self) -> None:
        """What the message itself would be refused for, it is refused for here."""
        self.gateway.connect("away").vanish()
        told = self.explain("agent.send", agent_id="awya")
        self.assertEqual((told["outcome"], told["near"]), ("refused", ["away"]))
        for _ in range(2):
            self.caller.call("agent.send", agent_id="away", message=1)
        for params in (
            {"agent_id": "away"},
            {"agent_id": "away", "ttl_seconds": 0},
            {},
            {"agent_id": "away", "in_reply_to": "x"},
        ):
            told = self.explain("agent.send", **params)
            refusal = self.caller.refusal("agent.send", **{"message": 1, **params})
            self.assertEqual((told["outcome"], told["reason"]), ("refused", refusal["message"]), params)
