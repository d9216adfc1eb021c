"""The side of NATS JetStream."""

from __future__ import annotations

import asyncio
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

import nats
from nats.aio.msg import Msg
from nats.errors import Error, NoRespondersError
from nats.errors import TimeoutError as TimedOut
from nats.js.errors import NoStreamResponseError

from tests.comparison.facts import Told, messages, within
from tests.comparison.jetstream.desks import EVENTS, RESULTS, Queue, stream
from tests.comparison.jetstream.server import LOOP, PASSWORD, Connection, Server, quiet
from tests.comparison.jetstream.stalling import stall
from tests.comparison.parties import Desk
from tests.e2e.processes import BIN, environment, run_to_end

EMPTIED: Final = "what takes such messages out of the stream"
HOPS: Final = "a count of hops in a header, and what stops at some number of them"
CIRCLES: Final = "what finds out that they wait for each other, if that is not to take as long as their time-outs"
USERS_CHANGED: Final = (
    "what changes the users of each server and has it read them again; with JWTs, what revokes them and tells the "
    "servers"
)
USERS: Final = ("operator", "sender", "worker", "a", "b")


class JetStreamSide:
    """A nats-server of its own process, with its streams on disk."""

    name = "NATS JetStream"

    def __init__(self, folder: Path) -> None:
        self._server = Server(folder / "nats", USERS)
        self._desks: list[Queue] = []
        self._built: dict[str, None] = {}
        self._operator = Connection(self._server.port, "operator")
        for config in (
            stream("mail", ["mail.>"]),
            stream("jobs", ["jobs.worker"]),
            stream("talk", ["talk.>"]),
            stream(RESULTS, ["results.>"], False),
            stream("events", EVENTS, False),
            stream("news", ["news.>"], False),
        ):
            LOOP.run(self._operator.stream.add_stream(config))

    @property
    def built(self) -> dict[str, None]:
        """What the stories have needed."""
        return self._built | {what: None for desk in self._desks for what in desk.built}

    @built.setter
    def built(self, value: dict[str, None]) -> None:
        self._built, self._desks = value, []

    def versions(self) -> str:
        """What was run."""
        printed = run_to_end([BIN / "nats-server", "--version"], environment(), Path()).output
        return f"nats-server {printed.split('v')[-1].strip()}, nats-py {version('nats-py')}"

    def mail(self, wait: float) -> Desk:
        """Work that may be begun up to five times."""
        return self._desk("mail", wait, 5, False)

    def jobs(self, wait: float) -> Desk:
        """Work that is begun once at most, and has a result."""
        return self._desk("jobs", wait, 1, True)

    def kill(self) -> None:
        """SIGKILL, and the next process."""
        self._operator.close()
        self._server.kill()
        self._operator = Connection(self._server.port, "operator")

    def close(self) -> None:
        """Leave no process behind."""
        self._server.process.kill()

    def left(self) -> str:
        """How much is in the streams of work, which are emptied."""
        found = []
        for name in ("mail", "jobs"):
            if number := LOOP.run(self._operator.stream.stream_info(name)).state.messages:
                found.append(f"{number} message in the stream `{name}`, which its consumer is not given any more")
                LOOP.run(self._operator.stream.purge_stream(name))
        if found:
            self._built[EMPTIED] = None
        return ", ".join(found)

    def on_a_clock(self, told: Told, seconds: float) -> None:
        """There is no clock that could be moved."""

    def mistyped(self) -> list[tuple[str, str]]:
        """What is answered to names that nobody bears."""
        sender = Connection(self._server.port, "sender")

        async def published(subject: str) -> str:
            try:
                ack = await sender.stream.publish(subject, b"1")
            except NoStreamResponseError as error:
                return f"`{type(error).__name__}`"
            kept = (await sender.stream.stream_info(ack.stream)).state.messages
            return f"`PubAck`, `stream` `{ack.stream}`, which has {messages(kept)} that nobody is given"

        async def requested(subject: str) -> str:
            try:
                await sender.client.request(subject, b"1", timeout=5)
            except (NoRespondersError, TimedOut) as error:
                return f"`{type(error).__name__}`"
            return "an answer"

        try:
            return [
                ("a message to `mail.wroker`, with a stream of `mail.>`", LOOP.run(published("mail.wroker"))),
                (
                    "a message to `jobs.wroker`, with a stream of `jobs.worker` alone",
                    LOOP.run(published("jobs.wroker")),
                ),
                ("a request to `agents.wroker`", LOOP.run(requested("agents.wroker"))),
            ]
        finally:
            sender.close()
            self.left()

    def converse(self, limit: int) -> tuple[int, str]:
        """Two that answer each message with a message."""
        connections = {who: Connection(self._server.port, who) for who in ("a", "b")}

        async def talk() -> int:
            inbox = {
                who: await one.stream.pull_subscribe(f"talk.{who}", durable=who, stream="talk")
                for who, one in connections.items()
            }
            await connections["a"].stream.publish("talk.b", b"0")
            for number in range(1, limit + 1):
                who, other = ("b", "a") if number % 2 else ("a", "b")
                (message,) = await inbox[who].fetch(1, timeout=30)
                await connections[who].stream.publish(f"talk.{other}", b"%d" % number)
                await message.ack()
            return limit

        try:
            number = LOOP.run(talk(), 120)
        finally:
            for one in connections.values():
                one.close()
        self._built[HOPS] = None
        return number, ""

    def deadlock(self, patience: float) -> list[tuple[str, str]]:
        """C{a}, which does one thing at a time, asks C{b} for what it was asked, and C{b} asks C{a} for that."""
        connections = {who: Connection(self._server.port, who) for who in ("a", "b", "sender")}
        found: dict[str, str] = {}

        async def ask(who: str, other: str) -> str:
            began = time.monotonic()
            try:
                await connections[who].client.request(f"agents.{other}", b"?", timeout=patience)
            except TimedOut as error:
                waited = time.monotonic() - began
                when = f"after its time-out of {patience:.0f} s" if waited > 0.9 * patience else within(waited)
                found.setdefault(f"`{who}`", f"`{type(error).__name__}`, {when}")
                return "failed"
            return "answered"

        async def everybody() -> None:
            for who, other in (("a", "b"), ("b", "a")):

                async def asked(message: Msg, who: str = who, other: str = other) -> None:
                    await message.respond((await ask(who, other)).encode())

                await connections[who].client.subscribe(f"agents.{who}", cb=asked)
                await connections[who].client.flush()
            await ask("sender", "a")
            while len(found) < len(connections):
                await asyncio.sleep(0.1)

        try:
            LOOP.run(everybody(), 120)
        finally:
            for one in connections.values():
                one.close()
        self._built[CIRCLES] = None
        return sorted(found.items())

    def revoke(self) -> tuple[str, str, str]:
        """Take the worker's user out of the configuration, and have it read again."""
        told: list[str] = []
        late: list[bytes] = []
        gone = asyncio.Event()

        async def failed(error: Exception) -> None:
            told.append(str(error))

        async def closed() -> None:
            gone.set()

        async def arrived(message: Msg) -> None:
            late.append(message.data)

        worker = Connection(self._server.port, "worker", allow_reconnect=False, error_cb=failed, closed_cb=closed)
        LOOP.run(worker.client.subscribe("news.secret", cb=arrived))
        LOOP.run(worker.client.flush())
        began = time.monotonic()
        self._server.configure(tuple(user for user in USERS if user != "worker"))
        self._server.reload()
        self._built[USERS_CHANGED] = None
        LOOP.run(gone.wait())
        ended = within(time.monotonic() - began)
        LOOP.run(self._operator.stream.publish("news.secret", b"afterwards"))
        try:
            LOOP.run(_connect(self._server.port, "worker"))
            refused = "connected"
        except Error as error:
            refused = f"`{type(error).__name__}: {error}`"
        self._server.configure(USERS)
        self._server.reload()
        return (
            f"`{'`, `'.join(dict.fromkeys(told))}`, and the connection is closed, {ended}",
            messages(len(late)),
            refused,
        )

    def stalled(self, told: Told, count: int, size: int) -> None:
        """One of two subscribers stops reading."""
        stall(self._server.port, told, count, size)

    def _desk(self, name: str, wait: float, max_deliver: int, results: bool) -> Desk:
        desk = Queue(self._server.port, name, wait, max_deliver, results)
        desk.make(self._operator)
        self._desks.append(desk)
        return desk


async def _connect(port: int, user: str) -> None:
    client = await nats.connect(
        f"nats://127.0.0.1:{port}", user=user, password=PASSWORD, allow_reconnect=False, error_cb=quiet
    )
    await client.close()
