"""Presence and routes of entities with several sessions."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import EntityType, Principal
from cell0gw.presence.directory import Directory
from cell0gw.presence.entity import NOTHING, Statement
from cell0gw.presence.observers import IPresenceObserver, IStatementObserver
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.notifications import Departure
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session
from cell0gw.testing import RecordingConnection

LOST = Ending(EndingKind.LOST)


def make_session(session_id: str, entity_id: str, entity_type: EntityType = "agent", at: float = 0.0) -> Session:
    proven = Principal(
        entity_id=entity_id, entity_type=entity_type, permissions=Permissions([]), token_id="tok_1", expires_at=None
    )
    return Session(session_id, entity_id, proven, RecordingConnection(session_id, at), at)


@implementer(IPresenceObserver, IStatementObserver)
class Witness:
    """Remembers what it was told: whose presence, whether it was here before, and why it went; and who spoke."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool, str | None]] = []
        self.heard: list[str] = []

    def presence_changed(self, entity_id: str, was_here: bool, departure: Departure | None) -> None:
        self.told.append((entity_id, was_here, departure and departure.reason))

    def statement_changed(self, session: Session) -> None:
        self.heard.append(session.session_id)


class DirectoryTests(SynchronousTestCase):
    """Who is here."""

    def setUp(self) -> None:
        self.events: list[tuple[str, str, Any]] = []
        self.directory = Directory(float, lambda channel, type, data, about: self.events.append((channel, type, data)))

    def open(self, session_id: str, entity_id: str = "a", **facts: Any) -> Session:
        session = make_session(session_id, entity_id, **facts)
        self.directory.session_opened(session)
        return session

    def status(self, entity_id: str = "a") -> str | None:
        entry = self.directory.get(entity_id)
        return None if entry is None else entry.status

    def test_interface(self) -> None:
        """The directory hears of sessions."""
        verifyObject(ISessionObserver, self.directory)

    def test_observers(self) -> None:
        """All who observe hear who comes, changes and goes; and of what sessions say, but for their first words."""
        witnesses = [Witness(), Witness()]
        for witness in witnesses:
            verifyObject(IPresenceObserver, witness)
            verifyObject(IStatementObserver, witness)
        self.directory.observers += witnesses
        self.directory.statement_observers += witnesses
        session = self.open("1")
        self.directory.update(session, status="busy")
        self.directory.session_closed(session, LOST)
        for witness in witnesses:
            self.assertEqual(witness.told, [("a", False, None), ("a", True, None), ("a", True, "lost")])
            self.assertEqual(witness.heard, ["1"])

    def test_while_one_session_lives(self) -> None:
        """An entity is here from its first session to its last, and is told to come and go once."""
        first, second = self.open("1"), self.open("2")
        self.directory.session_closed(first, LOST)
        self.assertEqual(self.status(), "online")
        self.directory.session_closed(second, LOST)
        self.assertIsNone(self.directory.get("a"))
        types = [type for channel, type, _ in self.events if channel == "$agents"]
        self.assertEqual(types, ["agent.online", "agent.changed", "agent.offline"])

    def test_closing_the_old_keeps_the_new(self) -> None:
        """An old connection that closes late takes neither presence nor route from the newer one."""
        old, new = self.open("1"), self.open("2")
        self.directory.session_closed(old, LOST)
        self.directory.session_closed(old, LOST)
        self.assertIs(self.directory.route("a"), new)
        self.assertEqual(self.status(), "online")

    def test_route(self) -> None:
        """Messages go to the newest live session; when it is gone, to the newest of the rest."""
        first, second = self.open("1"), self.open("2")
        self.assertIs(self.directory.route("a"), second)
        self.directory.session_closed(second, LOST)
        self.assertIs(self.directory.route("a"), first)
        self.assertIsNone(self.directory.route("nobody"))

    def test_latest_word_counts(self) -> None:
        """The status is what was said last; when who said it leaves, what was said before that."""
        first, second = self.open("1"), self.open("2")
        self.directory.update(first, status="busy", activity="thinking")
        self.assertEqual(self.status(), "busy")
        self.directory.update(second, status="away")
        self.assertEqual(self.status(), "away")
        self.directory.session_closed(second, LOST)
        self.assertEqual(self.status(), "busy")
        entry = self.directory.get("a")
        assert entry is not None
        self.assertEqual((entry.current_activity, entry.session_id), ("thinking", "1"))

    def test_who_says_nothing(self) -> None:
        """A session that says nothing changes nothing: neither when it comes, nor when it goes."""
        first = make_session("1", "a")
        self.directory.introduce(first, Statement(metadata={"model": "x"}))
        self.directory.session_opened(first)
        self.directory.update(first, status="busy", status_message="soon", activity="thinking")
        silent = self.open("2")
        for _ in range(2):
            entry = self.directory.get("a")
            assert entry is not None
            said = (entry.status, entry.status_message, entry.current_activity, entry.metadata)
            self.assertEqual(said, ("busy", "soon", "thinking", {"model": "x"}))
            self.directory.session_closed(silent, LOST)
        silent = self.open("3")
        self.directory.session_closed(first, LOST)
        entry = self.directory.get("a")
        assert entry is not None
        said = (entry.status, entry.status_message, entry.current_activity, entry.metadata)
        self.assertEqual(said, ("online", None, None, NOTHING))

    def test_of_one_thing(self) -> None:
        """Who says something of one thing changes that, and nothing else."""
        first = self.open("1")
        self.directory.update(first, status="busy", activity="thinking")
        second = make_session("2", "a")
        self.directory.introduce(second, Statement(metadata={"model": "y"}))
        self.directory.session_opened(second)
        entry = self.directory.get("a")
        assert entry is not None
        self.assertEqual((entry.status, entry.current_activity, entry.metadata), ("busy", "thinking", {"model": "y"}))
        self.directory.update(first, status="online", activity=None)
        entry = self.directory.get("a")
        assert entry is not None
        self.assertEqual((entry.status, entry.current_activity, entry.metadata), ("online", None, {"model": "y"}))

    def test_away(self) -> None:
        """When all connections broke it is away, with the latest that was said, and not that nothing was said."""
        first = make_session("1", "a")
        self.directory.introduce(first, Statement(metadata={"model": "x"}))
        self.directory.session_opened(first)
        self.directory.update(first, status="busy", activity="thinking")
        second = self.open("2")
        for session in (first, second):
            self.directory.session_detached(session, LOST)
        entry = self.directory.get("a")
        assert entry is not None
        self.assertEqual((entry.status, entry.current_activity, entry.metadata), ("away", "thinking", {"model": "x"}))

    def test_capabilities(self) -> None:
        """An entity can do what any of its sessions can, and no longer than that one lives."""
        sessions = [make_session("1", "a"), make_session("2", "a"), make_session("3", "a")]
        for session, can in zip(sessions, (("chat", "draw"), ("chat",), ()), strict=True):
            self.directory.introduce(session, Statement(capabilities=can))
            self.directory.session_opened(session)
        for left, expected in ((None, {"chat", "draw"}), (0, {"chat"}), (1, set())):
            if left is not None:
                self.directory.session_closed(sessions[left], LOST)
            entry = self.directory.get("a")
            assert entry is not None
            self.assertEqual(set(entry.capabilities), expected)

    def test_entry(self) -> None:
        """An entry has the beginning of the oldest session and the last sign of life of the newest."""
        session = make_session("1", "a", at=10.0)
        self.directory.introduce(session, Statement(capabilities=("chat",), metadata={"model": "x"}))
        self.directory.session_opened(session)
        newer = self.open("2", at=20.0)
        self.directory.update(newer, status="busy")
        session.connection.last_received = 99.0
        entry = self.directory.get("a")
        assert entry is not None
        self.assertEqual(entry.connected_at, "1970-01-01T00:00:10.000Z")
        self.assertEqual(entry.last_seen, "1970-01-01T00:00:20.000Z")

    def test_introduction(self) -> None:
        """What an entity can do and says of itself at authentication is there at once."""
        session = make_session("1", "a")
        self.directory.introduce(session, Statement(capabilities=("chat",), metadata={"model": "x"}))
        self.directory.session_opened(session)
        entry = self.directory.get("a")
        assert entry is not None
        self.assertEqual((entry.capabilities, entry.metadata), (("chat",), {"model": "x"}))
        self.assertEqual(self.events[0][2].capabilities, ("chat",))

    def test_types(self) -> None:
        """Entities are listed by type, and only agents make news on $agents."""
        self.open("1", "a")
        self.open("2", "u", entity_type="user")
        self.assertEqual([entry.entity_id for entry in self.directory.entries("user")], ["u"])
        self.assertEqual([entry.entity_id for entry in self.directory.entries()], ["a", "u"])
        self.assertEqual([data.entity_id for channel, _, data in self.events if channel == "$agents"], ["a"])

    def test_leaving_says_why(self) -> None:
        """Who leaves is told of with the reason and when it was last heard."""
        session = self.open("1")
        session.connection.last_received = 5.0
        self.directory.session_closed(session, LOST)
        left = {type: data for _, type, data in self.events}["presence.left"]
        self.assertEqual((left.reason, left.last_seen), ("lost", "1970-01-01T00:00:05.000Z"))


