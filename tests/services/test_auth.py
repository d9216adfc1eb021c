"""``auth``: tokens, and the sessions they open."""

from __future__ import annotations

import itertools
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth import records
from cell0gw.auth.tokens import digest, token_id
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import MAX_BAD_TOKENS, MAX_PERMISSIONS, RENEWAL_RATE, TOKEN_SIZE
from cell0gw.testing import Client, MemoryGateway

HOUR = 3600


class AuthTestCase(SynchronousTestCase):
    """A gateway with an operator."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)

    def operator(self) -> Client:
        return self.gateway.connect(token=self.gateway.token("ops", "system", ["*"], expires_in_hours=87_600))

    def code(self, client: Client, method: str, **params: Any) -> str:
        return str(client.refusal(method, **params)["data"]["code"])


class AuthenticateTests(AuthTestCase):
    """Identity comes from the token."""

    def test_answer(self) -> None:
        """Who authenticates learns who it is, what it may do and until when."""
        answer = self.gateway.connect().call(
            "auth.authenticate",
            token=self.gateway.token("agent_001"),
            entity_id="agent_001",
            entity_type="agent",
            capabilities=["chat", "task_execution"],
        )
        self.assertTrue(answer.pop("session_id").startswith("sess_"))
        self.assertTrue(answer.pop("resume_token").startswith("resume_"))
        self.assertEqual(
            answer,
            {
                "success": True,
                "entity_id": "agent_001",
                "entity_type": "agent",
                "permissions": ["session.*", "presence.*", "channel.*", "agent.*", "task.create"],
                "expires_at": "2026-02-13T10:30:00.000Z",
                "renew_until": "2026-03-14T10:30:00.000Z",
            },
        )
        entry = self.gateway.presence.directory.get("agent_001")
        assert entry is not None
        self.assertEqual(entry.capabilities, ("chat", "task_execution"))

    def test_not_renewable(self) -> None:
        """A session whose token can't be renewed is told of no end of renewing."""
        for times in ({"expires_in_hours": 1}, {"renewable_for_hours": 0}):
            answer = self.gateway.connect().call("auth.authenticate", token=self.gateway.token("a", **times))
            self.assertNotIn("renew_until", answer)

    def test_foreign_identity(self) -> None:
        """A token opens no session for another id or of another type, and the connection stays as it was."""
        client, token = self.gateway.connect(), self.gateway.token("agent_001")
        for claim in ({"entity_id": "agent_002"}, {"entity_type": "system"}, {"entity_type": "user"}):
            self.assertEqual(self.code(client, "auth.authenticate", token=token, **claim), "permission_denied")
            self.assertEqual(self.code(client, "session.getInfo"), "not_authenticated")
        self.assertEqual(len(self.gateway.sessions), 0)
        self.assertEqual(client.call("auth.authenticate", token=token)["entity_id"], "agent_001")

    def test_token_for_many(self) -> None:
        """A token for a pattern of ids opens a session for the one that is named, if the pattern covers it."""
        client, token = self.gateway.connect(), self.gateway.token("worker.*")
        self.assertEqual(self.code(client, "auth.authenticate", token=token), "invalid_params")
        self.assertEqual(self.code(client, "auth.authenticate", token=token, entity_id="admin"), "permission_denied")
        self.assertEqual(client.call("auth.authenticate", token=token, entity_id="worker.7")["entity_id"], "worker.7")

    def test_again(self) -> None:
        """Authenticating again as the same entity changes nothing; as another it is refused and changes nothing."""
        client = self.gateway.connect("a")
        session_id = client.call("session.getInfo")["session_id"]
        again = client.call("auth.authenticate", token=self.gateway.token("a"))
        self.assertEqual(again["session_id"], session_id)
        refused = self.code(client, "auth.authenticate", token=self.gateway.token("b"))
        self.assertEqual(refused, "permission_denied")
        self.assertEqual(client.call("session.getInfo")["entity_id"], "a")
        self.assertEqual(len(self.gateway.sessions), 1)

    def test_fifth_wrong_token(self) -> None:
        """Wrong tokens are all refused alike; the fifth has its answer and closes the connection."""
        client = self.gateway.connect()
        answers = [client.refusal("auth.authenticate", token=f"cell0_{n}_1") for n in range(MAX_BAD_TOKENS - 1)]
        self.assertIsNone(client.close_code)
        answers.append(client.refusal("auth.authenticate", token=""))
        self.assertEqual({(a["code"], a["message"]) for a in answers}, {(-32001, "Invalid token")})
        self.assertEqual(client.close_code, CloseCode.BAD_TOKEN)

    def test_guessing_in_a_batch(self) -> None:
        """Once five tokens were wrong, no later one in the same batch opens a session."""
        client = self.gateway.connect()
        right = self.gateway.token("a")
        tokens = ["wrong"] * MAX_BAD_TOKENS + [right]
        calls = [
            {"jsonrpc": "2.0", "method": "auth.authenticate", "params": {"token": token}, "id": 1} for token in tokens
        ]
        (answers,) = client.send(json.dumps(calls))
        self.assertEqual([answer["error"]["code"] for answer in answers], [-32001] * len(tokens))
        self.assertEqual(client.close_code, CloseCode.BAD_TOKEN)

    def test_limits_of_introduction(self) -> None:
        """Capabilities and metadata are bounded, since everybody gets them."""
        token = self.gateway.token("a")
        client = self.gateway.connect()
        for introduction, code in (
            ({"capabilities": ["x"] * 101}, "invalid_params"), ({"capabilities": ["not a name"]}, "invalid_params"),
            ({"metadata": {"x": "y" * 10_000}}, "too_large"), ({"metadata": [1]}, "invalid_params"),
        ):  # fmt: skip
            self.assertEqual(self.code(client, "auth.authenticate", token=token, **introduction), code)
        self.assertEqual(len(self.gateway.sessions), 0)

    def test_expired_while_connected(self) -> None:
        """A session ends with its token, with the code that says get another."""
        client = self.gateway.connect(token=self.gateway.token("a", expires_in_hours=60 / HOUR))
        self.gateway.advance(59)
        self.assertIsNone(client.close_code)
        self.gateway.advance(2)
        self.assertEqual(client.close_code, CloseCode.TOKEN_ENDED)


