"""Sessions in the log."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.auth.tokens import digest, token_id
from cell0gw.monitoring.session_log import SessionLog
from cell0gw.sessions.client import ClientAddress
from cell0gw.sessions.ending import EndingKind
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.testing import MemoryGateway


class SessionLogTests(SynchronousTestCase):
    """What a gateway writes of one session."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.token = self.gateway.token("a")

    def story(self, *steps: Any) -> list[LogEvent]:
        """The lines about sessions that some steps bring about."""
        with capturedLogs() as events:
            for step in steps:
                step()
        return [event for event in events if event["log_namespace"] == "cell0gw.sessions"]

    def lines(self, events: list[LogEvent]) -> list[tuple[str, str | None]]:
        return [(event["event"], formatEvent(event)) for event in events]

    def test_interface(self) -> None:
        """It hears of sessions."""
        self.assertTrue(verifyObject(ISessionObserver, SessionLog()))

    def test_opened(self) -> None:
        """Who opened a session where, from where and with which token."""
        (event,) = self.story(lambda: self.gateway.connect(token=self.token))
        self.assertRegex(formatEvent(event) or "", r"^a opened sess_\w+ on conn_\w+ from 127\.0\.0\.1:50000$")
        self.assertEqual((event["event"], event["address"]), ("session.opened", "127.0.0.1"))
        self.assertEqual((event["token_id"], event["proxy"]), (token_id(digest(self.token)), None))

    def test_behind_a_proxy(self) -> None:
        """The client stands first, the proxy behind it."""
        gateway = MemoryGateway(trusted_proxies=("127.0.0.1",))
        self.addCleanup(gateway.close)
        client = gateway.connect()
        client.server.forwarded = "203.0.113.5"
        self.assertEqual(client.server.client, ClientAddress("203.0.113.5", "203.0.113.5", "127.0.0.1:50000"))
        (event,) = self.story(lambda: client.call("auth.authenticate", token=gateway.token("a")))
        self.assertTrue(str(formatEvent(event)).endswith(" from 203.0.113.5 by way of 127.0.0.1:50000"))
        self.assertEqual((event["address"], event["proxy"]), ("203.0.113.5", "127.0.0.1:50000"))

    def test_goodbye(self) -> None:
        """A client that says goodbye has closed its session: with the code, and why."""
        client = self.gateway.connect(token=self.token)
        (event,) = self.story(client.disconnect)
        self.assertRegex(formatEvent(event) or "", r"^a closed sess_\w+ on conn_\w+: 1000 goodbye$")
        self.assertEqual([event[name] for name in ("event", "code", "reason")], ["session.closed", 1000, "goodbye"])

    def test_closed_by_the_gateway(self) -> None:
        """What the gateway says when it closes is the reason."""
        self.gateway.connect(token=self.token)
        (event,) = self.story(
            lambda: self.gateway.sessions.end_tokens([token_id(digest(self.token))], EndingKind.TOKEN_REVOKED)
        )
        self.assertEqual(
            [event[name] for name in ("event", "code", "reason")], ["session.closed", 4507, "token revoked"]
        )

    def test_kept(self) -> None:
        """A session whose connection broke is kept, which is not its end; that comes when nobody has resumed it."""
        client = self.gateway.connect(token=self.token)
        kept, closed = self.story(client.vanish, lambda: self.gateway.advance(121, step=1))
        self.assertRegex(formatEvent(kept) or "", r"^a lost conn_\w+, sess_\w+ is kept: lost$")
        self.assertEqual([kept[name] for name in ("event", "code", "reason")], ["session.kept", None, "lost"])
        self.assertEqual([closed[name] for name in ("event", "reason")], ["session.closed", "lost"])
        self.assertEqual(kept["session_id"], closed["session_id"])

    def test_kept_after_a_close(self) -> None:
        """So is one that the gateway closed with a code that says come back."""
        client = self.gateway.connect(token=self.token)
        (event,) = self.story(client.server.fall_behind, client.flush)
        self.assertEqual(
            [event[name] for name in ("event", "code", "reason")], ["session.kept", 4008, "too much waits to be read"]
        )

    def test_resumed(self) -> None:
        """A session whose place was taken was resumed: it has not been closed."""
        for breaks in (True, False):
            client, other = self.gateway.connect(), self.gateway.connect(token=self.token)
            secret = client.call("auth.authenticate", token=self.token)["resume_token"]
            session_id = client.call("session.getInfo")["session_id"]
            if breaks:
                client.vanish()
            (event,) = self.story(lambda other=other, secret=secret: other.call("session.resume", resume_token=secret))
            self.assertEqual((event["event"], event["session_id"]), ("session.resumed", session_id))
            self.assertEqual(formatEvent(event), f"a resumed {session_id}")

    def test_not_kept(self) -> None:
        """Where places are not kept a broken connection is the end of its session."""
        gateway = MemoryGateway(resume_window=0.0)
        self.addCleanup(gateway.close)
        client = gateway.connect("a")
        (event,) = self.story(client.vanish)
        self.assertEqual((event["event"], event["reason"]), ("session.closed", "lost"))
