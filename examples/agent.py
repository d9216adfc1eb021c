"""What the agents of this folder have in common. Copy it, and write your own `on_call` and `on_message`.

It keeps a connection to the gateway, makes calls, answers those of others at the same time, acknowledges its mail, and
renews its token before that expires.
It needs the package websockets only. reader.py is the shortest agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import json
import random
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

try:
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import ConnectionClosed, InvalidHandshake
except ImportError:
    sys.exit("the examples need the package websockets, version 15 or newer: pip install websockets")

FIRST_DELAY, LONGEST_DELAY = 0.25, 30.0  # seconds between two tries to connect
GONE = "the connection is gone"
FAILED = 1  # the code of an error of our own: any that JSON-RPC has not reserved


class Refused(Exception):
    """The gateway answered a request with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']} {error['message']}")
        self.code: int = error["code"]
        self.data: dict[str, Any] = error["data"]


class Gone(Exception):
    """The connection broke before the answer came: nobody knows whether the request was carried out."""

    def __str__(self) -> str:
        return GONE


class Request:
    """A request that was sent; await its `answer`."""

    def __init__(self, number: int) -> None:
        self.id = number
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.shown: asyncio.Queue[Any] = asyncio.Queue()
        self.answer.add_done_callback(lambda answer: self.shown.put_nowait(self))

    async def progress(self) -> AsyncIterator[Any]:
        """What an agent shows before its answer, piece by piece."""
        while (data := await self.shown.get()) is not self:
            yield data


