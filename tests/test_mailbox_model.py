"""Mailboxes beside a model of what was accepted, what was brought, and what was acknowledged."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.engines.memory_mail import MemoryMailStore
from cell0gw.ladder import climbs
from cell0gw.testing import Client, MemoryGateway

RECIPIENTS = ("acks", "plain")
SENDERS = ("s", "t")

places = st.integers(0, 20)


class Recipient:
    """What the model knows of one.

    @ivar accepted: the messages whose sending was answered, in that order; C{ended}: those that expired.
    @ivar got: what came, by session, in order; C{done}: what it has acknowledged.
    """

    def __init__(self, name: str, token: str) -> None:
        self.name = name
        self.token = token
        self.client: Client | None = None
        self.accepted: list[int] = []
        self.expires: dict[int, float] = {}
        self.got: list[list[int]] = []
        self.ids: dict[int, str] = {}
        self.done: set[int] = set()
        self.seen = 0

    @property
    def acknowledges(self) -> bool:
        return self.name == "acks"

    @property
    def ever(self) -> set[int]:
        return {number for numbers in self.got for number in numbers}


class MailMachine(RuleBasedStateMachine):
    """Two senders, a recipient that acknowledges and one that doesn't, and a store that is slow at times."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryMailStore()
        self.gateway = MemoryGateway(mail_store=self.store)
        self.senders = {name: self.gateway.connect(name) for name in SENDERS}
        self.recipients = {name: Recipient(name, self.gateway.token(name, expires_in_hours=999)) for name in RECIPIENTS}
        self.asked: dict[int, tuple[str, str, float]] = {}
        self.statuses: dict[int, str] = {}
        self.numbers = 1000
        self.gateway.advance(0)

    def teardown(self) -> None:
        # In the end everyone is here and nothing is slow: whatever was accepted has come, or has expired.
        self.held(False)
        for recipient in self.recipients.values():
            if recipient.client is None:
                self.come(recipient.name)
        self.gateway.advance(1)
        self.look()
        acks = self.recipients["acks"]
        owed = {n for n in acks.accepted if n not in acks.done and acks.expires[n] > self.now}
        assert owed <= set(acks.got[-1]), f"{owed - set(acks.got[-1])} did not come to the last session"
        for _ in range(4):
            self.gateway.advance(31)
            self.look()
            for number in self.recipients["acks"].ever - self.recipients["acks"].done:
                self.acknowledge("acks", number, "done")
        for recipient in self.recipients.values():
            for number in recipient.accepted:
                assert number in recipient.ever or recipient.expires[number] <= self.now, f"{number} was lost"
        waiting = self.gateway.agents.mailboxes.waiting
        assert (waiting.messages, waiting.size, len(self.gateway.agents.mailboxes)) == (0, 0, 0)
        self.gateway.close()

    @property
    def now(self) -> float:
        return float(self.gateway.clock.seconds())

    @rule(sender=st.sampled_from(SENDERS), to=st.sampled_from(RECIPIENTS), receipts=st.booleans(), short=st.booleans())
    def send(self, sender: str, to: str, receipts: bool, short: bool) -> None:
        self.numbers += 1
        ttl = 40 if short else 100_000
        params: dict[str, Any] = {"agent_id": to, "message": self.numbers, "ttl_seconds": ttl, "receipts": receipts}
        self.asked[self.numbers] = (sender, to, self.now + ttl)
        request = {"jsonrpc": "2.0", "id": self.numbers, "method": "agent.send", "params": params}
        self.senders[sender].send(json.dumps(request))

    @rule(to=st.sampled_from(RECIPIENTS))
    def come(self, to: str) -> None:
        recipient = self.recipients[to]
        if recipient.client is None:
            declared = ["ack"] if recipient.acknowledges else []
            recipient.client = self.gateway.connect(token=recipient.token, capabilities=declared)
            recipient.got.append([])
            recipient.seen = 0
            self.gateway.advance(0)

    @rule(to=st.sampled_from(RECIPIENTS), politely=st.booleans())
    def go(self, to: str, politely: bool) -> None:
        recipient = self.recipients[to]
        if recipient.client is not None:
            self.look()
            client, recipient.client = recipient.client, None
            if politely:
                client.disconnect()
            else:
                client.vanish()

    @rule(place=places, status=st.sampled_from(["received", "started", "done", "failed"]))
    def take(self, place: int, status: str) -> None:
        open_ones = sorted(self.recipients["acks"].ever - self.recipients["acks"].done)
        if open_ones:
            self.acknowledge("acks", open_ones[place % len(open_ones)], status)

    def acknowledge(self, to: str, number: int, status: str) -> None:
        recipient = self.recipients[to]
        if recipient.client is not None and not self.store.held:
            recipient.client.call("agent.ack", message_id=recipient.ids[number], status=status)
            recipient.done.add(number)
            self.gateway.advance(0)

    @rule(held=st.booleans())
    def held(self, held: bool) -> None:
        self.store.held = held
        if not held:
            self.store.release()
            self.gateway.advance(0)

    @rule()
    def one_step_of_the_disk(self) -> None:
        self.store.release()
        self.gateway.advance(0)

    @rule(seconds=st.sampled_from([1, 31, 50]))
    def wait(self, seconds: int) -> None:
        self.gateway.advance(seconds)

    @invariant()
    def as_in_the_model(self) -> None:
        self.look()

    def look(self) -> None:
        for name, sender in self.senders.items():
            sender.flush()
            for message in sender.messages:
                if message.get("id") in self.asked:
                    number = message["id"]
                    _, to, expires = self.asked.pop(number)
                    self.recipients[to].accepted.append(number)
                    self.recipients[to].expires[number] = expires
                    self.recipients[to].ids[number] = message["result"]["message_id"]
                elif message.get("method") == "agent.receipt":
                    self.climb(name, message["params"])
            sender.messages.clear()
        for recipient in self.recipients.values():
            if recipient.client is not None:
                self.receive(recipient)

    def climb(self, sender: str, receipt: dict[str, Any]) -> None:
        """A receipt leads up from the one before it."""
        before = self.statuses.get(receipt["message_id"])
        assert before is None or climbs(before, receipt["status"]), (before, receipt["status"])
        assert before is not None or receipt["status"] == "queued", receipt
        self.statuses[receipt["message_id"]] = receipt["status"]

    def receive(self, recipient: Recipient) -> None:
        assert recipient.client is not None
        came = recipient.client.received("agent.message")
        before = recipient.ever
        for message in came[recipient.seen :]:
            number = message["message"]
            assert number not in recipient.done, "brought after it was acknowledged"
            assert message["message_id"] == recipient.ids.setdefault(number, message["message_id"])
            if not recipient.acknowledges:
                assert number not in before, "brought twice to one who does not acknowledge"
            new = [one for one in recipient.got[-1] if one not in before]
            if number not in before and number not in recipient.got[-1]:
                assert not new or self.order(recipient, new[-1]) < self.order(recipient, number), "out of order"
            recipient.got[-1].append(number)
        recipient.seen = len(came)

    def order(self, recipient: Recipient, number: int) -> int:
        """Its place among those that were asked for: the store keeps them in that order."""
        return number


class MailboxModelTests(SynchronousTestCase):
    """See L{MailMachine}."""

    def test_model(self) -> None:
        """Whatever happens, what was accepted comes in order, again until acknowledged and then no more, or expires."""
        run_state_machine_as_test(
            MailMachine,
            settings=settings(
                max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
            ),
        )
