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
NO_STRINGS: Final = (None, 1, 1.5, True, [], ["a"], {}, {"a": "b"})


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

CHANNELS: Final = (
    Call("a filter that is none", "channel.subscribe", {"channel": "a", "filter": {"field": "a"}}, INVALID_PARAMS),
    Call(
        "a filter of an unknown kind",
        "channel.subscribe",
        {"channel": "a", "filter": {"field": "a", "op": "like", "value": 1}},
        INVALID_PARAMS,
    ),
    Call(
        "a filter of very long values",
        "channel.subscribe",
        {"channel": "a", "filter": {"field": "a", "op": "eq", "value": "a" * 9000}},
        INVALID_PARAMS,
    ),
    Call(
        "a filter with a name of a megabyte",
        "channel.subscribe",
        {"channel": "a", "filter": {"a" * MEGABYTE: 1}},
        INVALID_PARAMS,
    ),
    Call("a name of a megabyte", "rpc.ping", {"a" * MEGABYTE: 1}, INVALID_PARAMS),
    Call("a filter as a string", "channel.subscribe", {"channel": "a", "filter": "a = 1"}, INVALID_PARAMS),
    Call(
        "a pattern with a position",
        "channel.subscribe",
        {"channel": "a.*", "since": {"offset": 0, "epoch": "x"}},
        INVALID_PARAMS,
    ),
    *(
        Call(f"since {s!r:.50}", "channel.subscribe", {"channel": "since", "since": s}, INVALID_PARAMS)
        for s in (
            -1,
            "1",
            [],
            {},
            {"offset": 1},
            {"epoch": "x"},
            {"offset": -1, "epoch": "x"},
            {"offset": "1", "epoch": "x"},
            {"offset": 1.5, "epoch": "x"},
            {"offset": None, "epoch": "x"},
            {"offset": 2**53, "epoch": "x"},
            {"offset": 2**70, "epoch": "x"},
            {"offset": 1, "epoch": 1},
            {"offset": 1, "epoch": "x" * 201},
        )
    ),
    Call(
        "since another epoch",
        "channel.subscribe",
        {"channel": "since", "since": {"offset": 0, "epoch": "x"}},
        {"recovered": False},
    ),
    Call(
        "since the future",
        "channel.subscribe",
        {"channel": "since", "since": {"offset": 2**53 - 1, "epoch": "x"}},
        {"recovered": False},
    ),
    *(
        Call(f"history {n!r}", "channel.subscribe", {"channel": "a", "history": n}, INVALID_PARAMS)
        for n in (-1, 1.5, "1", None, 2**70)
    ),
    *(
        Call(f"a limit of {n!r}", "channel.history", {"channel": "a", "limit": n}, INVALID_PARAMS)
        for n in (-1, 1.5, "1", None, 2**70, [])
    ),
    Call("unsubscribe from what is not", "channel.unsubscribe", {"channel": "inputs.never"}, {"success": True}),
    Call("unsubscribe from all", "channel.unsubscribe", {"channel": ">"}, {"success": True}),
    Call("publish nothing", "channel.publish", {"channel": "a"}, INVALID_PARAMS),
    Call("publish null", "channel.publish", {"channel": "a", "message": None}, {"success": True}),
    Call("publish as another", "channel.publish", {"channel": "a", "message": 1, "from": "admin"}, INVALID_PARAMS),
    *(
        Call(
            f"the key {k!r:.30}",
            "channel.publish",
            {"channel": "a", "message": 1, "idempotency_key": k},
            INVALID_PARAMS,
        )
        for k in ("", "a" * 1000, 1, [])
    ),
    Call("publish where one may not", "channel.publish", {"channel": "yours", "message": 1}, FORBIDDEN, "minter"),
    Call("subscribe where one may not", "channel.subscribe", {"channel": "mine.a"}, FORBIDDEN, "minter"),
    Call("subscribe to more than one may", "channel.subscribe", {"channel": ">"}, FORBIDDEN, "nobody"),
    Call("subscribe to the gateway's own", "channel.subscribe", {"channel": "$system"}, FORBIDDEN),
    Call("list without permission", "channel.list", {}, FORBIDDEN, "nobody"),
    Call("history without permission", "channel.history", {"channel": "a"}, FORBIDDEN, "nobody"),
)

