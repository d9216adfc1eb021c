"""A small agent on the gateway: it takes calls and mail, and comes back when its connection breaks.

Needs only `pip install websockets`. A subclass says what it does in `on_call` and `on_message`.
"""

import asyncio
import itertools
import json
import random

import websockets


class Refused(Exception):
    """The gateway, or an agent behind it, answered with an error: `code`, `data`."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.code, self.data = error["code"], error.get("data")


class Agent:
    capabilities = ()
    max_inflight = None

    def __init__(self, url, token):
        self.url, self.token = url, token
        self.receipts = asyncio.Queue()
        self.progress = {}  # what arrives before an answer goes into the queue of its request
        self.ready = asyncio.Event()
        self._ids = itertools.count(1)
        self._waiting, self._running, self._background = {}, {}, set()

    async def on_call(self, call):
        """Do what is asked, and return the result."""
        raise NotImplementedError

    async def on_message(self, message):
        """Do what a message says."""

    async def run(self):
        """Be there, until cancelled."""
        delay = 0.1
        while True:
            try:
                async with websockets.connect(self.url) as self._socket:
                    reading = asyncio.ensure_future(self._read())
                    try:
                        # "ack": what we don't acknowledge comes again, whatever breaks.
                        declared = {"capabilities": ["ack", *self.capabilities]}
                        if self.max_inflight is not None:
                            declared["max_inflight"] = self.max_inflight
                        await self.call("auth.authenticate", token=self.token, **declared)
                        self.ready.set()
                        delay = 0.1
                        await reading
                    finally:
                        reading.cancel()
            except (OSError, websockets.WebSocketException):
                pass
            self.ready.clear()
            for future in self._waiting.values():
                future.cancel()
            for task in self._running.values():
                task.cancel()
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))
            delay = min(delay * 2, 5)

    async def call(self, method, /, **params):
        """Call the gateway and wait for the result."""
        return await self.begin(method, **params)[1]

    def begin(self, method, /, **params):
        """Call the gateway: the id of the request, and what will be its result."""
        request_id = next(self._ids)
        self.progress[request_id] = asyncio.Queue()
        future = self._waiting[request_id] = asyncio.get_running_loop().create_future()
        self._spawn(self._send(method=method, params=params, id=request_id))
        return request_id, future

    async def notify(self, method, /, **params):
        await self._send(method=method, params=params)

    async def _send(self, **message):
        await self._socket.send(json.dumps({"jsonrpc": "2.0", **message}))

    def _spawn(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _read(self):
        async for text in self._socket:
            message = json.loads(text)
            method, params = message.get("method"), message.get("params", {})
            if method is None:
                self._answered(message)
            elif method == "agent.invoke":
                self._running[params["call_id"]] = self._spawn(self._answer(message["id"], params))
            elif method == "agent.cancelled" and params["call_id"] in self._running:
                self._running[params["call_id"]].cancel()
            elif method == "agent.message":
                # One after the other: they come in order, and are to be done in order.
                self._last = self._spawn(self._take(params, getattr(self, "_last", None)))
            elif method == "agent.progress":
                self.progress[params["request_id"]].put_nowait(params["data"])
            elif method == "agent.receipt":
                self.receipts.put_nowait(params)

    def _answered(self, message):
        future = self._waiting.pop(message["id"], None)
        if future is None or future.done():
            return
        if "error" in message:
            future.set_exception(Refused(message["error"]))
        else:
            future.set_result(message["result"])

    async def _answer(self, request_id, call):
        try:
            await self._send(id=request_id, result=await self.on_call(call))
        except websockets.ConnectionClosed:
            pass
        except Exception as failure:
            await self._send(id=request_id, error={"code": 1, "message": str(failure)})
        finally:
            self._running.pop(call["call_id"], None)

    async def _take(self, message, before):
        if before is not None:
            await asyncio.wait([before])
        for status in ("received", "started"):
            await self.call("agent.ack", message_id=message["message_id"], status=status)
        await self.on_message(message)
        await self.call("agent.ack", message_id=message["message_id"], status="done")
