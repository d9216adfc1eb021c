"""Python's aiohttp."""

from __future__ import annotations

import asyncio
import sys

import aiohttp

from tests.clients.programs.lines import lines
from tests.clients.programs.telling import context, tell, tell_message


async def speak(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Send what comes by standard input."""
    async for line in lines():
        await socket.send_str(line)
    await socket.close()


async def main(url: str) -> None:
    """One connection."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, ssl=context() or True, max_msg_size=0, compress=15, autoclose=False) as socket,
    ):
        tell(f"open {'permessage-deflate' if socket.compress else ''}")
        speaking = asyncio.create_task(speak(socket))
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            tell_message(message.data.encode())
        if message.type is aiohttp.WSMsgType.CLOSE:
            await socket.close()
            tell(f"closed {message.data} {message.extra}")
        else:
            tell(f"closed {socket.close_code} {message.type.name}")
        speaking.cancel()


try:
    asyncio.run(main(sys.argv[1]))
except Exception as failure:
    tell(f"failed {failure!r}")
