"""Signs of life."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import Principal
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session
from cell0gw.sessions.signs import LONG, PATIENCE, QUIET, ISilenceObserver, Signs
from cell0gw.testing import RecordingConnection


@implementer(ISilenceObserver)
class Witness:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def silence_changed(self, session: Session) -> None:
        self.told.append(session.silent)

    def silence_lasts(self, session: Session) -> None:
        self.told.append("lasts")


class SignsTests(SynchronousTestCase):
    """A session, and what came of it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.signs = Signs(self.clock.seconds)
        self.witness = Witness()
        self.signs.observers.append(self.witness)
        self.session, self.connection = self.open()
        self.clock.advance(QUIET)

    def open(self) -> tuple[Session, RecordingConnection]:
        connection = RecordingConnection(opened_at=self.clock.seconds())
        proven = Principal(
            entity_id="a", entity_type="agent", permissions=Permissions([]), token_id="tok", expires_at=None
        )
        return Session("sess", "a", proven, connection, 0.0), connection

    def wait(self, seconds: float) -> list[Any]:
        """Let time pass, and say what was told."""
        self.clock.advance(seconds)
        self.signs.sweep()
        told, self.witness.told = self.witness.told, []
        return told

    def test_interfaces(self) -> None:
        """It hears of sessions; who hears of silence has two methods."""
        verifyObject(ISessionObserver, self.signs)
        verifyObject(ISilenceObserver, self.witness)

    def test_silence(self) -> None:
        """Who does not answer is silent, is told to be so for long, once, and is heard again."""
        self.signs.ask(self.session)
        self.assertEqual(self.connection.pings, 1)
        self.assertEqual(self.wait(PATIENCE / 2), [])
        self.assertEqual(self.wait(PATIENCE / 2), [True])
        self.assertFalse(self.signs.is_long_silent(self.session))
        self.assertEqual(self.wait(LONG - PATIENCE), ["lasts"])
        self.assertTrue(self.signs.is_long_silent(self.session))
        self.assertEqual(self.wait(LONG), [])
        self.connection.last_received = self.clock.seconds()
        self.assertEqual(self.wait(1), [False])
        self.assertFalse(self.signs.is_long_silent(self.session))

    def test_doubted(self) -> None:
        """Who is doubted is silent at once, until it answers; it is asked once."""
        for _ in range(2):
            self.signs.ask(self.session, doubted=True)
        self.assertEqual((self.witness.told, self.connection.pings), ([True], 1))
        self.connection.last_received = self.clock.seconds()
        self.assertEqual(self.wait(1), [True, False])

    def test_answered(self) -> None:
        """Who answers in time was never silent; what it takes of much that waits is a sign as well."""
        for sign in ("last_received", "taken_at"):
            self.signs.ask(self.session)
            setattr(self.connection, sign, self.clock.seconds())
            self.assertEqual(self.wait(LONG), [], sign)

    def test_not_asked(self) -> None:
        """Who has said something just now is not asked, and neither is who is not read now."""
        self.connection.last_received = self.clock.seconds()
        self.signs.ask(self.session)
        self.clock.advance(QUIET)
        self.connection.reading = False
        self.signs.ask(self.session, doubted=True)
        self.assertEqual((self.connection.pings, self.wait(LONG)), (0, []))

    def test_not_read_meanwhile(self) -> None:
        """Who is not read when it is looked for can't be heard, and is not silent."""
        self.signs.ask(self.session)
        self.connection.reading = False
        self.assertEqual(self.wait(LONG), [])

    def test_was_asked(self) -> None:
        """Whom others have pinged is expected to answer, without one more ping."""
        self.signs.was_asked(self.session)
        self.signs.ask(self.session)
        self.assertEqual((self.connection.pings, self.wait(PATIENCE)), (0, [True]))
        self.signs.was_asked(self.session)
        self.assertEqual(self.wait(LONG - PATIENCE), ["lasts"])

    def test_gone(self) -> None:
        """Of who is gone nothing is expected, and nothing is kept."""
        ending = Ending(EndingKind.LOST)
        for leave in (self.signs.session_detached, self.signs.session_closed):
            for doubted in (True, False):
                session, _ = self.open()
                self.clock.advance(QUIET)
                self.signs.ask(session, doubted)
                leave(session, ending)
        self.witness.told.clear()
        self.assertEqual(self.wait(LONG), [])
        self.assertEqual((len(self.signs._asked), len(self.signs._silent)), (0, 0))