AGENTS: Final = (
    Call("a message to nobody", "agent.send", {"agent_id": "inputs.none", "message": 1}, NOT_FOUND),
    Call(
        "a message to one who was never here",
        "agent.send",
        {"agent_id": "inputs.nobody", "message": 1},
        {"status": "queued"},
    ),
    Call(
        "a message from another",
        "agent.send",
        {"agent_id": "inputs.nobody", "message": 1, "from": "admin"},
        INVALID_PARAMS,
    ),
    *(
        Call(
            f"a message for {t!r} seconds",
            "agent.send",
            {"agent_id": "inputs.nobody", "message": 1, "ttl_seconds": t},
            INVALID_PARAMS,
        )
        for t in (0, -1, "1", 1e300, [])
    ),
    *(
        Call(
            f"a reply to {i!r:.30}",
            "agent.send",
            {"agent_id": "inputs.nobody", "message": 1, "in_reply_to": i},
            INVALID_PARAMS,
        )
        for i in ("", 1, [], "a" * 201)
    ),
    Call("a message without permission", "agent.send", {"agent_id": "inputs.agent", "message": 1}, FORBIDDEN, "nobody"),
    Call("a call to nobody", "agent.call", {"agent_id": "inputs.none", "message": 1}, NOT_FOUND),
    Call("a call to everybody", "agent.call", {"message": 1}, INVALID_PARAMS),
    Call("a call to two", "agent.call", {"agent_id": "a", "capability": "b", "message": 1}, INVALID_PARAMS),
    *(
        Call(
            f"a call for {t!r} ms",
            "agent.call",
            {"agent_id": "inputs.nobody", "message": 1, "timeout_ms": t},
            INVALID_PARAMS,
        )
        for t in (0, -1, 1.5, "1", 10**12)
    ),
    Call("a call by no policy", "agent.call", {"agent_id": "a", "message": 1, "policy": "any"}, INVALID_PARAMS),
    Call("cancel what does not run", "agent.cancel", {"request_id": "x"}, NOT_FOUND),
    *(
        Call(f"acknowledge as {s!r}", "agent.ack", {"message_id": "x", "status": s}, INVALID_PARAMS)
        for s in ("", "sent", "queued", 1, None)
    ),
    Call("acknowledge what is not", "agent.ack", {"message_id": "msg_x", "status": "received"}, NOT_FOUND),
    Call("the delivery of what is not", "agent.getDelivery", {"message_id": "msg_x"}, NOT_FOUND),
    Call("progress of what is not", "agent.progress", {"call_id": "x", "data": 1}, {"success": False}),
    Call("resume with a wrong secret", "session.resume", {"resume_token": "x"}, {"resumed": False}),
    *(
        Call(f"resume from {p!r:.40}", "session.resume", {"resume_token": "x", "positions": p}, INVALID_PARAMS)
        for p in ([], "a", {"a": 1}, {"a": {"offset": -1, "epoch": "x"}})
    ),
    Call(
        "resume from what is no name",
        "session.resume",
        {"resume_token": "x", "positions": {"a b": {"offset": 1, "epoch": "x"}}},
        {"resumed": False},
    ),
    Call(
        "presence of another",
        "presence.update",
        {"entity_id": "admin", "status": "busy"},
        INVALID_PARAMS,
        why="there is no such parameter",
    ),
    *(
        Call(f"the status {s!r}", "presence.update", {"status": s}, INVALID_PARAMS)
        for s in ("", "Online", "gone", 1, None, ["busy"])
    ),
    Call(
        "an activity of a megabyte", "presence.update", {"status": "busy", "activity": "a" * MEGABYTE}, INVALID_PARAMS
    ),
    Call(
        "a status message of a megabyte",
        "presence.update",
        {"status": "busy", "status_message": "a" * MEGABYTE},
        INVALID_PARAMS,
    ),
    Call("metadata of a megabyte", "presence.update", {"status": "busy", "metadata": {"a": "a" * MEGABYTE}}, TOO_LARGE),
    Call("presence of nobody", "presence.get", {"entity_id": "inputs.none"}, NOT_FOUND),
    Call("presence of one and of a type", "presence.get", {"entity_id": "a", "entity_type": "agent"}, INVALID_PARAMS),
    Call("a page of one", "presence.get", {"entity_id": "a", "limit": 1}, INVALID_PARAMS),
    *(
        Call(f"pages of {method} by {params!r:.30}", method, params, INVALID_PARAMS, "admin")
        for method in ("presence.get", "presence.subscribe", "agent.list", "auth.listTokens")
        for params in ({"limit": 0}, {"limit": -1}, {"limit": 1.5}, {"limit": "1"}, {"after": 1}, {"after": "a" * 301})
    ),
    Call(
        "explain what sends nothing",
        "gateway.explain",
        {"method": "auth.generateToken", "params": {}},
        INVALID_PARAMS,
        "admin",
    ),
    *(
        Call(f"{n!r} dead letters", "gateway.getDeadLetters", {"limit": n}, INVALID_PARAMS, "admin")
        for n in (0, -1, 1001, "1")
    ),
    Call("figures without permission", "gateway.getStats", {}, FORBIDDEN),
)

CALLS: Final = (*CHANNELS, *AGENTS)
