"""C{auth.refresh}: another token for the session one has; and the warning that it is time for one."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.tokens import digest, token_id
from cell0gw.channels.rules import ChannelRule
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import MAX_BAD_TOKENS
from cell0gw.testing import Client, MemoryGateway

FORBIDDEN = -32002


class RefreshCase(SynchronousTestCase):
    """With a gateway."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway(channels=(ChannelRule(pattern="x", history_size=1000),))
        self.addCleanup(self.gateway.close)

    def token(self, entity_id: str = "b", seconds: float = 3600.0, **facts: Any) -> str:
        return self.gateway.token(entity_id, expires_in_hours=seconds / 3600, **facts)

    def refresh(self, client: Client, token: str) -> Any:
        return client.call("auth.refresh", token=token)

    def publish(self, channel: str) -> int:
        published: Any = self.gateway.publish(channel, 1)
        return int(published.recipients)


class RefreshTests(RefreshCase):
    """Another token."""

    def test_answer(self) -> None:
        """The session stays, with its subscriptions and its presence; the answer is that of an authentication."""
        client = self.gateway.connect(token=self.token())
        client.call("channel.subscribe", channel="x")
        client.call("presence.update", status="busy")
        before = client.call("session.getInfo")
        self.gateway.advance(600)
        answer = self.refresh(client, self.token(permissions=["channel.*", "session.*", "presence.*"]))
        self.assertTrue(answer.pop("resume_token").startswith("resume_"))
        self.assertEqual(
            answer,
            {
                "success": True,
                "session_id": before["session_id"],
                "entity_id": "b",
                "entity_type": "agent",
                "permissions": ["channel.*", "session.*", "presence.*"],
                "expires_at": "2026-02-12T11:40:00.000Z",
                "ended": [],
            },
        )
        self.assertEqual(client.call("session.getInfo")["subscriptions"], ["x"])
        self.assertEqual(client.call("presence.get", entity_id="b")["status"], "busy")
        self.assertEqual(self.publish("x"), 1)

    def test_expiry_moves(self) -> None:
        """The end of the token before is nothing to the session any more; that of the new one is its own."""
        client = self.gateway.connect(token=self.token(seconds=100))
        self.gateway.advance(50)
        self.refresh(client, self.token(seconds=200))
        self.gateway.advance(199)
        self.assertTrue(client.call("session.getInfo")["authenticated"])
        self.gateway.advance(2)
        self.assertEqual(client.close_code, CloseCode.TOKEN_ENDED)

    def test_shorter(self) -> None:
        """It moves to an earlier time, too."""
        client = self.gateway.connect(token=self.token(seconds=1000))
        self.refresh(client, self.token(seconds=100))
        self.gateway.advance(101)
        self.assertEqual(client.close_code, CloseCode.TOKEN_ENDED)

    def test_the_same_token(self) -> None:
        """The token that one has is as good as another, and ends when it ends."""
        token = self.token(seconds=100)
        client = self.gateway.connect(token=token)
        for _ in range(2):
            self.refresh(client, token)
        self.gateway.advance(101)
        self.assertEqual(client.close_code, CloseCode.TOKEN_ENDED)

    def test_revoking(self) -> None:
        """Revoking the token before closes nothing; revoking the new one closes the session."""
        first, second = self.token(), self.token()
        client = self.gateway.connect(token=first)
        self.refresh(client, second)
        operator = self.gateway.connect(token=self.gateway.token("ops", "system", ["*"]))
        for token, closed in ((first, 0), (second, 1)):
            answer = operator.call("auth.revokeToken", token_id=token_id(digest(token)))
            self.assertEqual(answer["sessions_closed"], closed)
        client.flush()
        self.assertEqual(client.close_code, CloseCode.TOKEN_ENDED)

    def test_permissions(self) -> None:
        """The new token's permissions hold from the answer on, more and less alike."""
        client = self.gateway.connect(token=self.token(permissions=["channel.publish:x"]))
        self.refresh(client, self.token(permissions=["channel.publish:y"]))
        self.assertEqual(client.refusal("channel.publish", channel="x", message=1)["code"], FORBIDDEN)
        self.assertTrue(client.call("channel.publish", channel="y", message=1)["success"])
        self.assertEqual(client.call("session.getInfo")["permissions"], ["channel.publish:y"])

    def test_subscriptions_that_are_lost(self) -> None:
        """What the new token does not allow ends, patterns too, and is named; the gateway's open channels stay open."""
        client = self.gateway.connect(token=self.token())
        names = ("x", "y.1", "y.>", "z.*", ">", "$agents")
        for name in names:
            client.call("channel.subscribe", channel=name)
        narrow = self.token(permissions=["channel.subscribe:y.>", "channel.subscribe:z.1", "session.*"])
        self.assertEqual(self.refresh(client, narrow)["ended"], ["x", "z.*", ">"])
        self.assertEqual(self.refresh(client, narrow)["ended"], [])
        self.assertEqual(client.call("session.getInfo")["subscriptions"], ["y.1", "y.>", "$agents"])
        self.assertEqual([self.publish(c) for c in ("x", "y.1", "y.2", "z.1")], [0, 1, 1, 0])
        self.gateway.connect("c")
        self.assertEqual(len(client.received("event")), 1)

    def test_more_than_an_answer_has_room_for(self) -> None:
        """However many subscriptions end, the answer comes: with as many names as it has room for, and their number."""
        self.gateway = MemoryGateway(max_message_size=4096)
        self.addCleanup(self.gateway.close)
        client = self.gateway.connect(token=self.token())
        names = [f"x.{number}".ljust(200, "x") for number in range(30)]
        for name in names:
            client.call("channel.subscribe", channel=name)
        answer = self.refresh(client, self.token(permissions=["session.*"]))
        self.assertEqual((answer["ended"], answer["ended_total"]), (names[: len(answer["ended"])], 30))
        self.assertIn(len(answer["ended"]), range(5, 15))
        self.assertEqual(client.call("session.getInfo")["subscriptions"], [])

    def test_in_the_middle_of_the_past(self) -> None:
        """What was still to be brought of a channel that is not allowed any more is not brought."""
        client = self.gateway.connect(token=self.token())
        for n in range(300):
            self.gateway.publish("x", n)
        epoch = client.call("channel.history", channel="x", limit=0)["epoch"]
        client.call("channel.subscribe", channel="x", since={"offset": 0, "epoch": epoch})
        client.server.transport.producer.pauseProducing()
        self.refresh(client, self.token(permissions=["session.*"]))
        self.assertIsNone(client.server.transport.producer)
        self.assertLessEqual(len(client.received("channel.message")), 100)

    def test_the_old_secret(self) -> None:
        """The secret from before opens nothing any more; the new one opens the session's place."""
        token = self.token()
        client = self.gateway.connect()
        first = client.call("auth.authenticate", token=token)["resume_token"]
        second = self.refresh(client, self.token())["resume_token"]
        client.vanish()
        for secret, resumed in ((first, False), (second, True)):
            again = self.gateway.connect(token=token)
            self.assertIs(again.call("session.resume", resume_token=secret)["resumed"], resumed)


