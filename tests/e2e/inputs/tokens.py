"""Authenticating in odd ways, and minting more than one has."""

from __future__ import annotations

from typing import Any, Final

from tests.e2e.inputs.calls import FORBIDDEN, INVALID_PARAMS, NO_STRINGS, NOT_AUTHENTICATED, NOT_FOUND, Call

AUTHENTICATION: Final = (
    *(
        Call(
            f"the token {token!r:.30}",
            "auth.authenticate",
            {"token": token},
            INVALID_PARAMS,
            "stranger",
            why="judged by type, before it is looked up",
        )
        for token in NO_STRINGS
    ),
    Call("no token", "auth.authenticate", {}, INVALID_PARAMS, "stranger"),
    *(
        Call(
            f"the type {kind!r:.30}",
            "auth.authenticate",
            {"token": "x", "entity_type": kind},
            INVALID_PARAMS,
            "stranger",
        )
        for kind in ("", "admin", "Agent", "agent ", 1, [])
    ),
    *(
        Call(
            f"the entity {name!r:.30}",
            "auth.authenticate",
            {"token": "x", "entity_id": name},
            INVALID_PARAMS,
            "stranger",
        )
        for name in ("", "*", "a b", "\x00", "$agents", 1)
    ),
    *(
        Call(
            f"capabilities {c!r:.30}",
            "auth.authenticate",
            {"token": "x", "capabilities": c},
            INVALID_PARAMS,
            "stranger",
        )
        for c in (
            "a",
            [1],
            ["a b"],
            [""],
            ["*"],
            ["a"] * 101,
            {"a": 1},
            [{}],
            [{"name": "a b"}],
            [{"name": "a", "colour": "red"}],
            [{"name": "a", "description": 1}],
            [{"name": "a", "input_schema": "object"}],
            [{"name": "a", "tags": "text"}],
            [{"name": "a", "examples": {}}],
        )
    ),
    *(
        Call(f"metadata {m!r:.30}", "auth.authenticate", {"token": "x", "metadata": m}, INVALID_PARAMS, "stranger")
        for m in ("a", 1, [1])
    ),
    *(
        Call(f"max_inflight {n!r}", "auth.authenticate", {"token": "x", "max_inflight": n}, INVALID_PARAMS, "stranger")
        for n in (0, -1, 1.5, "1", 10**9)
    ),
    *(
        Call(
            f"{extra} of one's own choice",
            "auth.authenticate",
            {"token": "x", extra: ["*"]},
            INVALID_PARAMS,
            "stranger",
        )
        for extra in ("permissions", "scopes", "session_id", "password", "admin")
    ),
)


def _mint(name: str, answer: int, caller: str = "minter", **params: Any) -> Call:
    return Call(f"mint {name}", "auth.generateToken", {"entity_id": "inputs.minter", **params}, answer, caller)


