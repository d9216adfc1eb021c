"""libcurl with its own WebSockets, as Python's curl_cffi brings it."""

from __future__ import annotations

import asyncio
import os
import sys

from curl_cffi import AsyncSession, CurlOpt
from curl_cffi.requests.websockets import AsyncWebSocket, WebSocketClosed

from tests.clients.programs.lines import lines
from tests.clients.programs.telling import tell, tell_message

VERSIONS = {"1.2": 6, "1.3": 7}
"""libcurl's numbers for versions of TLS."""


async def speak(socket: AsyncWebSocket) -> None:
    """Send what comes by standard input."""
    async for line in lines():
        await socket.send_str(line)
    await socket.close()


async def main(url: str) -> None:
    """One connection."""
    version = VERSIONS.get(os.environ.get("CLIENT_TLS", ""))
    options = {} if version is None else {CurlOpt.SSLVERSION: version | version << 16}
    trusted = os.environ.get("CLIENT_CA") or True
    async with (
        AsyncSession(trust_env=False) as session,
        session.ws_connect(url, verify=trusted, curl_options=options, max_message_size=1 << 24) as socket,
    ):
        tell("open ")
        speaking = asyncio.create_task(speak(socket))
        try:
            while True:
                data, flags = await socket.recv()
                if flags & 1:
                    tell_message(data)
                elif flags & 8:
                    break
        except WebSocketClosed:
            pass
        tell(f"closed {socket.close_code} {socket.close_reason or ''}")
        speaking.cancel()


try:
    asyncio.run(main(sys.argv[1]))
except Exception as failure:
    tell(f"failed {failure!r}")
