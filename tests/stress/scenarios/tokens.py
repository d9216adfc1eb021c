"""Who one is, what one may, and when that ends."""

from __future__ import annotations

import asyncio

from tests.stress.checks import contiguous, equal, within
from tests.stress.stage import Stage, scenario, together


@scenario()
async def token_escalation(stage: Stage) -> None:
    """No token makes more of itself than it is: not another id, type or permission, and no longer life."""
    minting = ["auth.generateToken", "auth.refresh", "session.*", f"channel.publish:{stage.channel('ok')}"]
    narrow = await stage.mint("a", permissions=minting, expires_in_hours=1)
    client = await stage.honest("a", narrow)
    other = await stage.mint("b")
    attempts = [
        ("auth.generateToken", {"entity_id": stage.entity("b")}, -32002),
        ("auth.generateToken", {"entity_id": "admin"}, -32002),
        ("auth.generateToken", {"entity_id": ">"}, -32002),
        ("auth.generateToken", {"entity_id": stage.entity("a"), "entity_type": "system"}, -32002),
        ("auth.generateToken", {"entity_id": stage.entity("a"), "permissions": ["*"]}, -32002),
        ("auth.generateToken", {"entity_id": stage.entity("a"), "permissions": ["channel.publish"]}, -32002),
        ("auth.generateToken", {"entity_id": stage.entity("a"), "permissions": ["gateway.*"]}, -32002),
        ("auth.generateToken", {"entity_id": stage.entity("a"), "expires_in_hours": 0}, -32602),
        ("auth.generateToken", {"entity_id": stage.entity("a"), "expires_in_hours": 1e9}, -32602),
        ("auth.renew", {}, -32002),
        ("auth.renew", {"permissions": ["*"], "expires_in_hours": 100}, -32002),
        ("auth.revokeToken", {"entity_id": "admin"}, -32002),
        ("auth.listTokens", {}, -32002),
        ("gateway.getStats", {}, -32002),
        ("channel.publish", {"channel": stage.channel("no"), "message": 1}, -32002),
        ("channel.subscribe", {"channel": stage.channel("ok")}, -32002),
        ("auth.authenticate", {"token": other}, -32002),
        ("auth.authenticate", {"token": narrow, "entity_id": stage.entity("b")}, -32002),
        ("auth.authenticate", {"token": narrow, "entity_type": "user"}, -32002),
        ("auth.refresh", {"token": other}, -32002),
    ]
    for method, params, expected in attempts:
        refused = await client.refusal(method, **params)
        equal(refused.number, expected, f"{method} {params}")
    minted = await client.call("auth.generateToken", entity_id=stage.entity("a"), expires_in_hours=100)
    within(minted["expires_in_hours"], 0.9, 1, "hours that a token of a token of an hour has")
    info = await client.call("session.getInfo")
    equal((info["entity_id"], info["permissions"]), (stage.entity("a"), minting), "what the session is after all that")
    everyone = await stage.honest("c")
    refused = await everyone.refusal("channel.subscribe", channel="$system")
    equal(refused.number, -32002, "the gateway's own channel")


@scenario()
async def revoke_while_subscribed(stage: Stage) -> None:
    """Within a second of its revocation a token, and what it minted, hears nothing more; others go on."""
    channel = stage.channel("long")
    parent = await stage.mint(permissions=["auth.generateToken", "auth.generateToken:>", "channel.*", "session.*"])
    minter = await stage.honest("minter", parent)
    child = (await minter.call("auth.generateToken", entity_id=stage.entity(">"), permissions=["channel.*"]))["token"]
    doomed = [minter, *[await stage.honest(token=token) for token in (parent, child) for _ in range(10)]]
    spared = [await stage.honest() for _ in range(3)]
    for client in (*doomed, *spared):
        await client.call("channel.subscribe", channel=channel)
    publisher = await stage.honest()
    count, revoked_at = 0, 0.0
    loop = asyncio.get_running_loop()

    async def publish() -> None:
        nonlocal count
        while True:
            await publisher.call("channel.publish", channel=channel, message={"count": count})
            count += 1

    publishing = asyncio.create_task(publish())
    await asyncio.sleep(0.3)
    listed = (await stage.admin.call("auth.listTokens"))["tokens"]
    ids = [entry["token_id"] for entry in listed if entry["entity_id"] == stage.entity(">") and not entry["revoked"]]
    parents = [
        entry["token_id"]
        for entry in listed
        if entry["token_id"] in ids and "auth.generateToken:>" in entry["permissions"]
    ]
    revoked_at = loop.time()
    answer = await stage.admin.call("auth.revokeToken", token_id=parents[0])
    at_answer = count
    equal(answer["sessions_closed"], 21, "sessions that were closed")
    async with asyncio.timeout(5):
        await together(client.lost for client in doomed)
    within(loop.time() - revoked_at, 0, 1, "how many seconds until all were gone")
    equal({client.close_code for client in doomed}, {4507}, "their close codes")
    await asyncio.sleep(0.3)
    publishing.cancel()
    for client in doomed:
        within(client.inbox.offsets[-1], 1, at_answer + 2, "the last message that one of them got")
    newest = (await spared[0].call("channel.history", channel=channel, limit=1))["newest"]
    for client in spared:
        await client.inbox.wait("channel.message", newest)
        contiguous(client.inbox.offsets, 1, newest, "what the others got")
    for token in (parent, child):
        stranger = await stage.open(address=stage.neighbour(7))
        answer = await stranger.ask("auth.authenticate", token=token, entity_id=stage.entity("x"))
        equal(answer["error"]["code"], -32001, "a revoked token")