class GenerateTokenTests(AuthTestCase):
    """A token can't mint more than itself."""

    def test_answer(self) -> None:
        """The new token is shown once, with what it is for."""
        answer = self.operator().call("auth.generateToken", entity_id="agent_002")
        self.assertRegex(answer.pop("token"), r"^cell0_[A-Za-z0-9]{43}_1770892200$")
        self.assertRegex(answer.pop("token_id"), r"^tok_[0-9a-f]{16}$")
        self.assertEqual(
            answer,
            {
                "entity_id": "agent_002",
                "permissions": ["session.*", "presence.*", "channel.*", "agent.*", "task.create"],
                "expires_in_hours": 24.0,
                "expires_at": "2026-02-13T10:30:00.000Z",
                "renew_until": "2026-03-14T10:30:00.000Z",
            },
        )

    def test_renewable(self) -> None:
        """The minter says for how long a token is renewable, and the answer until when; others than the default are
        not.
        """
        for params, until in (
            ({"renewable_for_hours": 48}, "2026-02-14T10:30:00.000Z"),
            ({"renewable_for_hours": 0}, None),
            ({"expires_in_hours": 0.5}, None),
            ({"expires_in_hours": 0.5, "renewable_for_hours": 1}, "2026-02-12T11:30:00.000Z"),
        ):
            answer = self.operator().call("auth.generateToken", entity_id="a", **params)
            self.assertEqual(answer["renew_until"], until)

    def test_it_works(self) -> None:
        """A minted token opens a session that may do what was minted and nothing else."""
        token = self.operator().call("auth.generateToken", entity_id="a", permissions=["channel.publish:x"])["token"]
        client = self.gateway.connect(token=token)
        self.assertTrue(client.call("channel.publish", channel="x", message=1)["success"])
        self.assertEqual(self.code(client, "channel.publish", channel="y", message=1), "permission_denied")
        self.assertEqual(self.code(client, "channel.subscribe", channel="x"), "permission_denied")

    def test_no_more_than_itself(self) -> None:
        """Permissions and ids beyond the caller's are refused; a later expiry is cut, and the answer says so."""
        client = self.gateway.connect(
            token=self.gateway.token("a", permissions=["auth.generateToken", "channel.publish:x"], expires_in_hours=2)
        )
        for beyond in (
            {"entity_id": "b"}, {"entity_id": "a", "permissions": ["*"]}, {"entity_id": "*"},
            {"entity_id": "a", "permissions": ["channel.publish"]}, {"entity_id": "a", "entity_type": "system"},
        ):  # fmt: skip
            self.assertEqual(self.code(client, "auth.generateToken", **beyond), "permission_denied", beyond)
        answer = client.call("auth.generateToken", entity_id="a", expires_in_hours=24)
        self.assertEqual((answer["expires_in_hours"], answer["permissions"]), (2.0, ["channel.publish:x"]))

    def test_bad_params(self) -> None:
        """Times and permissions that make no sense are refused before anything is minted."""
        client = self.operator()
        for bad in (
            {"renewable_for_hours": -1}, {"renewable_for_hours": 87_601}, {"renewable_for_hours": "1"},
            {"expires_in_hours": 0}, {"expires_in_hours": -1}, {"expires_in_hours": 87_601}, {"expires_in_hours": "1"},
            {"permissions": ["nonsense"]}, {"permissions": "*"}, {"permissions": ["channel.publish:a*"]},
            {"entity_id": "$agents"}, {"entity_id": ""}, {"entity_id": "a b"}, {"entity_type": "god"},
            {"permissions": ["channel.publish"] * (MAX_PERMISSIONS + 1)},
        ):  # fmt: skip
            params = {"entity_id": "a", **bad}
            self.assertEqual(self.code(client, "auth.generateToken", **params), "invalid_params", bad)
        self.assertEqual(len(client.call("auth.listTokens")["tokens"]), 1)

    def test_fractions_of_hours(self) -> None:
        """A token may live for minutes."""
        answer = self.operator().call("auth.generateToken", entity_id="a", expires_in_hours=0.5)
        self.assertEqual(answer["expires_at"], "2026-02-12T11:00:00.000Z")


