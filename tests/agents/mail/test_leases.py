"""Leases: letters stay with who is at their work, are brought again when that is gone or silent, and not for ever."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.engines.memory.mail import MemoryMailStore
from cell0gw.testing import Client, MemoryGateway
from tests.agents.mail.test_sending import MailCase


class LeaseCase(MailCase):
    """With a recipient that says on which terms it gets mail."""

    options: dict[str, Any] = {"resume_window": 120.0}

    def worker(self, **mail: int) -> Client:
        client = self.gateway.connect()
        client.call("auth.authenticate", token=self.token, ack=True, mail=mail)
        self.gateway.advance(0)
        return client

    def say(self, client: Client, number: int, status: str) -> str:
        """Acknowledge the message that says so."""
        (message_id, *_) = [one["message_id"] for one in client.received("agent.message") if one["message"] == number]
        return str(client.call("agent.ack", message_id=message_id, status=status)["status"])

    def attempts(self, client: Client) -> list[tuple[Any, int]]:
        """What a client got, and which attempt each was."""
        self.gateway.advance(0)
        return [(message["message"], message["attempt"]) for message in client.received("agent.message")]

    def dead(self) -> list[tuple[Any, str, str | None]]:
        admin = self.gateway.connect(token=self.gateway.token("admin", "system", ["*"]))
        found = admin.call("gateway.getDeadLetters")["messages"]
        admin.disconnect()
        return [(one["message"], one["status"], one["detail"]) for one in found]


class AttemptTests(LeaseCase):
    """Attempts that fail."""

    DETAIL = "5 attempts failed: each time its recipient was lost or fell silent"

    def die(self) -> list[tuple[Any, int]]:
        """The recipient comes, gets what waits, and its process dies."""
        client = self.worker()
        got = self.attempts(client)
        client.vanish()
        return got

    def test_what_kills_its_recipient(self) -> None:
        """A letter that kills its recipient five times is a dead letter, its sender is told, and the next one comes."""
        self.send("poison", receipts=True)
        self.send("good")
        for number in range(1, 6):
            self.assertEqual(self.die(), [("poison", number), ("good", number)])
        self.assertEqual(self.die(), [("good", 6)])
        self.assertEqual(self.dead(), [("poison", "failed", self.DETAIL)])
        self.assertEqual(self.statuses(self.a), ["queued", "sent", "failed"])
        self.assertEqual(self.a.received("agent.receipt")[-1]["detail"], self.DETAIL)

    def test_across_a_restart(self) -> None:
        """What was counted is on disk: the next process goes on counting."""
        self.send("poison")
        for _ in range(3):
            self.die()
        self.gateway.close()
        self.gateway = MemoryGateway(mail_store=self.store, **self.options)
        self.token = self.gateway.token("b")
        for number in (4, 5):
            self.assertEqual(self.die(), [("poison", number)])
        self.assertEqual((self.die(), len(self.dead())), ([], 1))

    def test_word_was_given(self) -> None:
        """What was received is not brought again, and what is behind it has not failed before it is the first."""
        for number in range(3):
            self.send(number)
        for number in range(3):
            for _ in range(3):
                self.die()
            client = self.worker()
            self.say(client, number, "received")
            client.vanish()  # with the next one, for the first time
        self.assertEqual((self.die(), self.dead()), ([], []))

    def test_the_gateways_own_doing(self) -> None:
        """What the gateway ends itself is no failure of a letter, but for the end of one that gives no sign of life."""
        self.send("good")
        for code in (4008, 1012, 4509):
            for _ in range(6):
                client = self.worker()
                (session,) = self.gateway.presence.directory.live("b")
                session.connection.close(code, "")
                client.disconnect()
        self.assertEqual((self.attempts(self.worker()), self.dead()), ([("good", 19)], []))

    def test_unlimited(self) -> None:
        """With C{max_attempts} 0 no letter is given up."""
        self.gateway.close()
        self.gateway = MemoryGateway(mail_store=MemoryMailStore(), max_attempts=0)
        self.a, self.token = self.gateway.connect("a"), self.gateway.token("b")
        self.send("x")
        for number in range(1, 20):
            self.assertEqual(self.die(), [("x", number)])


class WorkTests(LeaseCase):
    """Letters whose work has begun."""

    def test_at_it(self) -> None:
        """What is started is brought to nobody else as long as its holder says from time to time that it is at it."""
        worker = self.worker(ack_wait_ms=10_000)
        self.send(1, receipts=True)
        self.assertEqual(self.say(worker, 1, "started"), "started")
        other = self.worker()
        for _ in range(20):
            self.gateway.advance(9)
            self.assertEqual(self.say(worker, 1, "working"), "started")
        self.assertEqual(self.say(worker, 1, "done"), "done")
        self.gateway.advance(60)
        self.assertEqual((self.attempts(worker), self.attempts(other), self.waiting()), ([(1, 1)], [], 0))
        self.assertEqual(self.statuses(self.a), ["queued", "sent", "started", "done"])

    def test_silent(self) -> None:
        """A holder that falls silent has the letter no longer; after so many the sender is told."""
        worker = self.worker(ack_wait_ms=10_000)
        self.send(1, receipts=True)
        for number in range(1, 6):
            self.assertEqual(self.attempts(worker)[-1], (1, number))
            self.say(worker, 1, "working")
            self.gateway.advance(9)
            self.assertEqual(len(self.attempts(worker)), number)
            self.gateway.advance(3)
        self.assertEqual((self.statuses(self.a)[-1], len(self.dead()), self.waiting()), ("failed", 1, 0))

    def test_gone_for_good(self) -> None:
        """When the holder's place is no longer kept the letter is brought again, within a second, to who is there."""
        worker = self.worker(ack_wait_ms=3_600_000)
        self.send(1)
        self.send(2)
        self.say(worker, 1, "started")
        worker.vanish()
        other = self.worker(ack_wait_ms=3_600_000)
        self.assertEqual(self.attempts(other), [(2, 2)])
        self.gateway.advance(118)
        self.assertEqual(self.attempts(other), [(2, 2)])
        self.gateway.advance(3)
        self.assertEqual(self.attempts(other), [(2, 2), (1, 2)])
        self.say(other, 1, "working")
        other.disconnect()
        self.assertEqual(self.attempts(self.worker()), [(1, 3), (2, 3)])

    def test_resumed(self) -> None:
        """Who resumes a session goes on with its work: it is not brought again, and no attempt has failed."""
        worker = self.worker(ack_wait_ms=60_000)
        self.send(1)
        self.say(worker, 1, "working")
        (message_id,) = [message["message_id"] for message in worker.received("agent.message")]
        for _ in range(8):
            secret = worker.messages[1]["result"]["resume_token"]
            worker.vanish()
            worker = self.worker(ack_wait_ms=60_000)
            self.assertTrue(worker.call("session.resume", resume_token=secret)["resumed"])
            self.assertEqual(worker.call("agent.ack", message_id=message_id, status="working")["status"], "started")
        self.gateway.advance(55)
        self.assertEqual((self.attempts(worker), self.waiting(), self.dead()), ([], 1, []))

    def test_its_time_is_over(self) -> None:
        """A letter does not expire while its work goes on; when that falls silent it does."""
        worker = self.worker(ack_wait_ms=10_000)
        self.send(1, ttl_seconds=15, receipts=True)
        for _ in range(5):
            self.say(worker, 1, "working")
            self.gateway.advance(9)
        self.assertEqual(self.statuses(self.a), ["queued", "sent", "started"])
        worker.disconnect()
        self.gateway.advance(120)
        self.assertEqual(self.statuses(self.a), ["queued", "sent", "started", "expired"])
        self.assertEqual(self.waiting(), 0)

    def test_after_received(self) -> None:
        """What was received is out of the mailbox: that it is started then keeps nothing."""
        worker = self.worker()
        self.send(1)
        self.say(worker, 1, "received")
        self.assertEqual((self.say(worker, 1, "working"), self.waiting()), ("started", 0))
        worker.disconnect()
        self.assertEqual(self.attempts(self.worker()), [])


