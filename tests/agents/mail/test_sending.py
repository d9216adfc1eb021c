"""``agent.send`` and what becomes of it: mailboxes, acknowledgements, receipts."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents.mail.mailbox import WINDOW
from cell0gw.engines.memory.mail import MemoryMailStore
from cell0gw.sessions.terms import USUAL
from cell0gw.testing import Client, MemoryGateway

RESEND_AFTER = USUAL.ack_wait


class MailCase(SynchronousTestCase):
    """A sender C{a}, and a recipient C{b} with a token, not connected yet."""

    options: dict[str, Any] = {}

    def setUp(self) -> None:
        self.store = MemoryMailStore()
        self.gateway = MemoryGateway(mail_store=self.store, **self.options)
        self.addCleanup(self.gateway.close)
        self.a = self.gateway.connect("a")
        self.gateway.advance(0)
        self.token = self.gateway.token("b", expires_in_hours=1000)

    def b(self, *capabilities: str) -> Client:
        """The recipient, connected."""
        client = self.gateway.connect(token=self.token, capabilities=list(capabilities))
        self.gateway.advance(0)
        return client

    def send(self, message: Any, **more: Any) -> dict[str, Any]:
        return dict(self.a.call("agent.send", agent_id="b", message=message, **more))

    def got(self, client: Client) -> list[Any]:
        """The messages a client got, in order."""
        self.gateway.advance(0)
        return [message["message"] for message in client.received("agent.message")]

    def statuses(self, client: Client) -> list[str]:
        self.gateway.advance(0)
        return [receipt["status"] for receipt in client.received("agent.receipt")]

    def waiting(self) -> int:
        return self.gateway.agents.mailboxes.waiting.messages


class WaitingTests(MailCase):
    """Mail for who is away."""

    def test_waits_in_order(self) -> None:
        """What is sent to one who is away arrives when it comes, in the order in which it was sent."""
        self.assertEqual([self.send(n)["status"] for n in range(250)], ["queued"] * 250)
        self.assertEqual(self.got(self.b()), list(range(250)))
        self.assertEqual(self.waiting(), 0)

    def test_once(self) -> None:
        """A client that doesn't acknowledge gets each message once, whoever else comes and goes."""
        self.send(1)
        first = self.b()
        self.assertEqual(self.got(first), [1])
        first.vanish()
        self.assertEqual(self.got(self.b()), [])

    def test_kept_first(self) -> None:
        """The answer to a sender is given when the message is kept, not before."""
        self.store.held = True
        request = {"jsonrpc": "2.0", "id": 9, "method": "agent.send", "params": {"agent_id": "b", "message": 1}}
        self.assertEqual(self.a.send(json.dumps(request)), [])
        self.store.release()
        self.a.flush()
        self.assertEqual(self.a.messages[-1]["result"]["status"], "queued")

    def test_behind_what_waits(self) -> None:
        """What is sent while older mail is on its way does not overtake it."""
        self.send(1)
        self.store.held = True
        b = self.b()
        for message in (2, 3):
            self.a.send(json.dumps({"jsonrpc": "2.0", "method": "agent.send", "params": ["b", message]}))
        self.store.held = False
        self.store.release()
        self.gateway.advance(1)
        self.assertEqual(self.got(b), [1, 2, 3])

    def test_broken_store(self) -> None:
        """What can't be kept is refused, leaves nothing behind and is never delivered."""
        self.store.broken = True
        self.assertEqual(self.a.refusal("agent.send", agent_id="b", message=1)["code"], -32000)
        self.assertEqual(self.waiting(), 0)
        self.store.broken = False
        self.send(2)
        self.assertEqual(self.got(self.b()), [2])
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_store_breaks_on_the_way(self) -> None:
        """Mail that can't be read waits until it can."""
        self.send(1)
        self.store.broken = True
        b = self.b()
        self.assertEqual(self.got(b), [])
        self.store.broken = False
        self.gateway.advance(2)
        self.assertEqual(self.got(b), [1])

    def test_slow_reader(self) -> None:
        """Mail for a recipient that does not read waits, rather than in the gateway's memory."""
        b = self.b()
        type(b.server).backlog = property(lambda protocol: 2**21)
        self.addCleanup(self._restore, type(b.server))
        self.assertEqual(self.send(1)["status"], "queued")
        self.assertEqual(self.got(b), [])
        self._restore(type(b.server))
        self.gateway.advance(2)
        self.assertEqual(self.got(b), [1])

    def _restore(self, protocol: Any) -> None:
        if "backlog" in vars(protocol):
            del protocol.backlog

    def test_expiry(self) -> None:
        """What has waited too long is not delivered, its sender is told, and operators can read it."""
        message_id = self.send({"x": 1}, ttl_seconds=10, receipts=True)["message_id"]
        self.gateway.advance(11)
        self.assertEqual(self.statuses(self.a), ["queued", "expired"])
        self.assertEqual(self.got(self.b()), [])
        operator = self.gateway.connect(token=self.gateway.token("operator", "system", ["*"]))
        dead = operator.call("gateway.getDeadLetters")
        self.assertEqual(dead["total"], 1)
        self.assertEqual(dead["messages"][0]["message"], {"x": 1})
        self.assertEqual((dead["messages"][0]["message_id"], dead["messages"][0]["status"]), (message_id, "expired"))
        self.assertEqual(operator.call("gateway.getDeadLetters", agent_id="other")["total"], 0)
        self.assertEqual(self.waiting(), 0)

    def test_default_patience(self) -> None:
        """A message whose sender says nothing waits for a week."""
        self.send(1)
        self.gateway.advance(7 * 86400 - 60, step=3600)
        self.assertEqual(self.got(self.b()), [1])