class RefusalTests(RefreshCase):
    """Tokens that won't do."""

    def refused(self, client: Client, token: str, code: int) -> None:
        """It is refused, and the session is as it was."""
        before = client.call("session.getInfo")
        self.assertEqual(client.refusal("auth.refresh", token=token)["code"], code)
        self.assertEqual(client.call("session.getInfo"), before)

    def test_another_entity(self) -> None:
        """A token of another entity, or of one of the same name and another type, is refused."""
        client = self.gateway.connect(token=self.token())
        for token in (self.token("c"), self.token("b", entity_type="service"), self.token("b.*")):
            self.refused(client, token, FORBIDDEN)

    def test_a_pattern(self) -> None:
        """A token for many is good for one of them."""
        client = self.gateway.connect()
        client.call("auth.authenticate", token=self.token("w.*"), entity_id="w.1")
        self.assertEqual(self.refresh(client, self.token("*.1"))["entity_id"], "w.1")
        self.refused(client, self.token("*.2"), FORBIDDEN)

    def test_wrong_tokens(self) -> None:
        """A wrong, expired or revoked token is refused; it counts like any wrong one."""
        client = self.gateway.connect(token=self.token())
        expired = self.token(seconds=1)
        self.gateway.advance(2)
        for token in ("nonsense", expired):
            self.refused(client, token, -32001)
        for _ in range(MAX_BAD_TOKENS - 2):
            client.refusal("auth.refresh", token="nonsense")
        client.flush()
        self.assertEqual(client.close_code, CloseCode.BAD_TOKEN)

    def test_without_a_session(self) -> None:
        """Who is nobody yet has nothing to refresh."""
        self.assertEqual(self.gateway.connect().refusal("auth.refresh", token=self.token())["code"], -32001)


