"""Sessions whose connection broke: for how long they are waited for, who may take their place, and what others see."""

from __future__ import annotations

from typing import Any

from cell0gw.auth.tokens import digest, token_id
from cell0gw.protocol.errors import CloseCode
from cell0gw.testing import Client, MemoryGateway
from tests.channels.test_recovery import offsets
from tests.sessions.test_resume import WINDOW, ResumeCase


class AwayCase(ResumeCase):
    """With someone who watches."""

    def setUp(self) -> None:
        super().setUp()
        self.watcher = self.gateway.connect("watcher")
        for channel in ("$presence", "$agents"):
            self.watcher.call("channel.subscribe", channel=channel)

    def entry(self, entity_id: str = "b") -> Any:
        """Who asks sees it so; None: it is not here."""
        found = [e for e in self.a.call("presence.get") if e["entity_id"] == entity_id]
        return found[0] if found else None

    def status(self) -> str | None:
        entry = self.entry()
        return None if entry is None else str(entry["status"])

    def listed(self) -> bool:
        return "b" in [entry["entity_id"] for entry in self.a.call("agent.list")]

    def told(self) -> list[tuple[str, Any]]:
        """The events since the last look, each with the status or the reason that it tells."""
        events = self.watcher.received("event")
        del self.watcher.messages[:]
        return [(event["type"], event["data"].get("status", event["data"].get("reason"))) for event in events]


class WaitingTests(AwayCase):
    """What others see meanwhile."""

    def test_away(self) -> None:
        """Whose connection broke is away: seen still, but not among the agents that are online; mail waits."""
        self.assertTrue(self.listed())
        self.b.vanish()
        self.assertEqual((self.status(), self.listed()), ("away", False))
        self.assertEqual(self.a.call("agent.send", agent_id="b", message=1)["status"], "queued")
        self.back()
        self.assertEqual((self.status(), self.listed()), ("online", True))
        self.assertTrue(self.a.call("agent.send", agent_id="b", message=1)["success"])

    def test_no_ghosts(self) -> None:
        """Who comes back in the window was never gone: nobody is told of leaving or joining."""
        self.told()
        self.b.vanish()
        self.gateway.advance(WINDOW - 1)
        client, _ = self.back()
        self.gateway.advance(WINDOW + 1)
        self.assertEqual({type for type, _ in self.told()}, {"presence.changed", "agent.changed"})
        client.disconnect()
        self.assertEqual(self.told(), [("presence.left", "1000"), ("agent.offline", "1000")])

    def test_who_comes_back_without_resuming(self) -> None:
        """Nor is anybody told when it comes back without resuming: the new session is another one of its own."""
        self.told()
        self.b.vanish()
        self.join()
        self.assertEqual((self.status(), self.listed()), ("online", True))
        self.gateway.advance(WINDOW + 1)
        self.assertEqual({type for type, _ in self.told()}, {"presence.changed", "agent.changed"})

    def test_what_is_published_meanwhile(self) -> None:
        """Nothing is counted as delivered to whom nobody can reach."""
        self.subscribe("x", "y.>")
        self.b.vanish()
        for channel in ("x", "y.1"):
            self.assertEqual(self.a.call("channel.publish", channel=channel, message=1)["recipients"], 0)

    def test_the_window_ends(self) -> None:
        """After the window the session is over: gone, told once with the first reason, and its place is nobody's."""
        self.subscribe("x")
        self.told()
        self.b.vanish()
        self.gateway.advance(WINDOW - 1)
        self.assertEqual(self.status(), "away")
        self.gateway.advance(2)
        self.assertEqual((self.status(), self.gateway.sessions.detached), (None, 0))
        self.assertEqual(self.told()[-2:], [("presence.left", "lost"), ("agent.offline", "lost")])
        client, answer = self.back()
        self.assertEqual(answer, {"resumed": False, "channels": {}, "presence": {}, "ended": []})
        self.assertEqual(self.info(client)["subscriptions"], [])

    def test_another_session_lives(self) -> None:
        """While another session of its own lives nobody is away, and what that one says counts."""
        other, _ = self.join()
        other.call("presence.update", status="busy")
        self.b.call("presence.update", status="do_not_disturb")
        self.assertEqual(self.status(), "do_not_disturb")
        self.b.vanish()
        self.assertEqual((self.status(), self.listed()), ("busy", True))
        self.assertEqual(self.entry()["session_id"], self.info(other)["session_id"])