class RenewTests(AuthTestCase):
    """A bearer renews its token by itself."""

    def setUp(self) -> None:
        super().setUp()
        self.token = self.gateway.token("agent_001", expires_in_hours=1, renewable_for_hours=5)

    def test_answer(self) -> None:
        """The new token is shown once, with what it is for and until when it can be renewed in its turn."""
        client = self.gateway.connect(token=self.token)
        self.gateway.advance(60)
        answer = client.call("auth.renew")
        self.assertRegex(answer.pop("token"), r"^cell0_[A-Za-z0-9]{43}_1770892260$")
        self.assertRegex(answer.pop("token_id"), r"^tok_[0-9a-f]{16}$")
        self.assertEqual(
            answer,
            {
                "entity_id": "agent_001",
                "permissions": ["session.*", "presence.*", "channel.*", "agent.*", "task.create"],
                "expires_in_hours": 1.0,
                "expires_at": "2026-02-12T11:31:00.000Z",
                "renew_until": "2026-02-12T15:30:00.000Z",
            },
        )

    def test_it_works(self) -> None:
        """The new token opens a session, and so does the old one until it expires; the session goes on with the old one
        until it is told otherwise.
        """
        client = self.gateway.connect(token=self.token)
        self.gateway.advance(3000)
        new = client.call("auth.renew", permissions=["session.*"])["token"]
        self.assertEqual(client.call("session.getInfo")["permissions"][1], "presence.*")
        for token in (self.token, new):
            self.assertEqual(self.gateway.connect(token=token).call("session.getInfo")["entity_id"], "agent_001")
        self.assertEqual(client.call("auth.refresh", token=new)["permissions"], ["session.*"])
        self.gateway.advance(601)
        self.assertIsNone(client.close_code)
        self.assertEqual(self.code(self.gateway.connect(), "auth.authenticate", token=self.token), "not_authenticated")

    def test_a_session_goes_on(self) -> None:
        """A session that renews its token when it is warned outlives the first token as long as the minter allows: five
        hours, on one connection.
        """
        client = self.gateway.connect(token=self.token)
        renewed, refused = 0, False
        for minute in range(301):
            self.gateway.advance(60, step=1)
            warnings = [event for event in client.received("event") if event["type"] == "token.expiring"]
            if len(warnings) == renewed + 1 and not refused:
                answer = client.request("auth.renew")
                if refused := "error" in answer:
                    self.assertEqual((minute, answer["error"]["data"]["code"]), (298, "permission_denied"))
                else:
                    session = client.call("auth.refresh", token=answer["result"]["token"])
                    self.assertEqual(session["renew_until"], "2026-02-12T15:30:00.000Z")
                    renewed += 1
        self.assertEqual((renewed, refused, client.close_code), (5, True, CloseCode.TOKEN_ENDED))

    def test_any_session_may(self) -> None:
        """It takes a session, and a token that is renewable, but no permission; strangers can't."""
        client = self.gateway.connect(
            token=self.gateway.token("a", permissions=[], expires_in_hours=1, renewable_for_hours=2)
        )
        self.assertEqual(client.call("auth.renew")["permissions"], [])
        self.assertEqual(self.code(self.gateway.connect(), "auth.renew"), "not_authenticated")

    def test_not_renewable(self) -> None:
        """A token whose minter did not allow it is refused, and so is the operator's own."""
        operators = f"cell0_{'x' * 32}_1"
        self.gateway.credentials.accept(operators)
        for token in (self.gateway.token("a", expires_in_hours=1), operators):
            refusal = self.gateway.connect(token=token).refusal("auth.renew")
            self.assertEqual((refusal["code"], refusal["message"]), (-32002, "Your token is not renewable"))

    def test_no_more_than_itself(self) -> None:
        """Permissions beyond those of the token are refused; a longer lifetime is cut, and the answer says so."""
        client = self.gateway.connect(token=self.token)
        for beyond in (["*"], ["auth.generateToken"], ["gateway.getStats"]):
            self.assertEqual(self.code(client, "auth.renew", permissions=beyond), "permission_denied")
        self.assertEqual(client.call("auth.renew", expires_in_hours=24)["expires_in_hours"], 1.0)
        self.assertEqual(client.call("auth.renew", expires_in_hours=0.5)["expires_in_hours"], 0.5)

    def test_of_many(self) -> None:
        """A token for many is renewed as one for many: each of its bearers goes on by its own name."""
        client = self.gateway.connect()
        token = self.gateway.token("worker.*", expires_in_hours=1, renewable_for_hours=2)
        client.call("auth.authenticate", token=token, entity_id="worker.7")
        answer = client.call("auth.renew")
        self.assertEqual(answer["entity_id"], "worker.*")
        self.assertEqual(client.call("auth.refresh", token=answer["token"])["entity_id"], "worker.7")

    def test_listed(self) -> None:
        """A list shows what a token was renewed from, and until when it is renewable."""
        client = self.gateway.connect(token=self.token)
        new = client.call("auth.renew")
        operator = self.operator()
        entries = {entry["token_id"]: entry for entry in operator.call("auth.listTokens")["tokens"]}
        entry = entries[new["token_id"]]
        old = entries[entry["renewed_from"]]
        self.assertEqual((old["entity_id"], old["renewed_from"]), ("agent_001", None))
        self.assertEqual((entry["renew_until"], entry["issued_by"]), ("2026-02-12T15:30:00.000Z", "process"))

    def test_revoked_with_the_old_one(self) -> None:
        """The session that goes on with a renewed token ends when the old one is revoked."""
        client = self.gateway.connect(token=self.token)
        client.call("auth.refresh", token=client.call("auth.renew")["token"])
        answer = self.operator().call("auth.revokeToken", token_id=token_id(digest(self.token)))
        client.flush()
        self.assertEqual((answer["sessions_closed"], client.close_code), (1, CloseCode.TOKEN_ENDED))

    def test_too_many(self) -> None:
        """An entity renews so many in a row, on however many connections, and one a minute then; others are not held
        up.
        """
        clients = [self.gateway.connect(token=self.token) for _ in range(2)]
        for number in range(RENEWAL_RATE.burst):
            clients[number % 2].call("auth.renew")
        for client in clients:
            refusal = client.refusal("auth.renew")
            self.assertEqual((refusal["code"], refusal["message"]), (-32003, "Too many renewals"))
        self.assertEqual(refusal["data"]["retry_after_ms"], 60_001)
        other = self.gateway.connect(token=self.gateway.token("b"))
        other.call("auth.renew")
        self.gateway.advance(60)
        clients[0].call("auth.renew")
        self.assertEqual(self.code(clients[0], "auth.renew"), "rate_limited")