class WarningTests(RefreshCase):
    """C{token.expiring}"""

    def warnings(self, client: Client) -> list[Any]:
        return [event for event in client.received("event") if event["type"] == "token.expiring"]

    def test_a_minute_before(self) -> None:
        """A session is told once, a minute before its token ends, which and when."""
        token = self.token(seconds=100)
        client = self.gateway.connect(token=token)
        self.gateway.advance(39)
        self.assertEqual(self.warnings(client), [])
        self.gateway.advance(2)
        (event,) = self.warnings(client)
        self.assertEqual(
            event,
            {
                "type": "token.expiring",
                "data": {
                    "entity_id": "b",
                    "session_id": client.call("session.getInfo")["session_id"],
                    "token_id": token_id(digest(token)),
                    "expires_at": "2026-02-12T10:31:40.000Z",
                },
                "source": "gateway",
                "timestamp": "2026-02-12T10:30:40.000Z",
                "channel": "$system",
            },
        )
        self.gateway.advance(58)
        self.assertEqual(len(self.warnings(client)), 1)

    def test_only_whom_it_concerns(self) -> None:
        """Others are not told, but those who may read $system are; each of them once."""
        operator_token = self.gateway.token("ops", "system", ["*"], expires_in_hours=100 / 3600)
        operator, other = self.gateway.connect(token=operator_token), self.gateway.connect("c")
        operator.call("channel.subscribe", channel="$system")
        sessions = [self.gateway.connect(token=self.token(seconds=100)) for _ in range(2)]
        self.gateway.advance(41)
        self.assertEqual([len(self.warnings(each)) for each in (*sessions, other)], [1, 1, 0])
        told = [event["data"]["entity_id"] for event in self.warnings(operator)]
        self.assertEqual(sorted(told), ["b", "b", "ops"])

    def test_after_a_refresh(self) -> None:
        """Who has refreshed is not told of the token before, but of the new one."""
        client = self.gateway.connect(token=self.token(seconds=100))
        self.refresh(client, self.token(seconds=200))
        self.gateway.advance(130)
        self.assertEqual(self.warnings(client), [])
        self.gateway.advance(11)
        self.assertEqual(len(self.warnings(client)), 1)

    def test_refresh_into_the_last_minute(self) -> None:
        """One that refreshes to a token of whose end others were told already is told as well."""
        token = self.token(seconds=100)
        self.gateway.connect(token=token)
        self.gateway.advance(50)
        client = self.gateway.connect(token=self.token(seconds=3600))
        self.refresh(client, token)
        self.gateway.advance(1)
        self.assertEqual([event["data"]["token_id"] for event in self.warnings(client)], [token_id(digest(token))])

    def test_short_tokens(self) -> None:
        """Who comes with less than a minute left is told at once."""
        client = self.gateway.connect(token=self.token(seconds=30))
        self.gateway.advance(1.5)
        self.assertEqual(len(self.warnings(client)), 1)

    def test_away(self) -> None:
        """Who is away could do nothing about it: nobody is told of its token."""
        operator = self.gateway.connect(token=self.gateway.token("ops", "system", ["*"]))
        operator.call("channel.subscribe", channel="$system")
        client = self.gateway.connect(token=self.token(seconds=100))
        client.vanish()
        self.gateway.advance(50)
        self.assertEqual(self.warnings(operator), [])

    def test_for_ever(self) -> None:
        """A token without an end is no reason for a warning."""
        token = f"cell0_{'Sesame' * 6}_1"
        self.gateway.credentials.accept(token)
        client = self.gateway.connect(token=token)
        self.gateway.advance(7200, step=1)
        self.assertEqual(self.warnings(client), [])
