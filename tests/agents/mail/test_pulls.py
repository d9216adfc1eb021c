"""Mail for those who ask for it, and who are not connected all the time."""

from __future__ import annotations

import json
from typing import Any

from cell0gw.agents.mail import mailbox
from cell0gw.testing import Client
from tests.agents.mail.test_leases import LeaseCase


class PullCase(LeaseCase):
    """With a recipient that asks."""

    def puller(self) -> Client:
        client = self.gateway.connect()
        client.call("auth.authenticate", token=self.token, mail={"pull": True})
        self.gateway.advance(0)
        return client

    def pull(self, client: Client, **params: int) -> list[tuple[Any, int]]:
        """What is there, and which attempt that is."""
        found = client.call("agent.receive", **params)["messages"]
        return [(message["message"], message["attempt"]) for message in found]

    def ask(self, client: Client, name: str, **params: int) -> None:
        """Ask for what may come later."""
        client.send(json.dumps({"jsonrpc": "2.0", "id": name, "method": "agent.receive", "params": params}))

    def answer(self, client: Client, name: str) -> list[Any] | None:
        self.gateway.advance(0)
        for message in client.messages:
            if message.get("id") == name:
                return [each["message"] for each in message["result"]["messages"]]
        return None


class ReceiveTests(PullCase):
    """C{agent.receive}"""

    def test_what_waits(self) -> None:
        """What waits comes when it is asked for and not before, in order, a number at a time, and is kept until it is
        acknowledged, from whichever session.
        """
        for number in range(5):
            self.send(number)
        client = self.puller()
        self.assertEqual((self.got(client), self.pull(client)), ([], [(0, 1)]))
        found = client.call("agent.receive", max=3)["messages"]
        self.assertEqual([message["message"] for message in found], [1, 2, 3])
        self.assertEqual(set(found[0]) - {"in_reply_to"}, {"from", "from_type", "message", "timestamp", "message_id",
                                                           "conversation_id", "hops", "attempt"})  # fmt: skip
        client.disconnect()
        client = self.puller()
        for message in found:
            client.call("agent.ack", message_id=message["message_id"], status="done")
        self.assertEqual((self.pull(client, max=9), self.pull(client, max=9), self.waiting()), ([(4, 1)], [], 2))

    def test_kept(self) -> None:
        """A message to one who asks is kept, and goes to no session by itself, also when nothing waits."""
        client = self.puller()
        sent = self.send(1)
        self.assertEqual((sent["status"], sent["kept"]), ("queued", True))
        self.gateway.advance(60)
        self.assertEqual((self.got(client), self.pull(client)), ([], [(1, 1)]))

    def test_wait(self) -> None:
        """Who waits gets the first that comes, at once, or nothing when the time is over; others are not held up."""
        client, other = self.puller(), self.puller()
        self.ask(client, "r1", wait_ms=5000, lease_ms=600_000)
        self.ask(other, "r2", wait_ms=60_000, max=9)
        self.assertEqual(self.answer(client, "r1"), None)
        self.send("first")
        self.assertEqual((self.answer(client, "r1"), self.answer(other, "r2")), (["first"], None))
        self.gateway.advance(59)
        self.assertEqual(self.answer(other, "r2"), None)
        self.gateway.advance(2)
        self.assertEqual((self.answer(other, "r2"), len(self.gateway.agents.mailboxes._pulls)), ([], 0))

    def test_once_at_a_time(self) -> None:
        """A session asks once at a time; when it is gone nobody waits any more, and nothing is taken for it."""
        client = self.puller()
        self.ask(client, "r1", wait_ms=60_000)
        self.assertEqual(client.refusal("agent.receive", wait_ms=1)["code"], -32007)
        client.vanish()
        self.assertEqual(len(self.gateway.agents.mailboxes._pulls), 0)
        self.send(1)
        self.assertEqual(self.pull(self.puller()), [(1, 1)])

    def test_lease(self) -> None:
        """What is not acknowledged within the lease comes again, and after five times no more: its sender is told."""
        self.send(1, receipts=True)
        for number in range(1, 6):
            client = self.puller()
            self.assertEqual(self.pull(client, lease_ms=600_000), [(1, number)])
            client.disconnect()
            self.gateway.advance(590)
            client = self.puller()
            self.assertEqual(self.pull(client), [])
            client.disconnect()
            self.gateway.advance(15)
        self.assertEqual((self.statuses(self.a)[-1], len(self.dead()), self.waiting()), ("failed", 1, 0))

    def test_working(self) -> None:
        """Who is at it, from whichever session, has it for the same time again; and may release it."""
        self.send(1)
        client = self.puller()
        (message,) = client.call("agent.receive", lease_ms=100_000)["messages"]
        for _ in range(5):
            client.disconnect()
            self.gateway.advance(90)
            client = self.puller()
            client.call("agent.ack", message_id=message["message_id"], status="working")
        client.disconnect()
        self.gateway.advance(90)
        client = self.puller()
        self.assertEqual(self.pull(client), [])
        client.call("agent.release", message_id=message["message_id"])
        self.gateway.advance(2)
        self.assertEqual((self.pull(client), self.dead()), ([(1, 2)], []))

    def test_window(self) -> None:
        """No more is out than may be, for who asks as well."""
        self.patch(mailbox, "WINDOW", 3)
        for number in range(5):
            self.send(number)
        client = self.puller()
        found = client.call("agent.receive", max=9)["messages"]
        self.assertEqual((len(found), self.pull(client, max=9)), (3, []))
        client.call("agent.ack", message_id=found[1]["message_id"], status="done")
        self.assertEqual(self.pull(client, max=9), [(3, 1)])

    def test_long_ones(self) -> None:
        """An answer is no longer than any message; what has no room waits for the next one."""
        self.gateway.guard.limits.max_message_size = 10_000
        for number in range(3):
            self.send(str(number) * 4000)
        client = self.puller()
        self.assertEqual([[text[0] for text, _ in self.pull(client, max=9)] for _ in range(3)], [["0"], ["1"], ["2"]])
        self.assertIsNone(client.close_code)

    def test_beside_a_worker(self) -> None:
        """A session that gets mail by itself has it first; who asks gets what that has no room for."""
        worker = self.worker(window=1)
        client = self.puller()
        for number in range(3):
            self.send(number)
        self.assertEqual((self.got(worker), self.pull(client, max=9)), ([0], [(1, 1), (2, 1)]))

    def test_slow_disk(self) -> None:
        """Who doesn't wait for messages waits for the disk all the same; one that is broken is told."""
        self.send(1)
        client = self.puller()
        self.store.held = True
        self.ask(client, "r1")
        self.assertEqual(self.answer(client, "r1"), None)
        for _ in range(5):
            self.store.release()
        self.assertEqual(self.answer(client, "r1"), [1])
        self.store.held = False
        self.store.release()
        self.send(2)
        self.store.broken = True
        self.assertEqual(client.refusal("agent.receive")["code"], -32000)

    def test_bounds(self) -> None:
        """Numbers and times have bounds."""
        client = self.puller()
        for bad in ({"max": 0}, {"max": 257}, {"wait_ms": 60_001}, {"lease_ms": 999}, {"lease_ms": 86_400_001}):
            self.assertEqual(client.refusal("agent.receive", **bad)["code"], -32602)

    def test_explained(self) -> None:
        """gateway.explain says that the message waits for somebody to ask."""
        self.puller()
        admin = self.gateway.connect(token=self.gateway.token("admin", permissions=["*"]))
        params = {"method": "agent.send", "params": {"agent_id": "b", "message": 1}}
        answer = admin.request("gateway.explain", params)["result"]
        self.assertEqual((answer["outcome"], answer["considered"][0]["reason"]), ("queued", "it asks for its mail"))
        self.assertIn("ask for their mail", answer["reason"])
