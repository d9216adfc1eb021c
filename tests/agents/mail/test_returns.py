"""Letters that go back: dead ones that are listed, sent again or discarded, and those whose senders take them back."""

from __future__ import annotations

import json
from typing import Any

from cell0gw.agents.mail import archive
from cell0gw.testing import Client, MemoryGateway
from tests.agents.mail.test_sending import MailCase


class DeadCase(MailCase):
    """With an operator, and an audit log."""

    def setUp(self) -> None:
        self.lines: list[bytes] = []
        self.options = {"audit": self.lines.append}
        super().setUp()
        self.operator = self.operators("*")
        self.lines.clear()

    def operators(self, *permissions: str) -> Client:
        token = self.gateway.token(f"op{len(self.lines)}", "system", list(permissions))
        return self.gateway.connect(token=token)

    def die(self, message: Any, to: str = "b", **more: Any) -> str:
        """A letter that has waited too long."""
        self.gateway.token(to, expires_in_hours=1000)
        sent = self.a.call("agent.send", agent_id=to, message=message, ttl_seconds=1, **more)
        self.gateway.advance(3)
        return str(sent["message_id"])

    def listed(self, client: Client | None = None, **params: Any) -> list[Any]:
        found = (client or self.operator).call("gateway.getDeadLetters", **params)
        return [one["message"] for one in found["messages"]]

    def audited(self) -> list[tuple[Any, ...]]:
        lines = map(json.loads, self.lines)
        return [(line["action"], line["message_id"], line["agent_id"]) for line in lines if "mail." in line["action"]]


class ListTests(DeadCase):
    """Pages of dead letters."""

    def test_pages(self) -> None:
        """All are seen, newest first, page by page, however many there are; also when some go meanwhile."""
        names = [self.die(number) for number in range(7)]
        seen: list[Any] = []
        before: dict[str, str] = {}
        while page := self.operator.call("gateway.getDeadLetters", limit=2, **before)["messages"]:
            seen += [one["message"] for one in page]
            before = {"before": page[-1]["message_id"]}
            self.operator.call("gateway.discard", message_id=before["before"])
        self.assertEqual(seen, [6, 5, 4, 3, 2, 1, 0])
        self.assertEqual(self.listed(), [6, 4, 2])
        self.assertEqual(self.operator.call("gateway.getDeadLetters", before=names[3])["total"], 3)

    def test_unknown(self) -> None:
        """A page before a message that nobody knows is refused."""
        self.assertEqual(self.operator.refusal("gateway.getDeadLetters", before="msg_x")["code"], -32006)

    def test_whose(self) -> None:
        """A permission with a pattern shows those before as it shows the newest."""
        for number in range(4):
            self.die(number, "bc"[number % 2])
        newest = self.die("last", "c")
        narrow = self.operators("gateway.getDeadLetters:b")
        self.assertEqual(self.listed(narrow, before=newest), [2, 0])