class GoodbyeTests(AwayCase):
    """Who is not waited for."""

    def gone(self) -> None:
        self.assertEqual((self.status(), self.gateway.sessions.detached), (None, 0))
        self.assertIs(self.resume(self.join()[0])["resumed"], False)

    def test_goodbye(self) -> None:
        """Who says goodbye is gone at once."""
        self.b.disconnect()
        self.gone()

    def test_close_without_a_code(self) -> None:
        """So is who closes without a code, as browsers do unless told otherwise."""
        self.b.protocol.sendClose()
        self.b.flush()
        self.gone()

    def test_another_code(self) -> None:
        """Any other code is a connection that broke."""
        for code in (3000, 4999):
            self.b.protocol.sendClose(code)
            self.b.flush()
            self.assertEqual(self.status(), "away", code)
            self.b, secret = self.join()
            self.assertIs(self.resume(self.b)["resumed"], True)
            self.secret = secret

    def test_closed_by_the_gateway(self) -> None:
        """Whom the gateway closes with a code that says connect again is waited for; with one that says don't, not."""
        for code in CloseCode:
            self.b, _ = self.join(self.gateway.token("c"))
            self.b.server.close(code, "test")
            self.b.flush()
            self.assertEqual(self.b.close_code, code)
            self.assertEqual(self.entry("c") is not None, code < 4500, code)
            self.gateway.advance(WINDOW + 2)
            self.assertIsNone(self.entry("c"))

    def test_no_window(self) -> None:
        """Where places are not kept there is no secret, and whose connection breaks is gone."""
        gateway = MemoryGateway(resume_window=0.0)
        self.addCleanup(gateway.close)
        client, other = gateway.connect(), gateway.connect("a")
        self.assertIsNone(client.call("auth.authenticate", token=gateway.token("b"))["resume_token"])
        client.vanish()
        self.assertEqual([e["entity_id"] for e in other.call("presence.get")], ["a"])
        self.assertIs(other.call("session.resume", resume_token="")["resumed"], False)

    def test_revoked(self) -> None:
        """When its token is revoked a session that is away is over at once, whatever other tokens there are."""
        other_token = self.gateway.token("b")
        self.b.vanish()
        operator = self.gateway.connect(token=self.gateway.token("ops", "system", ["*"]))
        answer = operator.call("auth.revokeToken", token_id=token_id(digest(self.token)))
        self.assertEqual((answer["sessions_closed"], self.status()), (1, None))
        client, _ = self.join(other_token)
        self.assertIs(self.resume(client)["resumed"], False)

    def test_expired(self) -> None:
        """So it is when its token expires."""
        short = self.gateway.token("c", expires_in_hours=60 / 3600)
        self.b, self.secret = self.join(short)
        self.gateway.advance(50)
        self.b.vanish()
        self.assertEqual(self.entry("c")["status"], "away")
        self.gateway.advance(11)
        self.assertIsNone(self.entry("c"))


