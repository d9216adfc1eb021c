"""The whole mail side beside a model of who sent what, what came, what was acknowledged, and what senders heard."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents.mail import delivery as mailboxes
from cell0gw.agents.mail import mailbox, receipts
from cell0gw.agents.mail.status import advances
from cell0gw.agents.mail.store import LAST_REPORTS
from cell0gw.engines.memory.mail import MemoryMailStore
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.testing import EPOCH, Client, MemoryGateway, counter

RECIPIENTS = {"acks": ["ack"], "plain": []}
SENDERS = ("s", "t")
KEY_WINDOW = 300.0
SLACK = 3.0
"""Someone looks once a second, and what is due then may be done a little later."""

places = st.integers(0, 20)


class Letter:
    """What was asked to be sent. C{state}: asked, accepted or refused; unknown, if nobody was there to be answered."""

    def __init__(self, number: int, sender: str, params: dict[str, Any], now: float) -> None:
        self.number, self.sender, self.params = number, sender, params
        self.to = str(params["agent_id"])
        self.asked_at = now
        self.expires = now + params["ttl_seconds"]
        self.state = "asked"
        self.message_id = ""


class Peer:
    """An entity over all of its connections.

    @ivar clients: those it has, oldest first; C{seen}: how much of each was looked at.
    @ivar first: what came to it, in the order in which it came first; C{twice}: what may come again, whoever it is.
    @ivar done: what it has acknowledged; C{begun}: what it may have begun; C{asked}: what it said of which, by the id
        of the request.
    @ivar lost_at: when connections broke.
    """

    def __init__(self, name: str, token: str) -> None:
        self.name, self.token = name, token
        self.clients: list[Client] = []
        self.seen: dict[Client, int] = {}
        self.first: list[int] = []
        self.twice: set[int] = set()
        self.done: set[int] = set()
        self.maybe: set[int] = set()
        self.begun: set[int] = set()
        self.asked: dict[int, int] = {}
        self.lost_at: list[float] = []
        self.heard: dict[str, dict[str, float]] = {}


class MailMachine(RuleBasedStateMachine):
    """Two senders, a recipient that acknowledges and one that doesn't, and a store that is slow or broken at times."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.store, self.ids = MemoryTokenStore(), MemoryMailStore(), counter()
        self.letters: dict[int, Letter] = {}
        self.again: dict[int, Letter] = {}
        self.broken_since = EPOCH
        self.outages: list[tuple[float, float]] = []
        self.numbers = 1000
        self.start(EPOCH)
        self.peers = {n: Peer(n, self.gateway.token(n, expires_in_hours=999)) for n in (*SENDERS, *RECIPIENTS)}
        for name in SENDERS:
            self.come(name)

    def start(self, now: float) -> None:
        self.gateway = MemoryGateway(self.tokens, mail_store=self.store, idempotency_window=KEY_WINDOW, max_attempts=0)
        self.gateway.clock.advance(now - EPOCH)
        vars(self.gateway.agents.mail)["_new_id"] = self.ids  # no process makes an id of another

    @property
    def now(self) -> float:
        return float(self.gateway.clock.seconds())

    def next(self) -> int:
        self.numbers += 1
        return self.numbers

    def ask(self, client: Client, method: str, params: dict[str, Any]) -> int:
        """Make a call whose answer may come later."""
        request_id = self.next()
        request = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        client.send(json.dumps(request))
        return request_id

    # What they do.

    @rule(sender=st.sampled_from(SENDERS), to=st.sampled_from(sorted(RECIPIENTS)), receipts=st.booleans(),
          ttl=st.sampled_from([40, 100_000, 100_000]), keyed=st.booleans())  # fmt: skip
    def send(self, sender: str, to: str, receipts: bool, ttl: int, keyed: bool) -> None:
        for client in self.peers[sender].clients[-1:]:
            number = self.numbers + 1
            params: dict[str, Any] = {"agent_id": to, "message": number, "ttl_seconds": ttl, "receipts": receipts}
            if keyed:
                params["idempotency_key"] = f"k{number}"
            self.letters[number] = Letter(number, sender, params, self.now)
            assert self.ask(client, "agent.send", params) == number

    @rule(place=places)
    def send_again(self, place: int) -> None:
        """What was accepted under a key, once more under that."""
        keyed = [
            letter for letter in self.letters.values()
            if letter.state == "accepted" and "idempotency_key" in letter.params and self.peers[letter.sender].clients
            and letter.asked_at + KEY_WINDOW > self.now + SLACK
        ]  # fmt: skip
        if keyed:
            letter = keyed[place % len(keyed)]
            number = self.numbers + 1
            self.again[number] = letter
            self.ask(self.peers[letter.sender].clients[-1], "agent.send", letter.params)

    @rule(name=st.sampled_from(sorted(RECIPIENTS) + list(SENDERS)))
    def come(self, name: str) -> None:
        peer = self.peers[name]
        if len(peer.clients) < (2 if name in RECIPIENTS else 1):
            client = self.gateway.connect(token=peer.token, capabilities=RECIPIENTS.get(name, []))
            peer.clients.append(client)
            peer.seen[client] = 0
            self.gateway.advance(0)

    @rule(name=st.sampled_from(sorted(RECIPIENTS) + list(SENDERS)), place=places, politely=st.booleans())
    def go(self, name: str, place: int, politely: bool) -> None:
        peer = self.peers[name]
        if peer.clients:
            client = peer.clients[place % len(peer.clients)]
            (client.disconnect if politely else client.vanish)()
            self.look()
            self.lose(peer, client, politely)

    def lose(self, peer: Peer, client: Client, politely: bool = False) -> None:
        peer.clients.remove(client)
        if not politely:
            peer.lost_at.append(self.now)
        for letter in self.letters.values():
            if letter.sender == peer.name and letter.state == "asked":
                letter.state = "unknown"
        peer.maybe.update(peer.asked.values())
        if not peer.clients:
            peer.asked.clear()

    @rule(place=places, by=places, status=st.sampled_from(["received", "started", "working", "done", "failed"]))
    def take(self, place: int, by: int, status: str) -> None:
        peer = self.peers["acks"]
        left = sorted(set(peer.first) - peer.done)
        if left and peer.clients:
            self.acknowledge(left[place % len(left)], peer.clients[by % len(peer.clients)], status)

    def acknowledge(self, number: int, client: Client, status: str) -> None:
        params = {"message_id": self.letters[number].message_id, "status": status}
        if params["message_id"]:
            if status in ("started", "working"):  # it waits still
                self.peers["acks"].begun.add(number)
            else:
                self.peers["acks"].asked[self.numbers + 1] = number
            self.ask(client, "agent.ack", params)

    # What happens to them.

    @rule(held=st.booleans(), broken=st.sampled_from([False, False, True]))
    def disk(self, held: bool, broken: bool) -> None:
        if broken and not self.store.broken:
            self.broken_since = self.now
        elif self.store.broken and not broken and self.now - self.broken_since > LAST_REPORTS - SLACK:
            self.outages.append((self.broken_since, self.now))
        self.store.held, self.store.broken = held, broken
        if not held:
            self.step_of_the_disk()

    @precondition(lambda self: self.store.held)
    @rule()
    def step_of_the_disk(self) -> None:
        self.store.release()
        self.gateway.advance(0)

    @rule(seconds=st.sampled_from([1, 2, 31, 50]))
    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.gateway.advance(1)
            self.look()

    @rule()
    def restart(self) -> None:
        """The process is killed: what the disk has not done is not done."""
        now = self.now
        if self.store.held or self.store.broken:
            self.peers["plain"].twice.update(self.peers["plain"].first)  # the disk may not know who has got what
        for name in SENDERS:  # nor what has arrived of what it knows was told
            self.peers[name].lost_at.append(now)
            for heard in self.peers[name].heard.values():
                heard.update(dict.fromkeys(heard, now))
        for peer in self.peers.values():
            for client in list(peer.clients):
                self.lose(peer, client)
        self.again.clear()
        self.store._waiting.clear()
        self.gateway.close()
        self.start(now)

    # What comes of it.

    @invariant()
    def as_in_the_model(self) -> None:
        self.look()

    def look(self) -> None:
        self.gateway.advance(0)
        new = []
        for peer in self.peers.values():
            for client in peer.clients:
                new += [(peer, message) for message in client.messages[peer.seen[client] :]]
                peer.seen[client] = len(client.messages)
        # What one connection brought may be older than what another one did: mail first, then what was said of it.
        for peer, message in sorted(new, key=lambda one: one[1].get("method") != "agent.message"):
            self.judge(peer, message)

    def judge(self, peer: Peer, message: dict[str, Any]) -> None:
        if message.get("method") == "agent.message":
            self.arrived(peer, message["params"])
        elif message.get("method") == "agent.receipt":
            self.told(peer, message["params"])
        elif message.get("id") in self.letters:
            self.answered(self.letters[message["id"]], message)
        elif message.get("id") in self.again:
            letter = self.again.pop(message["id"])
            assert message.get("result", {}).get("message_id") == letter.message_id or self.refused(message), message
            assert "error" in message or message["result"]["replayed"]
        elif message.get("id") in peer.asked:
            number = peer.asked.pop(message["id"])
            if not self.refused(message):
                assert message["result"]["status"] in ("received", "started", "done", "failed", "expired")
                peer.done.add(number)

    def refused(self, message: dict[str, Any]) -> bool:
        assert "error" not in message or message["error"]["code"] == -32000, message
        return "error" in message

    def answered(self, letter: Letter, message: dict[str, Any]) -> None:
        if self.refused(message):
            assert letter.number not in self.peers[letter.to].first, "refused, and came"
            letter.state = "refused"
        else:
            letter.state, letter.message_id = "accepted", message["result"]["message_id"]

    def arrived(self, peer: Peer, message: dict[str, Any]) -> None:
        letter = self.letters[message["message"]]
        assert (letter.to, letter.sender) == (peer.name, message["from"])
        assert letter.state != "refused", "refused, and came"
        assert letter.number not in peer.done, "came after it was acknowledged"
        assert letter.expires > self.now - 1 or letter.number in peer.begun, "came too late"
        letter.message_id = letter.message_id or message["message_id"]
        assert letter.message_id == message["message_id"], "another id than its sender was told"
        if letter.number in peer.first:
            assert peer.name == "acks" or letter.number in peer.twice, "came twice to one who doesn't acknowledge"
        else:
            assert not peer.first or peer.first[-1] < letter.number, "out of order"
            peer.first.append(letter.number)

    def told(self, peer: Peer, receipt: dict[str, Any]) -> None:
        """A receipt leads up from those before; it comes again only if a connection broke after it had come, or if the
        disk could not be told of that for long.
        """
        heard = peer.heard.setdefault(receipt["message_id"], {})
        status = receipt["status"]
        if status in heard:
            lost = any(-SLACK <= lost - heard[status] <= LAST_REPORTS + SLACK for lost in peer.lost_at)
            late = any(start - SLACK <= heard[status] <= end for start, end in self.outages)
            assert lost or late, f"told of {status} twice"
        else:
            assert (not heard and status == "queued") or advances(list(heard)[-1], status), (heard, status)
        heard[status] = self.now

    # In the end.

    def teardown(self) -> None:
        """Everyone is here and nothing is slow: what was accepted has come or has expired, and all know of it."""
        try:
            self.disk(False, False)
            for name in self.peers:
                self.come(name)
            self.wait(2)
            self.finish()
        finally:
            self.gateway.close()

    def finish(self) -> None:
        acks = self.peers["acks"]
        newest: list[int] = [m["message"] for c in acks.clients for m in c.received("agent.message")]
        owed = {
            letter.number for letter in self.letters.values()
            if letter.to == "acks" and letter.state == "accepted" and letter.expires > self.now + SLACK
        }  # fmt: skip
        missing = owed - acks.done - acks.maybe - acks.begun - set(newest)
        assert not missing or len(acks.first) - len(acks.done) >= mailbox.WINDOW, f"{missing} did not come"
        for _ in range(100):
            for number in sorted(set(acks.first) - acks.done):
                self.acknowledge(number, acks.clients[0], "done")
            self.wait(1)
            if not len(self.gateway.agents.mailboxes):
                break
        waiting = self.gateway.agents.mailboxes.waiting
        assert (waiting.messages, waiting.size, len(self.gateway.agents.mailboxes)) == (0, 0, 0)
        for letter in self.letters.values():
            if letter.state == "accepted":
                assert letter.number in self.peers[letter.to].first or letter.expires <= self.now, "lost"
                self.complete(letter)

    def complete(self, letter: Letter) -> None:
        """Its ladder is whole, and its sender has heard all of that if it wanted to."""
        peer = self.peers[letter.sender]
        if letter.to == "plain" and not letter.params["receipts"] and "idempotency_key" not in letter.params:
            return  # it may have been written to the connection, and that was all
        report = peer.clients[0].call("agent.getDelivery", message_id=letter.message_id)
        ladder = [one["status"] for one in report["receipts"]]
        assert ladder[0] == "queued" and all(map(advances, ladder, ladder[1:])), ladder
        ends = {"done", "failed", "expired", "received", "started"} if letter.to == "acks" else {"sent", "expired"}
        assert ladder[-1] in ends, ladder
        came = letter.number in self.peers[letter.to].first
        assert came or ladder[-1] == "expired", ladder
        assert list(peer.heard.get(letter.message_id, {})) == (ladder if letter.params["receipts"] else []), ladder


class MailboxModelTests(SynchronousTestCase):
    """See L{MailMachine}."""

    def test_model(self) -> None:
        """Whatever happens, what was accepted comes in order, again until acknowledged and then no more, or expires."""
        for module, name, few in ((mailboxes, "SLICE", 2), (mailbox, "WINDOW", 4), (receipts, "SLICE", 3)):
            self.patch(module, name, few)
        try:
            run_state_machine_as_test(
                MailMachine,
                settings=settings(
                    max_examples=30, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
                ),
            )
        finally:
            self.flushLoggedErrors()
