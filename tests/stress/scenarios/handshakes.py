"""Before a connection is one: heads of handshakes, whole, broken and slow."""

from __future__ import annotations

import asyncio

from tests.stress.checks import equal, within
from tests.stress.raw import PING, PONG, TEXT, Raw, frame, head, request
from tests.stress.stage import Stage, scenario, together
from tests.stress.victim import ORIGIN

KEY = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
REFUSED = {
    "HTTP/1.0": (505, head(line="GET / HTTP/1.0")),
    "POST": (405, head(line="POST / HTTP/1.1")),
    "another path": (404, head(line="GET /admin HTTP/1.1")),
    "a query": (400, head(line="GET /?token=x HTTP/1.1")),
    "no Upgrade": (426, head(upgrade=None)),
    "no Host": (400, head(host=None)),
    "version 8": (400, head(sec_websocket_version="8")),
    "two keys": (400, head(KEY)),
    "two hosts": (400, head(("Host", "localhost"))),
    "two upgrades": (400, head(("Upgrade", "websocket"))),
    "two versions": (400, head(("Sec-WebSocket-Version", "13"))),
    "two origins": (400, head(("Origin", ORIGIN), ("Origin", ORIGIN))),
    "a zero byte": (400, head(("X-Odd", "a\0b"))),
    "a byte of C1 in a name": (400, head(("X\x85Odd", "ab"))),
    "a bare LF": (400, head().replace(b"Upgrade: websocket\r\n", b"Upgrade: websocket\n")),
    "a bare CR": (400, head(("X-Odd", "a\rX-Odder: b"))),
    "a folded line": (400, head(("X-Odd", "a\r\n b"))),
    "65 headers": (431, head(*((f"X-{number}", "x") for number in range(60)))),
    "17 KiB": (431, head(("X-Long", "x" * 17 * 1024))),
}


@scenario(waits=True)
async def slowloris_handshake(stage: Stage) -> None:
    """Who says nothing, or a byte at a time, is gone five seconds after it came, without a byte said to it."""

    async def dawdle(client: Raw) -> None:
        for byte in head():
            if not await client.send(bytes((byte,))):
                return
            await asyncio.sleep(0.2)

    clients = [await stage.raw().connect() for _ in range(100)]
    slow = [asyncio.create_task(dawdle(client)) for client in clients[20:]]
    began = asyncio.create_task(together(client.ending(9) for client in clients))
    await stage.honest(address=stage.address)
    endings = await began
    for task in slow:
        task.cancel()
    equal([client.received for client in clients], [0] * 100, "bytes said to those who dawdle")
    for ending in endings:
        within(ending.seconds, 3.9, 7.0, "how many seconds one had")


@scenario(waits=True)
async def slowloris_authentication(stage: Stage) -> None:
    """Who does not authenticate is closed with 4502 after two seconds, whatever else it does meanwhile."""
    pieces = frame(request("auth.authenticate", token=await stage.token(), entity_id=stage.entity()))
    works = {
        "nothing": [],
        "pings": [frame(b"x", PING)] * 20,
        "heartbeats": [frame(request("heartbeat", None))] * 20,
        "calls": [frame(request("rpc.ping"))] * 20,
        "a byte at a time": [pieces[place : place + 1] for place in range(20)],
    }

    async def dawdle(client: Raw, work: list[bytes]) -> None:
        for piece in work:
            if not await client.send(piece):
                return
            await asyncio.sleep(0.25)

    endings, tasks = [], []
    for what in list(works) * 10:
        client = await stage.open()
        endings.append((what, asyncio.create_task(client.ending(8))))
        tasks.append(asyncio.create_task(dawdle(client, works[what])))
    for what, task in endings:
        ending = await task
        equal(ending.code, 4502, f"the close code of who sends {what}")
        within(ending.seconds, 0.9, 4.0, f"how many seconds who sends {what} had")
    for task in tasks:
        task.cancel()


@scenario()
async def handshake_garbage(stage: Stage) -> None:
    """Each broken handshake has its own answer, after which the connection is closed; none gets in."""
    for what, (expected, data) in REFUSED.items():
        client = await stage.raw().connect()
        await client.send(data)
        status, headers = await client.response()
        equal(status, expected, f"the status for {what}")
        equal(headers.get("connection", "").split(", ")[0], "close", f"the header Connection for {what}")
        equal("server" in headers, False, f"whether the answer to {what} names a server")
        if what == "version 8":
            equal(headers.get("sec-websocket-version"), "13", "the version that is spoken")
        equal((await client.ending(3)).how, "eof", f"the end after {what}")
    hello = b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03" + stage.chance.randbytes(239)
    for data in (hello, *(stage.chance.randbytes(stage.chance.randint(1, 3000)) + b"\r\n\r\n" for _ in range(40))):
        client = await stage.raw().connect()
        await client.send(data)
        status, _ = await client.response()
        equal(status == 0 or 400 <= status < 600, True, f"a refusal of {data[:20]!r}, not {status}")
        client.close()
    await stage.still_serves()


