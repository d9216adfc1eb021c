"""Frames as no client may send them, and messages without measure."""

from __future__ import annotations

import asyncio
import json
import zlib

from cell0gw.protocol.limits import FRAGMENT_SIZE, MAX_FRAGMENTS
from tests.stress.checks import contiguous, equal, within
from tests.stress.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, frame, head, request
from tests.stress.stage import Stage, scenario, together
from tests.stress.victim import LIMITS

MIB = 1024 * 1024
SAFE = request("rpc.ping")
VIOLATIONS = {
    "an unmasked frame": (1002, frame(SAFE, masked=False)),
    **{f"reserved bits {bits}": (1002, frame(SAFE, rsv=bits)) for bits in range(1, 8)},
    **{f"opcode {code}": (1002, frame(b"x", code)) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a ping of two fragments": (1002, frame(b"x", PING, fin=False)),
    "a ping of 126 bytes": (1002, frame(b"x" * 126, PING)),
    "a continuation of nothing": (1002, frame(b"x", CONTINUATION)),
    "a text within a fragmented one": (1002, frame(b"x", fin=False) + frame(SAFE)),
    "a length that is spelled too widely": (1002, frame(b"{}", wide=126)),
    "a length above 65535 that is none": (1002, frame(b"{}", wide=127)),
    "a length with its highest bit": (1002, frame(b"x", length=1 << 63)),
    "a close of one byte": (1002, frame(b"\x03", CLOSE)),
    **{f"close code {code}": (1002, frame(code.to_bytes(2, "big"), CLOSE)) for code in (0, 999, 1005, 2999, 5000)},
    "a reason that is no UTF-8": (1007, frame(b"\x03\xe8\xff\xfe", CLOSE)),
    "binary": (1003, frame(SAFE, BINARY)),
    "an overlong encoding": (1007, frame(b'"\xc0\xaf"')),
    "a surrogate": (1007, frame(b'"\xed\xa0\x80"')),
    "a code point beyond the last": (1007, frame(b'"\xf4\x90\x80\x80"')),
    "half a code point at the end": (1007, frame(b'"\xe2\x82')),
    "a bad byte in a second fragment": (1007, frame(b'"\xe2', fin=False) + frame(b'\x28"', CONTINUATION)),
}  # fmt: skip


@scenario(waits=True)
async def never_finished_fragment(stage: Stage) -> None:
    """A message that is not finished in half a minute is closed with 1008, however busy its sender is meanwhile."""

    async def dawdle(client: Raw, pieces: list[bytes]) -> None:
        for piece in pieces:
            if not await client.send(piece):
                return
            await asyncio.sleep(1)

    whole = frame(b" " * 5000)
    works = {
        "fragments": [frame(b"[", fin=False), *[frame(b" ", CONTINUATION, fin=False) + frame(b"", PING)] * 60],
        "one frame": [whole[place : place + 10] for place in range(0, 600, 10)],
    }
    clients = {what: await stage.member() for what in works}
    tasks = [asyncio.create_task(dawdle(client, works[what])) for what, client in clients.items()]
    endings = await together(client.ending(45) for client in clients.values())
    for task in tasks:
        task.cancel()
    for what, ending in zip(works, endings, strict=True):
        equal(ending.code, 1008, f"the close code of a message that never ends, {what}")
        within(ending.seconds, 28, 36, f"how many seconds it had, {what}")


@scenario()
async def protocol_violations(stage: Stage) -> None:
    """Each violation has its close code, before authentication and after; nothing is said after it."""
    for what, (code, data) in VIOLATIONS.items():
        for opening in (stage.open, stage.member):
            client = await opening()
            await client.send(data + frame(SAFE) * 3)
            ending = await client.ending(5)
            equal((ending.code, ending.after), (code, 0), f"close code, and bytes after it, for {what}")
            equal(ending.answers, [], f"answers after {what}")
            client.close()
    await stage.still_serves()


@scenario()
async def fragment_flood(stage: Stage) -> None:
    """A message may have 1,024 fragments and one for each 64 bytes; one more, empty ones counted, and it is closed with
    1008.
    """

    def pieces(count: int, each: bytes) -> bytes:
        middle = frame(each, CONTINUATION, fin=False) * (count - 2)
        return frame(SAFE, fin=False) + middle + frame(b"", CONTINUATION)

    def most(each: bytes) -> int:
        allowed = MAX_FRAGMENTS
        while allowed < MAX_FRAGMENTS + (len(SAFE) + len(each) * (allowed - 1)) // FRAGMENT_SIZE:
            allowed += 1
        return allowed

    for each in (b"", b" "):
        client = await stage.member()
        await client.send(pieces(most(each), each))
        await client.tell(request("rpc.ping", 2))
        answers = await client.answers(2)
        equal([answer["id"] for answer in answers], [1, 2], "answers to a message of most fragments, and the next")
        await client.send(pieces(most(each) + 1, each))
        equal((await client.ending(5)).code, 1008, "the close code for one more fragment")
    endless = await stage.member()
    flood = frame(SAFE, fin=False) + frame(b"", CONTINUATION, fin=False) * 100_000
    sending = asyncio.create_task(endless.send(flood))
    equal((await endless.ending(10)).code, 1008, "the close code for fragments without end")
    endless.reset()
    await sending


@scenario()
async def too_large(stage: Stage) -> None:
    """64 KiB before authentication, and then what the limit says: that much passes, a byte more is 1009."""

    def sized(size: int) -> bytes:
        text = request("rpc.echo", 1, message="")
        return text.replace('""', f'"{"x" * (size - len(text))}"').encode()

    async def passes(client: Raw, *frames: bytes) -> None:
        await client.send(b"".join(frames))
        equal(len(await client.answers(1)), 1, "answers to a message as long as may be")

    async def too_much(client: Raw, what: str, *frames: bytes) -> None:
        await client.send(b"".join(frames))
        equal((await client.ending(5)).code, 1009, f"the close code for {what}")

    full, limit = sized(65536), LIMITS["max_message_size"]
    await passes(await stage.open(), frame(full))
    await too_much(await stage.open(), "one byte more", frame(sized(65537)))
    await too_much(await stage.open(), "two halves", frame(full[:40000], fin=False), frame(full[:30000], CONTINUATION))
    await too_much(await stage.open(), "a frame of 1 GiB", frame(b"x", length=1 << 30))
    await passes(await stage.member(), frame(sized(limit - 100)))
    await too_much(await stage.member(), "one byte more, later", frame(sized(limit + 1)))
    await too_much(await stage.member(), "a frame of 1 GiB, later", frame(b"x", length=1 << 30))
    await too_much(await stage.member(), "a frame of 4 EiB, later", frame(b"x", length=1 << 62))


@scenario()
async def deflate_bomb(stage: Stage) -> None:
    """What is inflated is measured as it is inflated: 64 MiB of nothing are 1009, and cost no memory."""
    before = stage.gateway.resident

    def deflated(data: bytes) -> bytes:
        squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return (squeezer.compress(data) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]

    bomb = deflated(bytes(64 * MIB))
    for one_piece in (True, False):
        client = await stage.raw().connect()
        await client.send(head(("Sec-WebSocket-Extensions", "permessage-deflate")))
        status, headers = await client.response()
        equal((status, "permessage-deflate" in headers.get("sec-websocket-extensions", "")), (101, True), "the offer")
        await client.frame()
        await client.authenticate(await stage.token(), stage.entity("bomber"))
        await client.send(frame(deflated(SAFE.encode()), rsv=4))
        equal((await client.frame() is not None), True, "an answer to what was deflated well")
        if one_piece:
            await client.send(frame(bomb, rsv=4))
        else:
            await client.send(frame(bomb[:100], rsv=4, fin=False) + frame(bomb[100:], CONTINUATION))
        equal((await client.ending(10)).code, 1009, "the close code for a bomb")
    rubbish = await stage.raw().connect()
    await rubbish.send(head(("Sec-WebSocket-Extensions", "permessage-deflate")))
    await rubbish.response()
    await rubbish.send(frame(b"\xff" * 50, rsv=4))
    equal((await rubbish.ending(5)).code, 1007, "the close code for what can't be inflated")
    within((stage.gateway.resident - before) / MIB, -1000, 8, "memory that the bombs cost, in MiB")


@scenario()
async def close_flood(stage: Stage) -> None:
    """A thousand close frames get one reply, and what comes after the first means nothing."""
    channel = stage.channel()
    listener = await stage.honest()
    await listener.call("channel.subscribe", channel=channel)
    flood = await stage.member()
    await flood.send(frame((1000).to_bytes(2, "big"), CLOSE) * 1000)
    ending = await flood.ending(5)
    equal((ending.code, ending.after), (1000, 0), "the code that comes back, and bytes after it")
    late = await stage.member()
    publish = frame(request("channel.publish", channel=channel, message="late"))
    await late.send(publish + frame((1000).to_bytes(2, "big"), CLOSE) + publish * 10)
    ending = await late.ending(5)
    equal((ending.code, ending.after), (1000, 0), "the code that comes back, and bytes after it")
    equal(len(ending.answers), 1, "answers to what came before the close")
    await listener.call("rpc.ping")
    equal(listener.inbox.offsets, [1], "what was published")


@scenario()
async def reset_storm(stage: Stage) -> None:
    """Two hundred connections that are reset at any moment, in any state, leave nothing behind."""
    token = await stage.token()

    async def one(number: int) -> None:
        client = await stage.raw(stage.neighbour(1 + number % 4)).connect()
        script = head() + frame(request("auth.authenticate", token=token, entity_id=stage.entity(f"r{number}")))
        script += frame(request("channel.subscribe", channel=stage.channel())) + frame(SAFE) * 20
        script += frame(b"half", length=1000)
        await client.send(script[: stage.chance.randint(0, len(script))])
        await asyncio.sleep(stage.chance.random() * 0.05)
        client.reset()

    for _ in range(10):
        await together(one(number) for number in range(20))
    await stage.still_serves()
    await stage.eventually(stage.present, {}, "who is here", 12)


@scenario()
async def ping_flood(stage: Stage) -> None:
    """Fifty control frames a second, two hundred at once; beyond that it is 4013, and few pongs are owed."""
    flood = await stage.member()
    await flood.send(frame(b"x", PING) * 5000)
    ending = await flood.ending(5)
    equal(ending.code, 4013, "the close code for a flood of pings")
    within(len([came for came in ending.frames if came.opcode == PONG]), 0, 101, "pongs to a flood")
    pongs = await stage.member()
    await pongs.send(frame(b"x", PONG) * 5000)
    equal((await pongs.ending(5)).code, 4013, "the close code for a flood of pongs")
    modest = await stage.member()
    for number in range(4):
        await modest.send(b"".join(frame(f"{number}-{each}", PING) for each in range(40)))
        await asyncio.sleep(0.3)
    await modest.tell(SAFE)
    came = await modest.with_answers(1, moment=0.5)
    told = [each.payload for each in came if each.opcode == PONG]
    within(len(told), 4, 100 + 10 * 2.5, "pongs to four bursts of forty pings, of which a hundred are answered at once")
    equal(told[-1], b"3-39", "the last pong, which answers the latest ping")
    equal(len([each for each in came if each.opcode == TEXT and b"pong" in each.payload]), 1, "the answer to a call")


@scenario()
async def ping_unread(stage: Stage) -> None:
    """Pongs don't pile up for a peer that does not read."""
    before = stage.gateway.resident
    client = await stage.member(receive_buffer=2048)
    began = asyncio.get_running_loop().time()
    for _ in range(10):
        await client.send(frame(b"x" * 125, PING) * 20)
        await asyncio.sleep(0.2)
    pongs = len([came async for came in client.frames(0.5) if came.opcode == PONG])
    took = asyncio.get_running_loop().time() - began
    within(pongs, 1, 102 + 10 * took, "pongs to 200 pings: a hundred at once, and ten a second")
    within((stage.gateway.resident - before) / MIB, -1000, 2, "memory that it cost, in MiB")


@scenario()
async def json_depth(stage: Stage) -> None:
    """64 levels pass, 65 are -32700, and a hundred thousand cost nothing."""
    client = await stage.honest()
    raw = await stage.member()

    def nested(depth: int) -> str:
        return '{"jsonrpc":"2.0","id":1,"method":"rpc.echo","params":{"message":' + "[" * depth + "]" * depth + "}}"

    for depth, expected in ((62, "result"), (63, "error")):
        await raw.tell(nested(depth))
        answers = await raw.answers(1)
        equal([expected in answer for answer in answers], [True], f"a message {depth + 2} deep has a {expected}")
    for bad in ("[" * 100_000, '{"a":' * 20_000, "[" * 50_000 + "]" * 50_000, "[{" * 30_000):
        await raw.tell(bad)
        answers = await raw.answers(1)
        equal([answer["error"]["code"] for answer in answers], [-32700], f"the answer to {bad[:6]}…")
    equal(await client.call("rpc.ping"), "pong", "another client's ping")


@scenario()
async def big_batch(stage: Stage) -> None:
    """Fifty requests in a batch are answered; of fifty-one none is carried out."""
    channel = stage.channel()
    listener = await stage.honest()
    await listener.call("channel.subscribe", channel=channel)
    client = await stage.member()
    call = json.loads(request("channel.publish", channel=channel, message="x"))
    for count in (50, 51, 50):
        await client.tell(json.dumps([call | {"id": number} for number in range(count)]))
    answers = await client.answers(3)
    outcomes = [len(answer) if isinstance(answer, list) else answer["error"]["code"] for answer in answers]
    equal(outcomes, [50, -32600, 50], "answers to batches of 50, 51 and 50")
    await listener.call("rpc.ping")
    contiguous(listener.inbox.offsets, 1, 100, "what was published")


@scenario()
async def batch_amplification(stage: Stage) -> None:
    """A small batch with large answers: no answer is longer than the limit, and no memory goes on it."""
    before = stage.gateway.resident
    client = await stage.member()
    call = json.loads(request("rpc.discover"))
    for _ in range(10):
        await client.tell(json.dumps([call | {"id": number} for number in range(50)]))
        sizes = []
        while not sizes:
            came = await client.frame()
            assert came is not None
            if b'"id"' in came.payload:
                sizes = [len(came.payload)]
        within(sizes[0], 1, LIMITS["max_message_size"], "bytes of an answer")
    within((stage.gateway.resident - before) / MIB, -1000, 16, "memory that it cost, in MiB")
