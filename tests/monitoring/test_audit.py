"""The audit log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.tokens import digest, token_id
from cell0gw.monitoring.audit import MAX_ITEMS, REFUSALS_A_SECOND, Audit
from cell0gw.process import state
from cell0gw.process.state import StateFolder
from cell0gw.sessions.session import Caller
from cell0gw.testing import MemoryGateway, RecordingConnection


class AuditTests(SynchronousTestCase):
    """What is written down, in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[bytes] = []
        self.audit = Audit(self.lines.append, self.clock.seconds)
        self.caller = Caller(RecordingConnection("conn_1"))

    @property
    def entries(self) -> list[dict[str, Any]]:
        for line in self.lines:
            self.assertTrue(line.endswith(b"\n") and line.count(b"\n") == 1)
        return [json.loads(line) for line in self.lines]

    def test_refusals_are_bounded(self) -> None:
        """Of many refusals in a second some are written down whole, and of the rest how many they were."""
        for _ in range(1000):
            self.audit.refused("call.refused", self.caller, "channel.publish\n", "no")
        self.clock.advance(1)
        self.audit.refused("call.refused", self.caller, "channel.publish", "no")
        actions = [entry["action"] for entry in self.entries]
        self.assertEqual(actions, ["call.refused"] * REFUSALS_A_SECOND + ["refusals.dropped", "call.refused"])
        self.assertEqual(self.entries[REFUSALS_A_SECOND]["count"], 1000 - REFUSALS_A_SECOND)
        self.assertEqual(self.entries[0]["what"], "channel.publish\\n")

    def test_long_fields(self) -> None:
        """What a peer has chosen is cut, and how much more there was is said: it can't fill the log."""
        permissions = [f"channel.publish:{'x' * 180}{number}" for number in range(200)]
        self.audit.record("token.minted", self.caller, minted={"permissions": permissions, "entity_id": "a" * 301})
        (entry,) = self.entries
        self.assertEqual(entry["minted"]["permissions"], [*permissions[:MAX_ITEMS], "and 180 more"])
        self.assertEqual(entry["minted"]["entity_id"], "a" * 300 + "…")
        self.assertLess(len(self.lines[0]), 5000)

    def test_full_disk(self) -> None:
        """What can't be written down is in the log, and what was done stays done."""

        def full(line: bytes) -> None:
            raise OSError("no space left")

        Audit(full, self.clock.seconds).record("token.minted", self.caller)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class GatewayTests(SynchronousTestCase):
    """What a gateway writes down."""

    def test_story(self) -> None:
        """Minting, revoking, wrong tokens and calls without permission are there, with who it was; no token is."""
        lines: list[bytes] = []
        gateway = MemoryGateway(audit=lines.append)
        self.addCleanup(gateway.close)
        operator = gateway.connect(token=gateway.token("ops", "system", ["*"]))
        minted = operator.call("auth.generateToken", entity_id="agent_1", permissions=["channel.subscribe"])
        agent = gateway.connect(token=minted["token"])
        agent.refusal("channel.publish", channel="a", message=1)
        gateway.connect().refusal("auth.authenticate", token="cell0_wrong_1")
        operator.call("auth.revokeToken", token_id=minted["token_id"])
        entries = [json.loads(line) for line in lines]
        self.assertEqual(
            [(entry["action"], entry["entity_id"]) for entry in entries],
            [
                ("token.minted", "ops"),
                ("call.refused", "agent_1"),
                ("authentication.refused", None),
                ("token.revoked", "ops"),
            ],
        )
        self.assertEqual({entry["address"] for entry in entries}, {"127.0.0.1"})
        self.assertEqual((entries[2]["why"], entries[2]["what"]), ("wrong", "auth.authenticate"))
        self.assertNotIn("refused", entries[2])
        self.assertEqual(entries[0]["minted"]["token_id"], minted["token_id"])
        self.assertEqual((entries[1]["what"], entries[1]["token_id"]), ("channel.publish", minted["token_id"]))
        self.assertEqual((entries[3]["token_ids"], entries[3]["sessions_closed"]), ([minted["token_id"]], 1))
        self.assertNotIn(minted["token"].encode(), b"".join(lines))
        self.assertNotIn(b"cell0_wrong", b"".join(lines))

    def test_why_a_token_is_refused(self) -> None:
        """A stranger hears the same of expired and of revoked tokens; the audit log says which one it was and why."""
        lines: list[bytes] = []
        gateway = MemoryGateway(audit=lines.append)
        self.addCleanup(gateway.close)
        expired, revoked = gateway.token("bob", expires_in_hours=0.01), gateway.token("worker.*")
        gateway.credentials.revoke(token_id(digest(revoked)))
        gateway.advance(37)
        for token in (expired, revoked):
            refusal = gateway.connect().refusal("auth.authenticate", token=token)
            self.assertEqual((refusal["message"], refusal["data"]["retryable"]), ("Invalid token", False))
            self.assertEqual(set(refusal["data"]), {"code", "retryable"})
        for line, token, entity_id, why in (
            (lines[0], expired, "bob", "expired"),
            (lines[1], revoked, "worker.*", "revoked"),
        ):
            entry, about = json.loads(line), {"entity_id": entity_id, "token_id": token_id(digest(token))}
            self.assertEqual((entry["action"], entry["why"]), ("authentication.refused", why))
            self.assertEqual(entry["refused"], about)
            self.assertEqual({name: entry[name] for name in about}, about)
            self.assertNotIn(token.encode(), line)

    def test_a_token_that_a_session_shows(self) -> None:
        """A session that shows another one's old token is who it is; the token is named beside it."""
        lines: list[bytes] = []
        gateway = MemoryGateway(audit=lines.append)
        self.addCleanup(gateway.close)
        expired = gateway.token("bob", expires_in_hours=0.001)
        client = gateway.connect("alice")
        gateway.advance(4)
        client.refusal("auth.refresh", token=expired)
        entry = json.loads(lines[0])
        self.assertEqual((entry["what"], entry["why"], entry["entity_id"]), ("auth.refresh", "expired", "alice"))
        self.assertEqual(entry["refused"], {"entity_id": "bob", "token_id": token_id(digest(expired))})

    def test_behind_a_proxy(self) -> None:
        """The address is the client's, whole and as the log has it, and the proxy is named beside it."""
        lines: list[bytes] = []
        gateway = MemoryGateway(audit=lines.append)
        self.addCleanup(gateway.close)
        client = gateway.connect()
        client.server.forwarded = "2001:db8::17"
        client.refusal("auth.authenticate", token="wrong")
        entry = json.loads(lines[0])
        self.assertEqual((entry["address"], entry["proxy"]), ("2001:db8::17", "127.0.0.1:50000"))
        gateway.connect().refusal("auth.authenticate", token="wrong")
        self.assertNotIn("proxy", json.loads(lines[1]))

    def test_renewal(self) -> None:
        """A renewal is there: who, with which token, and what of the new one may be shown."""
        lines: list[bytes] = []
        gateway = MemoryGateway(audit=lines.append)
        self.addCleanup(gateway.close)
        token = gateway.token("agent_1")
        answer = gateway.connect(token=token).call("auth.renew", permissions=["agent.send"])
        (entry,) = [json.loads(line) for line in lines]
        old = token_id(digest(token))
        self.assertEqual(
            [entry[name] for name in ("action", "entity_id", "token_id")], ["token.renewed", "agent_1", old]
        )
        renewed = entry["renewed"]
        self.assertEqual((renewed["token_id"], renewed["renewed_from"]), (answer["token_id"], old))
        self.assertEqual(renewed["permissions"], ["agent.send"])
        self.assertNotIn(answer["token"].encode(), lines[0])