class RouteTests(SynchronousTestCase):
    """Who can do what, and by which session."""

    def setUp(self) -> None:
        self.directory = Directory(float, lambda *event: None)
        self.witness = Witness()
        self.directory.statement_observers.append(self.witness)

    def open(self, session_id: str, entity_id: str = "a", *capabilities: str, **facts: Any) -> Session:
        session = make_session(session_id, entity_id)
        self.directory.introduce(session, Statement(capabilities=capabilities, **facts))
        self.directory.session_opened(session)
        return session

    def detach(self, session: Session) -> None:
        session.detached = True
        self.directory.session_detached(session, LOST)

    def able(self, capability: str, connected: bool = False) -> list[str]:
        return [entry.entity_id for entry in self.directory.entries(connected=connected, capability=capability)]

    def test_by_capability(self) -> None:
        """Whoever has a capability by any of its sessions is found by it, as long as one of them says so."""
        first, second = self.open("1", "a", "chat", "draw"), self.open("2", "a", "chat")
        other = self.open("3", "b", "draw")
        self.assertEqual([self.able(name) for name in ("chat", "draw", "sing")], [["a"], ["a", "b"], []])
        self.directory.session_closed(first, LOST)
        self.assertEqual([self.able(name) for name in ("chat", "draw")], [["a"], ["b"]])
        self.directory.update(second, capabilities=("draw", "sing"))
        self.assertEqual([self.able(name) for name in ("chat", "draw", "sing")], [[], ["a", "b"], ["a"]])
        for session in (second, other):
            self.directory.session_closed(session, LOST)
        self.assertEqual(self.directory._able, {})

    def test_who_is_waited_for(self) -> None:
        """Who is only waited for can do it still, but is not among those who are connected."""
        self.detach(self.open("1", "a", "chat"))
        self.assertEqual((self.able("chat"), self.able("chat", connected=True)), (["a"], []))

    def test_beside_another_session(self) -> None:
        """What only a detached session can is not what the entity can, as long as another one is connected."""
        first, second = self.open("1", "a", "chat", "draw"), self.open("2", "a", "draw")
        self.detach(first)
        self.assertEqual([self.able(name) for name in ("chat", "draw")], [[], ["a"]])
        entry = self.directory.get("a")
        assert entry is not None
        self.assertEqual(entry.capabilities, ("draw",))
        self.detach(second)
        self.assertEqual([self.able(name) for name in ("chat", "draw")], [["a"], ["a"]])
        third = self.open("3", "a")
        self.assertEqual([self.able(name) for name in ("chat", "draw")], [[], []])
        self.directory.resume(first, third)
        self.assertEqual([self.able(name) for name in ("chat", "draw")], [["a"], ["a"]])
        for session in (first, second, third):
            self.directory.session_closed(session, LOST)
        self.assertEqual(self.directory._able, {})

    def test_said_twice(self) -> None:
        """A capability that is declared twice is gone when it is no longer declared."""
        session = self.open("1", "a", "chat", "chat")
        self.directory.update(session, capabilities=())
        self.assertEqual((self.able("chat"), self.directory._able), ([], {}))

    def test_said(self) -> None:
        """What a session has said is its own, whatever others of its entity say."""
        first, second = self.open("1", "a", "chat", max_inflight=3), self.open("2", "a")
        self.directory.update(second, status="busy")
        self.assertEqual((self.directory.said(first).max_inflight, self.directory.said(first).status), (3, "online"))
        self.assertEqual((self.directory.said(second).capabilities, self.directory.said(second).status), ((), "busy"))
        self.assertEqual(self.witness.heard, ["2"])

    def test_resume(self) -> None:
        """A session that takes another's place says what that one said, but for what it has said itself."""
        old = self.open("1", "a", "chat", "ack", max_inflight=3, metadata={"model": "x"})
        self.directory.update(old, status="busy")
        self.detach(old)
        for new, acknowledges in ((self.open("2"), True), (self.open("3", "a", "draw", max_inflight=1), False)):
            self.directory.resume(old, new)
            self.assertIs(new.acknowledges, acknowledges)
        self.directory.session_closed(old, LOST)
        said = [self.directory.said(session) for session in self.directory.live("a")]
        self.assertEqual([one.capabilities for one in said], [("chat", "ack"), ("draw",)])
        self.assertEqual([(one.status, one.max_inflight) for one in said], [("busy", 3), ("busy", 1)])
        self.assertEqual(self.witness.heard, ["1", "2", "3"])

    def test_acknowledges(self) -> None:
        """Who declares C{ack} acknowledges what it gets, and nobody else."""
        sessions = [self.open("1", "a", "chat", "ack"), self.open("2", "a"), self.open("3", "b", "acknowledge")]
        self.assertEqual([session.acknowledges for session in sessions], [True, False, False])

    def test_live(self) -> None:
        """The sessions that are connected, oldest first; none of who is not here."""
        first, second, third = self.open("1"), self.open("2"), self.open("3")
        self.detach(second)
        self.assertEqual(self.directory.live("a"), [first, third])
        self.assertEqual(self.directory.live("nobody"), [])

    def test_behind(self) -> None:
        """Those that are behind with reading are passed over where that was asked for, and only there."""
        first, second = self.open("1"), self.open("2")
        connection: Any = second.connection
        limit = Limits().outbound_limit
        for backlog, expected in ((limit, second), (limit + 1, first)):
            connection.backlog = backlog
            self.assertIs(self.directory.route("a", reading=True), expected)
        self.assertIs(self.directory.route("a"), second)
        self.detach(first)
        self.assertIsNone(self.directory.route("a", reading=True))
        self.assertIsNone(self.directory.route("nobody", reading=True))


