"""A Deferred for both async worlds."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred

_T = TypeVar("_T")


class Awaitable(Generic[_T]):
    """A Deferred that can be awaited by Twisted's coroutines and by asyncio's tasks.

    What it stands for is under way already, whether anyone awaits it or not.

    @ivar deferred: the Deferred itself, for those who add callbacks.
    """

    def __init__(self, deferred: Deferred[_T]) -> None:
        self.deferred = deferred

    def __await__(self) -> Generator[Any, Any, _T]:
        loop = loop_of_task()
        return self.deferred.__await__() if loop is None else self.deferred.asFuture(loop).__await__()


def loop_of_task() -> asyncio.AbstractEventLoop | None:
    """The loop of the asyncio task that runs; None outside of tasks, as in Twisted's own coroutines."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else asyncio.get_running_loop()
