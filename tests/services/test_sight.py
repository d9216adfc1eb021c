"""One who may not see an entity learns nothing of it, whatever the gateway is asked, and whatever it tells.

Everything happens in two worlds: in one of them somebody is there whom the viewer may not see, and does what one can
do; the other is the same without. The viewer must not be able to tell them apart.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import Client, MemoryGateway

HIDDEN: Final = "other.secret"

GRANTED: Final = (
    "session.*", "channel.*", "channel.subscribe:$channels", "channel.subscribe:$system", "agent.*", "gateway.*",
    "auth.*", "task.create", "task.read", "task.manage",
)  # fmt: skip
"""What the viewer may do, beside what it may see."""

Params = dict[str, Any]

LETTER: Final = "<letter>"
"""The message of another session of the viewer's, to the hidden one."""

TOKEN: Final = "<token>"
"""The id of the hidden one's token."""

INVITE: Final = "<invite>"
"""The id of an invite for the hidden one."""

TASK: Final = "<task>"
"""A task that the hidden one has created."""

TARGETS: Final[list[Params]] = [
    {"agent_id": HIDDEN}, {"agent_id": "other.secrett"}, {"capability": "secret-work"}, {"capability": "secret-wrok"},
    {"capability": "denied-work"},
]  # fmt: skip
"""Whom work may be for."""

