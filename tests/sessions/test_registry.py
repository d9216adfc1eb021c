"""Sessions: who is connected as whom."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import Principal
from cell0gw.protocol.errors import CloseCode
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.observers import IRefreshObserver, ISessionObserver
from cell0gw.sessions.registry import Sessions
from cell0gw.sessions.session import Caller, ICaller, IConnection, Session
from cell0gw.testing import RecordingConnection
from cell0gw.testing.stated import stated

LOST = Ending(EndingKind.LOST)
GOODBYE = Ending(EndingKind.GOODBYE, 1000)


@implementer(ISessionObserver)
class Witness:
    """Remembers what it was told; raises if it is a C{bad} one."""

    def __init__(self, bad: bool = False) -> None:
        self.told: list[tuple[str, ...]] = []
        self.bad = bad

    def session_opened(self, session: Session) -> None:
        self.told.append(("opened", session.entity_id))
        if self.bad:
            raise RuntimeError("bad witness")

    def session_detached(self, session: Session, ending: Ending) -> None:
        self.told.append(("detached", session.entity_id, str(ending)))

    def session_closed(self, session: Session, ending: Ending) -> None:
        self.told.append(("closed", session.entity_id, str(ending)))
        if self.bad:
            raise RuntimeError("bad witness")


@implementer(IRefreshObserver)
class RefreshWitness:
    """Remembers by which token a session goes on; raises if it is a C{bad} one."""

    def __init__(self, bad: bool = False) -> None:
        self.told: list[Principal] = []
        self.bad = bad

    def session_refreshed(self, session: Session) -> None:
        self.told.append(session.principal)
        if self.bad:
            raise RuntimeError("bad witness")


class SessionsCase(SynchronousTestCase):
    """With a registry of sessions, and a witness."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[tuple[str, Any]] = []
        self.sessions = Sessions(stated(self.clock), 120.0, lambda type, data, about: self.events.append((type, data)))
        self.witness = Witness()
        self.sessions.observers.append(self.witness)

    def open(self, entity_id: str = "a", token_id: str = "tok_1", expires_at: float | None = None) -> Session:
        proven = Principal(
            entity_id=entity_id,
            entity_type="agent",
            permissions=Permissions([]),
            token_id=token_id,
            expires_at=expires_at,
        )
        return self.sessions.open(Caller(RecordingConnection()), entity_id, proven, lambda session: None)

    def warned(self) -> list[str]:
        """The ids of the sessions of which operators were told that their tokens expire."""
        return [data["session_id"] for type, data in self.events if type == "token.expiring"]

    def closed(self, session: Session) -> tuple[int, str] | None:
        connection = session.connection
        assert isinstance(connection, RecordingConnection)
        return connection.closed


