"""Standard input for programs on asyncio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Final

LONGEST: Final = 1 << 24
"""Maximum bytes of a line."""


async def lines() -> AsyncIterator[str]:
    """Each line, without its end."""
    reader = asyncio.StreamReader(LONGEST)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().removesuffix("\n")
