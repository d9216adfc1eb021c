"""Presence, put together."""

from __future__ import annotations

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.presence.presence import Presence
from cell0gw.protocol.limits import Limits
from cell0gw.testing.stated import stated
from tests.presence.test_directory import make_session


class PresenceTests(SynchronousTestCase):
    """L{Presence}."""

    def test_resume(self) -> None:
        """A session that resumes has what the old one said, and sees whom that one watched, itself as it is then."""
        presence = Presence(lambda channel, type, data, about: None, Limits(), stated(Clock()))
        old, new = make_session("1", "a"), make_session("2", "a")
        for session in (old, new):
            for observer in presence.parts:
                observer.session_opened(session)
        presence.watches.watch(old, ">")
        presence.directory.update(old, status="busy")
        presence.directory.update(new, status="online")
        snapshots = msgspec.json.decode(msgspec.json.encode(presence.resume(old, new, 1000)))
        self.assertEqual([entry["status"] for entry in snapshots[">"]["entries"]], ["busy"])
        self.assertEqual(presence.directory.said(new).status, "busy")
