"""Those who want too much: too many calls, errors, connections."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from cell0gw.guard.connections import RESERVE
from tests.crash.wire import Lost, Refused
from tests.stress.checks import equal, until, within
from tests.stress.clients import Honest
from tests.stress.raw import TEXT, Ending, Raw, head, request
from tests.stress.stage import Stage, scenario, together
from tests.stress.victim import LIMITS

PINGS = 6000


def outcomes(ending: Ending) -> tuple[int, int]:
    """How many calls were answered, and how many refused for coming too fast."""
    results = [answer for answer in ending.answers if "result" in answer]
    refused = [answer for answer in ending.answers if answer.get("error", {}).get("code") == -32003]
    for answer in refused:
        within(answer["error"]["data"]["retry_after_ms"], 1, 60_000, "when to come back, in milliseconds")
    return len(results), len(refused)


@scenario()
async def error_budget(stage: Stage) -> None:
    """More than fifty errors in ten seconds end a connection with 4509, each one answered, and notifications count."""
    bad = {
        "not JSON": "{",
        "no request": "[]",
        "no method": request("no.method"),
        "forbidden": request("gateway.getStats"),
    }
    for what, text in bad.items():
        client = await stage.member()
        await client.tell(*[text] * 45)
        fine = await client.ask("rpc.ping")
        equal(fine.get("result"), "pong", f"a ping after 45 of {what}")
        await client.tell(*[text] * 30)
        ending = await client.ending(5)
        equal(ending.code, 4509, f"the close code for too many of {what}")
        equal(len(ending.answers), 6, f"answers after 45 of {what}")
    quiet = await stage.member()
    await quiet.tell(*[request("no.method", None)] * 80)
    ending = await quiet.ending(5)
    equal((ending.code, ending.answers), (4509, []), "the close code for too many bad notifications, and answers")
    stranger = await stage.open()
    await stranger.tell(*[request("channel.list")] * 80)
    ending = await stranger.ending(5)
    equal((ending.code, len(ending.answers)), (4509, 51), "the close code for who calls unauthenticated, and answers")
    unlucky = await stage.member()
    await unlucky.tell(*[request("presence.get", entity_id="nobody.at.all")] * 200)
    fine = await unlucky.ask("rpc.ping")
    equal(fine.get("result"), "pong", "a ping after 200 errors that are no attack")


@scenario()
async def rate_of_a_connection(stage: Stage) -> None:
    """A connection has its burst and its rate; beyond it is -32003, and who goes on nevertheless is closed."""
    greedy, modest = await stage.member("greedy"), await stage.honest("modest")
    began = asyncio.get_running_loop().time()
    sending = asyncio.create_task(greedy.tell(*[request("rpc.ping", number) for number in range(PINGS)]))
    ending = await greedy.ending(10)
    took = asyncio.get_running_loop().time() - began
    await sending
    passed, refused = outcomes(ending)
    burst, rate = LIMITS["calls_burst"], LIMITS["calls_per_second"]
    equal(ending.code, 4013, "the close code for a flood of calls")
    within(passed, burst - 5, burst + rate * took + 5, "calls that passed")
    within(refused, burst - 5, burst + rate * took + 5, "calls that were refused")
    for _ in range(20):
        equal(await modest.call("rpc.ping"), "pong", "a ping of somebody else")
    equal(ending.how == "open", False, "whether the flooding socket is open")


@scenario()
async def rate_of_an_entity(stage: Stage) -> None:
    """All connections of an entity have a burst and a rate together; another entity has its own."""
    clients = [await stage.member("many") for _ in range(4)]
    other = await stage.honest("other")
    began = asyncio.get_running_loop().time()
    await together(client.tell(*[request("rpc.ping", number) for number in range(900)]) for client in clients)

    async def answers(client: Raw) -> Counter[str]:
        found: Counter[str] = Counter()
        while found.total() < 900:
            came = await client.frame()
            assert came is not None
            if came.opcode == TEXT and b'"id"' in came.payload:
                found["result" if "result" in came.message else str(came.message["error"]["code"])] += 1
        return found

    total = sum(await together(answers(client) for client in clients), Counter())
    took = asyncio.get_running_loop().time() - began
    burst, rate = LIMITS["entity_calls_burst"], LIMITS["entity_calls_per_second"]
    equal(set(total), {"result", "-32003"}, "what came of 3,600 calls at once by one entity")
    within(total["result"], burst - 10, burst + rate * took + 10, "calls that passed")
    equal(await other.call("rpc.ping"), "pong", "a ping of another entity")


@scenario()
async def rate_over_connections(stage: Stage) -> None:
    """Who leaves and comes back, over and over, has no more calls for it than who stays."""
    burst, rate = LIMITS["entity_calls_burst"], LIMITS["entity_calls_per_second"]
    began = asyncio.get_running_loop().time()
    passed = 0
    for _ in range(8):
        client = await stage.honest("restless")
        answers = await together(one_call(client) for _ in range(600))
        passed += answers.count("pong")
        await client.close()
    took = asyncio.get_running_loop().time() - began
    within(passed, min(burst, 4800) * 0.6, burst + rate * took + 10, "calls that passed")


async def one_call(client: Honest) -> str:
    """Make one.

    @return: its result, or the word for its refusal.
    """
    try:
        return str(await client.call("rpc.ping"))
    except Refused as refused:
        return str(refused.code)


@scenario()
async def rate_is_for_all_time(stage: Stage) -> None:
    """Who keeps to the rate is never refused."""
    client = await stage.honest()
    for _ in range(6):
        await together(client.call("rpc.ping") for _ in range(300))
        await asyncio.sleep(0.2)


@scenario()
async def wrong_tokens(stage: Stage) -> None:
    """The fifth wrong token closes with 4500; beyond ten a minute from an address they are -32003, valid ones pass."""
    bad_tokens = 0
    codes: list[int] = []
    closes: list[int | None] = []
    began = asyncio.get_running_loop().time()
    for _ in range(12):
        client = await stage.open()
        for _ in range(5):
            bad_tokens += 1
            wrong = f"cell0_{stage.chance.getrandbits(256):043x}_1770892200"[:64]
            await client.tell(request("auth.authenticate", bad_tokens, token=wrong, entity_id=stage.entity()))
        ending = await client.ending(5)
        closes.append(ending.code)
        codes += [answer["error"]["code"] for answer in ending.answers]
        client.close()
    seconds = asyncio.get_running_loop().time() - began
    equal(codes[:10], [-32001] * 10, "the first ten answers")
    equal(set(codes[10:]), {-32003}, "the answers after them")
    equal(closes[:2], [4500, 4500], "the close codes of the first two connections")
    good = await stage.honest(address=stage.address)
    equal(await good.call("rpc.ping"), "pong", "a ping of who comes from there with a valid token")
    elsewhere = await stage.open(address=stage.neighbour(2))
    answer = await elsewhere.ask("auth.authenticate", token="cell0_wrong_1")
    equal(answer["error"]["code"], -32001, "a wrong token from another address")

    def told() -> list[dict[str, Any]]:
        return [line for line in stage.gateway.log(stage.logged) if "token" in line["message"].lower()]

    lines = await until(told, "lines of the log about wrong tokens")  # a thread writes them
    by_level = Counter(line["level"] for line in lines)
    within(len(lines), 1, 2 * (seconds + 4) + 6, f"lines of the log about sixty wrong tokens {by_level}")


@scenario()
async def flood_of_strangers(stage: Stage) -> None:
    """An address may have so many strangers; the oldest goes for the newest, and a friend gets in."""
    most = LIMITS["max_unauthenticated_per_address"]
    waiting = [await stage.raw().connect() for _ in range(most)]
    await asyncio.sleep(1.1)
    more = [await stage.raw().connect() for _ in range(20)]
    await asyncio.sleep(0.3)
    friend = await stage.honest(address=stage.address)
    equal(await friend.call("rpc.ping"), "pong", "a ping of a friend from the same address")
    ends = await together(client.gone(0.3) for client in waiting)
    within(ends.count(True), 20, 22, "the oldest that went")
    equal(ends.index(False) >= 20, True, "whether those that went are the oldest")
    ends = await together(client.gone(0.3) for client in more)
    within(ends.count(True), 0, 1, "the newest that went")
    await stage.still_serves()
    for client in (*waiting, *more):
        client.close()


@scenario()
async def forwarded_addresses(stage: Stage) -> None:
    """Behind a proxy that is trusted each client is judged by its own address; others can't forge theirs."""
    proxy = LIMITS["trusted_proxies"][0]

    async def guess(address: str, forwarded: str, times: int) -> list[int]:
        codes: list[int] = []
        while len(codes) < times:
            client = await stage.raw(address).connect()
            await client.send(head(("X-Forwarded-For", forwarded)))
            await client.response()
            await client.tell(*[request("auth.authenticate", n, token="cell0_wrong_1") for n in range(4)])
            found = [came.message for came in [await client.frame() for _ in range(5)] if came is not None]
            codes += [answer["error"]["code"] for answer in found if "error" in answer]
            client.close()
        return codes

    one, two = f"10.1.{stage.address.split('.')[2]}.1", f"10.2.{stage.address.split('.')[2]}.1"
    equal(await guess(proxy, one, 12), [-32001] * 10 + [-32003] * 2, "wrong tokens of one client of the proxy")
    equal(await guess(proxy, two, 4), [-32001] * 4, "wrong tokens of another one")
    equal(await guess(proxy, f"{two}, {one}", 4), [-32003] * 4, "what counts is the rightmost address not trusted")
    forged = await guess(stage.address, one, 4)
    equal(forged, [-32001] * 4, "wrong tokens of who only says that it is that client")