class RevokeTokenTests(AuthTestCase):
    """Revocation."""

    def test_live_sessions_end_at_once(self) -> None:
        """Every live session of a revoked token is closed with 4507, and gets nothing more."""
        operator, token = self.operator(), self.gateway.token("a")
        clients = [self.gateway.connect(token=token) for _ in range(2)]
        for client in clients:
            client.call("channel.subscribe", channel="events")
        token_id = next(t["token_id"] for t in operator.call("auth.listTokens")["tokens"] if t["entity_id"] == "a")
        answer = operator.call("auth.revokeToken", token_id=token_id)
        self.assertEqual(answer, {"success": True, "sessions_closed": 2})
        self.assertEqual(self.gateway.publish("events", 1).recipients, 0)
        for client in clients:
            client.flush()
            self.assertEqual(client.close_code, CloseCode.TOKEN_ENDED)
            self.assertEqual(client.received("channel.message"), [])
        self.assertEqual(self.code(self.gateway.connect(), "auth.authenticate", token=token), "not_authenticated")

    def test_by_entity(self) -> None:
        """All tokens of an entity can be revoked together."""
        client = self.gateway.connect("a")
        self.assertEqual(self.operator().call("auth.revokeToken", entity_id="a")["sessions_closed"], 1)
        client.flush()
        self.assertEqual(client.close_code, CloseCode.TOKEN_ENDED)

    def test_nothing_more_is_done(self) -> None:
        """What stands in a batch behind the revocation of its own sender is not done any more."""
        client = self.gateway.connect(
            token=self.gateway.token("a", permissions=["auth.revokeToken", "channel.publish"])
        )
        calls = (("auth.revokeToken", {"entity_id": "a"}), ("channel.publish", {"channel": "events", "message": 1}))
        client.send(json.dumps([{"jsonrpc": "2.0", "method": method, "params": params} for method, params in calls]))
        self.assertEqual(client.close_code, CloseCode.TOKEN_ENDED)
        self.assertEqual([channel.name for channel in self.gateway.channels.broker], [])

    def test_one_or_the_other(self) -> None:
        """Either the token or the entity is named; and it must exist."""
        operator = self.operator()
        self.assertEqual(self.code(operator, "auth.revokeToken"), "invalid_params")
        self.assertEqual(self.code(operator, "auth.revokeToken", token_id="x", entity_id="y"), "invalid_params")
        self.assertEqual(self.code(operator, "auth.revokeToken", token_id="x"), "not_found")