class UnknownTests(MailCase):
    """To whom nobody knows."""

    def test_never_held(self) -> None:
        """An id that no valid token names and nobody ever had is refused, with those it may have meant."""
        self.gateway.token("billing.worker-1")
        refusal = self.a.refusal("agent.send", agent_id="billing.worker_1", message=1)
        self.assertEqual((refusal["code"], refusal["data"]["near"]), (-32006, ["billing.worker-1"]))

    def test_only_what_one_may_write_to(self) -> None:
        """Nobody learns the ids of those that it may not write to."""
        client = self.gateway.connect(token=self.gateway.token("c", permissions=["agent.send:b_"]))
        self.assertEqual(client.refusal("agent.send", agent_id="b_", message=1)["data"]["near"], [])

    def test_of_a_pattern(self) -> None:
        """An id under a pattern is somebody's once somebody had it, also when the token has ended."""
        token = self.gateway.token("worker.>", expires_in_hours=1)
        worker = self.gateway.connect()
        worker.call("auth.authenticate", token=token, entity_id="worker.7")
        worker.disconnect()
        self.gateway.advance(7200, step=7200)
        self.a = self.gateway.connect("a")
        self.assertEqual(self.a.call("agent.send", agent_id="worker.7", message=1)["status"], "queued")

    def test_revoked(self) -> None:
        """An id that only a revoked token names, and that nobody ever had, is nobody's."""
        admin = self.gateway.connect(token=self.gateway.token("admin", "system", ["*"]))
        admin.call("auth.revokeToken", entity_id="b")
        self.assertEqual(self.a.refusal("agent.send", agent_id="b", message=1)["code"], -32006)


class BoundsTests(MailCase):
    """How much may wait."""

    options = {"mailbox_messages": 6, "mailbox_bytes": 100, "sender_messages": 5, "total_mailbox_bytes": 1000}

    def limit(self, agent_id: str = "b", message: Any = 1) -> str:
        refusal = self.a.refusal("agent.send", agent_id=agent_id, message=message)
        self.assertEqual(refusal["code"], -32003)
        return str(refusal["data"]["limit"])

    def test_of_a_recipient(self) -> None:
        """A full mailbox takes no more, and does again when it has been emptied."""
        for n in range(3):
            self.send(n)
        self.assertEqual(self.limit(), "mailbox_messages")
        self.b()
        self.gateway.advance(1)
        self.b().disconnect()
        self.assertEqual(self.send(4)["success"], True)

    def test_bytes(self) -> None:
        """Nor more bytes than it may hold; one larger message fits into an empty one."""
        self.send("x" * 500)
        self.assertEqual(self.limit(), "mailbox_bytes")

    def test_of_a_sender(self) -> None:
        """A sender has so many messages waiting and no more, wherever they wait."""
        self.gateway.token("c")
        for agent_id in ("b", "b", "b", "c", "c"):
            self.a.call("agent.send", agent_id=agent_id, message=1)
        self.assertEqual(self.limit("c"), "sender_messages")
        other = self.gateway.connect("other")
        self.assertTrue(other.call("agent.send", agent_id="c", message=1)["success"])

    def test_in_all(self) -> None:
        """All mailboxes together hold so much and no more."""
        self.gateway.token("c")
        self.send("x" * 900)
        self.assertEqual(self.limit("c", "x" * 200), "total_mailbox_bytes")

    def test_a_flood(self) -> None:
        """One who fills a mailbox as far as it can leaves room for others, also after a restart."""
        for n in range(3):
            self.send(n)
        self.assertEqual(self.limit(), "mailbox_messages")
        other = self.gateway.connect("other")
        self.assertEqual(other.call("agent.send", agent_id="b", message=1)["status"], "queued")


