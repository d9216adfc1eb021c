"""Names that are none, wherever one is asked for: in no channel, entity or capability."""

from __future__ import annotations

from typing import Any, Final

from tests.e2e.inputs.calls import INVALID_PARAMS, NO_STRINGS, Call

LONGEST: Final = "a" * 200
NO_NAMES: Final = (
    "", " ", "a b", "a ", " a", ".", "..", ".a", "a.", "a..b", "../x", "/", "a/b", "\\", "a\x00", "\x00", "\n", "a\n",
    "\x1b[31m",
    "\x7f", "\x85", "\u2028", "caf\u00e9", "cafe\u0301", "\uff41", "\u0430", "\u200b", "\U0001f600", "a" * 201,
    "a." * 100 + "ab",
    "a*", "*a", "a.*b", ">a", "a>", "a.>.b", ">.a", "$", "$$agents", "$AGENTS", "$agents.x", "$JS.API.STREAM.DELETE.x",
    "$SYS.>",
    "a,b", "a;b", "a'b", 'a"b', "a%2eb", "{a}", "<a>", "a@b", "a#b", "a\t", "a?b", "a=b", "a+b", "~a",
)  # fmt: skip
PATTERNS: Final = ("*", ">", "a.*", "a.>")
OWN: Final = ("$agents", "$presence", "$system", "$channels")


def _named(method: str, name: str, **params: Any) -> tuple[Call, ...]:
    return tuple(
        Call(f"{method} of {value!r:.40}", method, {name: value, **params}, INVALID_PARAMS, "admin")
        for value in (*NO_NAMES, *NO_STRINGS)
        if not (value is None and method in ("presence.get", "agent.list", "agent.call"))
    )


NAMES: Final = (
    *_named("channel.subscribe", "channel"),
    *_named("channel.publish", "channel", message=1),
    *_named("channel.history", "channel"),
    *_named("channel.unsubscribe", "channel"),
    *_named("channel.list", "pattern"),
    *_named("agent.send", "agent_id", message=1),
    *_named("agent.call", "agent_id", message=1),
    *_named("agent.list", "capability"),
    *_named("agent.describe", "agent_id"),
    *_named("presence.get", "entity_id"),
    *_named("presence.subscribe", "pattern"),
    *_named("auth.generateToken", "entity_id"),
    *(
        Call(f"publish to {name}", "channel.publish", {"channel": name, "message": 1}, INVALID_PARAMS, "admin")
        for name in (*PATTERNS, *OWN)
    ),
    *(
        Call(f"history of {name}", "channel.history", {"channel": name}, INVALID_PARAMS, "admin")
        for name in (*PATTERNS, *OWN)
    ),
    *(
        Call(f"a message to {name}", "agent.send", {"agent_id": name, "message": 1}, INVALID_PARAMS, "admin")
        for name in (*PATTERNS, *OWN)
    ),
    *(Call(f"a token for {name}", "auth.generateToken", {"entity_id": name}, INVALID_PARAMS, "admin") for name in OWN),
    Call("publish to the longest name", "channel.publish", {"channel": LONGEST, "message": 1}, {"success": True}),
    Call(
        "publish to a name with all that may be",
        "channel.publish",
        {"channel": "A-z_0:9.b", "message": 1},
        {"success": True},
    ),
    Call(
        "publish to what NATS calls an inbox",
        "channel.publish",
        {"channel": "_INBOX.x", "message": 1},
        {"success": True},
    ),
)
