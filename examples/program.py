"""What the programs of this folder have in common: what is wrong with their command line is said in one line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from agent import Agent, Gone, Refused

SomeAgent = TypeVar("SomeAgent", bound=Agent)


def command_line(*wanted: str) -> list[str]:
    """The gateway's URL, the token from CELL0_TOKEN, and what else is `wanted`: NAME, [NAME] that may be missing, or
    NAME... that is one or more. Ends the program with one line if there is something else.
    """
    program, *given = sys.argv
    least = 1 + sum(not name.startswith("[") for name in wanted)
    if len(given) < least or (len(given) > 1 + len(wanted) and not any("..." in name for name in wanted)):
        sys.exit(" ".join(("usage: CELL0_TOKEN=cell0_... python", program, "ws://localhost:18801", *wanted)))
    url, *others = given
    if not url.startswith(("ws://", "wss://")):
        sys.exit(f"{program}: {url} is no URL of a gateway, which is like ws://localhost:18801")
    if not (token := os.environ.get("CELL0_TOKEN")):
        sys.exit(f"{program}: CELL0_TOKEN is not set: it must hold a token, which auth.generateToken mints")
    return [url, token, *others]


@contextlib.asynccontextmanager
async def connected(agent: SomeAgent) -> AsyncIterator[SomeAgent]:
    """Run an agent beside something else: it is connected when that begins."""
    running = asyncio.create_task(agent.run())
    # It ends by itself when the gateway sends it away: then it has ended the program with a line, which is enough.
    running.add_done_callback(lambda task: task.cancelled() or task.exception())
    connecting = asyncio.create_task(agent.connected.wait())
    await asyncio.wait({running, connecting}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():  # or by a mistake in its code: don't wait for a connection that never comes
        connecting.cancel()
        await running
    try:
        yield agent
    finally:
        running.cancel()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a program until it ends, is interrupted, or is refused something."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(main)
        except Refused as refusal:
            sys.exit(f"refused: {refusal}")
        except Gone as gone:
            sys.exit(str(gone))
