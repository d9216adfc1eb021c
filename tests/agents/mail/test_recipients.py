"""Whom one may write to: ids that a valid token names, or that somebody has had."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.agents.mail import recipients as known
from cell0gw.agents.mail.recipients import DAY, Recipients
from cell0gw.agents.mail.store import IMailStore
from cell0gw.auth.credentials import HOUR, Credentials
from cell0gw.engines.memory.mail import MemoryMailStore
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.testing import CallFailed, MemoryGateway
from cell0gw.testing.stated import stated
from tests.presence.test_directory import make_session


class Tokens(Credentials):
    """Credentials that name whom the test says."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(MemoryTokenStore(), stated(clock), dict)
        self.named: set[str] = set()

    def name(self, *entity_ids: str) -> None:
        self.named.update(entity_ids)
        for entity_id in entity_ids:
            self.suggestions.add(entity_id)

    def names(self, entity_id: str) -> bool:
        return entity_id in self.named


class CountingStore(MemoryMailStore):
    """Counts how often it was told of somebody."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def saw(self, entity_id: str, time: float):  # type: ignore[no-untyped-def]
        self.seen.append(entity_id)
        return super().saw(entity_id, time)


class KnownTests(SynchronousTestCase):
    """L{Recipients}"""

    def setUp(self) -> None:
        self.clock, self.store = Clock(), CountingStore()
        self.clock.advance(10 * DAY)
        self.tokens = Tokens(self.clock)
        self.known = Recipients(self.store, self.tokens, self.clock.seconds)

    def open(self, *entity_ids: str) -> None:
        for entity_id in entity_ids:
            self.known.session_opened(make_session("1", entity_id))

    def near(self, entity_id: str, allowed: Iterable[str] | None = None) -> list[str]:
        return self.known.near(entity_id, lambda name: allowed is None or name in allowed)

    def test_interface(self) -> None:
        """It hears of sessions."""
        verifyObject(ISessionObserver, self.known)

    def test_tokens_and_sessions(self) -> None:
        """Who has a token is known, and who had a session, with or without it; nobody else."""
        self.tokens.name("a")
        self.open("b")
        self.assertEqual([name in self.known for name in "abc"], [True, True, False])

    def test_load(self) -> None:
        """The next process knows who had sessions, and suggests them."""
        self.open("worker.1", "worker.2")
        following = Recipients(self.store, self.tokens, self.clock.seconds)
        following.load(self.store.load().holders)
        self.assertIn("worker.1", following)
        self.assertEqual(set(following.near("worker.3", lambda name: True)), {"worker.1", "worker.2"})

    def test_once_a_day(self) -> None:
        """That somebody was here is written down at the first time, and then once a day at most."""
        self.open("a", "a", "b")
        self.clock.advance(DAY - 1)
        self.open("a")
        self.assertEqual(self.store.seen, ["a", "b"])
        self.clock.advance(1)
        self.open("a")
        self.assertEqual(self.store.seen, ["a", "b", "a"])
        self.assertEqual(self.store.load().holders, {"b": 10 * DAY, "a": 11 * DAY})

    def test_broken_store(self) -> None:
        """Who is here is known though that can't be written down."""
        self.store.broken = True
        self.open("a")
        self.assertIn("a", self.known)

    def test_so_many(self) -> None:
        """When there are too many those go first that were not noted for longest, from the suggestions, too."""
        self.patch(known, "MAX_HOLDERS", 2)
        self.open("name1", "name2")
        self.clock.advance(DAY)
        self.open("name1", "name3")
        self.assertEqual([name in self.known for name in ("name1", "name2", "name3")], [True, False, True])
        self.assertEqual(set(self.near("name2")), {"name1", "name3"})
        self.assertEqual(len(self.known._suggestions), 2)

    def test_near(self) -> None:
        """Suggested is who is known and may be shown, each once, whether by token or by session."""
        self.tokens.name("name1", "name2", "name4")
        self.open("name1", "name3")
        self.assertEqual(set(self.near("name")), {"name1", "name2", "name3", "name4"})
        self.assertEqual(len(self.near("name")), 4)
        self.tokens.named.remove("name2")
        self.assertEqual(set(self.near("name", {"name2", "name3"})), {"name3"})

    def test_best_first(self) -> None:
        """Of few places the most alike get theirs, whether they are known by token or by session."""
        self.open(*(f"worker.{n}x" for n in range(6)))
        self.tokens.name("worker.9")
        self.assertIn("worker.9", self.near("worker.99"))