@scenario()
async def subscription_limit(stage: Stage) -> None:
    """A session may have so many subscriptions; one more is -32005, and one less makes room."""
    client = await stage.honest()
    most = LIMITS["max_subscriptions"]
    for number in range(most):
        await client.call("channel.subscribe", channel=stage.channel(f"c{number}"))
    refused = await client.refusal("channel.subscribe", channel=stage.channel("more"))
    equal(refused.number, -32005, "one subscription more")
    await client.call("channel.unsubscribe", channel=stage.channel("c0"))
    await client.call("channel.subscribe", channel=stage.channel("more"))


@scenario()
async def full_disk_queue(stage: Stage) -> None:
    """Who sends five hundred durable publications at once is read only as fast as the disk takes them, all in order."""
    client = await stage.member()
    channel = stage.channel("durable")
    sending = asyncio.create_task(
        client.tell(*[request("channel.publish", number, channel=channel, message=number) for number in range(500)])
    )
    offsets: dict[int, int] = {}
    while len(offsets) < 500:
        came = await client.frame()
        assert came is not None
        if b'"id"' in came.payload:
            offsets[came.message["id"]] = came.message["result"]["offset"]
    await sending
    equal([offsets[number] for number in range(500)], list(range(1, 501)), "offsets of 500 publications")


