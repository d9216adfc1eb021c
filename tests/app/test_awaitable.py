"""What is awaited in both worlds."""

import asyncio
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.app.awaitable import Awaitable


class AwaitableTests(SynchronousTestCase):
    """L{Awaitable}."""

    def in_asyncio(self, deferred: Deferred[Any], later: Any = None) -> Any:
        async def task() -> Any:
            if later is not None:
                asyncio.get_running_loop().call_soon(deferred.callback, later)
            return await Awaitable(deferred)

        return asyncio.run(task())

    def in_twisted(self, deferred: Deferred[Any]) -> Deferred[Any]:
        async def coroutine() -> Any:
            return await Awaitable(deferred)

        return Deferred.fromCoroutine(coroutine())

    def test_asyncio_fired(self) -> None:
        """An asyncio task gets the result of a Deferred that has fired, whatever the result."""
        for result in (7, None, [1]):
            self.assertEqual(self.in_asyncio(succeed(result)), result)

    def test_asyncio_later(self) -> None:
        """An asyncio task waits for one that fires later."""
        self.assertEqual(self.in_asyncio(Deferred(), later="result"), "result")

    def test_asyncio_fails(self) -> None:
        """An asyncio task gets the exception itself."""
        error = self.assertRaises(OSError, self.in_asyncio, fail(OSError("the port is taken")))
        self.assertEqual(str(error), "the port is taken")

    def test_asyncio_wait_for(self) -> None:
        """asyncio's own functions take it, such as the one that waits no longer than a limit."""

        async def task() -> str:
            waiting: Deferred[str] = Deferred()
            asyncio.get_running_loop().call_soon(waiting.callback, "result")
            return await asyncio.wait_for(asyncio.ensure_future(Awaitable(waiting)), 30)

        self.assertEqual(asyncio.run(task()), "result")

    def test_twisted_fired(self) -> None:
        """A coroutine of Twisted gets the result of a Deferred that has fired."""
        self.assertEqual(self.successResultOf(self.in_twisted(succeed(7))), 7)

    def test_twisted_later(self) -> None:
        """A coroutine of Twisted waits for one that fires later."""
        waiting: Deferred[int] = Deferred()
        result = self.in_twisted(waiting)
        self.assertNoResult(result)
        waiting.callback(7)
        self.assertEqual(self.successResultOf(result), 7)

    def test_twisted_fails(self) -> None:
        """A coroutine of Twisted gets the exception itself."""
        self.failureResultOf(self.in_twisted(fail(OSError())), OSError)

    def test_deferred(self) -> None:
        """Who prefers callbacks finds the Deferred."""
        deferred = succeed(7)
        self.assertIs(Awaitable(deferred).deferred, deferred)
