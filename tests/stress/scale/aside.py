"""Work in a process of its own, so that who measures does not wait for who attacks."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self


class Aside:
    """Runs a coroutine function in a process of its own until it is told to stop.

    @param work: called with an event that is set when it shall stop, and with C{arguments}; it gives its outcome.
        The first thing that it does with C{ready}, its second argument, is to call it when it has begun.
    """

    def __init__(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_run, args=(there, work, arguments), daemon=True)

    async def __aenter__(self) -> Self:
        self._process.start()
        await asyncio.to_thread(self._here.recv)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._process.is_alive():
            self._process.terminate()
        await asyncio.to_thread(self._process.join)

    async def outcome(self) -> Any:
        """Tell it to stop, and wait for what it has to say."""
        self._here.send(None)
        return await asyncio.to_thread(self._here.recv)


def _run(pipe: Any, work: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> None:
    async def main() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(pipe.fileno(), stop.set)
        outcome = await work(stop, lambda: pipe.send(None), *arguments)
        asyncio.get_running_loop().remove_reader(pipe.fileno())
        pipe.send(outcome)

    asyncio.run(main())
