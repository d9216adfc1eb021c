"""A hostile client: it sends what it likes as fast as it can, and comes back at once when it is thrown out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from tests.stress.checks import Failed
from tests.stress.raw import Raw, frame, request

KIB: Final = 1024
MIB: Final = 1024 * KIB
CHUNK: Final = 256 * KIB
"""About how many bytes are handed to the socket at once."""

NAP: Final = 0.02
"""Seconds until the next try after a connection was refused or lost."""

DEFLATE: Final = ("Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover")


class Who(NamedTuple):
    """Which of the hostile clients this is, and what it has.

    C{address} is the one from which it connects, C{token} that of an agent with the default permissions; a stranger
    makes no use of it.
    """

    number: int
    port: int
    address: str
    token: str

    @property
    def name(self) -> str:
        """The entity of its token; beneath it are its channels."""
        return f"evil.{self.number}"


class Hostile:
    """What an attack has at hand.

    @ivar sent: how many bytes it has got rid of.
    @ivar lost: how many of its connections were refused, or ended by the gateway.
    """

    def __init__(self, who: Who) -> None:
        self._who = who
        self.sent = self.lost = 0
        self.name = who.name
        self.token = who.token
        self.numbers = itertools.count(1)

    async def opened(self) -> Raw:
        """A connection after its handshake, from which nothing is read by itself; close or reset it.

        @raise Failed: it was refused.
        """
        raw = Raw(self._who.port, self._who.address)
        try:
            return await raw.open(DEFLATE)
        except (Failed, OSError) as problem:
            raw.close()
            raise Failed(str(problem)) from None

    @contextlib.asynccontextmanager
    async def connection(self, deflate: bool = True, deaf: bool = False) -> AsyncIterator[Raw]:
        """A connection after its handshake; what comes on it is thrown away.

        @param deaf: nothing is read from it at all, and the system holds little for it.
        @raise Failed: it was refused.
        """
        raw = Raw(self._who.port, self._who.address, 4096 if deaf else None)
        reader: asyncio.Task[None] | None = None
        try:
            await raw.open(*([DEFLATE] if deflate else []))
            if not deaf:
                reader = asyncio.create_task(_discard(raw.socket))
            yield raw
        except OSError as problem:
            raise Failed(str(problem)) from None
        finally:
            if reader is not None:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
            raw.close()

    @contextlib.asynccontextmanager
    async def session(
        self, *texts: str, deflate: bool = True, deaf: bool = False, **introduction: Any
    ) -> AsyncIterator[Raw]:
        """A connection with a session.

        @param texts: what is sent once it is authenticated.
        @param introduction: more params of C{auth.authenticate}.
        """
        async with self.connection(deflate, deaf) as raw:
            await raw.send(frame(request("auth.authenticate", 0, token=self.token, **introduction)))
            await self.flood(raw, [frame(text) for text in texts], once=True)
            yield raw

    async def flood(self, raw: Raw, frames: list[bytes], once: bool = False) -> None:
        """Send these over and over.

        @param once: send each once, in chunks, and return.
        @raise Failed: the connection is gone.
        """
        whole = b"".join(frames)
        if not once:
            whole *= max(1, CHUNK // max(len(whole), 1))
        while True:
            for start in range(0, len(whole), CHUNK):
                if not await raw.send(whole[start : start + CHUNK]):
                    raise Failed("the connection is gone")
                self.sent += min(CHUNK, len(whole) - start)
                await asyncio.sleep(0)
            if once:
                return

    async def again(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do it over and over, whatever becomes of the connection; ends when it is cancelled."""
        while True:
            try:
                await act()
            except (Failed, OSError, TimeoutError):
                self.lost += 1
                await asyncio.sleep(NAP)
            await asyncio.sleep(0)


async def _discard(connection: socket.socket) -> None:
    """Read all that comes."""
    with contextlib.suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(connection, CHUNK):
            pass


def squeezed(*parts: str) -> bytes:
    """A compressed text, as one frame. Each part is compressed by itself, and once for all who send it."""
    return frame(b"".join(map(_block, parts))[:-4], rsv=4)


@lru_cache(maxsize=64)
def _block(part: str) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(part.encode()) + deflate.flush(zlib.Z_FULL_FLUSH)


def endless(size: int) -> bytes:
    """A compressed message of so many bytes whose last frame never comes."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = b'{"jsonrpc":"2.0","method":"rpc.ping","params":{"x":"'
    return frame(deflate.compress(head + b"a" * size) + deflate.flush(zlib.Z_SYNC_FLUSH), rsv=4, fin=False)


async def attack(
    stop: asyncio.Event, ready: Callable[[], None], act: Callable[[Hostile], Awaitable[None]], crowd: list[Who]
) -> tuple[int, int, list[str]]:
    """Be hostile, as each of these, until it is to stop.

    @return: bytes that were sent, connections that were lost, and attacks that ended by a fault of their own.
    """
    os.nice(10)  # the honest ones share the processor, and it is the gateway that is measured
    hostiles = [Hostile(who) for who in crowd]
    tasks = [asyncio.ensure_future(act(hostile)) for hostile in hostiles]
    ready()
    await stop.wait()
    ended = [repr(task.exception()) if not task.cancelled() else "cancelled" for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return sum(one.sent for one in hostiles), sum(one.lost for one in hostiles), ended
