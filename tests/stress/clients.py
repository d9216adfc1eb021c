"""Clients that do as the protocol says: one on `websockets`, and a lean one of which hundreds fit beside each other."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any, Final, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.crash.wire import Connection, Lost, Refused
from tests.stress.checks import Failed, until
from tests.stress.victim import HOST

PATIENCE: Final = 20.0


class Inbox(list[tuple[str, Any]]):
    """Notifications as they came, and requests of the gateway's: method and params."""

    def of(self, method: str) -> list[Any]:
        """The params of those."""
        return [params for name, params in self if name == method]

    async def wait(self, method: str, count: int, seconds: float = PATIENCE) -> list[Any]:
        """The params of those, once there are so many."""
        try:
            await until(lambda: len(self.of(method)) >= count, "", seconds)
        except Failed:
            raise Failed(f"{method}\n  expected: {count} of them\n  observed: {len(self.of(method))}") from None
        return self.of(method)

    @property
    def offsets(self) -> list[int]:
        """Of the channel's messages."""
        return [params["offset"] for params in self.of("channel.message")]


class Shared:
    """What both kinds have in common.

    @ivar invoked: answers C{agent.invoke}: called with its params, gives the result; None: nobody answers.
    """

    inbox: Inbox
    invoked: Callable[[Any], Any] | None = None
    call: Any

    async def refusal(self, method: str, **params: Any) -> Refused:
        """Make a call that must be refused."""
        try:
            result = await self.call(method, **params)
        except Refused as refused:
            return refused
        raise Failed(f"{method} {params}\n  expected: an error\n  observed: {result}")

    def _take(self, method: str, params: Any, answer: Callable[[str, Any], Any]) -> None:
        self.inbox.append((method, params))
        if method == "agent.invoke" and self.invoked is not None:
            answer(params["call_id"], self.invoked(params))


class Lean(Shared, Connection):
    """See L{Connection}: no library, no task.

    @param address: from which it connects.
    """

    def __init__(self, address: str, heard: Callable[[str, Any], None] | None = None) -> None:
        self.inbox = Inbox()
        super().__init__(heard or (lambda method, params: self._take(method, params, self.answer)), address)

    async def authenticate(self, token: str, entity_id: str, **more: Any) -> dict[str, Any]:
        """Open a session."""
        session: dict[str, Any] = await self.call("auth.authenticate", token=token, entity_id=entity_id, **more)
        return session


class Honest(Shared):
    """On `websockets`, as most people's clients are.

    @ivar session: the answer to C{auth.authenticate}.
    @ivar lost: done once the connection is gone.
    """

    def __init__(self, port: int, address: str, **options: Any) -> None:
        usual = {"host": "127.0.0.1", "local_addr": (address, 0), "max_size": None, "proxy": None}
        self._opening = connect(f"ws://{HOST}:{port}/ws", **usual | {"port": port, "ping_interval": None} | options)
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.inbox = Inbox()
        self.session: dict[str, Any] = {}
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self) -> Self:
        """Connect."""
        self._connection: ClientConnection = await self._opening
        self._reading = asyncio.ensure_future(self._read())
        return self

    async def call(self, method: str, **params: Any) -> Any:
        """Make a call.

        @return: its result.
        @raise Refused: the answer is an error.
        @raise Lost: the connection went before it came.
        """
        number = next(self._ids)
        arrived = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._connection.send(
                json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": number})
            )
        except ConnectionClosed as closed:
            raise Lost(str(closed)) from None
        async with asyncio.timeout(PATIENCE):
            answer = await arrived
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    async def notify(self, method: str, **params: Any) -> None:
        """Send a notification."""
        await self._connection.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    def answer(self, request_id: str, result: Any) -> None:
        """Answer a request of the gateway's."""
        response = json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result})
        self._answering = asyncio.ensure_future(self._connection.send(response))

    @property
    def close_code(self) -> int | None:
        """What the gateway closed it with."""
        return self._connection.close_code

    def drop(self) -> None:
        """Close the socket without a word of goodbye."""
        self._connection.transport.abort()

    async def close(self) -> None:
        """Say goodbye."""
        await self._connection.close()
        await self._reading

    async def _read(self) -> None:
        try:
            async for text in self._connection:
                said = json.loads(text)
                if "method" in said:
                    self._take(said["method"], said["params"], self.answer)
                elif (waiting := self._waiting.pop(said["id"], None)) and not waiting.done():
                    waiting.set_result(said)
        except ConnectionClosed:
            pass
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Lost("the connection is gone"))
                waiting.exception()  # perhaps nobody asks
        self.lost.set_result(None)