MINTING: Final = (
    *(
        _mint(f"{p}", FORBIDDEN, permissions=p)
        for p in (
            ["*"],
            ["channel.*"],
            ["channel.publish"],
            ["channel.publish:>"],
            ["channel.publish:other"],
            ["auth.*"],
            ["auth.generateToken:>"],
            ["auth.generateToken:team.>"],
            ["auth.revokeToken"],
            ["gateway.getStats"],
            ["agent.send"],
            ["presence.*", "*"],
            ["channel.subscribe:$system"],
            ["channel.publish:mine.a", "agent.*"],
        )
    ),
    *(
        _mint(f"{p!r}", INVALID_PARAMS, permissions=p)
        for p in (
            "*",
            "presence.*",
            1,
            {"*": True},
            [1],
            [None],
            [["*"]],
            [""],
            ["a"],
            [" *"],
            ["**"],
            ["*.*"],
            ["presence.*\n"],
            ["presence.*:a"],
            ["channel.publish:"],
            ["channel.publish:a b"],
            ["channel.publish\x00"],
            ["nosuch.method"],
            ["nosuch.*"],
            ["presence.update:mine.a"],
            ["presence.get:a b"],
            ["presence.get:*.*.*.*.*"],
            ["a" * 301],
        )
    ),
    *(
        _mint(f"for {e}", FORBIDDEN, entity_id=e)
        for e in ("admin", "inputs.agent", "inputs.*", ">", "*", "team", "team.>", "team.a.b", "inputs.minter.x")
    ),
    *(_mint(f"of the type {t!r}", INVALID_PARAMS, entity_type=t) for t in ("admin", "", "SYSTEM", 1, None)),
    _mint("two hundred permissions and one", INVALID_PARAMS, permissions=["presence.*"] * 201),
    _mint("of the type system", FORBIDDEN, entity_type="system"),
    *(
        _mint(f"for {h!r} hours", INVALID_PARAMS, expires_in_hours=h)
        for h in (0, -1, -0.0, 87_601, 1e300, "24", None, [], True)
    ),
    *(
        _mint(f"renewable for {h!r} hours", INVALID_PARAMS, renewable_for_hours=h)
        for h in (-1, 87_601, 1e300, "24", [], True)
    ),
    *(
        Call(f"renew for {h!r} hours", "auth.renew", {"expires_in_hours": h}, INVALID_PARAMS, "agent")
        for h in (0, -1, 87_601, "24", [])
    ),
    Call("renew to more than one has", "auth.renew", {"permissions": ["*"]}, FORBIDDEN, "agent"),
    Call("renew somebody else's", "auth.renew", {"token_id": "tok_0000000000000000"}, INVALID_PARAMS, "agent"),
    Call("renew as another", "auth.renew", {"entity_id": "admin"}, INVALID_PARAMS, "agent"),
    Call("renew as nobody", "auth.renew", {}, NOT_AUTHENTICATED, "stranger"),
    *(
        _mint(f"with {extra}", INVALID_PARAMS, **{extra: "x"})
        for extra in ("token", "token_id", "issued_by", "secret", "expires_at", "renew_until")
    ),
    _mint("without the permission", FORBIDDEN, caller="agent"),
    _mint("without the permission, nonsense", FORBIDDEN, caller="agent", permissions=7),
    _mint("as nobody", NOT_AUTHENTICATED, caller="stranger"),
    Call(
        "mint no more than one has",
        "auth.generateToken",
        {"entity_id": "inputs.minter"},
        {"permissions": ["presence.*", "channel.publish:mine.>"]},
        "minter",
    ),
    Call(
        "mint nothing",
        "auth.generateToken",
        {"entity_id": "inputs.minter", "permissions": []},
        {"permissions": []},
        "minter",
    ),
    Call(
        "mint one thing twice",
        "auth.generateToken",
        {"entity_id": "team.a", "permissions": ["presence.*", "presence.*"]},
        {"permissions": ["presence.*"]},
        "minter",
    ),
    _mint("for what is named as a capability is", INVALID_PARAMS, entity_id="capability:a"),
    *(
        Call(f"tokens after {a!r}", "auth.listTokens", {"after": a}, INVALID_PARAMS, "admin")
        for a in ("x", "-1_a", "²_a")
    ),
    Call("tokens expired perhaps", "auth.listTokens", {"expired": 1}, INVALID_PARAMS, "admin"),
    Call("revoke nothing", "auth.revokeToken", {}, INVALID_PARAMS, "admin"),
    Call("revoke two things", "auth.revokeToken", {"token_id": "a", "entity_id": "b"}, INVALID_PARAMS, "admin"),
    Call("revoke what is not", "auth.revokeToken", {"token_id": "tok_0000000000000000"}, NOT_FOUND, "admin"),
    Call("revoke a pattern that nobody has", "auth.revokeToken", {"entity_id": ">"}, NOT_FOUND, "admin"),
)


def _invite(title: str, expected: Any, caller: str = "minter", **params: Any) -> Call:
    return Call(f"invite {title}", "auth.createInvite", {"entity_id": "inputs.minter"} | params, expected, caller)


INVITING: Final = (
    *(
        _invite(f"for {s!r} seconds", INVALID_PARAMS, expires_in_seconds=s)
        for s in (0, -1, 604_801, 1e300, "600", None, [], True)
    ),
    *(_invite(f"for {e}", FORBIDDEN, entity_id=e) for e in ("admin", "inputs.*", ">", "team.a.b")),
    *(_invite(f"for {e!r}", INVALID_PARAMS, entity_id=e) for e in ("", "a b", "$agents", 1, None)),
    *(
        _invite(f"to {p!r:.30}", INVALID_PARAMS, permissions=p)
        for p in ("*", [1], [""], ["nosuch.method"], ["a" * 301])
    ),
    _invite("to two hundred permissions and one", INVALID_PARAMS, permissions=["presence.*"] * 201),
    _invite("to more than one has", FORBIDDEN, permissions=["*"]),
    _invite("as one of the type system", FORBIDDEN, entity_type="system"),
    *(_invite(f"with {extra}", INVALID_PARAMS, **{extra: "x"}) for extra in ("invite", "link", "secret", "expires_at")),
    _invite("without the permission", FORBIDDEN, caller="agent"),
    _invite("as nobody", NOT_AUTHENTICATED, caller="stranger"),
    *(
        Call(f"redeem {invite!r:.30}", "auth.redeem", {"invite": invite}, INVALID_PARAMS, "stranger")
        for invite in NO_STRINGS
    ),
    Call("redeem nothing", "auth.redeem", {}, INVALID_PARAMS, "stranger"),
    Call("revoke no invite", "auth.revokeInvite", {}, INVALID_PARAMS, "admin"),
    Call(
        "revoke an invite twice over",
        "auth.revokeInvite",
        {"invite_id": "a", "entity_id": "b"},
        INVALID_PARAMS,
        "admin",
    ),
    Call("revoke an invite that is not", "auth.revokeInvite", {"invite_id": "inv_0000"}, NOT_FOUND, "admin"),
    *(
        Call(f"invites after {a!r}", "auth.listInvites", {"after": a}, INVALID_PARAMS, "admin")
        for a in ("x", "-1_a", "²_a")
    ),
)

TOKENS: Final = (*AUTHENTICATION, *MINTING, *INVITING)