class ResendTests(DeadCase):
    """Dead letters that are sent again."""

    def test_comes(self) -> None:
        """It comes to its recipient under its old name, before what was sent later, and its sender is told."""
        name = self.die("old", receipts=True)
        self.send("new")
        answer = self.operator.call("gateway.resend", message_id=name)
        self.assertEqual(answer, {"success": True, "message_id": name, "agent_id": "b"})
        self.assertEqual((self.waiting(), self.listed()), (2, []))
        client = self.b("ack")
        self.assertEqual(self.got(client), ["old", "new"])
        for message in client.received("agent.message"):
            client.call("agent.ack", message_id=message["message_id"], status="done")
        self.assertEqual(self.statuses(self.a), ["queued", "expired", "queued", "sent", "done"])
        self.assertEqual(self.waiting(), 0)
        self.assertEqual(self.audited(), [("mail.resent", name, "b")])

    def test_to_who_is_here(self) -> None:
        """It comes at once to a recipient that is here, after what came already; and expires as a new one does."""
        name = self.die("old")
        client = self.b()
        self.send("new")
        self.operator.call("gateway.resend", message_id=name)
        self.assertEqual((self.got(client), self.waiting()), (["new", "old"], 0))
        name = self.die("other", "c")
        self.operator.call("gateway.resend", message_id=name, agent_id="c")
        self.gateway.advance(7 * 86_400 - 60, step=86_400)
        self.assertEqual(self.waiting(), 1)
        self.gateway.advance(120)
        self.assertEqual(self.waiting(), 0)

    def test_counts_anew(self) -> None:
        """What had failed too often may fail as often once more."""
        self.send("poison")
        name = ""
        for _ in range(2):
            for _ in range(5):
                client = self.b("ack")
                (message,) = client.received("agent.message")
                name = message["message_id"]
                client.vanish()
            client = self.b("ack")
            self.assertEqual(self.got(client), [])
            client.disconnect()
            self.assertEqual(self.operator.call("gateway.resend", message_id=name)["success"], True)

    def test_refused(self) -> None:
        """What is no dead letter, or one to another, or to one whom the permission does not cover, is not found."""
        dead, alive = self.die(1), self.send(2)["message_id"]
        self.die(3, "c")
        narrow = self.operators("gateway.resend:c", "gateway.discard:c")
        for client, params in (
            (self.operator, {"message_id": alive}), (self.operator, {"message_id": "msg_x"}),
            (self.operator, {"message_id": dead, "agent_id": "c"}), (narrow, {"message_id": dead}),
        ):  # fmt: skip
            self.assertEqual(client.refusal("gateway.resend", **params)["code"], -32006, params)
            if len(params) == 1:
                self.assertEqual(client.refusal("gateway.discard", **params)["code"], -32006, params)
        self.assertEqual(narrow.refusal("gateway.discard", agent_id="b")["code"], -32002)
        self.assertEqual(self.a.refusal("gateway.resend", message_id=dead)["code"], -32002)
        self.assertEqual(narrow.call("gateway.discard", agent_id="c")["discarded"], 1)
        self.assertEqual((self.listed(), len(self.audited())), ([1], 1))


class DiscardTests(DeadCase):
    """Dead letters that are discarded."""

    def test_one(self) -> None:
        """One is gone, and what became of it is known still."""
        name = self.die(1)
        self.die(2)
        self.assertEqual(self.operator.call("gateway.discard", message_id=name)["discarded"], 1)
        self.assertEqual(self.listed(), [2])
        self.assertEqual(self.a.call("agent.getDelivery", message_id=name)["status"], "expired")
        for method in ("gateway.discard", "gateway.resend"):
            self.assertEqual(self.operator.refusal(method, message_id=name)["code"], -32006)
        self.assertEqual(self.audited(), [("mail.discarded", name, "b")])

    def test_all_to_one(self) -> None:
        """All to a recipient are gone, however many they are, and nothing else."""
        self.patch(archive, "DISCARDED_AT_ONCE", 2)
        for number in range(9):
            self.die(number, "bc"[number % 3 == 0])
        self.send("alive")
        self.assertEqual(self.operator.call("gateway.discard", agent_id="b")["discarded"], 6)
        self.assertEqual((self.listed(), self.waiting()), ([6, 3, 0], 1))
        self.assertEqual(self.operator.call("gateway.discard", agent_id="b")["discarded"], 0)

    def test_broken_on_the_way(self) -> None:
        """When the disk fails in the middle of many, what is gone by then is in the audit log."""
        self.patch(archive, "DISCARDED_AT_ONCE", 2)
        for number in range(5):
            self.die(number)
        discard = self.store.discard
        failing = iter((False, True))

        def discarding(*which: Any) -> Any:
            self.store.broken = next(failing)
            try:
                return discard(*which)
            finally:
                self.store.broken = False

        self.patch(self.store, "discard", discarding)
        refusal = self.operator.refusal("gateway.discard", agent_id="b")
        self.assertEqual((refusal["code"], json.loads(self.lines[-1])["discarded"]), (-32000, 2))
        self.assertEqual((self.listed(), self.audited()), ([4, 3, 2], [("mail.discarded", None, "b")]))

    def test_params(self) -> None:
        """Exactly one of the params is given."""
        for params in ({}, {"message_id": "m", "agent_id": "b"}):
            self.assertEqual(self.operator.refusal("gateway.discard", **params)["code"], -32602)


