"""The documented wire, to the letter: every message the documentation shows a client send, and what must come back.

Whoever sends C{CONVERSATION} on one connection, with a token for ``agent_001`` in the place of the printed one, hands
all that came back to L{check_conversation}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from jsonschema import Draft202012Validator

PRINTED_TOKEN: Final = "cell0_abc123_1234567890"
"""The token in the printed examples, and the only thing in them that a client replaces."""

AUTHENTICATE: Final = """\
{
  "jsonrpc": "2.0",
  "method": "auth.authenticate",
  "params": {
    "token": "cell0_abc123_1234567890",
    "entity_id": "agent_001",
    "entity_type": "agent",
    "capabilities": ["chat", "task_execution"]
  },
  "id": "1"
}
"""

UPDATE_PRESENCE: Final = """\
{
  "jsonrpc": "2.0",
  "method": "presence.update",
  "params": {
    "status": "busy",
    "activity": "processing_task"
  },
  "id": "2"
}
"""

SUBSCRIBE: Final = """\
{
  "jsonrpc": "2.0",
  "method": "channel.subscribe",
  "params": {
    "channel": "events"
  },
  "id": "3"
}
"""

PUBLISH: Final = """\
{
  "jsonrpc": "2.0",
  "method": "channel.publish",
  "params": {
    "channel": "events",
    "message": {
      "type": "task_completed",
      "task_id": "task_123"
    }
  },
  "id": "4"
}
"""

CONVERSATION: Final = (AUTHENTICATE, UPDATE_PRESENCE, SUBSCRIBE, PUBLISH)

QUICK_START: Final = """\
const ws = new WebSocket('ws://localhost:18801');

ws.onopen = () => {
  // Authenticate
  ws.send(JSON.stringify({
    jsonrpc: '2.0',
    method: 'auth.authenticate',
    params: {
      token: 'your_token_here',
      entity_id: 'agent_001',
      entity_type: 'agent',
      capabilities: ['chat', 'task_execution']
    },
    id: '1'
  }));
};