@scenario(waits=True)
async def token_expiry(stage: Stage) -> None:
    """Sessions end with their token, with 4507; who has taken another one in time goes on."""
    short = await stage.mint(expires_in_hours=3 / 3600)
    ending = [await stage.honest(token=short) for _ in range(10)]
    going_on = [await stage.honest(token=short) for _ in range(3)]
    long = await stage.token()
    for client in going_on:
        await client.call("auth.refresh", token=long)
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(10):
        await together(client.lost for client in ending)
    within(asyncio.get_running_loop().time() - began, 1, 5.5, "how many seconds a token of three seconds lasted")
    equal({client.close_code for client in ending}, {4507}, "the close codes")
    for client in ending:
        equal(
            [event["type"] for event in client.inbox.of("event")], ["token.expiring"], "events of who had no other one"
        )
    for client in going_on:
        equal(await client.call("rpc.ping"), "pong", "a ping of who has another token")
    late = await stage.open()
    answer = await late.ask("auth.authenticate", token=short, entity_id=stage.entity("late"))
    equal(answer["error"]["code"], -32001, "an expired token")


@scenario()
async def resume_theft(stage: Stage) -> None:
    """A place opens to its own entity, by its secret, once; others who try leave it as it is."""
    channel = stage.channel("long")
    owner = await stage.honest("owner")
    await owner.call("channel.subscribe", channel=channel)
    secret = owner.session["resume_token"]
    owner.drop()
    await owner.lost
    for who in ("thief", "owner.x", "owne"):
        thief = await stage.honest(who, token=await stage.mint(who))
        answer = await thief.call("session.resume", resume_token=secret, positions={})
        equal((answer["resumed"], answer["channels"]), (False, {}), f"what {who} gets by another's secret")
    publisher = await stage.honest()
    await publisher.call("channel.publish", channel=channel, message="while away")
    again = await stage.honest("owner")
    for wrong in (
        secret[:-1] + ("0" if secret[-1] != "0" else "1"),
        secret.upper(),
        "",
        "resume_",
        again.session["resume_token"],
    ):
        answer = await again.call("session.resume", resume_token=wrong, positions={})
        equal(answer["resumed"], False, f"what {wrong[:12]}… opens")
    answer = await again.call("session.resume", resume_token=secret)
    equal((answer["resumed"], answer["channels"][channel]["recovered"]), (True, True), "what its owner gets by it")
    await again.inbox.wait("channel.message", 1)
    twin = await stage.honest("owner")
    answer = await twin.call("session.resume", resume_token=secret, positions={})
    equal(answer["resumed"], False, "what it opens a second time")
    equal(again.inbox.offsets, [1], "what was missed")


@scenario()
async def resume_race(stage: Stage) -> None:
    """Of ten who use one secret at the same time, exactly one takes the place."""
    channel = stage.channel("long")
    for _ in range(5):
        owner = await stage.honest("owner")
        await owner.call("channel.subscribe", channel=channel)
        secret = owner.session["resume_token"]
        owner.drop()
        await owner.lost
        heirs = [await stage.lean("owner") for _ in range(10)]
        answers = await together(heir.call("session.resume", resume_token=secret) for heir in heirs)
        equal(sorted(answer["resumed"] for answer in answers), [False] * 9 + [True], "who took the place")
        listed = (await stage.admin.call("channel.list", pattern=channel))["channels"]
        equal([one["subscribers"] for one in listed], [1], "who is subscribed then")
        await together(heir.close() for heir in heirs)


@scenario()
async def permissions_of_others(stage: Stage) -> None:
    """Of two hundred calls with a token that allows one channel, exactly those on it are carried out."""
    channels = [stage.channel(name) for name in ("a", "b", "ab", "a.b", "A")]
    token = await stage.mint("pub", permissions=[f"channel.publish:{channels[0]}", "session.*"])
    allowed, forbidden = 0, 0
    for _ in range(6):  # forty errors a connection are borne
        client = await stage.honest("pub", token)
        for _ in range(34):
            channel = stage.chance.choice(channels)
            if channel == channels[0]:
                allowed += 1
                equal(
                    (await client.call("channel.publish", channel=channel, message=1))["offset"], allowed, "its number"
                )
            else:
                forbidden += 1
                refused = await client.refusal("channel.publish", channel=channel, message=1)
                equal(refused.number, -32002, f"a publication to {channel}")
        await client.close()
    listed = (await stage.admin.call("channel.list", pattern=f"{stage.prefix}.>"))["channels"]
    equal([(one["channel"], one["offset"]) for one in listed], [(channels[0], allowed)], "the channels that are there")
    within(forbidden, 100, 204, "calls that were refused")