class RecallTests(MailCase):
    """Senders that take back what was not sent yet."""

    def recall(self, message_id: str, client: Client | None = None) -> str:
        answer = (client or self.a).request("agent.recall", {"message_id": message_id})
        return str(answer["error"]["data"]["code"] if "error" in answer else answer["result"]["message_id"])

    def test_recalled(self) -> None:
        """What waits still is taken back, also twice: it never comes, is no dead letter, and its sender is told."""
        first = self.send(1, receipts=True)["message_id"]
        self.send(2)
        self.assertEqual([self.recall(first), self.recall(first)], [first, first])
        self.assertEqual((self.waiting(), self.got(self.b())), (1, [2]))
        self.assertEqual(self.statuses(self.a), ["queued", "recalled"])
        self.assertEqual(self.a.call("agent.getDelivery", message_id=first)["status"], "recalled")
        admin = self.gateway.connect(token=self.gateway.token("admin", "system", ["*"]))
        self.assertEqual(admin.call("gateway.getDeadLetters")["total"], 0)

    def test_too_late(self) -> None:
        """What was sent, or is over, is not taken back, and stays where it is."""
        client = self.b("ack")
        name = self.send(1)["message_id"]
        self.assertEqual((self.recall(name), self.waiting()), ("conflict", 1))
        client.vanish()
        self.assertEqual((self.recall(name), self.waiting()), ("conflict", 1))
        client = self.b("ack")
        client.call("agent.ack", message_id=name, status="done")
        self.assertEqual(self.recall(name), "conflict")

    def test_whose(self) -> None:
        """Nobody takes back what another has sent, nor what is not known."""
        name = self.send(1)["message_id"]
        self.assertEqual((self.recall(name, self.b("ack")), self.recall("msg_x")), ("not_found", "not_found"))
        self.assertEqual(self.recall(name, self.gateway.connect("c")), "not_found")

    def test_as_it_is_sent(self) -> None:
        """A letter that is read to be sent while it is taken back is either sent or taken back, and never both."""
        for steps in range(6):
            name = self.send(steps, receipts=True)["message_id"]
            self.store.held = True
            self.a.send(
                json.dumps({"jsonrpc": "2.0", "id": "r", "method": "agent.recall", "params": {"message_id": name}})
            )
            for _ in range(steps):
                self.store.release()
            client = self.b()
            self.store.held = False
            self.store.release()
            self.gateway.advance(0)
            recalled = "result" in [message for message in self.a.messages if message.get("id") == "r"][-1]
            self.assertEqual(self.got(client), [] if recalled else [steps])
            self.assertEqual((self.waiting(), self.statuses(self.a)[-1]), (0, "recalled" if recalled else "sent"))
            client.disconnect()

    def test_broken_store(self) -> None:
        """What can't be taken back, as the disk is broken, comes."""
        name = self.send(1)["message_id"]
        record = self.store.record
        self.store.record = lambda outcomes: self.broken(record, outcomes)  # type: ignore[method-assign]
        self.assertEqual(self.recall(name), "unavailable")
        self.store.record = record  # type: ignore[method-assign]
        self.assertEqual(self.got(self.b()), [1])

    def broken(self, record: Any, outcomes: Any) -> Any:
        self.store.broken = True
        failing = record(outcomes)
        self.store.broken = False
        return failing


class RestartTests(DeadCase):
    """After a restart."""

    def test_resent(self) -> None:
        """What was sent again waits in the next process, too."""
        self.operator.call("gateway.resend", message_id=self.die(1))
        self.gateway.close()
        self.gateway = MemoryGateway(mail_store=self.store)
        self.token = self.gateway.token("b")
        self.assertEqual((self.waiting(), self.got(self.b())), (1, [1]))
