"""Parties of the storm of C{tests.crash.narrow}: each comes back whenever its connection is gone, and reads slowly."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Self

from tests.crash.wire import PATIENCE, TEXT, Answer, Connection, Lost, Refused, Violation

BUFFER: Final = 16384
"""Bytes that the system takes for one that does not read."""
PAUSE: Final = 1.5
"""Maximum seconds for which a party stays away, usually much less."""
NEWS: Final = "news"


class Line(Connection):
    """A connection that is read slowly, and that hears no answer twice.

    @param slow: says whether it is slow now.
    """

    def __init__(self, heard: Callable[[str, Any], None], chance: random.Random, slow: Callable[[], bool]) -> None:
        super().__init__(heard)
        self._chance = chance
        self._slow = slow

    async def open(self, port: int) -> Self:
        """See L{Connection}; little waits in the system, from the first byte on."""
        loop, plug = asyncio.get_running_loop(), socket.socket()
        plug.setblocking(False)
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        try:
            await loop.sock_connect(plug, ("127.0.0.1", port))
            await loop.create_connection(lambda: self, sock=plug)
        except OSError as problem:
            plug.close()
            raise Lost(str(problem)) from None
        async with asyncio.timeout(PATIENCE):
            await self._opened
        return self

    def data_received(self, data: bytes) -> None:
        """See L{asyncio.Protocol}."""
        super().data_received(data)
        if self._slow() and self._there():
            self._transport.pause_reading()
            # Mostly some 100 kB a second; now and then it stops.
            pause = 2.0 if self._chance.random() < 0.01 else self._chance.uniform(0, 0.2)
            asyncio.get_running_loop().call_later(pause, self._read_on)

    def _read_on(self) -> None:
        if self._there() and not self.lost.done():
            self._transport.resume_reading()

    def _take_up(self, first: int, payload: bytes) -> None:
        if first == TEXT and b'"method"' not in payload and json.loads(payload)["id"] not in self._waiting:
            raise Violation(f"a second answer: {payload[:300]!r}")
        super()._take_up(first, payload)


class Books:
    """What all parties know together.

    @ivar calm: whether nobody is slow or cut any more; C{ending}: whether nobody comes back.
    @ivar counts: what happened, for the summary.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.tokens: dict[str, str] = {}
        self.port = 0
        self.calm = self.ending = False
        self.counts: Counter[str] = Counter()


class Party:
    """One of them.

    @param name: its entity id.
    @param slow: whether it reads slowly.
    @ivar line: its connection, once it has a session.
    """

    capabilities: tuple[str, ...] = ()

    def __init__(self, name: str, books: Books, slow: bool) -> None:
        self.name = name
        self.books = books
        self._reads_slowly = slow
        self._connecting: Line | None = None
        self.line: Line | None = None

    async def live(self) -> None:
        """Connect, go on, and again."""
        while not self.books.ending:
            self._connecting = line = Line(self.heard, self.books.chance, self._is_slow)
            try:
                await line.open(self.books.port)
                said = {"token": self.books.tokens[self.name], "capabilities": list(self.capabilities)}
                await line.call("auth.authenticate", **said)
                self.line = line
                self.begin()
                await line.lost
            except Lost:
                pass
            except Refused as refused:
                if not refused.data["retryable"]:
                    raise Violation(f"{self.name} can't come in: {refused}") from None
                line.reset()
            self.line = None
            self.books.counts[f"connections ended with {line.close_code}"] += 1
            await asyncio.sleep(0.05 + PAUSE * self.books.chance.random() ** 3)

    def cut(self) -> None:
        """Lose the connection, if there is one, in one of three ways."""
        line = self._connecting
        if line is None or self.books.calm:
            return
        self.books.counts["cuts"] += 1
        match self.books.chance.randrange(3):
            case 0:
                line.reset()
            case 1:
                line.drop()
            case 2:
                line.fall_silent()
                asyncio.get_running_loop().call_later(self.books.chance.uniform(0, 2), line.drop)

    def begin(self) -> None:
        """Called with each new session."""
        self.ask("channel.subscribe", lambda result: None, channel=NEWS)

    def heard(self, method: str, params: Any) -> None:
        """Called with each notification."""

    def ask(self, method: str, then: Callable[[Any], None], **params: Any) -> None:
        """Make a call, and again for as long as it is refused with the advice to try again, and this line is there.

        @param then: called with the result.
        """
        line = self.line

        def arrived(answer: Answer | None) -> None:
            if answer is None:
                return
            if "result" in answer:
                then(answer["result"])
                return
            data = answer["error"]["data"]
            if not data["retryable"]:
                raise Violation(f"{self.name}: {method}: {answer['error']}")
            self.books.counts[f"refused: {data['code']}"] += 1
            wait = data.get("retry_after_ms", 100) / 1000 * self.books.chance.uniform(1.0, 1.5)
            asyncio.get_running_loop().call_later(min(wait, 1.0), again)

        def again() -> None:
            if line is not None and self.line is line and not self.books.ending:
                line.send(arrived, method, **params)

        again()

    def _is_slow(self) -> bool:
        return self._reads_slowly and not self.books.calm


class Publisher(Party):
    """Publishes long messages, so that much waits for all others."""

    def publish(self) -> None:
        """One more."""
        text = "n" * self.books.chance.randint(5_000, 30_000)
        self.ask("channel.publish", lambda result: None, channel=NEWS, message=text)