@scenario(alone=True)
async def connection_limits(stage: Stage) -> None:
    """700 connections of an address, then 4504; 1,200 of all, the last by system tokens, then 503; then room again."""
    own, most = LIMITS["max_connections_per_address"], LIMITS["max_connections"]
    inside: list[Honest | Raw] = list(await stage.crowd(own))
    one_more = await stage.raw().connect()
    await one_more.send(head())
    equal((await one_more.response())[0], 101, "the answer to one connection more of an address")
    ending = await one_more.ending(5)
    equal((ending.code, ending.frames), (4504, []), "its close code, and what comes before")
    one_more.close()
    there = (await stage.stats("gateway"))["connections"]
    inside += await stage.crowd(most - there - 1 - RESERVE, "others", address=stage.neighbour(2))
    last = await stage.honest(address=stage.neighbour(3))
    system = await stage.mint(entity_type="system")
    for number in range(RESERVE):
        inside.append(await stage.lean(f"system{number}", token=system, address=stage.neighbour(3)))
    refused = await stage.raw(stage.neighbour(4)).connect()
    await refused.send(head())
    status, headers = await refused.response()
    equal((status, headers.get("retry-after")), (503, "1"), "the answer to one connection more")
    refused.close()
    far_more = [stage.raw(stage.neighbour(5)) for _ in range(100)]
    statuses = Counter(await together(handshake(client) for client in far_more))
    equal(set(statuses) <= {0, 503}, True, f"only refusals of a hundred more: {statuses}")
    equal(await last.call("rpc.ping"), "pong", "a ping of who is inside")
    await together(client.close() for client in inside[:100])
    await until(lambda: all(client.lost.done() for client in inside[:100]), "a hundred are gone")
    await stage.still_serves()


async def handshake(client: Raw) -> int:
    """Try one: its status, 0 if there is no answer."""
    try:
        await client.connect()
    except OSError:
        return 0
    await client.send(head())
    status, _ = await client.response()
    client.close()
    return status


@scenario()
async def shared_fate(stage: Stage) -> None:
    """While some flood with garbage, errors and calls, another's hundred calls are all answered, none late."""
    honest = await stage.honest()

    async def flood(text: str) -> None:
        for _ in range(6):
            client = await stage.member("flooder")
            await client.tell(*[text] * 3000)
            await client.ending(5)
            client.close()

    texts = ("{", request("no.method"), request("rpc.ping"), request("rpc.discover"), request("agent.list"))
    floods = [asyncio.create_task(flood(text)) for text in texts]
    slowest = 0.0
    for _ in range(100):
        began = asyncio.get_running_loop().time()
        equal(await honest.call("rpc.ping"), "pong", "an honest ping")
        slowest = max(slowest, asyncio.get_running_loop().time() - began)
    for task in floods:
        await task
    within(slowest, 0, 2, "how many seconds the slowest took")


@scenario()
async def idempotency_of_refusals(stage: Stage) -> None:
    """A call that was refused is not remembered for its key: made again when it may be, it is carried out."""
    client, key = await stage.honest(), "once"
    refused = await client.refusal("channel.publish", channel="$system", message=1, idempotency_key=key)
    equal(refused.number, -32602, "a publication to the gateway's own channel")
    try:
        answer = await client.call("channel.publish", channel=stage.channel(), message=1, idempotency_key=key)
    except (Refused, Lost) as problem:
        answer = {"problem": str(problem)}
    equal(answer.get("offset"), 1, f"the number of what was published by the same key: {json.dumps(answer)}")
