"""Who calls, and as whom."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import Principal
from cell0gw.sessions.session import Caller, Sender, Session
from cell0gw.testing import RecordingConnection

ALLOWED = Permissions(["agent.*"])


class SenderTests(SynchronousTestCase):
    """L{Caller.sender}"""

    def caller(self, entity_id: str) -> Caller:
        proven = Principal(
            entity_id=entity_id, entity_type="service", permissions=ALLOWED, token_id="tok_1", expires_at=None
        )
        return Caller(RecordingConnection(), proven)

    def test_bearer(self) -> None:
        """Who has no session sends as the entity of its token."""
        self.assertEqual(self.caller("robot").sender, Sender("robot", "service", ALLOWED))

    def test_session(self) -> None:
        """Who has one sends as its entity, also when the token is for many, with what the token allows."""
        caller = self.caller("robot.*")
        assert caller.principal is not None and caller.connection is not None
        caller.session = Session("sess_1", "robot.7", caller.principal, caller.connection, 0.0)
        self.assertEqual(caller.sender, Sender("robot.7", "service", ALLOWED))
