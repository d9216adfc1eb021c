"""Publications: exactly those, in exactly that order, to exactly those."""

from __future__ import annotations

import asyncio
import functools
import operator
from collections import Counter
from typing import Any

from tests.crash.wire import Lost
from tests.stress.checks import contiguous, equal, within
from tests.stress.clients import Lean
from tests.stress.raw import frame, head, request
from tests.stress.stage import Stage, scenario, together


async def publish_all(client: Any, channel: str, messages: list[Any], window: int = 20) -> list[int]:
    """Publish them in order, so many calls in flight.

    @return: their offsets.
    """
    offsets: list[int] = []
    for start in range(0, len(messages), window):
        some = messages[start : start + window]
        answers = await together(client.call("channel.publish", channel=channel, message=each) for each in some)
        offsets += [answer["offset"] for answer in answers]
    return offsets


@scenario()
async def publish_order(stage: Stage) -> None:
    """Eight publish at once: every subscriber gets the same order, without a gap, and each publisher's own is kept."""
    channel, publishers, each = stage.channel("long"), 8, 120
    subscribers = [*[await stage.honest() for _ in range(5)], *await stage.crowd(20)]
    for number, client in enumerate(subscribers):
        name = stage.entity("*") if number % 3 == 0 else channel
        await client.call("channel.subscribe", channel=name)
    clients = [await stage.honest(f"publisher{number}") for number in range(publishers)]
    offsets = await together(
        publish_all(client, channel, [[number, count] for count in range(each)])
        for number, client in enumerate(clients)
    )
    contiguous(sorted(functools.reduce(operator.iadd, offsets, [])), 1, publishers * each, "offsets in the answers")
    for own in offsets:
        equal(own, sorted(own), "offsets of one publisher")
    first: list[Any] | None = None
    for client in subscribers:
        await client.inbox.wait("channel.message", publishers * each)
        contiguous(client.inbox.offsets, 1, publishers * each, "offsets that a subscriber got")
        got = [params["message"] for params in client.inbox.of("channel.message")]
        first = first or got
        equal(got == first, True, "whether all got the same order")
    assert first is not None
    for number in range(publishers):
        own = [count for publisher, count in first if publisher == number]
        contiguous(own, 0, each - 1, f"what publisher {number} published, as it arrived")


@scenario()
async def fan_out(stage: Stage) -> None:
    """Names, patterns and filters: each gets each message that one of its subscriptions wants, once."""
    client = await stage.honest("publisher")
    low = {"field": "n", "op": "lt", "value": 30}
    even = {"field": "even", "op": "eq", "value": True}
    wishes: list[tuple[list[tuple[str, Any]], int]] = [
        ([("a", None)], 100),
        ([("*", None)], 200),
        ([("a", None), ("*", None), (">", None)], 200),
        ([("a", low)], 30),
        ([("a", even), ("*", low)], 65 + 30),
        ([("b", {"all": [low, {"not": even}]})], 15),
        ([("a", low), ("a", even)], 50),
        ([("nothing", None)], 0),
    ]
    subscribers: list[tuple[Lean, int]] = []
    for wish, count in wishes:
        for subscriber in await stage.crowd(5, "s"):
            for name, chosen in wish:
                await subscriber.call("channel.subscribe", channel=stage.entity(name), filter=chosen)
            subscribers.append((subscriber, count))
    for number in range(100):
        for name in ("a", "b"):
            await client.call(
                "channel.publish", channel=stage.entity(name), message={"n": number, "even": number % 2 == 0}
            )
    for subscriber, count in subscribers:
        await subscriber.call("rpc.ping")
        equal(len(subscriber.inbox.offsets), count, "how many messages one got")
        keys = Counter((params["channel"], params["offset"]) for params in subscriber.inbox.of("channel.message"))
        equal([key for key, times in keys.items() if times > 1], [], "messages that came twice")


@scenario()
async def subscribe_unsubscribe(stage: Stage) -> None:
    """Who subscribes and unsubscribes again and again gets what was published in between, and nothing else."""
    channel = stage.channel("long")
    publisher = await stage.honest()
    going = True

    async def publish() -> None:
        while going:
            await publisher.call("channel.publish", channel=channel, message="x")
            await asyncio.sleep(0.002)  # on a quick machine it would be too many

    async def waver(client: Lean) -> None:
        for _ in range(20):
            seen = len(client.inbox)
            start = (await client.call("channel.subscribe", channel=channel))["offset"]
            before = [params for name, params in client.inbox[seen:] if name == "channel.message"]
            equal([params for params in before if params["offset"] <= start], [], "messages before the subscription")
            await asyncio.sleep(stage.chance.random() * 0.02)
            await client.call("channel.unsubscribe", channel=channel)
            got = [params["offset"] for name, params in client.inbox[seen:] if name == "channel.message"]
            contiguous(got, start + 1, start + len(got), "messages of one subscription")
            count = len(client.inbox.offsets)
            await client.call("rpc.ping")
            await asyncio.sleep(0.002)
            equal(len(client.inbox.offsets), count, "messages after the end of a subscription")

    publishing = asyncio.create_task(publish())
    clients = await stage.crowd(10)
    await together(waver(client) for client in clients)
    going = False
    await publishing
    listed = (await stage.admin.call("channel.list", pattern=channel))["channels"]
    equal([one["subscribers"] for one in listed], [0], "subscribers in the end")