class AcknowledgedTests(MailCase):
    """Recipients that acknowledge."""

    def ack(self, client: Client, message: dict[str, Any], status: str = "received") -> str:
        return str(client.call("agent.ack", message_id=message["message_id"], status=status)["status"])

    def test_sent_again(self) -> None:
        """A message comes again after a while, until it is acknowledged."""
        b = self.b("ack")
        self.assertEqual(self.send(1)["status"], "sent")
        self.gateway.advance(RESEND_AFTER + 2)
        self.assertEqual(self.got(b), [1, 1])
        self.ack(b, b.received("agent.message")[0])
        self.gateway.advance(2 * RESEND_AFTER)
        self.assertEqual(self.got(b), [1, 1])
        self.assertEqual(self.waiting(), 0)

    def test_more_than_is_read_at_once(self) -> None:
        """What is due again and is more than the disk gives at once comes all the same, one part after the other."""
        b = self.b("ack")
        for n in range(4):
            self.send(n)
        letters = self.store.letters
        self.store.letters = lambda ids: letters(ids).addCallback(lambda found: found[:1])  # type: ignore[method-assign]
        self.gateway.advance(RESEND_AFTER + 5)
        self.assertEqual(self.got(b), [0, 1, 2, 3, 0, 1, 2, 3])

    def test_after_a_break(self) -> None:
        """What was not acknowledged when the connection broke comes first on the next one, in order."""
        b = self.b("ack")
        for n in range(5):
            self.send(n)
        for message in b.received("agent.message")[1:3]:
            self.ack(b, message)
        b.vanish()
        self.send(5)
        self.assertEqual(self.got(self.b("ack")), [0, 3, 4, 5])

    def test_window(self) -> None:
        """Only so many are on their way before the first is acknowledged."""
        b = self.b("ack")
        for n in range(WINDOW + 10):
            self.send(n)
        self.assertEqual(len(self.got(b)), WINDOW)
        for message in b.received("agent.message")[:4]:
            self.ack(b, message)
        self.assertEqual(self.got(b), list(range(WINDOW + 4)))

    def test_whose(self) -> None:
        """Only its recipient acknowledges a message, by whichever session."""
        b = self.b("ack")
        self.send(1)
        (message,) = b.received("agent.message")
        params = {"message_id": message["message_id"], "status": "received"}
        self.assertEqual(self.a.refusal("agent.ack", **params)["code"], -32006)
        self.assertTrue(self.b().call("agent.ack", **params)["success"])

    def test_who_no_longer_can(self) -> None:
        """What was sent to a client that acknowledges is sent once to one of theirs that doesn't."""
        b = self.b("ack")
        self.send(1)
        b.vanish()
        other = self.b()
        self.gateway.advance(3 * RESEND_AFTER)
        self.assertEqual((self.got(other), self.waiting()), ([1], 0))

    def test_broken_store(self) -> None:
        """An acknowledgement that can't be written down is refused, and the message comes again."""
        b = self.b("ack")
        self.send(1)
        (message,) = b.received("agent.message")
        self.store.broken = True
        params = {"message_id": message["message_id"], "status": "received"}
        self.assertEqual(b.refusal("agent.ack", **params)["code"], -32000)
        self.store.broken = False
        self.gateway.advance(RESEND_AFTER + 2)
        self.assertEqual(self.got(b), [1, 1])


