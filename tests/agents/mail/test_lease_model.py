"""Leased mail beside a model of who has which letter, over both stores."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.engines.memory.mail import MemoryMailStore
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.engines.sqlite.database import Database
from cell0gw.engines.sqlite.mail import SQLiteMailStore
from cell0gw.engines.sqlite.room import Room
from cell0gw.testing import EPOCH, Client, MemoryGateway, counter
from tests.engines.test_token_stores import QueueReactor

ACK_WAIT = 10.0
RESUME_WINDOW = 20.0
MAX_ATTEMPTS = 3
SLACK = 2.0
"""Someone looks once a second."""

places = st.integers(0, 20)


class AtOnce:
    """A store on a disk that is as quick as memory: what is asked for is done when the call returns."""

    def __init__(self, path: Path) -> None:
        self._reactor = QueueReactor()
        self.database = Database(path, self._reactor)
        self.database.open()
        self._store = SQLiteMailStore(self.database, Room(self.database, 1 << 40, 1 << 40))

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def done(*arguments: Any) -> Any:
            asked = method(*arguments)
            if isinstance(asked, Deferred):
                self._reactor.run_until_fired(asked)
            return asked

        return done


class Has(NamedTuple):
    """Who has a letter, since when nothing was heard of it, and whether its work has begun."""

    worker: Worker
    since: float
    begun: bool


class Worker:
    """A connection of the recipient's; C{seen}: how much of it was looked at, C{lost}: when it broke."""

    def __init__(self, client: Client, window: int) -> None:
        self.client, self.window = client, window
        self.seen = 0
        self.lost: float | None = None