ws.onmessage = (event) => {
  const message = JSON.parse(event.data);
  console.log('Received:', message);
};
"""
"""The first lines of JavaScript that a user copies; C{your_token_here} and the address are theirs to replace."""


class DocumentedMethod(NamedTuple):
    """A row of the tables of methods, with params that are right for it when an admin calls."""

    name: str
    auth_required: bool
    params: dict[str, Any]


METHODS: Final = (
    DocumentedMethod("rpc.ping", False, {}),
    DocumentedMethod("rpc.echo", False, {"message": "hello"}),
    DocumentedMethod("rpc.listMethods", False, {}),
    DocumentedMethod("rpc.getServerInfo", False, {}),
    DocumentedMethod("auth.authenticate", False, {"token": PRINTED_TOKEN}),
    DocumentedMethod("auth.generateToken", True, {"entity_id": "agent_002"}),
    DocumentedMethod("session.getInfo", True, {}),
    DocumentedMethod("presence.update", True, {"status": "busy"}),
    DocumentedMethod("presence.get", False, {}),
    DocumentedMethod("channel.subscribe", True, {"channel": "events"}),
    DocumentedMethod("channel.unsubscribe", True, {"channel": "events"}),
    DocumentedMethod("channel.publish", True, {"channel": "events", "message": {"type": "task_completed"}}),
    DocumentedMethod("agent.send", True, {"agent_id": "admin", "message": "hello"}),
    DocumentedMethod("agent.list", False, {}),
    DocumentedMethod("gateway.getStats", True, {}),
)

TEXT: Final = {"type": "string", "minLength": 1}
TRUE: Final = {"const": True}
COUNT: Final = {"type": "integer", "minimum": 0}
TEXTS: Final = {"type": "array", "items": TEXT}
TIMESTAMP: Final = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
POSITION: Final = {"type": "object", "required": ["offset", "epoch"]}
SECONDS: Final = {"type": "number", "exclusiveMinimum": 0}


def exactly(optional: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """The schema of an object with these members and no others.

    @param optional: members that it may have beside those.
    """
    return {
        "type": "object",
        "properties": members | (optional or {}),
        "required": list(members),
        "additionalProperties": False,
    }


RESULTS: Final = {
    "1": exactly(
        success=TRUE,
        session_id={"type": "string", "pattern": "^sess_"},
        entity_id={"const": "agent_001"},
        entity_type={"const": "agent"},
        permissions=TEXTS,
        expires_at=TIMESTAMP,
        optional={"renew_until": TIMESTAMP, "resume_token": TEXT},
    ),
    "2": exactly(success=TRUE),
    "3": exactly(success=TRUE, channel={"const": "events"}, offset=COUNT, epoch=TEXT, optional={"position": POSITION}),
    "4": exactly(success=TRUE, recipients={"const": 1}, offset={"const": 1}, epoch=TEXT),
}
"""What the result of the example with that id looks like."""

NOTIFICATIONS: Final = {
    "connection.welcome": exactly(
        connection_id={"type": "string", "pattern": "^conn_"},
        server_version={"const": "cell0-1.0.0"},
        # The documented ones, in their order; what came later stands behind them.
        capabilities={
            "type": "array",
            "prefixItems": [{"const": name} for name in ("jsonrpc_2.0", "event_streaming", "presence")],
            "minItems": 3,
            "items": TEXT,
            "uniqueItems": True,
        },
        timestamp=TIMESTAMP,
        protocol={"const": 1},
        limits={"type": "object", "additionalProperties": COUNT},
        heartbeat_interval=SECONDS,
        heartbeat_timeout=SECONDS,
    ),
    "heartbeat": exactly(timestamp=TIMESTAMP),
    "channel.message": exactly(
        channel={"const": "events"},
        message={"const": {"type": "task_completed", "task_id": "task_123"}},
        timestamp=TIMESTAMP,
        offset={"const": 1},
        epoch=TEXT,
        **{"from": {"const": "agent_001"}},
    ),
}
"""What the params of the notifications look like that come during the conversation."""


def with_token(example: str, token: str) -> str:
    """The example as a client sends it."""
    return example.replace(PRINTED_TOKEN, token)


def complete(messages: Iterable[dict[str, Any]]) -> bool:
    """Whether all that the conversation brings has come: every answer, and one of each notification."""
    came = [message.get("id", message.get("method")) for message in messages]
    return {*RESULTS, *NOTIFICATIONS} <= set(came)


def check_conversation(messages: list[dict[str, Any]]) -> None:
    """Hold all that came back against the documentation.

    @param messages: what the client received on its connection, in order, heartbeats included.
    @raise AssertionError: it is not what is documented.
    """
    assert messages[0].get("method") == "connection.welcome", "the welcome comes first"
    for message in messages:
        check_message(message)
    answered = [message["id"] for message in messages if "id" in message]
    assert answered == list(RESULTS), f"every request is answered once, in order; not {answered}"
    methods = [message["method"] for message in messages if "method" in message]
    assert methods.count("connection.welcome") == methods.count("channel.message") == 1
    assert methods.count("heartbeat") >= 1


def check_message(message: dict[str, Any]) -> None:
    """Hold one message of the gateway's against the documentation.

    @raise AssertionError: it is not what is documented.
    """
    if "id" in message:
        schema = exactly(jsonrpc={"const": "2.0"}, id={"const": message["id"]}, result=RESULTS[message["id"]])
    else:
        name = message.get("method", "")
        assert name in NOTIFICATIONS, f"nothing like this is documented: {json.dumps(message)}"
        schema = exactly(jsonrpc={"const": "2.0"}, method={"const": name}, params=NOTIFICATIONS[name])
    problems = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(message)]
    assert not problems, f"{json.dumps(message)}\n" + "\n".join(problems)
