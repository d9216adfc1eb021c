"""What one may do with those whom one does not see, and what changes when another token comes."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.presence.watches import EVERY
from cell0gw.testing import Client, MemoryGateway


class Case(SynchronousTestCase):
    """With a gateway, and somebody who is not seen."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.boss = self.gateway.connect("boss", capabilities=["decide"])

    def viewer(self, *permissions: str, entity_id: str = "team.viewer", **more: Any) -> Client:
        token = self.gateway.token(entity_id, "agent", ["presence.get:team.>", *permissions], **more)
        return self.gateway.connect(token=token)

    def answer(self, agent: Client, **outcome: Any) -> None:
        """Have an agent answer the call that it has got last."""
        agent.flush()
        invocation = [message for message in agent.messages if message.get("method") == "agent.invoke"][-1]
        agent.send(json.dumps({"jsonrpc": "2.0", "id": invocation["id"], **outcome}))

    def call(self, caller: Client, **params: Any) -> None:
        caller.send(json.dumps({"jsonrpc": "2.0", "method": "agent.call", "params": params, "id": "call"}))

    def outcome(self, caller: Client) -> Any:
        caller.flush()
        return next(message for message in caller.messages if message.get("id") == "call")


class ReachTests(Case):
    """Permissions that name somebody."""

    def test_written_to(self) -> None:
        """Who may write to somebody by a pattern does so without seeing it, and has its receipts."""
        viewer = self.viewer("agent.send:boss")
        sent = viewer.call("agent.send", agent_id="boss", message="hello", receipts=True)
        self.gateway.advance(1)
        self.assertEqual(viewer.received("agent.receipt")[-1]["status"], "sent")
        report = viewer.call("agent.getDelivery", message_id=sent["message_id"])
        self.assertEqual(report["agent_id"], "boss")
        self.assertEqual(viewer.refusal("presence.get", entity_id="boss")["code"], -32006)

    def test_without_a_pattern_for_whom_one_sees(self) -> None:
        """C{agent.send} and C{agent.call} as a whole reach those whom one sees, and oneself."""
        self.gateway.connect("team.friend")
        viewer = self.viewer("agent.send", "agent.call", entity_id="visitor")
        for agent_id in ("team.friend", "visitor"):
            self.assertEqual(viewer.call("agent.send", agent_id=agent_id, message=1)["status"], "sent", agent_id)
        self.assertEqual(viewer.refusal("agent.send", agent_id="boss", message=1)["code"], -32006)
        self.assertEqual(viewer.refusal("agent.call", agent_id="boss", message=1)["code"], -32006)

    def test_called_by_name(self) -> None:
        """Who may call somebody by a pattern does so without seeing it."""
        viewer = self.viewer("agent.call:boss")
        self.call(viewer, agent_id="boss", message=1)
        self.answer(self.boss, error={"code": 7, "message": "no"})
        self.assertEqual(self.outcome(viewer)["error"]["data"]["agent_id"], "boss")

    def test_a_capability_named(self) -> None:
        """A capability that a permission names is called though nobody is seen who serves it; nobody is named then."""
        viewer = self.viewer("agent.call:capability:decide")
        self.call(viewer, capability="decide", message=1)
        self.answer(self.boss, error={"code": 7, "message": "no"})
        error = self.outcome(viewer)["error"]
        self.assertEqual((error["code"], error["data"]["agent_error"]["code"]), (-32008, 7))
        self.assertNotIn("boss", json.dumps(error))

    def test_lost_agents_are_not_named(self) -> None:
        """Neither is an agent that was lost."""
        viewer = self.viewer("agent.call:capability:decide")
        self.call(viewer, capability="decide", message=1)
        self.boss.vanish()
        error = self.outcome(viewer)["error"]
        self.assertEqual(error["code"], -32008)
        self.assertNotIn("boss", json.dumps(error))

    def test_a_capability_of_one_who_is_seen(self) -> None:
        """A capability is called as a whole as soon as one is seen who serves it, and that one is named."""
        viewer = self.viewer("agent.call", "gateway.explain")
        asked = {"method": "agent.call", "params": {"capability": "decide", "message": 1}}
        self.assertEqual(viewer.request("gateway.explain", asked)["result"]["outcome"], "refused")
        friend = self.gateway.connect("team.friend", capabilities=["decide"])
        explained = viewer.request("gateway.explain", asked)["result"]
        self.assertEqual((explained["outcome"], explained["total"]), ("sent", 1))
        self.assertEqual([one["entity_id"] for one in explained["considered"]], ["team.friend"])
        self.boss.disconnect()
        self.call(viewer, capability="decide", message=1)
        self.answer(friend, error={"code": 7, "message": "no"})
        self.assertEqual(self.outcome(viewer)["error"]["data"]["agent_id"], "team.friend")

    def test_senders_show_themselves(self) -> None:
        """Who writes to somebody is named, whether it is seen or not."""
        viewer = self.viewer()
        self.boss.call("agent.send", agent_id="team.viewer", message=1)
        self.assertEqual(viewer.received("agent.message")[0]["from"], "boss")

    def test_recipients_counted(self) -> None:
        """A publisher is told of as many recipients as it sees, on durable channels as well."""
        for client in (self.boss, self.gateway.connect("team.friend")):
            client.call("channel.subscribe", channel="hall")
        viewer = self.viewer("channel.*")
        published = viewer.call("channel.publish", channel="hall", message=1)
        self.assertEqual(published["recipients"], 1)
        self.assertEqual(len(self.boss.received("channel.message")), 1)
        viewer.call("channel.subscribe", channel="hall", filter={"field": "n", "op": "exists"})
        published = viewer.call("channel.publish", channel="hall", message={"n": 1})
        self.assertEqual(published["recipients"], 2)
        published = viewer.call("channel.publish", channel="hall", message={"n": 1}, exclude_self=True)
        self.assertEqual(published["recipients"], 1)