class WireTests(SynchronousTestCase):
    """As senders see it."""

    def setUp(self) -> None:
        self.store: IMailStore = MemoryMailStore()
        self.start()

    def start(self) -> None:
        self.gateway = MemoryGateway(mail_store=self.store)
        self.addCleanup(self.gateway.close)
        self.a = self.gateway.connect("a")

    def visit(self, token: str, entity_id: str) -> None:
        """Somebody is here for a moment."""
        client = self.gateway.connect()
        client.call("auth.authenticate", token=token, entity_id=entity_id)
        client.disconnect()

    def near(self, entity_id: str) -> list[str]:
        refusal = self.a.refusal("agent.send", agent_id=entity_id, message=1)
        self.assertEqual(refusal["code"], -32006)
        return list(refusal["data"]["near"])

    def test_only_who_can_be_written_to(self) -> None:
        """A pattern of ids is nobody's id: it is not suggested, those that were held under it are."""
        token = self.gateway.token("worker.*")
        self.assertEqual(self.near("workers.1"), [])
        self.visit(token, "worker.2")
        self.assertEqual(self.near("workers.2"), ["worker.2"])
        self.assertEqual(self.a.call("agent.send", agent_id="worker.2", message=1)["status"], "queued")

    def test_before_it_ever_came(self) -> None:
        """Mail to an id that a valid token for a pattern covers waits until its bearer comes; once that token has ended
        it is nobody's.
        """
        token = self.gateway.token("worker.*", expires_in_hours=1)
        sent = self.a.call("agent.send", agent_id="worker.1", message="hello")
        self.assertEqual((sent["status"], sent["kept"]), ("queued", True))
        client = self.gateway.connect()
        client.call("auth.authenticate", token=token, entity_id="worker.1")
        self.gateway.advance(0)
        self.assertEqual([message["message"] for message in client.received("agent.message")], ["hello"])
        self.later(2 * HOUR)
        self.assertEqual(self.near("worker.3"), ["worker.1"])

    def test_calls(self) -> None:
        """A call does not wait for somebody who never came: that is told at once, as before."""
        self.gateway.token("worker.*")
        self.assertEqual(self.a.refusal("agent.call", agent_id="worker.1", message=1)["code"], -32006)

    def test_next_process(self) -> None:
        """Who was here by a pattern's token can be written to in the next process, before it is back."""
        self.visit(self.gateway.token("worker.>"), "worker.a.b")
        self.start()
        self.assertEqual(self.a.call("agent.send", agent_id="worker.a.b", message=1)["status"], "queued")
        self.assertEqual(self.near("worker.a.c"), ["worker.a.b"])

    def test_mail_and_token(self) -> None:
        """An id with mail can be written to while that waits; with token and mail over it is nobody's any more."""
        self.gateway.token("b", expires_in_hours=1)
        self.a.call("agent.send", agent_id="b", message=1, ttl_seconds=2 * HOUR)
        self.later(1.5 * HOUR)
        self.assertEqual(self.a.call("agent.send", agent_id="b", message=2, ttl_seconds=1)["status"], "queued")
        self.later(HOUR)
        self.assertEqual(self.near("b"), [])

    def later(self, seconds: float) -> None:
        self.gateway.advance(seconds, step=seconds)
        self.gateway.advance(5)
        self.a = self.gateway.connect("a")

    def test_pattern_of_a_permission(self) -> None:
        """Suggested is only whom the sender may write to."""
        self.gateway.token("team.b1")
        self.gateway.token("other.b1")
        c = self.gateway.connect(token=self.gateway.token("c", permissions=["agent.send:team.*"]))
        self.assertEqual(c.refusal("agent.send", agent_id="team.b", message=1)["data"]["near"], ["team.b1"])
        self.assertRaises(CallFailed, c.call, "agent.send", agent_id="other.b1", message=1)