class FileTests(SynchronousTestCase):
    """The file in the state folder."""

    def test_rotation(self) -> None:
        """A long file is put aside, only so many are kept, and all are the owner's alone."""
        self.patch(state, "AUDIT_LENGTH", 100)
        folder = StateFolder(Path(self.mktemp()))
        folder.lock()
        for number in range(100):
            folder.write_audit(b"%050d\n" % number)
        folder.unlock()
        files = sorted(path.name for path in folder.path.glob("audit*"))
        self.assertEqual(files, ["audit.log", *(f"audit.log.{n}" for n in range(1, 6))])
        self.assertTrue((folder.path / "audit.log").read_bytes().endswith(b"99\n"))
        for name in files:
            self.assertEqual((folder.path / name).stat().st_mode & 0o777, 0o600)

    def test_refusals_roll_over_no_mints(self) -> None:
        """What was done to tokens is in a file of its own as well, however many refusals there are."""
        self.patch(state, "AUDIT_LENGTH", 1000)
        folder = StateFolder(Path(self.mktemp()))
        folder.lock()
        audit = Audit(folder.write_audit, lambda: 0.0)
        caller = Caller(RecordingConnection("conn_1"))
        audit.record("token.minted", caller, minted="tok_1")
        for _ in range(100):
            audit.record("call.refused", caller, what='"action":"x.y', why="no")
        folder.write_audit(b'{"action":"call.refused"}\n{"action":"token.revoked"}\n{"action":"lines.dropped"}\n')
        folder.unlock()
        minted, revoked = (folder.path / "tokens.log").read_bytes().splitlines()
        self.assertEqual((json.loads(minted)["minted"], revoked), ("tok_1", b'{"action":"token.revoked"}'))
        self.assertEqual((folder.path / "tokens.log").stat().st_mode & 0o777, 0o600)
        self.assertNotIn(b"tok_1", b"".join(path.read_bytes() for path in folder.path.glob("audit*")))

    def test_goes_on(self) -> None:
        """After a restart the file is gone on with."""
        folder = StateFolder(Path(self.mktemp()))
        for line in (b"a\n", b"b\n"):
            folder.lock()
            folder.write_audit(line)
            folder.unlock()
        self.assertEqual((folder.path / "audit.log").read_bytes(), b"a\nb\n")
