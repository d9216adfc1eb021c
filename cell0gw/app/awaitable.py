"""A Deferred for both async worlds, and the reactor of the one that runs."""

from __future__ import annotations

import asyncio
import sys
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


def reactor_of_world() -> Any:
    """The reactor that runs; in an asyncio task one on its loop, installed if there is none.

    @raise RuntimeError: in an asyncio task, with a reactor that is not on its loop.
    """
    loop = loop_of_task()
    if loop is not None and "twisted.internet.reactor" not in sys.modules:
        from twisted.internet import asyncioreactor

        asyncioreactor.install(loop)
    from twisted.internet import reactor

    if loop is not None and getattr(reactor, "_asyncioEventloop", None) is not loop:
        raise RuntimeError(
            f"Twisted's reactor is {type(reactor).__name__} and does not run on this asyncio loop. Import nothing "
            "that imports twisted.internet.reactor before start(), or install twisted.internet.asyncioreactor on the "
            "loop first"
        )
    return reactor