class ListTokensTests(AuthTestCase):
    """What is shown of tokens."""

    def test_entries(self) -> None:
        """A list shows everything but the tokens and their digests."""
        operator = self.operator()
        child = operator.call("auth.generateToken", entity_id="b", permissions=[])
        operator.call("auth.revokeToken", token_id=child["token_id"])
        entries = {entry["entity_id"]: entry for entry in operator.call("auth.listTokens")["tokens"]}
        self.assertEqual(
            entries["b"],
            {
                "token_id": child["token_id"],
                "entity_id": "b",
                "entity_type": "agent",
                "permissions": [],
                "issued_at": "2026-02-12T10:30:00.000Z",
                "expires_at": "2026-02-13T10:30:00.000Z",
                "issued_by": entries["ops"]["token_id"],
                "renewed_from": None,
                "renew_until": "2026-03-14T10:30:00.000Z",
                "revoked": True,
            },
        )
        self.assertEqual(entries["ops"]["issued_by"], "process")

    def pages(self, client: Client, **params: Any) -> list[list[str]]:
        """The ids of the entities, page by page."""
        answer = client.call("auth.listTokens", **params)
        pages = [[entry["entity_id"] for entry in answer["tokens"]]]
        while "next" in answer:
            answer = client.call("auth.listTokens", **params, after=answer["next"])
            pages.append([entry["entity_id"] for entry in answer["tokens"]])
        return pages

    def test_pages(self) -> None:
        """A list comes in pages, oldest first; tokens of one moment are on one of them each."""
        operator = self.operator()
        names = [f"a{number}" for number in range(5)]
        for name in names:
            operator.call("auth.generateToken", entity_id=name)
            self.gateway.advance(0.0005 if name == "a2" else 0)
        pages = self.pages(operator, limit=2)
        self.assertEqual(sorted(itertools.chain(*pages)), sorted([*names, "ops"]))
        self.assertEqual([len(page) for page in pages], [2, 2, 2])
        self.assertEqual(self.pages(operator, limit=6), self.pages(operator))
        self.assertEqual(self.code(operator, "auth.listTokens", after="x"), "invalid_params")

    def test_more_than_an_answer_holds(self) -> None:
        """Without a limit a page has as many as fit the answer."""
        self.gateway.guard.limits.max_message_size = 20_000
        operator = self.operator()
        permissions = [f"channel.publish:{'x' * 180}{number}" for number in range(20)]
        for number in range(12):
            operator.call("auth.generateToken", entity_id=f"a{number}", permissions=permissions)
        pages = self.pages(operator)
        self.assertEqual(len(set(itertools.chain(*pages))), 13)
        self.assertGreater(len(pages), 1)

    def test_expired(self) -> None:
        """Those that have expired are listed for who asks for them, for a week."""
        operator = self.operator()
        self.gateway.token("a", expires_in_hours=1)
        self.gateway.advance(HOUR, step=60)
        self.assertEqual((self.pages(operator), self.pages(operator, expired=True)), ([["ops"]], [["ops", "a"]]))
        self.gateway.clock.rightNow += 7 * 24 * HOUR
        self.gateway.advance(1)
        operator = self.operator()
        self.assertEqual(set(self.pages(operator, expired=True)[0]), {"ops"})

    def test_too_many_of_a_minter(self) -> None:
        """An entity mints so many and no more; an operator of the type system goes on, and so does another entity."""
        self.patch(records, "MAX_TOKENS_OF_MINTER_SIZE", 2 * TOKEN_SIZE)
        minters = [
            self.gateway.connect(token=self.gateway.token(name, permissions=["auth.generateToken"])) for name in "mn"
        ]
        for _ in range(2):
            minters[0].call("auth.generateToken", entity_id="m", permissions=[], expires_in_hours=1)
        refusal = minters[0].refusal("auth.generateToken", entity_id="m", permissions=[])
        self.assertEqual((refusal["code"], refusal["data"]["limit"]), (-32003, "tokens_of_minter"))
        minters[1].call("auth.generateToken", entity_id="n", permissions=[])
        self.operator().call("auth.generateToken", entity_id="m")
        self.gateway.advance(HOUR, step=60)
        minters[0].call("auth.generateToken", entity_id="m", permissions=[])