class ReleaseTests(LeaseCase):
    """Letters that are given back."""

    def release(self, client: Client, number: int, **params: int) -> str:
        messages = [one["message_id"] for one in client.received("agent.message") if one["message"] == number]
        answer = client.request("agent.release", {"message_id": messages[0], **params})
        return str(answer["error"]["data"]["code"] if "error" in answer else "released")

    def test_delay(self) -> None:
        """What is released comes again after the delay, and no sooner; meanwhile others come in its place."""
        worker = self.worker(window=1)
        self.send(1)
        self.send(2)
        self.assertEqual(self.release(worker, 1, delay_ms=60_000), "released")
        self.gateway.advance(1)
        self.assertEqual(self.attempts(worker), [(1, 1), (2, 1)])
        self.say(worker, 2, "done")
        self.gateway.advance(57)
        self.assertEqual(self.attempts(worker), [(1, 1), (2, 1)])
        self.gateway.advance(3)
        self.assertEqual(self.attempts(worker), [(1, 1), (2, 1), (1, 2)])

    def test_begun(self) -> None:
        """What was started is released as well, however often: no attempt has failed by that."""
        worker = self.worker(ack_wait_ms=3_600_000)
        self.send(1)
        for number in range(1, 9):
            self.say(worker, 1, "started")
            self.assertEqual(self.release(worker, 1), "released")
            self.gateway.advance(2)
            self.assertEqual(len(self.attempts(worker)), number + 1)
        self.assertEqual(self.dead(), [])

    def test_about_to_stop(self) -> None:
        """Who gives back what it has, and says goodbye, leaves it to the next one, and nothing has failed."""
        for number in range(3):
            self.send(number)
        for _ in range(6):
            worker = self.worker()
            self.gateway.advance(2)
            for number in range(3):
                self.release(worker, number)
            worker.disconnect()
        other = self.worker()
        self.gateway.advance(2)
        self.assertEqual((sorted(self.got(other)), self.dead()), ([0, 1, 2], []))

    def test_done_meanwhile(self) -> None:
        """What is done while it rests does not come again."""
        worker = self.worker()
        self.send(1)
        self.release(worker, 1, delay_ms=5000)
        self.say(worker, 1, "done")
        self.gateway.advance(10)
        self.assertEqual((self.attempts(worker), self.waiting()), ([(1, 1)], 0))

    def test_not_held(self) -> None:
        """What nobody of the entity has is not released."""
        worker = self.worker()
        self.send(1)
        self.say(worker, 1, "received")
        self.assertEqual(self.release(worker, 1), "not_found")
        self.send(2)
        message_id = worker.received("agent.message")[-1]["message_id"]
        self.assertEqual(self.a.refusal("agent.release", message_id=message_id)["code"], -32006)
        params = {"message_id": message_id, "delay_ms": -1}
        self.assertEqual(worker.refusal("agent.release", **params)["code"], -32602)