CALLS: Final[dict[str, list[Params]]] = {
    "rpc.ping": [{}],
    "rpc.echo": [{"message": 1}],
    "rpc.listMethods": [{}],
    "rpc.getServerInfo": [{}],
    "rpc.discover": [{}],
    "presence.get": [
        {}, {"entity_id": HIDDEN}, {"entity_type": "agent"}, {"limit": 1}, {"after": "a"}, {"limit": 9, "after": "o"},
    ],
    "presence.update": [{"status": "online"}],
    "presence.subscribe": [{"pattern": HIDDEN}, {"pattern": "other.*"}, {"pattern": "*.*", "limit": 1}],
    "presence.unsubscribe": [{"pattern": "other.*"}],
    "channel.subscribe": [{"channel": "hall"}, {"channel": "$agents", "filter": {"field": "type", "op": "exists"}}],
    "channel.publish": [
        {"channel": "hall", "message": 1},
        {"channel": "hall", "message": 2, "exclude_self": True},
        {"channel": "hall", "message": 3, "idempotency_key": "k"},
        {"channel": "hall", "message": 3, "idempotency_key": "k"},
        {"channel": "kept", "message": 4},
    ],
    "channel.list": [{}, {"pattern": "hall"}],
    "channel.history": [{"channel": "hall"}, {"channel": "kept"}],
    "channel.unsubscribe": [{"channel": "hall"}],
    "agent.list": [{}, {"capability": "secret-work"}, {"capability": "work"}, {"limit": 1}, {"after": "o"}],
    "agent.describe": [{"agent_id": HIDDEN}, {"agent_id": "other.secrett"}],
    "agent.send": [
        {"agent_id": HIDDEN, "message": 1},
        {"agent_id": "other.secrett", "message": 1},
        {"agent_id": "other.asleep", "message": 1, "receipts": True},
        {"agent_id": HIDDEN, "message": 1, "idempotency_key": "k"},
    ],
    "agent.getDelivery": [{"message_id": LETTER}],
    "agent.recall": [{"message_id": LETTER}],
    "agent.ack": [{"message_id": LETTER, "status": "done"}],
    "agent.receive": [{}],
    "agent.release": [{"message_id": LETTER}],
    "agent.call": [
        {"agent_id": HIDDEN, "message": 1, "timeout_ms": 500},
        {"agent_id": "other.secrett", "message": 1},
        {"capability": "secret-work", "message": 1, "timeout_ms": 500},
        {"capability": "secret-wrok", "message": 1},
        {"capability": "former-work", "message": 1},
    ],
    "agent.cancel": [{"request_id": 1}],
    "agent.progress": [{"call_id": "call_1", "data": 1}],
    "agent.ask": [
        {"call_id": "task_1.1", "message": 1},
        {"call_id": "task_1.1", "message": 1, "to": HIDDEN},
        {"call_id": "task_1.1", "message": 1, "to": "other.secrett"},
        {"call_id": "task_1.1", "message": 1, "to": "other.*"},
    ],
    "task.create": [
        {"agent_id": HIDDEN, "message": 1},
        {"agent_id": "other.secrett", "message": 1},
        {"capability": "secret-wrok", "message": 1},
        {"capability": "secret-work", "message": 1, "not_before": "2026-02-12T11:30:00Z"},
    ],
    "task.get": [{"task_id": TASK}],
    "task.list": [
        {"entity_id": HIDDEN}, {"entity_id": "other.secrett"}, {"status": "failed"}, {"entity_id": "team.friend"},
    ],
    "task.cancel": [{"task_id": TASK}],
    "task.answer": [{"task_id": TASK, "question": "none", "message": 1}],
    "task.subscribe": [{"task_id": TASK}],
    "task.unsubscribe": [{"task_id": TASK}],
    "task.receive": [{"capabilities": ["secret-work"]}],
    "task.complete": [{"task_id": TASK, "attempt": 1, "result": 1}],
    "session.getInfo": [{}],
    "session.resume": [{"resume_token": "resume_1"}],
    "gateway.explain": [
        {"method": "agent.send", "params": {"agent_id": HIDDEN, "message": 1}},
        {"method": "agent.send", "params": {"agent_id": "other.secrett", "message": 1}},
        *({"method": "agent.call", "params": {"message": 1} | target} for target in TARGETS),
        *({"method": "task.create", "params": {"message": 1} | target} for target in TARGETS),
        {"method": "task.get", "params": {"task_id": TASK}},
    ],
    "gateway.getStats": [{}],
    "gateway.getHealth": [{}],
    "gateway.getDeadLetters": [{}, {"agent_id": HIDDEN}, {"limit": 1}],
    "gateway.resend": [{"message_id": LETTER}, {"message_id": LETTER, "agent_id": HIDDEN}],
    "gateway.discard": [{"message_id": LETTER}, {"agent_id": HIDDEN}],
    "auth.authenticate": [{"token": "cell0_wrong_1"}],
    "auth.generateToken": [{"entity_id": "team.viewer"}, {"entity_id": HIDDEN}],
    "auth.renew": [{}],
    "auth.refresh": [{"token": "cell0_wrong_1"}],
    "auth.listTokens": [{"entity_id": HIDDEN}, {"entity_id": "other.>"}, {"limit": 2}, {}],
    "auth.createInvite": [{"entity_id": "team.viewer"}, {"entity_id": HIDDEN}],
    "auth.redeem": [{"invite": "invite_wrong"}],
    "auth.listInvites": [{"entity_id": HIDDEN}, {"entity_id": "other.>"}, {"limit": 2}, {}],
    "auth.revokeInvite": [{"entity_id": "other.secrett"}, {"invite_id": INVITE}, {"entity_id": HIDDEN}],
    "auth.revokeToken": [{"entity_id": "other.secrett"}, {"token_id": TOKEN}, {"entity_id": HIDDEN}],
}  # fmt: skip
"""Every method, and how it might be made to tell of somebody."""

TELLING: Final = frozenset(
    {
        "presence.get", "presence.subscribe", "channel.publish", "channel.list", "agent.describe",
        "agent.list", "agent.send",
        "agent.getDelivery", "agent.recall", "agent.call", "agent.ask", "gateway.explain", "gateway.getStats",
        "gateway.getDeadLetters",
        "task.create", "task.get", "task.list", "task.cancel", "task.answer", "task.subscribe",
        "auth.listTokens", "auth.revokeToken", "auth.listInvites", "auth.revokeInvite",
    }
)  # fmt: skip
"""Those that do tell of somebody, to one who sees everyone: there the calls above would show it."""

NOTIFIED: Final = frozenset({"event", "presence.diff", "agent.receipt"})
"""The notifications that tell of others than those who have had them sent."""