class LeaseMachine(RuleBasedStateMachine):
    """A sender, and workers of one recipient that come and go, work, give back, and fall silent."""

    store: Any

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.ids = MemoryTokenStore(), counter()
        self.folder = tempfile.TemporaryDirectory()
        self.store = self.open()
        self.start(EPOCH)
        self.token = self.gateway.token("b", expires_in_hours=9999)
        self.sender = self.gateway.connect(token=self.gateway.token("a", expires_in_hours=9999))
        self.sender_token = self.gateway.token("a", expires_in_hours=9999)
        self.workers: list[Worker] = []
        self.names: dict[int, str] = {}
        self.has: dict[int, Has] = {}
        self.resting: dict[int, float] = {}
        self.attempts: dict[int, int] = {}
        self.failures: dict[int, int] = {}
        self.over: set[int] = set()

    def open(self) -> Any:
        return MemoryMailStore()

    def start(self, now: float) -> None:
        self.gateway = MemoryGateway(
            self.tokens, mail_store=self.store, resume_window=RESUME_WINDOW, max_attempts=MAX_ATTEMPTS
        )
        self.gateway.clock.advance(now - EPOCH)
        vars(self.gateway.agents.mail)["_new_id"] = self.ids

    @property
    def now(self) -> float:
        return float(self.gateway.clock.seconds())

    # What they do.

    @rule()
    def send(self) -> None:
        number = len(self.names)
        self.names[number] = ""
        self.names[number] = self.sender.call("agent.send", agent_id="b", message=number, receipts=True)["message_id"]
        self.look()

    @rule(window=st.integers(1, 3))
    def come(self, window: int) -> None:
        if len(self.workers) < 3:
            client = self.gateway.connect()
            worker = Worker(client, window)
            self.workers.append(worker)
            terms = {"window": window, "ack_wait_ms": int(ACK_WAIT * 1000)}
            client.call("auth.authenticate", token=self.token, ack=True, mail=terms)
            self.look()

    @rule(place=places, politely=st.booleans())
    def go(self, place: int, politely: bool) -> None:
        if self.workers:
            worker = self.workers.pop(place % len(self.workers))
            worker.lost = self.now - (RESUME_WINDOW if politely else 0)
            for number, has in self.has.items():
                if has.worker is worker:
                    self.failures[number] = self.failures.get(number, 0) + 1
            (worker.client.disconnect if politely else worker.client.vanish)()
            self.look()

    @rule(place=places, status=st.sampled_from(["received", "started", "working", "working", "done", "failed"]))
    def say(self, place: int, status: str) -> None:
        held = [(number, has) for number, has in sorted(self.has.items()) if has.worker in self.workers]
        if held:
            number, has = held[place % len(held)]
            params = {"message_id": self.names[number], "status": status}
            said = has.worker.client.call("agent.ack", **params)["status"]
            if status in ("started", "working") and said == "started":
                self.has[number] = Has(has.worker, self.now, True)
            else:
                self.end(number)
            self.look()

    @rule(place=places, delay=st.sampled_from([0, 5, 40]))
    def release(self, place: int, delay: int) -> None:
        held = [(number, has) for number, has in sorted(self.has.items()) if has.worker in self.workers]
        if held:
            number, has = held[place % len(held)]
            answer = has.worker.client.request(
                "agent.release", {"message_id": self.names[number], "delay_ms": delay * 1000}
            )
            if "result" in answer:
                del self.has[number]
                self.resting[number] = self.now + delay
            self.look()

    @rule(place=places)
    def recall(self, place: int) -> None:
        left = sorted(self.names.keys() - self.over)
        if left:
            number = left[place % len(left)]
            answer = self.sender.request("agent.recall", {"message_id": self.names[number]})
            if "result" in answer:
                assert number not in self.attempts, "taken back after it was sent"
                self.end(number)
            else:
                assert number in self.attempts, "not sent, and not taken back"
            self.look()

    @rule(seconds=st.sampled_from([1, 5, 12, 25]))
    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.gateway.advance(1)
            self.look()

    @rule()
    def restart(self) -> None:
        now = self.now
        self.gateway.close()
        self.workers, self.has, self.resting = [], {}, {}
        self.start(now)
        self.sender = self.gateway.connect(token=self.sender_token)

    # What comes of it.

    def end(self, number: int) -> None:
        self.over.add(number)
        self.has.pop(number, None)
        self.resting.pop(number, None)

    def look(self) -> None:
        self.gateway.advance(0)
        for worker in self.workers:
            messages = worker.client.messages[worker.seen :]
            worker.seen += len(messages)
            for message in messages:
                if message.get("method") == "agent.message":
                    self.arrived(worker, message["params"])

    def arrived(self, worker: Worker, params: dict[str, Any]) -> None:
        number, now = params["message"], self.now
        self.names[number] = self.names[number] or params["message_id"]
        assert number not in self.over, "came after its end"
        assert params["attempt"] == self.attempts.get(number, 0) + 1, "attempts are not counted one by one"
        self.attempts[number] = params["attempt"]
        assert now >= self.resting.pop(number, 0), "came while it rested"
        has = self.has.get(number)
        if has is not None:
            silent = now - has.since >= ACK_WAIT
            gone = has.worker.lost is not None and (not has.begun or now - has.worker.lost >= RESUME_WINDOW)
            assert silent or gone, "came while another one had it"
            if has.begun and silent:
                self.failures[number] = self.failures.get(number, 0) + 1
        self.has[number] = Has(worker, now, False)
        # What has lapsed may be with another one already, whose messages are looked at after this one's.
        held = sum(each.worker is worker and now - each.since < ACK_WAIT for each in self.has.values())
        assert held <= worker.window, "more than its window"

    def teardown(self) -> None:
        """In the end all letters that are left come to a worker that is patient, or have failed often enough."""
        try:
            self.wait(int(40 + RESUME_WINDOW + ACK_WAIT))
            while self.workers:
                self.go(0, True)
            self.come(3)
            for _ in range(3 * len(self.names) + 60):
                for number, has in sorted(self.has.items()):
                    if has.worker in self.workers:
                        has.worker.client.call("agent.ack", message_id=self.names[number], status="done")
                        self.end(number)
                self.gateway.advance(1)
                self.look()
            waiting = self.gateway.agents.mailboxes.waiting
            assert (waiting.messages, waiting.size, len(self.gateway.agents.mailboxes)) == (0, 0, 0)
            assert len(self.gateway.agents.mailboxes._leases) == 0
            for number in self.names.keys() - self.over:
                report = self.sender.call("agent.getDelivery", message_id=self.names[number])
                assert report["status"] == "failed", report
                assert self.failures.get(number, 0) >= MAX_ATTEMPTS, "given up too early"
        finally:
            self.gateway.close()
            if isinstance(self.store, AtOnce):
                self.store.database.close()
            self.folder.cleanup()


class SQLiteLeaseMachine(LeaseMachine):
    """The same on a disk."""

    def open(self) -> Any:
        return AtOnce(Path(self.folder.name) / "gateway.db")


class LeaseModelTests(SynchronousTestCase):
    """See L{LeaseMachine}."""

    def run_machine(self, machine: type[LeaseMachine], examples: int) -> None:
        checks = [HealthCheck.too_slow]
        limits = settings(max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=checks)
        run_state_machine_as_test(machine, settings=limits)

    def test_memory(self) -> None:
        """A letter is with one at a time, comes until it is over and then no more, and dies of many failures only."""
        self.run_machine(LeaseMachine, 30)

    def test_sqlite(self) -> None:
        """So it is over SQLite."""
        self.run_machine(SQLiteLeaseMachine, 15)