class SessionsTests(SessionsCase):
    """The registry of sessions."""

    def test_doubles_are_honest(self) -> None:
        """The doubles of the tests provide what they stand for."""
        verifyObject(IConnection, RecordingConnection())
        verifyObject(ISessionObserver, self.witness)
        verifyObject(IRefreshObserver, RefreshWitness())
        verifyObject(ICaller, Caller())

    def test_open_and_close(self) -> None:
        """Observers hear of a session's beginning and end, once each."""
        session = self.open()
        self.assertEqual(len(self.sessions), 1)
        self.assertIs(session.connection.session, session)
        self.sessions.close(session, LOST)
        self.sessions.close(session, GOODBYE)
        self.assertEqual(self.witness.told, [("opened", "a"), ("closed", "a", "lost")])
        self.assertEqual(len(self.sessions), 0)

    def test_bad_observer(self) -> None:
        """An observer that fails keeps the others from nothing, and is logged."""
        self.sessions.observers.insert(0, Witness(bad=True))
        self.sessions.close(self.open(), LOST)
        self.assertEqual(len(self.witness.told), 2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_end_tokens(self) -> None:
        """Ending a token closes every session it opened and no other, with the code that says don't come back."""
        first, second, other = self.open(), self.open(), self.open(token_id="tok_2")
        self.assertEqual(self.sessions.end_tokens(["tok_1", "tok_none"], EndingKind.TOKEN_REVOKED), 2)
        self.assertEqual(self.closed(first), (CloseCode.TOKEN_ENDED, "token revoked"))
        self.assertEqual(self.closed(second), (CloseCode.TOKEN_ENDED, "token revoked"))
        self.assertIsNone(self.closed(other))

    def test_expire(self) -> None:
        """Sessions end when their token does, whichever came first."""
        late, early, never = self.open("a", "tok_1", 20), self.open("b", "tok_2", 10), self.open("c", "tok_3")
        again = self.open("a", "tok_1", 20)
        self.clock.advance(10)
        self.sessions.sweep()
        self.assertEqual(self.closed(early), (CloseCode.TOKEN_ENDED, "token expired"))
        self.assertIsNone(self.closed(late))
        self.clock.advance(10)
        self.sessions.sweep()
        self.assertIsNotNone(self.closed(late))
        self.assertIsNotNone(self.closed(again))
        self.assertIsNone(self.closed(never))

    def test_expiry_of_sessions_that_came_and_went(self) -> None:
        """A token that opens session after session is remembered once."""
        for _ in range(100):
            self.sessions.close(self.open(expires_at=10), LOST)
        self.assertEqual(len(self.sessions._expiries), 1)
        self.clock.advance(10)
        self.sessions.sweep()
        self.assertEqual(len(self.sessions._expiries), 0)

    def test_warning(self) -> None:
        """A session is warned once, a minute before its token ends; one that is opened later than that at once."""
        session = self.open(expires_at=100)
        self.clock.advance(39)
        self.sessions.sweep()
        self.assertEqual(self.warned(), [])
        for _ in range(3):
            self.clock.advance(1)
            self.sessions.sweep()
        self.assertEqual(self.warned(), [session.session_id])
        late = self.open(token_id="tok_2", expires_at=90)
        self.sessions.sweep()
        self.assertEqual(self.warned(), [session.session_id, late.session_id])


class DetachedTests(SessionsCase):
    """Sessions whose connection broke."""

    def test_waited_for(self) -> None:
        """It is detached, not closed; when nobody has resumed it in the window it is closed, for its first reason."""
        session = self.open()
        self.sessions.leave(session, LOST)
        self.sessions.leave(session, GOODBYE)
        self.assertEqual((len(self.sessions), self.sessions.detached), (0, 1))
        self.clock.advance(119)
        self.sessions.sweep()
        self.assertEqual(self.witness.told, [("opened", "a"), ("detached", "a", "lost")])
        self.clock.advance(1)
        self.sessions.sweep()
        self.assertEqual(self.witness.told[2:], [("closed", "a", "lost")])
        self.assertEqual(self.sessions.detached, 0)

    def test_goodbye(self) -> None:
        """Who leaves for good is not waited for."""
        self.sessions.leave(self.open(), GOODBYE)
        self.assertEqual(self.witness.told, [("opened", "a"), ("closed", "a", "1000")])

    def test_no_window(self) -> None:
        """Without a window nobody is, and there are no secrets."""
        sessions = Sessions(stated(self.clock), 0.0, lambda type, data: None)
        sessions.observers.append(self.witness)
        self.sessions = sessions
        session = self.open()
        self.assertIsNone(sessions.new_secret(session))
        sessions.leave(session, LOST)
        self.assertEqual(self.witness.told, [("opened", "a"), ("closed", "a", "lost")])

    def test_resume(self) -> None:
        """A secret opens the place once, to a session of the same entity."""
        old, stranger = self.open(), self.open("b")
        secret = self.sessions.new_secret(old)
        assert secret is not None
        self.sessions.leave(old, LOST)
        self.assertIsNone(self.sessions.resumable(secret, stranger))
        self.assertIsNone(self.sessions.resumable("resume_wrong", self.open()))
        for _ in range(2):
            self.assertIs(self.sessions.resumable(secret, self.open()), old)
        self.sessions.close_resumed(old)
        self.assertIsNone(self.sessions.resumable(secret, self.open()))

    def test_only_the_last_secret(self) -> None:
        """A new secret makes the one before it worthless; a session can't take its own place."""
        session = self.open()
        first, second = self.sessions.new_secret(session), self.sessions.new_secret(session)
        assert first and second
        self.assertIsNone(self.sessions.resumable(second, session))
        self.assertIsNone(self.sessions.resumable(first, self.open()))
        self.assertIs(self.sessions.resumable(second, self.open()), session)

    def test_half_open(self) -> None:
        """A session that seems connected still is cut off by whoever takes its place, and heard of as detached."""
        old = self.open()
        self.sessions.cut_off(old)
        self.assertTrue(old.connection.aborted)  # type: ignore[attr-defined]
        self.assertIn(("detached", "a", "resumed"), self.witness.told)

    def test_token_ends(self) -> None:
        """The end of its token is the end of a detached session, at once."""
        session = self.open(expires_at=50)
        self.sessions.leave(session, LOST)
        self.assertEqual(self.sessions.end_tokens(["tok_1"], EndingKind.TOKEN_REVOKED), 1)
        self.assertEqual(self.witness.told[-1], ("closed", "a", "token revoked"))

    def test_refresh(self) -> None:
        """Another token takes over, and all hear of it: the end of the first is nothing to the session, that of the
        second is its own.
        """
        caller = Caller(RecordingConnection())
        principals = [
            Principal(
                entity_id="a",
                entity_type="agent",
                permissions=Permissions([]),
                token_id=f"tok_{n}",
                expires_at=n * 10.0,
            )
            for n in (1, 2)
        ]
        session = self.sessions.open(caller, "a", principals[0], lambda session: None)
        refreshed = RefreshWitness()
        self.sessions.refresh_observers += [RefreshWitness(bad=True), refreshed]
        self.sessions.refresh(caller, principals[1])
        self.assertEqual((caller.principal, refreshed.told), (principals[1], [principals[1]]))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.clock.advance(10)
        self.sessions.sweep()
        self.assertIsNone(self.closed(session))
        self.clock.advance(10)
        self.sessions.sweep()
        self.assertIsNotNone(self.closed(session))
