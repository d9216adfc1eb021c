"""Python's `websockets`, on asyncio."""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.clients.programs.lines import lines
from tests.clients.programs.telling import context, tell, tell_message


async def speak(socket: ClientConnection) -> None:
    """Send what comes by standard input."""
    async for line in lines():
        await socket.send(bytes(3) if line == "binary" else line)
    await socket.close()


async def main(url: str) -> None:
    """One connection."""
    async with connect(url, ssl=context(), max_size=None, proxy=None) as socket:
        assert socket.response is not None
        tell(f"open {socket.response.headers.get('Sec-WebSocket-Extensions', '')}")
        speaking = asyncio.create_task(speak(socket))
        try:
            while True:
                tell_message(await socket.recv(decode=False))
        except ConnectionClosed:
            tell(f"closed {socket.close_code} {socket.close_reason}")
        speaking.cancel()


try:
    asyncio.run(main(sys.argv[1]))
except Exception as failure:
    tell(f"failed {failure!r}")