class ReceiptTests(MailCase):
    """What senders are told."""

    def test_ladder(self) -> None:
        """A sender is told every step, with its time, in order and after the answer to its sending."""
        b = self.b("ack")
        answer = self.send(1, receipts=True)
        for status in ("received", "started", "done"):
            self.gateway.advance(1)
            b.call("agent.ack", message_id=answer["message_id"], status=status, detail=f"it is {status}")
        self.assertEqual(self.statuses(self.a), ["queued", "sent", "received", "started", "done"])
        receipts = self.a.received("agent.receipt")
        self.assertEqual(receipts[-1]["detail"], "it is done")
        self.assertEqual({receipt["message_id"] for receipt in receipts}, {answer["message_id"]})
        self.assertEqual(receipts[-1]["timestamp"], "2026-02-12T10:30:03.000Z")
        kinds = [m.get("method", "answer") for m in self.a.messages[1:] if m.get("method") != "heartbeat"]
        self.assertLess(kinds.index("answer", 1), kinds.index("agent.receipt"))
        for client in (self.a, b):
            report = client.call("agent.getDelivery", message_id=answer["message_id"])
            self.assertEqual(report["status"], "done")
            self.assertEqual([one["status"] for one in report["receipts"]], self.statuses(self.a))
        stranger = self.gateway.connect("c")
        self.assertEqual(stranger.refusal("agent.getDelivery", message_id=answer["message_id"])["code"], -32006)

    def test_only_up(self) -> None:
        """What comes too late changes nothing, and what is over stays as it ended."""
        b = self.b("ack")
        message_id = self.send(1, receipts=True)["message_id"]
        said = [b.call("agent.ack", message_id=message_id, status=s)["status"] for s in ("done", "received", "failed")]
        self.assertEqual(said, ["done"] * 3)
        self.assertEqual(self.statuses(self.a), ["queued", "sent", "done"])

    def test_refused_by_its_recipient(self) -> None:
        """A message that its recipient would not have is a dead letter."""
        b = self.b("ack")
        message_id = self.send("poison", receipts=True)["message_id"]
        b.call("agent.ack", message_id=message_id, status="failed", detail="can't read it")
        operator = self.gateway.connect(token=self.gateway.token("operator", "system", ["*"]))
        (dead,) = operator.call("gateway.getDeadLetters")["messages"]
        self.assertEqual((dead["message"], dead["status"], dead["detail"]), ("poison", "failed", "can't read it"))

    def test_while_away(self) -> None:
        """A sender that is away is told when it is back, once."""
        b = self.b("ack")
        message_id = self.send(1, receipts=True)["message_id"]
        self.statuses(self.a)
        self.a.disconnect()
        self.gateway.advance(1)
        b.call("agent.ack", message_id=message_id, status="done")
        back = self.gateway.connect("a")
        self.assertEqual(self.statuses(back), ["done"])
        back.disconnect()
        self.gateway.advance(2)
        self.assertEqual(self.statuses(self.gateway.connect("a")), [])

    def test_what_a_broken_connection_was_told(self) -> None:
        """What a connection was told shortly before it broke is told again; after a goodbye it is not."""
        self.send(1, receipts=True)
        self.gateway.advance(1)
        self.a.vanish()
        back = self.gateway.connect("a")
        self.assertEqual(self.statuses(back), ["queued"])
        back.disconnect()
        self.assertEqual(self.statuses(self.gateway.connect("a")), [])

    def test_all_sessions(self) -> None:
        """Every session of the sender that is here is told."""
        other = self.gateway.connect("a")
        self.send(1, receipts=True)
        self.assertEqual((self.statuses(self.a), self.statuses(other)), (["queued"], ["queued"]))

    def test_when_the_store_works_again(self) -> None:
        """Receipts that could not be read are told when they can be."""
        b = self.b("ack")
        message_id = self.send(1, receipts=True)["message_id"]
        self.gateway.advance(1)
        self.a.disconnect()
        b.call("agent.ack", message_id=message_id, status="done")
        self.store.broken = True
        back = self.gateway.connect("a")
        self.assertEqual(self.statuses(back), [])
        self.store.broken = False
        self.gateway.advance(2)
        self.assertEqual(self.statuses(back), ["done"])

    def test_unasked(self) -> None:
        """Who asks for no receipts gets none."""
        self.send(1)
        self.b("ack")
        self.assertEqual(self.statuses(self.a), [])