class TermsTests(LeaseCase):
    """C{ack} and C{mail} of C{auth.authenticate}."""

    def test_window(self) -> None:
        """A session has no more than its window at a time; others get what it has no room for."""
        first = self.worker(window=1)
        second = self.worker(window=2)
        for number in range(6):
            self.send(number)
        self.assertEqual((self.got(second), self.got(first)), ([0, 1], [2]))
        self.say(first, 2, "done")
        self.assertEqual((self.got(second), self.got(first)), ([0, 1], [2, 3]))
        self.say(second, 0, "started")
        self.gateway.advance(1)
        self.assertEqual(self.got(second), [0, 1])
        self.say(second, 0, "done")
        self.assertEqual(self.got(second), [0, 1, 4])

    def test_ack_wait(self) -> None:
        """What has no acknowledgement comes again after the session's own wait."""
        slow, quick = 3_600_000, 1000
        worker = self.worker(ack_wait_ms=slow)
        self.send(1)
        self.gateway.advance(3599)
        self.assertEqual(self.attempts(worker), [(1, 1)])
        self.gateway.advance(3)
        self.assertEqual(self.attempts(worker), [(1, 1), (1, 2)])
        worker.disconnect()
        worker = self.worker(ack_wait_ms=quick)
        self.gateway.advance(4)
        self.assertGreaterEqual(len(self.attempts(worker)), 3)
        self.assertEqual(self.dead(), [])

    def test_bounds(self) -> None:
        """Windows and waits have bounds."""
        for bad in ({"window": 0}, {"window": 257}, {"ack_wait_ms": 999}, {"ack_wait_ms": 86_400_001}, {"windw": 1}):
            client = self.gateway.connect()
            answer = client.request("auth.authenticate", {"token": self.token, "mail": bad})
            self.assertEqual(answer["error"]["data"]["code"], "invalid_params", bad)

    def test_ack(self) -> None:
        """C{ack} says whether the session acknowledges, whatever its capabilities are."""
        said: list[tuple[dict[str, Any], bool]] = [
            ({"ack": True}, True), ({}, False), ({"capabilities": ["ack"]}, True),
            ({"capabilities": ["ack"], "ack": False}, False), ({"capabilities": ["x"], "ack": True}, True),
        ]  # fmt: skip
        for params, acknowledges in said:
            client = self.gateway.connect()
            client.call("auth.authenticate", token=self.token, **params)
            self.send(1)
            self.assertEqual(self.waiting(), int(acknowledges), params)
            if acknowledges:
                self.say(client, 1, "done")
            client.disconnect()

    def test_carried_over(self) -> None:
        """Who resumes a session goes on under its terms, unless it has said others."""
        for params, window, acknowledges in (
            ({}, 2, True), ({"mail": {"window": 3}}, 3, True), ({"ack": False}, 2, False),
        ):  # fmt: skip
            worker = self.worker(window=2)
            secret = worker.messages[1]["result"]["resume_token"]
            worker.vanish()
            client = self.gateway.connect()
            client.call("auth.authenticate", token=self.token, **params)
            client.call("session.resume", resume_token=secret)
            (session,) = self.gateway.presence.directory.live("b")
            self.assertEqual((session.mail.window, session.acknowledges), (window, acknowledges))
            client.disconnect()


class CallTests(SynchronousTestCase):
    """What is said of calls."""

    def test_working(self) -> None:
        """That a worker is at a call says that it has begun."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        worker = gateway.connect("w", capabilities=["ack"])
        caller = gateway.connect("c")
        caller.send('{"jsonrpc":"2.0","id":"x","method":"agent.call","params":{"agent_id":"w","message":1}}')
        gateway.advance(0)
        (invoke,) = [message for message in worker.messages if message.get("method") == "agent.invoke"]
        self.assertEqual(worker.call("agent.ack", message_id=invoke["id"], status="working")["status"], "working")
        worker.vanish()
        gateway.advance(0)
        gateway.advance(200)
        answers = [message for message in caller.messages if message.get("id") == "x"]
        self.assertEqual(answers[0]["error"]["data"]["code"], "agent_failed")
