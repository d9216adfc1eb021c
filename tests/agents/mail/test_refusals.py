"""Letters that a client's library refuses: they don't lock their recipient out for as long as they live."""

from __future__ import annotations

from twisted.logger import LogEvent, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents.mail.refusals import MAX_REFUSALS, SUSPICIOUS, Refusals
from cell0gw.config.options import Config
from cell0gw.sessions.ending import TOO_BIG, closed
from cell0gw.sessions.session import Session
from cell0gw.testing import Client, MemoryGateway
from tests.agents.mail.test_delivery import OfficeCase

LONG = b'"%s"' % (b"x" * SUSPICIOUS)


class RefusalTests(OfficeCase):
    """Connections that end with 1009."""

    limits = Config(max_attempts=0).mail_limits

    def refuse(self) -> Session:
        """The recipient comes, gets what waits, and its library ends the connection."""
        session = self.open("b", "ack")
        self.close(session, TOO_BIG)
        self.clock.advance(0)
        return session

    def status(self, number: int) -> tuple[str, str | None]:
        """Where a letter stands, and why."""
        delivery = self.successResultOf(self.store.delivery(f"msg_{number}"))
        return delivery.status, delivery.receipts[-1].detail

    def test_third_time(self) -> None:
        """After the third time it is a dead letter with that reason, the sender has a receipt, and the log a warning
        with the size; what was behind it comes.
        """
        sender = self.open("a")
        self.fill([1], message=LONG, receipts=True)
        self.fill([2])
        for _ in range(MAX_REFUSALS):
            self.assertEqual(self.status(1)[0], "sent" if _ else "queued")
            self.refuse()
        detail = f"its client refused it 3 times: {len(LONG)} bytes are more than it takes (1009)"
        self.assertEqual(self.status(1), ("failed", detail))
        self.assertEqual(self.told(sender), ["queued", "sent", "failed"])
        dead, _ = self.successResultOf(self.store.dead("b", 10))
        self.assertEqual([(one.letter.message, one.detail) for one in dead], [(LONG, detail)])
        session = self.open("b", "ack")
        self.assertEqual(self.got(session), [2])
        self.successResultOf(self.ack(2))
        self.nothing_waits()
        self.assertEqual(len(self.boxes._leases.refusals), 0)

    def test_log(self) -> None:
        """The warning says which message, whose, and how long it is."""
        events: list[LogEvent] = []
        self.patch(Refusals, "log", Logger(observer=events.append))
        self.fill([1], message=LONG)
        for _ in range(MAX_REFUSALS):
            self.refuse()
        (event,) = events
        self.assertEqual((event["event"], event["message_id"], event["entity_id"]), ("mail.refused", "msg_1", "b"))
        self.assertIn(f"{len(LONG)} bytes", formatEvent(event))

    def test_longest(self) -> None:
        """Of several that were under way it is the longest, then the next."""
        self.fill([1, 2, 3])
        self.fill([4], message=LONG)
        self.fill([5], message=LONG[:-1] + b'more"')
        for _ in range(2 * MAX_REFUSALS):
            self.refuse()
        self.assertEqual([self.status(number)[0] for number in range(1, 6)], ["sent"] * 3 + ["failed"] * 2)

    def test_short_ones(self) -> None:
        """A short one was not it: it waits on."""
        self.fill([1, 2])
        for _ in range(2 * MAX_REFUSALS):
            self.refuse()
        self.assertEqual(self.got(self.open("b", "ack")), [1, 2])

    def test_other_ends(self) -> None:
        """Connections that end otherwise, or which the gateway ends with that code, count for nothing."""
        self.fill([1], message=LONG)
        for _ in range(2 * MAX_REFUSALS):
            self.lose(self.open("b", "ack"))
            self.close(self.open("b", "ack"), 1001)
            self.close(self.open("b", "ack"), TOO_BIG, by_gateway=True)
        self.assertEqual(self.status(1)[0], "sent")

    def test_taken_at_last(self) -> None:
        """One that is taken at last, by a client with a larger limit, is done, and nothing of it is kept."""
        self.fill([1], message=LONG)
        for _ in range(MAX_REFUSALS - 1):
            self.refuse()
        self.open("b", "ack")
        self.successResultOf(self.ack(1, "done"))
        self.assertEqual(self.status(1)[0], "done")
        self.assertEqual(len(self.boxes._leases.refusals), 0)
        self.nothing_waits()

    def test_kept_place(self) -> None:
        """It counts as well when the place of the session is kept."""
        self.fill([1], message=LONG)
        for _ in range(MAX_REFUSALS):
            session = self.open("b", "ack")
            session.detached = True
            for observer in self.observers:
                observer.session_detached(session, closed(TOO_BIG, by_gateway=False))
        self.assertEqual(self.status(1)[0], "failed")


class DeclaredTests(SynchronousTestCase):
    """C{max_message_size} of C{auth.authenticate}."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.sender = self.gateway.connect("a")

    def connect(self, limit: int, *capabilities: str) -> Client:
        client = self.gateway.connect()
        client.call(
            "auth.authenticate",
            token=self.gateway.token("b"),
            max_message_size=limit,
            capabilities=list(capabilities),
        )
        return client

    def send(self, length: int, **params: object) -> str:
        answer = self.sender.request("agent.send", {"agent_id": "b", "message": "x" * length, **params})
        return str(answer["error"]["data"]["code"] if "error" in answer else answer["result"]["status"])

    def test_sent(self) -> None:
        """A message that is longer than the client takes is refused at the sender, and one as long as that is not."""
        for capabilities in ((), ("ack",)):
            client = self.connect(2000, *capabilities)
            self.assertEqual((self.send(1000), self.send(2000)), ("sent", "too_large"))
            self.assertEqual(self.send(2000, receipts=True), "too_large")
            self.assertEqual(self.send(2000, idempotency_key="k"), "too_large")
            self.assertEqual([len(params["message"]) for params in client.received("agent.message")], [1000])
            self.assertIsNone(client.close_code)
            for params in client.received("agent.message"):
                if capabilities:
                    client.call("agent.ack", message_id=params["message_id"], status="done")
            client.disconnect()

    def test_explained(self) -> None:
        """gateway.explain says so."""
        self.connect(2000)
        admin = self.gateway.connect(token=self.gateway.token("admin", permissions=["*"]))
        params = {"agent_id": "b", "message": "x" * 3000}
        answer = admin.request("gateway.explain", {"method": "agent.send", "params": params})["result"]
        self.assertEqual((answer["outcome"], "takes 2000 at most" in answer["reason"]), ("refused", True))

    def test_waiting(self) -> None:
        """A message that waits when such a client comes is not sent to it: it is a dead letter with that reason, and
        its sender is told.
        """
        self.gateway.token("b")
        for number, length in enumerate((3000, 10)):
            self.sender.call("agent.send", agent_id="b", message="x" * length, receipts=not number)
        client = self.connect(2000, "ack")
        self.gateway.advance(1)
        self.assertEqual([params["message"] for params in client.received("agent.message")], ["x" * 10])
        receipt = self.sender.received("agent.receipt")[-1]
        self.assertEqual(receipt["status"], "failed")
        self.assertIn("its recipient takes 2000 at most", receipt["detail"])

    def test_range(self) -> None:
        """It is a KiB at least, and a number."""
        client = self.gateway.connect()
        for bad in (0, 1023, 2**31, "1MiB", 1.5):
            params = {"token": self.gateway.token("b"), "max_message_size": bad}
            answer = client.request("auth.authenticate", params)
            self.assertEqual(answer["error"]["data"]["code"], "invalid_params")