class KeyTests(MailCase):
    """C{idempotency_key}"""

    def test_first_answer(self) -> None:
        """A repeated key gets the first answer, and the message is delivered once."""
        answers = [self.send(1, idempotency_key="k") for _ in range(2)]
        self.assertEqual(answers[1], {**answers[0], "replayed": True})
        self.assertEqual(self.got(self.b()), [1])

    def test_other_params(self) -> None:
        """A key that stands for something else is a conflict."""
        self.send(1, idempotency_key="k")
        self.assertEqual(self.a.refusal("agent.send", agent_id="b", message=2, idempotency_key="k")["code"], -32007)

    def test_after_a_restart(self) -> None:
        """The key is kept with the message: another process knows it."""
        answer = self.send(1, idempotency_key="k")
        self.gateway.close()
        again = MemoryGateway(mail_store=self.store)
        self.addCleanup(again.close)
        repeated = again.connect("a").call("agent.send", agent_id="b", message=1, idempotency_key="k")
        self.assertEqual(repeated, {**answer, "replayed": True})
        self.assertEqual(self.got_from(again), [1])

    def got_from(self, gateway: MemoryGateway) -> list[Any]:
        client = gateway.connect("b")
        gateway.advance(0)
        return [message["message"] for message in client.received("agent.message")]


class ConversationTests(MailCase):
    """Replies."""

    options = {"max_hops": 3, "conversation_rate": 0}

    def test_reply(self) -> None:
        """A reply belongs to the conversation of what it replies to, one hop further."""
        b = self.b()
        first = self.send("hello")["message_id"]
        (got,) = b.received("agent.message")
        b.call("agent.send", agent_id="a", message="hi", in_reply_to=first)
        (reply,) = self.a.received("agent.message")
        self.assertEqual(reply["in_reply_to"], first)
        self.assertEqual((reply["conversation_id"], reply["hops"]), (got["conversation_id"], 1))

    def test_not_yours(self) -> None:
        """Nobody replies to what it was not sent, to what never was, or to an id of its own making."""
        b = self.b()
        first = self.send("hello")["message_id"]
        third = self.gateway.connect("c")
        for client, message_id in ((third, first), (self.a, first), (b, "msg_1-0000000000000000"), (b, first + "x")):
            refusal = client.refusal("agent.send", agent_id="a", message=1, in_reply_to=message_id)
            self.assertEqual(refusal["code"], -32006)

    def test_hops(self) -> None:
        """A conversation that goes back and forth for too long is stopped, and operators hear of it once."""
        operator = self.gateway.connect(token=self.gateway.token("operator", "system", ["*"]))
        operator.call("channel.subscribe", channel="$system")
        ends = [self.a, self.b()]
        message_id = self.send(0)["message_id"]
        for hop in range(1, 4):
            to = "ab"[(hop + 1) % 2]
            message_id = ends[hop % 2].call("agent.send", agent_id=to, message=hop, in_reply_to=message_id)[
                "message_id"
            ]
        for _ in range(2):
            refusal = self.a.refusal("agent.send", agent_id="b", message=4, in_reply_to=message_id)
            self.assertEqual((refusal["code"], refusal["data"]["hops"]), (-32010, 4))
        loops = [event["data"] for event in operator.received("event") if event["type"] == "agent.loop"]
        self.assertEqual([(loop["from"], loop["agent_id"], loop["hops"]) for loop in loops], [("a", "b", 4)])


class RateTests(MailCase):
    """Replies in a minute."""

    options = {"max_hops": 0, "conversation_rate": 5}

    def test_rate(self) -> None:
        """A conversation that goes too fast is slowed, whatever its hops; a minute later it may go on."""
        b = self.b()
        message_id = self.send(0)["message_id"]
        for n in range(5):
            b.call("agent.send", agent_id="a", message=n, in_reply_to=message_id)
        refusal = b.refusal("agent.send", agent_id="a", message=6, in_reply_to=message_id)
        self.assertEqual((refusal["code"], refusal["data"]["retryable"]), (-32010, True))
        self.gateway.advance(61)
        self.assertTrue(b.call("agent.send", agent_id="a", message=7, in_reply_to=message_id)["success"])