@scenario()
async def oversized_head(stage: Stage) -> None:
    """A head without end is refused with 431 as soon as it is too long, and what follows is not read."""
    for piece in (b"X-A: b\r\n", b"x" * 1000):
        client = await stage.raw().connect()
        await client.send(b"GET / HTTP/1.1\r\n")
        sent = 0
        while sent < 64 * 1024 * 1024 and await client.send(piece * 100):
            sent += 100 * len(piece)
        within(sent, 8000, 16 * 1024 * 1024, "bytes of a head that were taken")
        client.close()
    for length, expected in ((16_000, 101), (16_800, 431)):
        client = await stage.raw().connect()
        data = head()
        await client.send(data.replace(b"\r\n\r\n", b"\r\nX-Long: " + b"x" * (length - len(data) - 10) + b"\r\n\r\n"))
        equal((await client.response())[0], expected, f"the status for a head of {length} bytes")
        client.close()


@scenario()
async def pipelined_handshake(stage: Stage) -> None:
    """What stands behind a handshake in the same segment is read, in order; a second handshake is no frame."""
    client = await stage.raw().connect()
    calls = [request("auth.authenticate", 0, token=await stage.token(), entity_id=stage.entity())]
    calls += [request("rpc.echo", number, message=number) for number in range(1, 40)]
    await client.send(head() + b"".join(frame(text) for text in calls))
    equal((await client.response())[0], 101, "the status")
    texts = await client.answers(40)
    equal([text["id"] for text in texts], list(range(40)), "the answers, by id")
    twice = await stage.raw().connect()
    await twice.send(head() + head())
    equal((await twice.response())[0], 101, "the status of the first of two handshakes")
    ending = await twice.ending(5)
    equal((ending.code, ending.how), (1002, "eof"), "the end after a second handshake")


@scenario()
async def byte_by_byte(stage: Stage) -> None:
    """A client whose every byte comes by itself is served like any other."""
    client = await stage.raw().connect()
    authenticate = request("auth.authenticate", 1, token=await stage.token(), entity_id=stage.entity())
    long, short = request("rpc.echo", 2, message="x" * 300), request("rpc.ping", 3)
    frames = [frame(authenticate), frame(long[:100], fin=False), frame(b"!", PING), frame(long[100:], 0), frame(short)]
    for byte in head() + b"".join(frames):
        await client.send(bytes((byte,)))
        await asyncio.sleep(0)
    equal((await client.response())[0], 101, "the status")
    came = await client.with_answers(3)
    equal([each.payload for each in came if each.opcode == PONG], [b"!"], "pongs")
    texts = [each.message for each in came if each.opcode == TEXT]
    equal([text["id"] for text in texts if "id" in text], [1, 2, 3], "the answers, by id")


@scenario()
async def origin_and_host(stage: Stage) -> None:
    """Origins and hosts that are not listed are refused with 403; who names no origin is no page."""
    table = [
        ({}, [], 101),
        ({}, [("Origin", ORIGIN)], 101),
        ({}, [("Origin", "https://evil.test")], 403),
        ({}, [("Origin", ORIGIN + ":444")], 403),
        ({}, [("Origin", ORIGIN.replace("https", "http"))], 403),
        ({}, [("Origin", ORIGIN + ".evil.test")], 403),
        ({}, [("Origin", "null")], 403),
        ({"host": "evil.test"}, [], 403),
        ({"host": "127.0.0.1"}, [], 403),
        ({"host": "localhost"}, [], 101),
    ]
    for changed, more, expected in table:
        client = await stage.raw().connect()
        await client.send(head(*more, **changed))
        equal((await client.response())[0], expected, f"the status with {changed} {more}")
        client.close()


@scenario()
async def connect_churn(stage: Stage) -> None:
    """Six hundred sessions come and go in all ways; each is counted once, and none stays."""
    before = await stage.stats("session")
    await stage.token()

    async def one(number: int) -> None:
        client = await stage.lean(f"c{number % 100}", address=stage.neighbour(1 + number % 8))
        if number % 3 == 0:
            await client.call("channel.subscribe", channel=stage.channel(f"n{number % 10}"))
        match number % 4:
            case 0:
                await client.close()
            case 1:
                client.drop()
            case 2:
                client.reset()
            case _:
                await client.call("rpc.ping")
                await client.close()

    for number in range(0, 600, 30):
        await together(one(each) for each in range(number, number + 30))
    after = await stage.stats("session")
    within(after["sessions_opened"] - before["sessions_opened"], 600, 700, "sessions that were opened")
    await stage.eventually(stage.present, {}, "who is here", 10)
