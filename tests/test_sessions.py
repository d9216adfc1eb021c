"""Sessions: who is connected as whom."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cell0gw.errors import CloseCode
from cell0gw.interfaces import ICaller, IConnection, ISessionObserver
from cell0gw.permissions import Permissions
from cell0gw.sessions import Caller, Principal, Session, Sessions
from cell0gw.testing import RecordingConnection, counter


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

    def session_closed(self, session: Session, reason: str) -> None:
        self.told.append(("closed", session.entity_id, reason))
        if self.bad:
            raise RuntimeError("bad witness")


class SessionsTests(SynchronousTestCase):
    """The registry of sessions."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions = Sessions(self.clock, counter())
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

    def closed(self, session: Session) -> tuple[int, str] | None:
        connection = session.connection
        assert isinstance(connection, RecordingConnection)
        return connection.closed

    def test_doubles_are_honest(self) -> None:
        """The doubles of the tests provide what they stand for."""
        verifyObject(IConnection, RecordingConnection())
        verifyObject(ISessionObserver, self.witness)
        verifyObject(ICaller, Caller())

    def test_open_and_close(self) -> None:
        """Observers hear of a session's beginning and end, once each."""
        session = self.open()
        self.assertEqual(len(self.sessions), 1)
        self.assertIs(session.connection.session, session)
        self.sessions.close(session, "gone")
        self.sessions.close(session, "again")
        self.assertEqual(self.witness.told, [("opened", "a"), ("closed", "a", "gone")])
        self.assertEqual(len(self.sessions), 0)

    def test_bad_observer(self) -> None:
        """An observer that fails keeps the others from nothing, and is logged."""
        self.sessions.observers.insert(0, Witness(bad=True))
        self.sessions.close(self.open(), "gone")
        self.assertEqual(len(self.witness.told), 2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_end_tokens(self) -> None:
        """Ending a token closes every session it opened and no other, with the code that says don't come back."""
        first, second, other = self.open(), self.open(), self.open(token_id="tok_2")
        self.assertEqual(self.sessions.end_tokens(["tok_1", "tok_none"], "token revoked"), 2)
        self.assertEqual(self.closed(first), (CloseCode.TOKEN_ENDED, "token revoked"))
        self.assertEqual(self.closed(second), (CloseCode.TOKEN_ENDED, "token revoked"))
        self.assertIsNone(self.closed(other))

    def test_expire(self) -> None:
        """Sessions end when their token does, whichever came first."""
        late, early, never = self.open("a", "tok_1", 20), self.open("b", "tok_2", 10), self.open("c", "tok_3")
        again = self.open("a", "tok_1", 20)
        self.clock.advance(10)
        self.sessions.expire()
        self.assertEqual(self.closed(early), (CloseCode.TOKEN_ENDED, "token expired"))
        self.assertIsNone(self.closed(late))
        self.clock.advance(10)
        self.sessions.expire()
        self.assertIsNotNone(self.closed(late))
        self.assertIsNotNone(self.closed(again))
        self.assertIsNone(self.closed(never))

    def test_expiry_of_sessions_that_came_and_went(self) -> None:
        """A token that opens session after session is remembered once."""
        for _ in range(100):
            self.sessions.close(self.open(expires_at=10), "gone")
        self.assertEqual(len(self.sessions._expiries), 1)
        self.clock.advance(10)
        self.sessions.expire()
        self.assertEqual(len(self.sessions._expiries), 0)
