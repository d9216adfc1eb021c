"""C{gateway.getHealth}, and who hears when it changes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.tokens import TokenRecord
from cell0gw.channels.rules import ChannelRule
from cell0gw.engines.memory.mail import MemoryMailStore
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.protocol.errors import Unavailable
from cell0gw.testing import MemoryGateway

SINCE = "2026-02-12T10:30:00.000Z"


class FailingTokenStore(MemoryTokenStore):
    """A store whose disk fails while C{broken}."""

    broken = False

    def add(self, record: TokenRecord) -> Deferred[None]:
        """See L{ITokenStore}."""
        return fail(Unavailable()) if self.broken else super().add(record)

    def revoke(self, token_ids: list[str]) -> Deferred[None]:
        """See L{ITokenStore}."""
        return fail(Unavailable()) if self.broken else super().revoke(token_ids)


class Case(SynchronousTestCase):
    """With a gateway whose disks fail at will, and an admin who listens."""

    def setUp(self) -> None:
        self.tokens, self.messages, self.mail = FailingTokenStore(), MemoryMessageStore(), MemoryMailStore()
        rules = (ChannelRule(pattern="durable.>", durable=True),)
        self.gateway = MemoryGateway(self.tokens, self.messages, self.mail, channels=rules)
        self.addCleanup(self.gateway.close)
        self.admin = self.gateway.connect(token=self.gateway.token("admin", "system", ["*"], 1000.0))
        self.admin.call("channel.subscribe", channel="$system")

    def breaks(self, broken: bool = True) -> None:
        self.tokens.broken = self.messages.broken = self.mail.broken = broken
        self.gateway.health.storage("full" if broken else None)

    def events(self) -> list[tuple[str, Any]]:
        return [(event["type"], event["data"]) for event in self.admin.received("event")]


class HealthTests(Case):
    """What is said of it."""

    PROBLEM = {
        "name": "storage", "cause": "full", "since": SINCE,
        "message": "The database can't be written, the disk is full: make room",
    }  # fmt: skip

    def test_ok(self) -> None:
        """All is well until something is reported."""
        self.assertEqual(self.admin.call("gateway.getHealth"), {"status": "ok", "problems": []})

    def test_degraded(self) -> None:
        """What is wrong is shown and told, once, until it no longer is, which is told, too."""
        self.breaks()
        self.gateway.health.storage("full")
        self.gateway.advance(5)
        self.assertEqual(self.admin.call("gateway.getHealth"), {"status": "degraded", "problems": [self.PROBLEM]})
        self.breaks(False)
        self.gateway.health.storage(None)
        self.assertEqual(self.admin.call("gateway.getHealth"), {"status": "ok", "problems": []})
        over = {"name": "storage", "cause": "full", "since": SINCE}
        self.assertEqual(self.events(), [("gateway.degraded", self.PROBLEM), ("gateway.recovered", over)])

    def test_another_cause(self) -> None:
        """What goes wrong in another way is told anew, and began when it began."""
        self.gateway.health.storage("full")
        self.gateway.advance(5)
        self.gateway.health.storage("failing")
        (found,) = self.admin.call("gateway.getHealth")["problems"]
        self.assertEqual((found["cause"], found["since"]), ("failing", SINCE))
        self.assertEqual([data["cause"] for _, data in self.events()], ["full", "failing"])

    def test_draining(self) -> None:
        """Who is still there while it goes down can see that."""
        self.gateway.health.storage("full")
        self.gateway.health.drain(True)
        self.assertEqual(self.admin.call("gateway.getHealth")["status"], "draining")

    def test_drain(self) -> None:
        """A gateway that drains says so, and one that is started again does not."""
        seen: list[str] = []
        self.gateway.health.changed.append(lambda: seen.append(self.gateway.health.status))
        self.gateway.drain()
        self.gateway.stopService()
        self.gateway.startService()
        self.addCleanup(self.gateway.stopService)
        self.assertEqual(seen, ["draining", "ok"])

    def test_changed(self) -> None:
        """Other parts of the process hear of each change."""
        seen: list[Any] = []
        health = self.gateway.health
        health.changed.append(lambda: seen.append((health.status, [problem.cause for problem in health.problems])))
        health.storage("full")
        health.storage(None)
        self.assertEqual(seen, [("degraded", ["full"]), ("ok", [])])

    def test_summary(self) -> None:
        """A line about the process has what is wrong in a word each."""
        self.assertEqual(self.gateway.health.summary, [])
        self.gateway.health.storage("locked")
        self.assertEqual(self.gateway.health.summary, ["storage: locked"])

    def test_permission(self) -> None:
        """It is for those who may."""
        self.assertEqual(self.gateway.connect("a").refusal("gateway.getHealth")["code"], -32002)
        allowed = self.gateway.connect(token=self.gateway.token("monitor", permissions=["gateway.getHealth"]))
        self.assertEqual(allowed.call("gateway.getHealth")["status"], "ok")


class GoesOnTests(Case):
    """What goes on while the disk fails, and what is refused."""

    def test_channels(self) -> None:
        """What must be kept is refused and reaches nobody; what is in memory goes on."""
        a, b = self.gateway.connect("a"), self.gateway.connect("b")
        for channel in ("durable.x", "x"):
            b.call("channel.subscribe", channel=channel)
        self.breaks()
        self.assertEqual(a.refusal("channel.publish", channel="durable.x", message=1)["code"], -32000)
        a.call("channel.publish", channel="x", message=2)
        self.breaks(False)
        a.call("channel.publish", channel="durable.x", message=3)
        came = [(each["channel"], each["message"], each["offset"]) for each in b.received("channel.message")]
        self.assertEqual(came, [("x", 2, 1), ("durable.x", 3, 1)])

    def test_agents(self) -> None:
        """Agents that are here can be written to, and others come; what would have to wait is refused."""
        a, b = self.gateway.connect("a"), self.gateway.connect("b")
        self.gateway.token("away")
        token = self.gateway.token("c")
        self.breaks()
        self.assertEqual(a.call("agent.send", agent_id="b", message=1)["status"], "sent")
        self.assertEqual([each["message"] for each in b.received("agent.message")], [1])
        self.assertEqual(a.refusal("agent.send", agent_id="away", message=1)["code"], -32000)
        self.assertEqual(a.refusal("agent.send", agent_id="b", message=1, receipts=True)["code"], -32000)
        self.assertEqual(a.call("presence.get", entity_id="b")["status"], "online")
        self.gateway.connect(token=token)
        self.assertEqual(len(a.call("agent.list")), 3)

    def test_tokens(self) -> None:
        """No token is handed out that is not kept, and none is left behind."""
        before = len(self.gateway.credentials)
        self.breaks()
        self.assertEqual(self.admin.refusal("auth.generateToken", entity_id="a")["code"], -32000)
        self.assertEqual(len(self.gateway.credentials), before)

    def test_revoking(self) -> None:
        """A revocation ends the sessions at once, says that it is not on disk, and is there as soon as it can be."""
        token = self.gateway.token("a")
        client = self.gateway.connect(token=token)
        self.breaks()
        self.assertEqual(self.admin.refusal("auth.revokeToken", entity_id="a")["code"], -32000)
        client.flush()
        self.assertEqual(client.close_code, 4507)
        self.assertEqual(self.gateway.connect().refusal("auth.authenticate", token=token)["code"], -32001)
        self.gateway.advance(3)
        self.assertFalse(any(record.revoked for record in self.tokens.load()))
        self.breaks(False)
        self.gateway.advance(3)
        self.assertEqual([record.entity_id for record in self.tokens.load() if record.revoked], ["a"])
