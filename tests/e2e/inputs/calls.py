"""Calls that are well-formed and must not, or can't, be done; and odd ones that are done."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

INVALID_PARAMS, NOT_AUTHENTICATED, FORBIDDEN, TOO_LARGE, NOT_FOUND, CONFLICT = (
    -32602,
    -32001,
    -32002,
    -32005,
    -32006,
    -32007,
)
MEGABYTE: Final = 1 << 20
LONGEST: Final = "a" * 200


class Call(NamedTuple):
    """A call on a connection of its own, and its error's number, or what its result must hold.

    @ivar caller: one of L{CALLERS}.
    @ivar unsaid: what the answer must not hold.
    """

    name: str
    method: str
    params: dict[str, Any]
    answer: int | dict[str, Any]
    caller: str = "agent"
    unsaid: str = "\ufffd"
    why: str = ""


CALLERS: Final[dict[str, dict[str, Any] | None]] = {
    "stranger": None,
    "agent": {"entity_id": "inputs.agent"},
    "nobody": {"entity_id": "inputs.nobody", "permissions": []},
    "minter": {
        "entity_id": "inputs.minter",
        "permissions": ["auth.generateToken", "auth.generateToken:team.*", "channel.publish:mine.>", "presence.*"],
        "expires_in_hours": 1,
    },
    "admin": {"entity_id": "inputs.admin", "entity_type": "system", "permissions": ["*"]},
}
"""The tokens of those who call; None has none."""

# Nobody's name: in no channel, entity or capability.
NO_NAMES: Final = (
    "", " ", "a b", "a ", " a", ".", "..", ".a", "a.", "a..b", "../x", "/", "a/b", "\\", "a\x00", "\x00", "\n", "a\n", "\x1b[31m",
    "\x7f", "\x85", "\u2028", "caf\u00e9", "cafe\u0301", "\uff41", "\u0430", "\u200b", "\U0001f600", "a" * 201, "a." * 100 + "ab",
    "a*", "*a", "a.*b", ">a", "a>", "a.>.b", ">.a", "$", "$$agents", "$AGENTS", "$agents.x", "$JS.API.STREAM.DELETE.x", "$SYS.>",
    "a,b", "a;b", "a'b", 'a"b', "a%2eb", "{a}", "<a>", "a@b", "a#b", "a\t", "a?b", "a=b", "a+b", "~a",
)  # fmt: skip
NO_STRINGS: Final = (None, 1, 1.5, True, [], ["a"], {}, {"a": "b"})
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
    *_named("presence.get", "entity_id"),
    *_named("presence.subscribe", "pattern"),
    *_named("auth.generateToken", "entity_id"),
    *(Call(f"publish to {name}", "channel.publish", {"channel": name, "message": 1}, INVALID_PARAMS, "admin") for name in (*PATTERNS, *OWN)),
    *(Call(f"history of {name}", "channel.history", {"channel": name}, INVALID_PARAMS, "admin") for name in (*PATTERNS, *OWN)),
    *(Call(f"a message to {name}", "agent.send", {"agent_id": name, "message": 1}, INVALID_PARAMS, "admin") for name in (*PATTERNS, *OWN)),
    *(Call(f"a token for {name}", "auth.generateToken", {"entity_id": name}, INVALID_PARAMS, "admin") for name in OWN),
    Call("publish to the longest name", "channel.publish", {"channel": LONGEST, "message": 1}, {"success": True}),
    Call("publish to a name with all that may be", "channel.publish", {"channel": "A-z_0:9.b", "message": 1}, {"success": True}),
    Call("publish to what NATS calls an inbox", "channel.publish", {"channel": "_INBOX.x", "message": 1}, {"success": True}),
)  # fmt: skip

AUTHENTICATION: Final = (
    *(Call(f"the token {token!r:.30}", "auth.authenticate", {"token": token}, INVALID_PARAMS, "stranger", why="judged by type, before it is looked up") for token in NO_STRINGS),
    Call("no token", "auth.authenticate", {}, INVALID_PARAMS, "stranger"),
    *(Call(f"the type {kind!r:.30}", "auth.authenticate", {"token": "x", "entity_type": kind}, INVALID_PARAMS, "stranger") for kind in ("", "admin", "Agent", "agent ", 1, [])),
    *(Call(f"the entity {name!r:.30}", "auth.authenticate", {"token": "x", "entity_id": name}, INVALID_PARAMS, "stranger") for name in ("", "*", "a b", "\x00", "$agents", 1)),
    *(Call(f"capabilities {c!r:.30}", "auth.authenticate", {"token": "x", "capabilities": c}, INVALID_PARAMS, "stranger") for c in ("a", [1], ["a b"], [""], ["*"], ["a"] * 101, {"a": 1})),
    *(Call(f"metadata {m!r:.30}", "auth.authenticate", {"token": "x", "metadata": m}, INVALID_PARAMS, "stranger") for m in ("a", 1, [1])),
    *(Call(f"max_inflight {n!r}", "auth.authenticate", {"token": "x", "max_inflight": n}, INVALID_PARAMS, "stranger") for n in (0, -1, 1.5, "1", 10**9)),
    *(Call(f"{extra} of one's own choice", "auth.authenticate", {"token": "x", extra: ["*"]}, INVALID_PARAMS, "stranger") for extra in ("permissions", "scopes", "session_id", "password", "admin")),
)  # fmt: skip


def _mint(name: str, answer: int, caller: str = "minter", **params: Any) -> Call:
    return Call(f"mint {name}", "auth.generateToken", {"entity_id": "inputs.minter", **params}, answer, caller)


MINTING: Final = (
    *(_mint(f"{p}", FORBIDDEN, permissions=p) for p in (
        ["*"], ["channel.*"], ["channel.publish"], ["channel.publish:>"], ["channel.publish:other"], ["auth.*"],
        ["auth.generateToken:>"], ["auth.generateToken:team.>"], ["auth.revokeToken"], ["gateway.getStats"], ["agent.send"],
        ["presence.*", "*"], ["channel.subscribe:$system"], ["nosuch.method"], ["nosuch.*"], ["channel.publish:mine.a", "agent.*"],
    )),
    *(_mint(f"{p!r}", INVALID_PARAMS, permissions=p) for p in (
        "*", "presence.*", 1, {"*": True}, [1], [None], [["*"]], [""], ["a"], [" *"], ["**"], ["*.*"], ["presence.*\n"], ["presence.*:a"],
        ["channel.publish:"], ["channel.publish:a b"], ["channel.publish\x00"], ["a" * 301],
    )),
    *(_mint(f"for {e}", FORBIDDEN, entity_id=e) for e in ("admin", "inputs.agent", "inputs.*", ">", "*", "team", "team.>", "team.a.b", "inputs.minter.x")),
    *(_mint(f"of the type {t!r}", INVALID_PARAMS, entity_type=t) for t in ("admin", "", "SYSTEM", 1, None)),
    _mint("of the type system", FORBIDDEN, entity_type="system"),
    *(_mint(f"for {h!r} hours", INVALID_PARAMS, expires_in_hours=h) for h in (0, -1, -0.0, 87_601, 1e300, "24", None, [], True)),
    *(_mint(f"with {extra}", INVALID_PARAMS, **{extra: "x"}) for extra in ("token", "token_id", "issued_by", "secret", "expires_at")),
    _mint("without the permission", FORBIDDEN, caller="agent"),
    _mint("without the permission, nonsense", FORBIDDEN, caller="agent", permissions=7),
    _mint("as nobody", NOT_AUTHENTICATED, caller="stranger"),
    Call("mint no more than one has", "auth.generateToken", {"entity_id": "inputs.minter"}, {"permissions": ["presence.*", "channel.publish:mine.>"]}, "minter"),
    Call("mint nothing", "auth.generateToken", {"entity_id": "inputs.minter", "permissions": []}, {"permissions": []}, "minter"),
    Call("mint one thing twice", "auth.generateToken", {"entity_id": "team.a", "permissions": ["presence.*", "presence.*"]}, {"permissions": ["presence.*"]}, "minter"),
    Call("revoke nothing", "auth.revokeToken", {}, INVALID_PARAMS, "admin"),
    Call("revoke two things", "auth.revokeToken", {"token_id": "a", "entity_id": "b"}, INVALID_PARAMS, "admin"),
    Call("revoke what is not", "auth.revokeToken", {"token_id": "tok_0000000000000000"}, NOT_FOUND, "admin"),
    Call("revoke a pattern that nobody has", "auth.revokeToken", {"entity_id": ">"}, NOT_FOUND, "admin"),
)  # fmt: skip

CHANNELS: Final = (
    Call("a filter that is none", "channel.subscribe", {"channel": "a", "filter": {"field": "a"}}, INVALID_PARAMS),
    Call("a filter of an unknown kind", "channel.subscribe", {"channel": "a", "filter": {"field": "a", "op": "like", "value": 1}}, INVALID_PARAMS),
    Call("a filter as a string", "channel.subscribe", {"channel": "a", "filter": "a = 1"}, INVALID_PARAMS),
    Call("a pattern with a position", "channel.subscribe", {"channel": "a.*", "since": {"offset": 0, "epoch": "x"}}, INVALID_PARAMS),
    *(Call(f"since {s!r:.50}", "channel.subscribe", {"channel": "since", "since": s}, INVALID_PARAMS) for s in (
        -1, "1", [], {}, {"offset": 1}, {"epoch": "x"}, {"offset": -1, "epoch": "x"}, {"offset": "1", "epoch": "x"}, {"offset": 1.5, "epoch": "x"},
        {"offset": None, "epoch": "x"}, {"offset": 2**53, "epoch": "x"}, {"offset": 2**70, "epoch": "x"}, {"offset": 1, "epoch": 1}, {"offset": 1, "epoch": "x" * 201},
    )),
    Call("since another epoch", "channel.subscribe", {"channel": "since", "since": {"offset": 0, "epoch": "x"}}, {"recovered": False}),
    Call("since the future", "channel.subscribe", {"channel": "since", "since": {"offset": 2**53 - 1, "epoch": "x"}}, {"recovered": False}),
    *(Call(f"history {n!r}", "channel.subscribe", {"channel": "a", "history": n}, INVALID_PARAMS) for n in (-1, 1.5, "1", None, 2**70)),
    *(Call(f"a limit of {n!r}", "channel.history", {"channel": "a", "limit": n}, INVALID_PARAMS) for n in (-1, 1.5, "1", None, 2**70, [])),
    Call("unsubscribe from what is not", "channel.unsubscribe", {"channel": "inputs.never"}, {"success": True}),
    Call("unsubscribe from all", "channel.unsubscribe", {"channel": ">"}, {"success": True}),
    Call("publish nothing", "channel.publish", {"channel": "a"}, INVALID_PARAMS),
    Call("publish null", "channel.publish", {"channel": "a", "message": None}, {"success": True}),
    Call("publish as another", "channel.publish", {"channel": "a", "message": 1, "from": "admin"}, INVALID_PARAMS),
    *(Call(f"the key {k!r:.30}", "channel.publish", {"channel": "a", "message": 1, "idempotency_key": k}, INVALID_PARAMS) for k in ("", "a" * 1000, 1, [])),
    Call("publish where one may not", "channel.publish", {"channel": "yours", "message": 1}, FORBIDDEN, "minter"),
    Call("subscribe where one may not", "channel.subscribe", {"channel": "mine.a"}, FORBIDDEN, "minter"),
    Call("subscribe to more than one may", "channel.subscribe", {"channel": ">"}, FORBIDDEN, "nobody"),
    Call("subscribe to the gateway's own", "channel.subscribe", {"channel": "$system"}, FORBIDDEN),
    Call("list without permission", "channel.list", {}, FORBIDDEN, "nobody"),
    Call("history without permission", "channel.history", {"channel": "a"}, FORBIDDEN, "nobody"),
)  # fmt: skip

AGENTS: Final = (
    Call("a message to nobody", "agent.send", {"agent_id": "inputs.none", "message": 1}, NOT_FOUND),
    Call("a message to one who was never here", "agent.send", {"agent_id": "inputs.nobody", "message": 1}, {"status": "queued"}),
    Call("a message from another", "agent.send", {"agent_id": "inputs.nobody", "message": 1, "from": "admin"}, INVALID_PARAMS),
    *(Call(f"a message for {t!r} seconds", "agent.send", {"agent_id": "inputs.nobody", "message": 1, "ttl_seconds": t}, INVALID_PARAMS) for t in (0, -1, "1", 1e300, [])),
    *(Call(f"a reply to {i!r:.30}", "agent.send", {"agent_id": "inputs.nobody", "message": 1, "in_reply_to": i}, INVALID_PARAMS) for i in ("", 1, [], "a" * 201)),
    Call("a message without permission", "agent.send", {"agent_id": "inputs.agent", "message": 1}, FORBIDDEN, "nobody"),
    Call("a call to nobody", "agent.call", {"agent_id": "inputs.none", "message": 1}, NOT_FOUND),
    Call("a call to everybody", "agent.call", {"message": 1}, INVALID_PARAMS),
    Call("a call to two", "agent.call", {"agent_id": "a", "capability": "b", "message": 1}, INVALID_PARAMS),
    *(Call(f"a call for {t!r} ms", "agent.call", {"agent_id": "inputs.nobody", "message": 1, "timeout_ms": t}, INVALID_PARAMS) for t in (0, -1, 1.5, "1", 10**12)),
    Call("a call by no policy", "agent.call", {"agent_id": "a", "message": 1, "policy": "any"}, INVALID_PARAMS),
    Call("cancel what does not run", "agent.cancel", {"request_id": "x"}, NOT_FOUND),
    *(Call(f"acknowledge as {s!r}", "agent.ack", {"message_id": "x", "status": s}, INVALID_PARAMS) for s in ("", "sent", "queued", 1, None)),
    Call("acknowledge what is not", "agent.ack", {"message_id": "msg_x", "status": "received"}, NOT_FOUND),
    Call("the delivery of what is not", "agent.getDelivery", {"message_id": "msg_x"}, NOT_FOUND),
    Call("progress of what is not", "agent.progress", {"call_id": "x", "data": 1}, {"success": False}),
    Call("resume with a wrong secret", "session.resume", {"resume_token": "x"}, {"resumed": False}),
    *(Call(f"resume from {p!r:.40}", "session.resume", {"resume_token": "x", "positions": p}, INVALID_PARAMS) for p in ([], "a", {"a": 1}, {"a": {"offset": -1, "epoch": "x"}}, {"a b": {"offset": 1, "epoch": "x"}})),
    Call("presence of another", "presence.update", {"entity_id": "admin", "status": "busy"}, INVALID_PARAMS, why="there is no such parameter"),
    *(Call(f"the status {s!r}", "presence.update", {"status": s}, INVALID_PARAMS) for s in ("", "Online", "gone", 1, None, ["busy"])),
    Call("an activity of a megabyte", "presence.update", {"status": "busy", "activity": "a" * MEGABYTE}, INVALID_PARAMS),
    Call("a status message of a megabyte", "presence.update", {"status": "busy", "status_message": "a" * MEGABYTE}, INVALID_PARAMS),
    Call("metadata of a megabyte", "presence.update", {"status": "busy", "metadata": {"a": "a" * MEGABYTE}}, TOO_LARGE),
    Call("presence of nobody", "presence.get", {"entity_id": "inputs.none"}, NOT_FOUND),
    Call("presence of one and of a type", "presence.get", {"entity_id": "a", "entity_type": "agent"}, INVALID_PARAMS),
    Call("explain what sends nothing", "gateway.explain", {"method": "auth.generateToken", "params": {}}, INVALID_PARAMS, "admin"),
    *(Call(f"{n!r} dead letters", "gateway.getDeadLetters", {"limit": n}, INVALID_PARAMS, "admin") for n in (0, -1, 1001, "1")),
    Call("figures without permission", "gateway.getStats", {}, FORBIDDEN),
)  # fmt: skip

CALLS: Final = (*NAMES, *AUTHENTICATION, *MINTING, *CHANNELS, *AGENTS)