OWN: Final[dict[str, str]] = {
    "connection.welcome": "about the connection",
    "heartbeat": "about the gateway",
    "channel.message": "who publishes shows itself to those who read the channel",
    "agent.message": "who sends shows itself to the recipient",
    "agent.invoke": "who calls shows itself to the agent",
    "agent.progress": "about the reader's own call, and names nobody",
    "task.event": "about a task that the reader sees",
    "task.question": "about a task that asks the reader; its agent is named to those who see it",
    "agent.cancelled": "about a call that the reader has, and names nobody",
}
"""The others, and why they tell nothing of somebody who does nothing to the reader."""

EVENTS: Final = frozenset(
    {
        "presence.joined", "presence.changed", "presence.left", "agent.online", "agent.changed", "agent.offline",
        "channel.joined", "channel.left", "token.expiring", "agent.loop", "limit.hit",
    }
)  # fmt: skip
"""The types of events that name entities."""

NUMBERED = re.compile(r"\b(conn|sess|msg|call|task|conv|tok|inv|invite|epoch|resume|cell0)_[\w-]+")
"""Ids, which are counted in all of a world."""


class World:
    """A gateway on which a viewer looks around.

    @param peopled: whether somebody is there whom it may not see.
    @param sight: the permission that says whom it may see.
    @ivar answers: what the viewer was answered, by method.
    """

    def __init__(self, peopled: bool, sight: str) -> None:
        self.peopled = peopled
        self.gateway = MemoryGateway(max_hops=1, max_connections_per_entity=3)
        self.answers: dict[str, list[Any]] = {}
        self.asked = 1000
        self.letter, self.token_id = "msg_none", "tok_0000000000000000"
        self.task_id, self.invite_id = "task_none", "inv_0000000000000000"
        try:
            self.live(sight)
        finally:
            self.gateway.close()

    def live(self, sight: str) -> None:
        gateway = self.gateway
        friend = gateway.connect("team.friend", capabilities=["work", "ack"])
        for channel in ("hall", "kept"):
            friend.call("channel.subscribe", channel=channel)
        token = gateway.token("team.viewer", "agent", [*GRANTED, sight], renewable_for_hours=48)
        self.viewer = gateway.connect(token=token)
        twin = gateway.connect("team.viewer")
        for channel in ("$agents", "$presence", "$channels", "$system"):
            self.viewer.call("channel.subscribe", channel=channel)
        self.viewer.call("presence.subscribe")
        hidden = self.arrive(friend, twin) if self.peopled else None
        gateway.advance(3)
        for method, calls in CALLS.items():
            self.answers[method] = [self.ask(method, self.filled(params)) for params in calls]
        if hidden is not None:
            self.leave(hidden)
        gateway.advance(30)

    def arrive(self, friend: Client, twin: Client) -> Client:
        """The hidden one comes, and does what one can do."""
        gateway = self.gateway
        token = gateway.token(HIDDEN, "agent", [*GRANTED, "agent.serve:secret-work", "agent.serve:work"][:-1])
        hidden = gateway.connect(token=token, capabilities=["secret-work", "work"], metadata={"name": "Secret"})
        former = gateway.connect("other.former", capabilities=["former-work"])
        gateway.connect(token=gateway.token("other.denied", "agent", []), capabilities=["denied-work"])
        former.disconnect()
        self.token_id = hidden.call("auth.listTokens", entity_id=HIDDEN)["tokens"][0]["token_id"]
        self.invite_id = hidden.call("auth.createInvite", entity_id=HIDDEN)["invite_id"]
        self.task_id = hidden.call("task.create", agent_id="other.asleep", message=1)["task_id"]
        done = hidden.call("task.create", agent_id="team.friend", message=1)["task_id"]
        friend.call("task.complete", task_id=done, attempt=1, result=1)
        gateway.token("other.asleep")
        for channel in ("hall", "kept"):
            hidden.call("channel.subscribe", channel=channel)
        hidden.call("channel.unsubscribe", channel="kept")
        hidden.call("presence.update", status="busy", status_message="psst")
        friend.call("agent.send", agent_id="other.asleep", message="late", ttl_seconds=1)
        self.letter = twin.call("agent.send", agent_id=HIDDEN, message="hello", receipts=True)["message_id"]
        gateway.connect(token=gateway.token("other.brief", "agent", None, expires_in_hours=0.01))
        first = hidden.call("agent.send", agent_id=HIDDEN, message=1)["message_id"]
        second = hidden.call("agent.send", agent_id=HIDDEN, message=2, in_reply_to=first)["message_id"]
        hidden.refusal("agent.send", agent_id=HIDDEN, message=3, in_reply_to=second)
        gateway.connect(token=token)
        gateway.connect(token=token)
        gateway.connect().refusal("auth.authenticate", token=token)
        return hidden

    def leave(self, hidden: Client) -> None:
        """It goes."""
        self.gateway.sessions.sweep()
        for client in self.gateway._clients:
            if client.server.session is not None and client.server.session.entity_id == HIDDEN:
                client.disconnect()

    def ask(self, method: str, params: Params) -> Any:
        """What the viewer is answered, within a second."""
        self.asked += 1
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": self.asked}
        self.viewer.send(json.dumps(request))
        self.gateway.advance(1)
        return next(message for message in self.viewer.messages if message.get("id") == self.asked)

    def filled(self, params: Params) -> Params:
        meant = {LETTER: self.letter, TOKEN: self.token_id, TASK: self.task_id, INVITE: self.invite_id}
        return {
            name: self.filled(value) if isinstance(value, dict) else meant.get(str(value), value)
            for name, value in params.items()
        }

    def notifications(self, method: str) -> list[Any]:
        return [message["params"] for message in self.viewer.messages if message.get("method") == method]