class WatchTests(Case):
    """Watches of those who don't see everyone."""

    def seen(self, viewer: Client) -> list[Any]:
        """Who joined or changed, diff by diff, since the last look."""
        self.gateway.advance(EVERY)
        diffs = viewer.received("presence.diff")
        del viewer.messages[:]
        return [sorted(entry["entity_id"] for entry in (*diff["joins"], *diff["updates"])) for diff in diffs]

    def test_same_sight_shares_versions(self) -> None:
        """Those who see the same share a watch; others of the same pattern have their own, and their own versions."""
        one, other = self.viewer(), self.viewer(entity_id="team.other")
        wide = self.gateway.connect("wide")
        versions = [client.call("presence.subscribe")["version"] for client in (one, other, wide)]
        self.gateway.connect("stranger")
        self.gateway.advance(EVERY)
        self.assertEqual(len(wide.received("presence.diff")), 1)
        self.assertEqual(one.received("presence.diff") + other.received("presence.diff"), [])
        again = [client.call("presence.subscribe")["version"] for client in (one, other, wide)]
        self.assertEqual([after - before for before, after in zip(versions, again, strict=True)], [0, 0, 1])
        self.assertEqual(len(self.gateway.presence.watches._watches), 1)
        for client in (one, other, wide):
            client.disconnect()
        self.gateway.advance(300)
        self.assertEqual(len(self.gateway.presence.watches._watches), 0)

    def test_refreshed(self) -> None:
        """With another token a session sees by that at once; the next change says that its client must look anew."""
        viewer = self.gateway.connect("team.viewer")
        for channel in ("$agents", "$presence"):
            viewer.call("channel.subscribe", channel=channel)
        version = viewer.call("presence.subscribe")["version"]
        narrow = self.gateway.token("team.viewer", "agent", ["presence.get:team.>"])
        viewer.call("auth.refresh", token=narrow)
        self.gateway.advance(EVERY)
        del viewer.messages[:]
        self.boss.call("presence.update", status="busy")
        self.assertEqual((self.seen(viewer), viewer.received("event")), ([], []))
        self.gateway.connect("team.friend")
        self.gateway.advance(EVERY)
        self.assertNotEqual(viewer.received("presence.diff")[0]["from"], version)
        self.assertEqual([event["type"] for event in viewer.received("event")], ["presence.joined", "agent.online"])
        del viewer.messages[:]
        viewer.call("auth.refresh", token=self.gateway.token("team.viewer"))
        self.boss.call("presence.update", status="away")
        self.assertEqual(len(viewer.received("event")), 2)
        self.assertEqual(self.seen(viewer), [["boss"]])

    def test_resumed(self) -> None:
        """A session that resumes another one is shown whom it sees itself."""
        first = self.gateway.connect("team.viewer")
        secret = first.call("auth.authenticate", token=self.gateway.token("team.viewer"))["resume_token"]
        first.call("presence.subscribe")
        first.vanish()
        viewer = self.viewer()
        resumed = viewer.call("session.resume", resume_token=secret)
        self.assertEqual([entry["entity_id"] for entry in resumed["presence"][">"]["entries"]], ["team.viewer"])

    def test_oneself(self) -> None:
        """One sees oneself, whatever the token names."""
        visitor = self.viewer(entity_id="visitor")
        snapshot = visitor.call("presence.subscribe")
        self.assertEqual([entry["entity_id"] for entry in snapshot["entries"]], ["visitor"])
        self.assertEqual(visitor.call("presence.get", entity_id="visitor")["entity_id"], "visitor")
        visitor.call("presence.update", status="busy")
        self.assertEqual(self.seen(visitor), [["visitor"]])