class Agent:
    """Connected for as long as it runs; `connected` is set while it is.

    `capabilities` are what others may call it for; `max_inflight` is how many calls it takes at once, None: as many
    as come. `name` is what the gateway calls it.
    """

    capabilities: tuple[str, ...] = ()
    max_inflight: int | None = None

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self.name = ""
        self.connected = asyncio.Event()
        self._ids = itertools.count(1)
        self._requests: dict[int, Request] = {}
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._mail: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        # What was dealt with, and its acknowledgement may have been lost: such a message comes again.
        self._dealt_with: dict[str, dict[str, str]] = {}
        self._socket: ClientConnection | None = None
        self._session_id = ""
        self._welcomed = ""  # the date by the gateway's clock when it welcomed us; ours may be another one
        self._expiring = asyncio.Event()

    # What an agent of your own does

    async def on_online(self) -> None:
        """We are connected, for the first time or again: the place to subscribe to something."""

    def on_offline(self, reason: str, delay: float) -> None:
        """We are not connected, and try again after a delay in seconds."""
        print(f"{self.url}: {reason}; trying again in {delay:.1f} s", file=sys.stderr)

    async def on_call(self, call_id: str, params: dict[str, Any]) -> Any:
        """Someone calls: return the result. What is raised here becomes an error, and the caller gets it.

        This is cancelled when nobody wants the result any more, or when the connection is gone.
        """
        raise LookupError("this agent takes no calls")

    async def on_message(self, params: dict[str, Any]) -> None:
        """Someone has sent `params["message"]`; the next one comes when this one is dealt with."""

    def on_token(self, token: str) -> None:
        """We have another token. The place to write it down, for when the program is started again."""

    def on_last_token(self, expires_at: str, reason: str) -> None:
        """Our token can't be renewed: when it expires somebody must have given us another one."""
        print(f"this token is the last one, it ends at {expires_at}: {reason}", file=sys.stderr)

    def on_receipt(self, params: dict[str, Any]) -> None:
        """A message of our own has got further."""

    def on_notification(self, method: str, params: dict[str, Any]) -> None:
        """Anything else that the gateway tells: what was published, who came and went. There will be more."""

    # What it can do

    async def request(self, method: str, **params: Any) -> Request:
        """Send a request, and don't wait for its answer."""
        if self._socket is None:
            raise Gone
        request = Request(next(self._ids))
        self._requests[request.id] = request
        await self._send({"method": method, "params": params, "id": request.id})
        return request

    async def call(self, method: str, **params: Any) -> Any:
        """Send a request, and wait for its result."""
        return await (await self.request(method, **params)).answer

    async def insist(self, method: str, **params: Any) -> Any:
        """Call until there is an answer. For what does no harm when it is done twice, or has an idempotency key."""
        while True:
            await self.connected.wait()
            try:
                return await self.call(method, **params)
            except Gone:
                pass
            except Refused as refusal:
                if not refusal.data["retryable"]:
                    raise
                await asyncio.sleep(FIRST_DELAY)

    async def show(self, call_id: str, data: Any) -> None:
        """Show the caller something before the result. A call has begun with that."""
        await self._send({"method": "agent.progress", "params": {"call_id": call_id, "data": data}})

    async def begin(self, call_id: str) -> None:
        """Say that we have begun with a call: should we die now, nobody else does it a second time."""
        await self.call("agent.ack", message_id=call_id, status="started")

    # How it does that

    async def run(self) -> None:
        """Connect, and connect again."""
        mail = asyncio.create_task(self._read_mail())
        failures = 0
        try:
            while True:
                reason = GONE
                try:
                    async with connect(self.url, max_size=16 * 1024 * 1024) as socket:
                        reading = asyncio.create_task(self._read(socket))
                        renewing = None
                        try:
                            with contextlib.suppress(Gone):  # whoever reads knows why
                                session = await self._take_up(socket)
                                failures = 0  # only now: who accepts us and then fails must not be tried without pause
                                renewing = asyncio.create_task(self._keep_token(session))
                                await self.on_online()
                            await reading
                        except asyncio.CancelledError:
                            await socket.close()  # with a goodbye, so that the gateway does not wait for us
                            raise
                        finally:
                            reading.cancel()
                            if renewing is not None:
                                renewing.cancel()
                except (OSError, ConnectionClosed, InvalidHandshake) as problem:
                    # Codes from 4500 on say: not again, until something has changed.
                    if isinstance(problem, ConnectionClosed) and problem.rcvd and problem.rcvd.code >= 4500:
                        raise SystemExit(f"sent away: {problem.rcvd.code} {problem.rcvd.reason}") from None
                    nobody = f"[Errno {errno.ECONNREFUSED}]" in str(problem)
                    reason = "nobody listens there" if nobody else str(problem)
                # The delay grows, so that a gateway in trouble gets time, and it is random, so that a thousand agents
                # that lost their gateway in one moment do not come back in one moment.
                delay = random.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 2**failures))
                self.on_offline(reason, delay)
                await asyncio.sleep(delay)
                failures = min(failures + 1, 20)
        finally:
            mail.cancel()

    async def _take_up(self, socket: ClientConnection) -> dict[str, Any]:
        """Say who we are and what we can do; "ack" is that we acknowledge what we get."""
        self._socket = socket
        self._session_id = ""
        self._expiring.clear()
        who = {"token": self.token, "capabilities": ["ack", *self.capabilities], "max_inflight": self.max_inflight}
        try:
            session: dict[str, Any] = await self.call("auth.authenticate", **who)
        except Refused as refusal:
            if refusal.data["retryable"]:
                raise OSError(str(refusal)) from None  # as if it could not be reached: later
            raise SystemExit(f"refused: {refusal}") from None
        self.name, self._session_id = session["entity_id"], session["session_id"]
        self.connected.set()
        return session

    async def _keep_token(self, session: dict[str, Any]) -> None:
        """Renew our token when half of its time is over, or when the gateway warns us, which is the last call."""
        if session["expires_at"] is None:
            return
        left = datetime.fromisoformat(session["expires_at"]) - datetime.fromisoformat(self._welcomed)
        seconds = left.total_seconds()
        with contextlib.suppress(Gone):  # once we are connected again there is another one of this
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._expiring.wait(), seconds / 2)
                self._expiring.clear()
                try:
                    new = await self.call("auth.renew")
                    self.token = new["token"]
                    self.on_token(self.token)
                    session = await self.call("auth.refresh", token=self.token)
                except Refused as refusal:
                    if not refusal.data["retryable"]:
                        self.on_last_token(session["expires_at"], str(refusal))
                        return
                    seconds = max(seconds / 2, 2)  # again when half of what is left is over
                else:
                    seconds = new["expires_in_hours"] * 3600

    def _hang_up(self) -> None:
        """The connection is gone, and so are all calls on it, ours and those of others."""
        self._socket = None
        self.connected.clear()
        for task in self._calls.values():
            task.cancel(GONE)
        requests, self._requests = self._requests, {}
        for request in requests.values():
            if not request.answer.done():
                request.answer.set_exception(Gone())
                request.answer.exception()  # whoever waits gets it all the same

    async def _read(self, socket: ClientConnection) -> None:
        """Take up what comes, in order, and never wait here for anything else."""
        try:
            async for text in socket:
                message = json.loads(text)
                method, params = message.get("method"), message.get("params")
                if method is None:
                    self._answered(message)
                elif method == "agent.invoke":
                    call_id = message["id"]
                    self._calls[call_id] = asyncio.create_task(self._answer(call_id, params))
                elif method == "agent.cancelled":
                    if (task := self._calls.get(params["call_id"])) is not None:
                        task.cancel(params["reason"])
                elif method == "agent.progress":
                    if (request := self._requests.get(params["request_id"])) is not None:
                        request.shown.put_nowait(params["data"])
                elif method == "agent.message":
                    self._mail.put_nowait(params)
                elif method == "agent.receipt":
                    self.on_receipt(params)
                else:
                    self._told(method, params)
        finally:
            self._hang_up()

    def _told(self, method: str, params: dict[str, Any]) -> None:
        if method == "connection.welcome":
            self._welcomed = params["timestamp"]
        # Who has subscribed to $system hears of the tokens of others, too. Before we know our session there are none: a
        # token that is about to expire when we authenticate is warned of before the answer.
        expiring = method == "event" and params["type"] == "token.expiring"
        if expiring and self._session_id in ("", params["data"]["session_id"]):
            self._expiring.set()
        self.on_notification(method, params)

    def _answered(self, message: dict[str, Any]) -> None:
        request = self._requests.pop(message.get("id"), None)
        if request is None or request.answer.done():
            return
        if "result" in message:
            request.answer.set_result(message["result"])
        else:
            request.answer.set_exception(Refused(message["error"]))
            request.answer.exception()  # whoever waits gets it all the same

    async def _answer(self, call_id: str, params: dict[str, Any]) -> None:
        """Do what a call asks for, at the same time as others; it is cancelled when nobody wants the answer."""
        answer: dict[str, Any]
        try:
            answer = {"result": await self.on_call(call_id, params)}
        except Exception as problem:
            answer = {"error": {"code": FAILED, "message": f"{type(problem).__name__}: {problem}"}}
        except asyncio.CancelledError:  # nobody waits for an answer, but it says that we are at it no more
            answer = {"error": {"code": FAILED, "message": "stopped"}}
        finally:
            del self._calls[call_id]
        with contextlib.suppress(Gone):
            await self._send(answer | {"id": call_id})

    async def _read_mail(self) -> None:
        """Deal with one message after the other, and say so at each step.

        From "received" on the gateway does not bring it again. If you must not lose it should your program die over
        it, leave that and "started" out: then it comes again until you have said "done" or "failed".
        """
        while True:
            params = await self._mail.get()
            message_id = params["message_id"]
            if message_id not in self._dealt_with:
                await self._acknowledge(message_id, status="received")
                await self._acknowledge(message_id, status="started")
                outcome = {"status": "done"}
                try:
                    await self.on_message(params)
                except Exception as problem:
                    outcome = {"status": "failed", "detail": f"{type(problem).__name__}: {problem}"[:1000]}
                self._dealt_with[message_id] = outcome
                if len(self._dealt_with) > 10_000:
                    del self._dealt_with[next(iter(self._dealt_with))]
            await self._acknowledge(message_id, **self._dealt_with[message_id])

    async def _acknowledge(self, message_id: str, **step: str) -> None:
        """Say it until we know that it was heard. It is refused when the message has waited too long, and is over."""
        with contextlib.suppress(Refused):
            await self.insist("agent.ack", message_id=message_id, **step)

    async def _send(self, message: dict[str, Any]) -> None:
        if self._socket is None:
            raise Gone
        try:
            await self._socket.send(json.dumps({"jsonrpc": "2.0", **message}))
        except ConnectionClosed:
            raise Gone from None


if __name__ == "__main__":
    sys.exit("agent.py does nothing by itself: run reader.py, worker.py or storyteller.py, which are agents")