def plain(value: Any) -> Any:
    """The same without what is counted in all of a world."""
    return json.loads(NUMBERED.sub(r"\1", json.dumps(value)))


class MatrixTests(SynchronousTestCase):
    """Every method and every notification, in both worlds."""

    def document(self, direction: str) -> set[str]:
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        methods = gateway.connect().call("rpc.discover")["methods"]
        return {method["name"] for method in methods if method["x-direction"] == direction}

    def test_all_are_placed(self) -> None:
        """Every method and every notification of the document has a place above."""
        self.assertEqual(CALLS.keys(), self.document("client-to-server"))
        self.assertEqual(OWN.keys() | NOTIFIED, self.document("server-to-client"))

    def test_narrow_sight_learns_nothing(self) -> None:
        """With the hidden one there, one who may not see it gets the same, to the byte, as without."""
        peopled, empty = World(True, "presence.get:team.>"), World(False, "presence.get:team.>")
        for method, answers in peopled.answers.items():
            for params, one, other in zip(CALLS[method], answers, empty.answers[method], strict=True):
                self.assertEqual(plain(one), plain(other), (method, params))
        for method in OWN.keys() | NOTIFIED:
            one, other = plain(peopled.notifications(method)), plain(empty.notifications(method))
            self.assertEqual(one, other, method)
        self.assertEqual(plain(peopled.viewer.messages), plain(empty.viewer.messages))
        asked = {json.dumps(params) for calls in CALLS.values() for params in calls}
        self.assertTrue(any(HIDDEN in each for each in asked))
        for message in peopled.viewer.messages:
            if "method" in message:
                self.assertNotIn("other.", json.dumps(message))

    def test_wide_sight_learns_it(self) -> None:
        """One who sees everyone is told, by just these methods, notifications and events."""
        peopled, empty = World(True, "presence.get"), World(False, "presence.get")
        told = {method for method, found in peopled.answers.items() if plain(found) != plain(empty.answers[method])}
        self.assertEqual(told, TELLING)
        named = {method for method in OWN.keys() | NOTIFIED if "other." in json.dumps(peopled.notifications(method))}
        self.assertEqual(named, NOTIFIED)
        events = {event["type"] for event in peopled.notifications("event") if "other." in json.dumps(event)}
        self.assertEqual(events, EVENTS)