class OperatorTests(Case):
    """Tokens and dead letters of those who are not seen."""

    def test_receipts_of_another_token(self) -> None:
        """A session that may not know of a recipient is not told of a letter that another one of its entity sent."""
        wide, viewer = self.gateway.connect("team.viewer"), self.viewer()
        sent = wide.call("agent.send", agent_id="boss", message=1, receipts=True)
        self.gateway.advance(1)
        self.assertTrue(wide.received("agent.receipt"))
        self.assertEqual(viewer.received("agent.receipt"), [])
        self.assertEqual(viewer.refusal("agent.getDelivery", message_id=sent["message_id"])["code"], -32006)

    def test_dead_letters_and_tokens_by_a_pattern(self) -> None:
        """A permission with a pattern shows the tokens and the letters that it covers, seen or not."""
        viewer = self.viewer("auth.listTokens:boss", "gateway.getDeadLetters:boss", "auth.revokeToken:boss")
        self.boss.disconnect()
        self.gateway.connect("a").call("agent.send", agent_id="boss", message=1, ttl_seconds=1)
        self.gateway.advance(10)
        self.assertEqual(len(viewer.call("auth.listTokens")["tokens"]), 1)
        self.assertEqual(viewer.call("gateway.getDeadLetters")["total"], 1)
        self.assertEqual(viewer.call("auth.revokeToken", entity_id="boss")["sessions_closed"], 0)


class TaskTests(Case):
    """Those who have to do with a task that one sees."""

    def setUp(self) -> None:
        super().setUp()
        self.creator = self.viewer("task.create", "task.read:team.*")
        self.manager = self.gateway.connect(token=self.gateway.token("other.manager", "user", ["task.manage"]))
        self.worker = self.gateway.connect("other.worker", capabilities=["ack", "t"])
        self.gateway.token("other.asked", "user")
        self.task_id = self.creator.call("task.create", capability="t", message=1)["task_id"]

    def ask(self, to: str | None = None) -> str:
        asked = self.worker.call("agent.ask", call_id=f"{self.task_id}.1", message="red?", to=to)
        return str(asked["question"])

    def events(self, client: Client) -> list[Any]:
        self.gateway.advance(1)
        return [event["data"] for event in client.received("task.event") if event["type"] == "message"]

    def test_questions_and_answers(self) -> None:
        """Neither the agent, nor whom it asks, nor who answers is named to one who does not see them: not as it
        happens, not later, and not in what the task shows.
        """
        position = self.creator.call("task.subscribe", task_id=self.task_id)
        question = self.ask(to="other.*")
        shown = self.creator.call("task.get", task_id=self.task_id)["question"]
        self.assertEqual(shown, {"question": question, "message": "red?"})
        self.manager.call("task.answer", task_id=self.task_id, question=question, message="yes")
        own = self.ask()
        said = [
            {"question": question, "message": "red?"},
            {"answers": question, "message": "yes"},
            {"question": own, "to": "team.viewer", "message": "red?"},
        ]
        self.assertEqual(self.events(self.creator), said)
        again = self.viewer("task.create")
        since = {"offset": position["offset"], "epoch": position["epoch"]}
        self.assertEqual(again.call("task.subscribe", task_id=self.task_id, since=since)["question"], said[2])
        self.assertEqual(self.events(again), said)
        for client in (self.creator, again):
            self.assertNotIn("other.", json.dumps(client.messages))

    def test_those_who_see(self) -> None:
        """Others who follow the same task are told all, and who is asked is told whom the question is for."""
        boss = self.gateway.connect(token=self.gateway.token("boss", permissions=["task.read"]))
        boss.call("task.subscribe", task_id=self.task_id)
        self.creator.call("task.subscribe", task_id=self.task_id)
        asked = self.gateway.connect(token=self.gateway.token("other.asked", "user", ["presence.get:none"]))
        question = self.ask(to="other.*")
        whole = {"question": question, "to": "other.*", "from": "other.worker", "message": "red?"}
        self.assertEqual(self.events(boss), [whole])
        self.assertEqual(self.events(self.creator), [{"question": question, "message": "red?"}])
        shown = asked.call("task.get", task_id=self.task_id)["question"]
        self.assertEqual(shown, {"question": question, "to": "other.*", "message": "red?"})

    def test_lists(self) -> None:
        """A list of somebody's tasks leaves out those of creators that one may not know of."""
        self.gateway.connect("team.w", capabilities=["ack", "u"])
        hidden = self.gateway.connect("other.creator").call("task.create", capability="u", message=1)["task_id"]
        seen = self.gateway.connect("team.creator").call("task.create", capability="u", message=1)["task_id"]
        listed = {
            client: [task["task_id"] for task in client.call("task.list", entity_id="team.w")["tasks"]]
            for client in (
                self.creator,
                self.gateway.connect(token=self.gateway.token("boss2", permissions=["task.read"])),
            )
        }
        self.assertEqual(list(listed.values()), [[seen], [seen, hidden]])
