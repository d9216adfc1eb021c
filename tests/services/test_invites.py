"""``auth``: invites, from their link to the session that they open."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth import invites
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import BAD_TOKENS_A_MINUTE, MAX_BAD_TOKENS
from cell0gw.testing import Client, MemoryGateway

LINK = "cell0://gateway.example:18801/#invite="


class InviteTestCase(SynchronousTestCase):
    """A gateway, what it writes to its audit log, and an operator."""

    def setUp(self) -> None:
        self.lines: list[bytes] = []
        self.store = MemoryTokenStore()
        self.gateway = self.make()
        self.operator = self.holder("ops", "*", entity_type="system")

    def make(self, **options: Any) -> MemoryGateway:
        gateway = MemoryGateway(self.store, audit=self.lines.append, **options)
        self.addCleanup(gateway.close)
        return gateway

    def holder(self, entity_id: str, *permissions: str, **facts: Any) -> Client:
        return self.gateway.connect(token=self.gateway.token(entity_id, permissions=permissions, **facts))

    def invite(self, creator: Client | None = None, **params: Any) -> str:
        """The C{invite} of a new link."""
        link = (creator or self.operator).call("auth.createInvite", **{"entity_id": "agent_1"} | params)["link"]
        self.assertTrue(link.startswith(LINK), link)
        return str(link.removeprefix(LINK).partition("&")[0])

    def entries(self, action: str) -> list[dict[str, Any]]:
        return [entry for entry in map(json.loads, self.lines) if entry["action"] == action]

    def ids(self, client: Client, **params: Any) -> list[str]:
        return [each["entity_id"] for each in client.call("auth.listInvites", **params)["invites"]]


class RedeemTests(InviteTestCase):
    """From a stranger to a session."""

    def test_story(self) -> None:
        """A stranger redeems a link and opens a session with the token, on the same connection."""
        stranger = self.gateway.connect()
        token = stranger.call("auth.redeem", invite=self.invite(permissions=["channel.*"]))
        self.assertEqual((token["entity_id"], token["permissions"]), ("agent_1", ["channel.*"]))
        self.assertEqual(stranger.refusal("session.getInfo")["data"]["code"], "not_authenticated")
        self.assertEqual(stranger.call("auth.authenticate", token=token["token"])["entity_id"], "agent_1")

    def test_answer(self) -> None:
        """The creator is told what to pass on, and until when it is good."""
        answer = self.operator.call("auth.createInvite", entity_id="worker.*", expires_in_seconds=60)
        link = answer.pop("link")
        self.assertRegex(link, r"\Acell0://gateway\.example:18801/#invite=invite_[0-9A-Za-z]{43}&tls=0\Z")
        self.assertRegex(answer.pop("invite_id"), r"\Ainv_[0-9a-f]{16}\Z")
        self.assertEqual(answer, {"entity_id": "worker.*", "expires_at": "2026-02-12T10:31:00.000Z"})

    def test_in_one_batch(self) -> None:
        """Of two who redeem an invite in one batch the first gets the token; so does the first of two connections."""
        redeem = {"jsonrpc": "2.0", "method": "auth.redeem", "params": {"invite": self.invite()}}
        (answers,) = self.gateway.connect().send(json.dumps([redeem | {"id": 1}, redeem | {"id": 2}]))
        self.assertIn("token", answers[0]["result"])
        self.assertEqual(answers[1]["error"]["code"], -32001)
        self.assertEqual(self.gateway.connect().refusal("auth.redeem", **redeem["params"])["code"], -32001)  # type: ignore[arg-type]
        self.assertEqual(len(self.operator.call("auth.listTokens", entity_id="agent_1")["tokens"]), 1)

    def test_pages_of_other_sites(self) -> None:
        """A page that no origin was listed for may redeem: whoever has the link has been given it."""
        page = self.gateway.connect()
        page.server.caller.foreign = True
        self.assertIn("token", page.call("auth.redeem", invite=self.invite()))

    def test_wrong_ones(self) -> None:
        """All invites that are no good are refused alike, and the fifth closes the connection."""
        used, late = self.invite(), self.invite(expires_in_seconds=1)
        self.gateway.connect().call("auth.redeem", invite=used)
        revoked = self.invite(boss := self.holder("boss", "auth.generateToken:>", "agent.*"), permissions=["agent.*"])
        boss_token = boss.server.session.principal.token_id
        self.operator.call("auth.revokeToken", token_id=boss_token)
        self.gateway.advance(2)
        client = self.gateway.connect()
        answers = [client.refusal("auth.redeem", invite=each) for each in (used, late, revoked, "")]
        self.assertIsNone(client.close_code)
        answers.append(client.refusal("auth.redeem", invite="invite_wrong"))
        self.assertEqual({(a["code"], a["message"], *sorted(a["data"])) for a in answers}, {
            (-32001, "Invalid invite", "code", "retryable")
        })  # fmt: skip
        self.assertEqual((len(answers), client.close_code), (MAX_BAD_TOKENS, CloseCode.BAD_TOKEN))

    def test_guessing_in_a_batch(self) -> None:
        """Once five were wrong, tokens and invites together, no later one in the same batch is looked up."""
        client, right = self.gateway.connect(), self.invite()
        client.refusal("auth.authenticate", token="wrong")
        calls = [
            {"jsonrpc": "2.0", "method": "auth.redeem", "params": {"invite": each}, "id": number}
            for number, each in enumerate([*["wrong"] * (MAX_BAD_TOKENS - 1), right])
        ]
        (answers,) = client.send(json.dumps(calls))
        self.assertEqual({answer["error"]["message"] for answer in answers}, {"Invalid invite"})
        self.assertIn("token", self.gateway.connect().call("auth.redeem", invite=right))

    def test_guessing_from_an_address(self) -> None:
        """Who has sent too many wrong ones from an address is told to wait; the right one is redeemed all the same."""
        codes = []
        for _ in range(BAD_TOKENS_A_MINUTE + 1):
            codes.append(self.gateway.connect().refusal("auth.redeem", invite="wrong")["code"])
        self.assertEqual(codes, [-32001] * BAD_TOKENS_A_MINUTE + [-32003])
        self.assertIn("token", self.gateway.connect().call("auth.redeem", invite=self.invite()))

    def test_after_a_restart(self) -> None:
        """An invite is good on the next gateway, and one that was redeemed is not."""
        used, good = self.invite(), self.invite()
        self.gateway.connect().call("auth.redeem", invite=used)
        self.gateway.close()
        self.gateway = self.make()
        self.assertEqual(self.gateway.connect().refusal("auth.redeem", invite=used)["message"], "Invalid invite")
        self.assertIn("token", self.gateway.connect().call("auth.redeem", invite=good))


class AuditTests(InviteTestCase):
    """What is in the audit log."""

    def test_story(self) -> None:
        """Creating, redeeming and revoking are there, and every refusal, by the id of the invite; no secret is."""
        created = self.operator.call("auth.createInvite", entity_id="agent_1")
        secret = created["link"].removeprefix(LINK).partition("&")[0]
        token = self.gateway.connect().call("auth.redeem", invite=secret)
        self.gateway.connect().refusal("auth.redeem", invite=secret)
        other = self.operator.call("auth.createInvite", entity_id="agent_2")
        self.operator.call("auth.revokeInvite", invite_id=other["invite_id"])
        invited, redeemed = self.entries("token.invited")[0], self.entries("token.redeemed")[0]
        self.assertEqual((invited["entity_id"], invited["invite"]["invite_id"]), ("ops", created["invite_id"]))
        self.assertEqual((redeemed["entity_id"], redeemed["invite_id"]), (None, created["invite_id"]))
        self.assertEqual(redeemed["minted"]["token_id"], token["token_id"])
        (replay,) = self.entries("authentication.refused")
        self.assertEqual((replay["what"], replay["why"]), ("auth.redeem", "wrong"))
        self.assertEqual(replay["refused"], {"invite_id": created["invite_id"]})
        self.assertEqual(self.entries("token.uninvited")[0]["invite_ids"], [other["invite_id"]])
        for kept in (secret, token["token"]):
            self.assertNotIn(kept.encode(), b"".join(self.lines))

    def test_whose_it_was(self) -> None:
        """An invite that is outstanding and no good is named with whom it is for, and why."""
        boss = self.holder("boss", "auth.generateToken:>", "agent.*")
        secret = self.invite(boss, permissions=["agent.*"])
        self.gateway.credentials.observers.clear()
        self.operator.call("auth.revokeToken", entity_id="boss")
        self.gateway.connect().refusal("auth.redeem", invite=secret)
        (refused,) = self.entries("authentication.refused")
        self.assertEqual((refused["why"], refused["refused"]["entity_id"]), ("revoked", "agent_1"))


class ManageTests(InviteTestCase):
    """Lists, and the end of invites."""

    def test_list(self) -> None:
        """Outstanding ones are listed, without their links, oldest first, by pages and by entity."""
        for name in ("a", "b.1", "b.2"):
            self.operator.call("auth.createInvite", entity_id=name, permissions=["agent.*"])
            self.gateway.advance(1)
        page = self.operator.call("auth.listInvites", limit=2)
        self.assertEqual([each["entity_id"] for each in page["invites"]], ["a", "b.1"])
        self.assertEqual(self.ids(self.operator, after=page["next"]), ["b.2"])
        self.assertEqual(self.ids(self.operator, entity_id="b.*"), ["b.1", "b.2"])
        entry = page["invites"][0]
        self.assertRegex(entry.pop("invite_id"), r"\Ainv_[0-9a-f]{16}\Z")
        self.assertEqual(entry.pop("created_by"), self.operator.server.session.principal.token_id)
        self.assertEqual(
            entry,
            {
                "entity_id": "a",
                "entity_type": "agent",
                "permissions": ["agent.*"],
                "created_at": "2026-02-12T10:30:00.000Z",
                "expires_at": "2026-02-12T10:40:00.000Z",
            },
        )
        self.assertEqual(self.operator.refusal("auth.listInvites", after="x")["data"]["code"], "invalid_params")

    def test_narrowed(self) -> None:
        """A permission with a pattern, that for tokens, shows and reaches the invites for entities that it covers."""
        for name in ("b.1", "c.1"):
            self.operator.call("auth.createInvite", entity_id=name)
        keeper = self.holder("keeper", "auth.listTokens:b.>", "auth.revokeToken:b.>")
        self.assertEqual(self.ids(keeper), ["b.1"])
        self.assertEqual(keeper.refusal("auth.revokeInvite", entity_id="c.1")["code"], -32002)
        (other,) = self.operator.call("auth.listInvites", entity_id="c.1")["invites"]
        refusal = keeper.refusal("auth.revokeInvite", invite_id=other["invite_id"])
        self.assertEqual(refusal["data"]["code"], "not_found")
        keeper.call("auth.revokeInvite", entity_id="b.1")
        self.assertEqual(self.ids(self.operator), ["c.1"])

    def test_revoke(self) -> None:
        """An invite that is revoked opens nothing; either one is named, or an entity."""
        created = self.operator.call("auth.createInvite", entity_id="a")
        answer = self.operator.call("auth.revokeInvite", invite_id=created["invite_id"])
        self.assertEqual(answer, {"success": True, "invite_ids": [created["invite_id"]]})
        for params in ({}, {"invite_id": "inv_1", "entity_id": "a"}):
            self.assertEqual(self.operator.refusal("auth.revokeInvite", **params)["data"]["code"], "invalid_params")
        self.assertEqual(self.operator.refusal("auth.revokeInvite", entity_id="a")["data"]["code"], "not_found")

    def test_revoked_with_a_token(self) -> None:
        """Whoever revokes a token ends its invites as well."""
        boss = self.holder("boss", "auth.generateToken:>", "agent.*")
        secret = self.invite(boss, permissions=["agent.*"])
        self.operator.call("auth.revokeToken", entity_id="boss")
        self.assertEqual(self.ids(self.operator), [])
        self.assertEqual(self.gateway.connect().refusal("auth.redeem", invite=secret)["code"], -32001)

    def test_swept(self) -> None:
        """Those that have expired go by themselves, from the store as well."""
        self.invite(expires_in_seconds=1)
        self.gateway.advance(3)
        self.assertEqual(self.store.load_invites(), [])

    def test_too_many(self) -> None:
        """An entity has so many invites outstanding and no more."""
        self.patch(invites, "MAX_INVITES_OF_CREATOR_SIZE", 1500)
        boss = self.holder("boss", "auth.generateToken:>", "agent.*")
        self.invite(boss, permissions=[])
        refusal = boss.refusal("auth.createInvite", entity_id="x", permissions=[])
        self.assertEqual((refusal["code"], refusal["data"]["limit"]), (-32003, "invites_of_creator"))