class SecretTests(AwayCase):
    """Whose place it is."""

    def still_good(self) -> None:
        self.b.vanish()
        self.assertIs(self.resume(self.join()[0])["resumed"], True)

    def refused(self, client: Client, secret: str | None = None) -> None:
        """The place is not taken; what a stranger tries does no harm."""
        self.assertEqual(self.resume(client, secret), {"resumed": False, "channels": {}, "presence": {}, "ended": []})

    def test_wrong(self) -> None:
        """A wrong secret opens nothing, and does no harm to the right one."""
        client, _ = self.join()
        for wrong in ("", "x", self.secret[:-1], self.secret.upper(), self.secret + " "):
            self.refused(client, wrong or " ")
        self.still_good()

    def test_another_entity(self) -> None:
        """A secret is of no use to another entity; one of the same name and another type has no session meanwhile."""
        self.subscribe("x")
        self.refused(self.a)
        self.assertEqual(self.info(self.a)["subscriptions"], [])
        refusal = self.gateway.connect().refusal("auth.authenticate", token=self.gateway.token("b", "service"))
        self.assertEqual(refusal["code"], -32007)
        self.assertIsNone(self.b.close_code)
        self.still_good()

    def test_spent(self) -> None:
        """A secret opens a place once."""
        client, _ = self.back()
        self.refused(client)
        self.refused(self.join()[0])

    def test_ones_own(self) -> None:
        """A session can't take its own place, and loses nothing by trying."""
        self.subscribe("x")
        self.refused(self.b)
        self.assertEqual(self.info(self.b)["subscriptions"], ["x"])
        self.still_good()

    def test_renewed(self) -> None:
        """Who authenticates again has another secret; the one before it opens nothing any more."""
        again = self.b.call("auth.authenticate", token=self.token)["resume_token"]
        self.refused(self.join()[0])
        self.secret = again
        self.still_good()

    def test_strangers(self) -> None:
        """Before authentication nothing can be resumed."""
        self.assertEqual(self.gateway.connect().refusal("session.resume", resume_token=self.secret)["code"], -32001)

    def test_malformed(self) -> None:
        """Positions that make no sense are refused, and the secret is not spent by it."""
        client, _ = self.join()
        for wrong in ({"x": 1}, {"x": {"offset": -1, "epoch": "e"}}, []):
            refusal = client.refusal("session.resume", resume_token=self.secret, positions=wrong)
            self.assertEqual(refusal["code"], -32602, wrong)
        self.still_good()

    def test_half_open(self) -> None:
        """Who is connected still, as far as the gateway can tell, is cut off by who takes its place; and never gone."""
        self.subscribe("x")
        self.told()
        client, _ = self.join()
        self.assertIs(self.resume(client)["resumed"], True)
        self.b.flush()
        self.assertEqual(self.b.server.state, self.b.server.STATE_CLOSED)
        self.assertEqual(self.gateway.publish("x", 1).recipients, 1)  # type: ignore[union-attr]
        self.assertEqual((offsets(client), offsets(self.b)), ([1], []))
        self.assertEqual({type for type, _ in self.told()}, {"presence.changed", "agent.changed"})
        self.assertEqual((self.status(), len(self.gateway.sessions)), ("online", 3))


class PresenceTests(AwayCase):
    """What is said of oneself."""

    def setUp(self) -> None:
        super().setUp()
        self.b.disconnect()
        self.b, self.secret = self.join(capabilities=["chat"], metadata={"model": "x"})

    def test_restored(self) -> None:
        """Status, message, activity, metadata and capabilities are what they were before."""
        self.b.call("presence.update", status="busy", status_message="on it", activity="task")
        before = self.entry()
        self.b.vanish()
        self.assertEqual(self.entry(), before | {"status": "away"})
        client, _ = self.back()
        self.assertEqual(self.entry(), before | {"session_id": self.info(client)["session_id"]})

    def test_introduced_anew(self) -> None:
        """What the new session can do and says of itself at its authentication counts; the status is the old one's."""
        self.b.call("presence.update", status="busy")
        self.b.vanish()
        client, _ = self.join(capabilities=["draw"], metadata={"model": "y"})
        self.resume(client)
        entry = self.entry()
        self.assertEqual(
            (entry["capabilities"], entry["metadata"], entry["status"]), (["draw"], {"model": "y"}, "busy")
        )

    def test_watches(self) -> None:
        """Whom it watched it watches still, and sees at once who is here by now; and what changes from there."""
        for pattern in ("*", "c"):
            self.b.call("presence.subscribe", pattern=pattern)
        self.b.vanish()
        self.gateway.connect("c")
        client, answer = self.back()
        self.assertEqual(set(answer["presence"]), {"*", "c"})
        seen = {pattern: [e["entity_id"] for e in s["entries"]] for pattern, s in answer["presence"].items()}
        self.assertEqual(seen, {"*": ["a", "b", "c", "watcher"], "c": ["c"]})
        self.gateway.advance(1)
        del client.messages[:]
        self.a.disconnect()
        self.gateway.advance(1)
        (diff,) = client.received("presence.diff")
        self.assertEqual([left["entity_id"] for left in diff["leaves"]], ["a"])
