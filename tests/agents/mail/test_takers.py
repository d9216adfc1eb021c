"""Who of several sessions gets an entity's mail: where any acknowledges, only those that do."""

from __future__ import annotations

from tests.agents.mail.test_sending import RESEND_AFTER, MailCase


class TakerTests(MailCase):
    """A worker that acknowledges, and a second connection of the same entity that doesn't."""

    def test_new_mail(self) -> None:
        """Mail goes to the one that acknowledges, by the mailbox, however new the other one is; then to the other."""
        worker = self.b("ack")
        other = self.b()
        for number, more in enumerate(({}, {"receipts": True}, {"idempotency_key": "k"})):
            message_id = self.send(number, **more)["message_id"]
            self.assertEqual(self.a.call("agent.getDelivery", message_id=message_id)["status"], "sent")
        self.assertEqual((self.got(worker), self.got(other), self.waiting()), ([0, 1, 2], [], 3))
        for message in worker.received("agent.message"):
            worker.call("agent.ack", message_id=message["message_id"], status="done")
        worker.disconnect()
        self.send(3)
        self.assertEqual((self.got(other), self.waiting()), ([3], 0))

    def test_held(self) -> None:
        """What the worker holds is not brought to the other one, which would settle it: when the worker is lost, its
        next session gets it.
        """
        worker = self.b("ack")
        self.send("held", receipts=True)
        other = self.b()
        self.gateway.advance(2 * RESEND_AFTER + 5)
        self.assertEqual((self.got(worker), self.got(other)), (["held"] * 3, []))
        other.disconnect()
        worker.vanish()
        self.assertEqual(self.got(self.b("ack")), ["held"])
        self.assertEqual((self.statuses(self.a), self.waiting()), (["queued", "sent"], 1))

    def test_newest(self) -> None:
        """Of several that acknowledge it is the newest, and the next newest once that is gone."""
        first, second, _ = self.b("ack"), self.b("ack"), self.b()
        self.send(1)
        second.disconnect()
        self.send(2)
        self.assertEqual((self.got(second), self.got(first)), ([1], [1, 2]))

    def test_by_resuming(self) -> None:
        """A session that acknowledges only since it has resumed another one takes the mail from then on."""
        worker = self.b("ack")
        secret = worker.messages[1]["result"]["resume_token"]
        worker.vanish()
        back, other = self.b(), self.b()
        self.assertTrue(back.call("session.resume", resume_token=secret)["resumed"])
        self.send(1)
        self.assertEqual((self.got(back), self.got(other)), ([1], []))

    def test_kept(self) -> None:
        """The sender is told whether its message is on disk: by the fast way it is not."""
        other = self.b()
        said = [
            self.send(1),
            self.send(2, receipts=True),
            self.send(3, idempotency_key="k"),
            self.send(3, idempotency_key="k"),
        ]
        self.assertEqual([(one["status"], one["kept"]) for one in said], [("sent", False)] + [("sent", True)] * 3)
        other.disconnect()
        self.assertEqual((self.send(4)["status"], self.send(4)["kept"]), ("queued", True))
        self.b("ack")
        self.assertEqual((self.send(5)["status"], self.send(5)["kept"]), ("sent", True))

    def test_explained(self) -> None:
        """gateway.explain says so of each."""
        self.b("ack")
        self.b()
        admin = self.gateway.connect(token=self.gateway.token("admin", permissions=["*"]))
        params = {"method": "agent.send", "params": {"agent_id": "b", "message": 1}}
        answer = admin.request("gateway.explain", params)
        self.assertEqual(
            [(one["chosen"], one["reason"]) for one in answer["result"]["considered"]],
            [
                (True, "the newest session that acknowledges and keeps up with reading"),
                (False, "another session acknowledges, and only those that do get mail"),
            ],
        )