class DirectoryMachine(RuleBasedStateMachine):
    """The directory beside a list of sessions, whatever comes, goes and speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Directory(float, lambda *event: None)
        self.live: list[Session] = []
        self.words: list[tuple[Session, str]] = []
        self.count = 0

    @rule(entity=st.sampled_from("abc"))
    def open(self, entity: str) -> None:
        self.count += 1
        session = make_session(str(self.count), entity)
        self.directory.session_opened(session)
        self.live.append(session)

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        if self.live:
            session = self.live.pop(data.draw(st.integers(0, len(self.live) - 1)))
            self.words = [word for word in self.words if word[0] is not session]
            self.directory.session_closed(session, LOST)

    @rule(data=st.data(), status=st.sampled_from(["busy", "away", "online"]))
    def say(self, data: st.DataObject, status: str) -> None:
        if self.live:
            session = data.draw(st.sampled_from(self.live))
            self.directory.update(session, status=status)
            self.words.append((session, status))

    @invariant()
    def agrees(self) -> None:
        for entity in "abc":
            live = [session for session in self.live if session.entity_id == entity]
            entry = self.directory.get(entity)
            assert self.directory.route(entity) is (live[-1] if live else None)
            if not live:
                assert entry is None
            else:
                assert entry is not None
                words = [status for session, status in self.words if session.entity_id == entity]
                assert entry.status == (words[-1] if words else "online")


class DirectoryModelTests(SynchronousTestCase):
    """See L{DirectoryMachine}."""

    def test_model(self) -> None:
        """Whatever comes, goes and speaks, presence and routes are those of the sessions that live."""
        run_state_machine_as_test(DirectoryMachine)