@scenario()
async def disconnect_during_subscribe(stage: Stage) -> None:
    """Who is cut off while it subscribes, and while the past is brought, stays subscribed to nothing."""
    channel = stage.channel("long")
    publisher = await stage.honest()
    await publish_all(publisher, channel, ["x" * 500] * 300)

    async def one(number: int) -> None:
        client = await stage.raw(stage.neighbour(1 + number % 4)).connect()
        token = await stage.token()
        script = head() + frame(request("auth.authenticate", token=token, entity_id=stage.entity(f"s{number}")))
        script += frame(request("channel.subscribe", 2, channel=channel, history=300))
        script += frame(request("channel.subscribe", 3, channel=stage.entity(">")))
        await client.send(script)
        await asyncio.sleep(stage.chance.random() * 0.03)
        if number % 2:
            client.reset()
        else:
            client.close()

    for start in range(0, 100, 20):
        await together(one(number) for number in range(start, start + 20))

    async def subscribers() -> Any:
        answer = await publisher.call("channel.publish", channel=channel, message="x")
        listed = (await stage.admin.call("channel.list", pattern=channel))["channels"]
        return answer["recipients"], [each["subscribers"] for each in listed]

    await stage.eventually(subscribers, (0, [0]), "recipients, and subscribers", 12)


@scenario()
async def idempotent_publish(stage: Stage) -> None:
    """Ten who publish with the same key at once publish once, in memory and on disk; other params are -32007."""
    for channel in (stage.channel("long"), stage.channel("durable")):
        listener = await stage.honest()
        await listener.call("channel.subscribe", channel=channel)
        clients = [await stage.lean("same") for _ in range(10)]
        for number in range(20):
            params = {"channel": channel, "message": number, "idempotency_key": f"{channel}{number}"}
            answers = await together(client.call("channel.publish", **params) for client in clients)
            equal({answer["offset"] for answer in answers}, {number + 1}, "offsets in ten answers to one key")
            equal(sum("replayed" in answer for answer in answers), 9, "answers that say that they are replayed")
            refused = await clients[0].refusal("channel.publish", **(params | {"message": "other"}))
            equal(refused.number, -32007, "the key with another message")
        stranger = await stage.honest("other")
        answer = await stranger.call("channel.publish", channel=channel, message=0, idempotency_key=f"{channel}0")
        equal((answer["offset"], "replayed" in answer), (21, False), "the same key of another entity")
        await listener.inbox.wait("channel.message", 21)
        await listener.call("rpc.ping")
        contiguous(listener.inbox.offsets, 1, 21, "what a subscriber got")


@scenario()
async def durable_publish(stage: Stage) -> None:
    """Four publish to a durable channel at once; the answers, what was delivered and what is kept are the same."""
    channel = stage.channel("durable")
    listener = await stage.honest()
    await listener.call("channel.subscribe", channel=channel)
    clients = [await stage.honest(f"p{number}") for number in range(4)]
    offsets = await together(
        publish_all(client, channel, [[number, count] for count in range(100)], window=50)
        for number, client in enumerate(clients)
    )
    contiguous(sorted(functools.reduce(operator.iadd, offsets, [])), 1, 400, "offsets in the answers")
    await listener.inbox.wait("channel.message", 400)
    contiguous(listener.inbox.offsets, 1, 400, "offsets that were delivered")
    page = await listener.call("channel.history", channel=channel, limit=1000)
    kept = [(each["offset"], each["message"]) for each in page["messages"]]
    delivered = [(params["offset"], params["message"]) for params in listener.inbox.of("channel.message")]
    equal(kept == delivered, True, "whether what is kept is what was delivered")
    for number, own in enumerate(offsets):
        published = [offset for offset, (publisher, _) in kept if publisher == number]
        equal(own, published, f"where the messages of publisher {number} are")


@scenario()
async def exclude_self(stage: Stage) -> None:
    """With C{exclude_self} twenty who shout at each other hear all but their own."""
    channel = stage.channel("long")
    clients = await stage.crowd(20)
    for client in clients:
        await client.call("channel.subscribe", channel=channel)

    async def shout(client: Lean, number: int) -> None:
        for _ in range(20):
            answer = await client.call("channel.publish", channel=channel, message=number, exclude_self=True)
            equal(answer["recipients"], 19, "recipients")

    await together(shout(client, number) for number, client in enumerate(clients))
    for number, client in enumerate(clients):
        await client.inbox.wait("channel.message", 380)
        heard = Counter(params["message"] for params in client.inbox.of("channel.message"))
        equal(heard, Counter({other: 20 for other in range(20) if other != number}), "how often one heard each other")


@scenario()
async def publisher_is_cut(stage: Stage) -> None:
    """Publishers that are reset in the middle: what was answered arrived, and nothing came twice or out of order."""
    channel = stage.channel("long")
    listener = await stage.honest()
    await listener.call("channel.subscribe", channel=channel)
    answered: dict[int, Any] = {}

    async def one(number: int) -> None:
        client = await stage.lean(f"p{number}")

        async def publish(count: int) -> None:
            try:
                answer = await client.call("channel.publish", channel=channel, message=[number, count])
                answered[answer["offset"]] = [number, count]
            except Lost:
                pass

        tasks = [asyncio.create_task(publish(count)) for count in range(60)]
        await asyncio.sleep(stage.chance.random() * 0.02)
        client.reset()
        await asyncio.gather(*tasks)

    await together(one(number) for number in range(20))
    final = await listener.call("channel.publish", channel=channel, message="end")
    got = {params["offset"]: params["message"] for params in listener.inbox.of("channel.message")}
    # What a connection had sent before its reset may have its turn only after the last publication.
    contiguous(listener.inbox.offsets, 1, max(final["offset"], *got), "what a subscriber got")
    equal({offset: got[offset] for offset in answered} == answered, True, "whether all that was answered is there")
    within(len(got), len(answered) + 1, 1201, "what was published")
