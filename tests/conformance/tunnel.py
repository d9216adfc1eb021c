"""A port that forwards over TLS: the cases speak none themselves."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

CHUNK: Final = 65536


@asynccontextmanager
async def tunnel(port: int, certificate: Path) -> AsyncIterator[int]:
    """Forward every connection to a port of 127.0.0.1, over TLS.

    @param certificate: what the other end must have.
    @return: the port to connect to without TLS.
    """
    context = ssl.create_default_context(cafile=certificate)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        ways = [asyncio.ensure_future(_forward(*way)) for way in ((reader, back), (there, writer))]
        # The end of one way is that of both: TLS has no half-closed connections here.
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for end, way in zip((back, writer), ways, strict=True):
            way.cancel()
            end.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One way, to its end."""
    with suppress(OSError):  # as good an end as any
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
