"""A Twisted program that serves, with Autobahn's client in the same reactor."""

import json
import sys
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import react

from cell0.service.gateway_ws import WebSocketGateway


class Protocol(WebSocketClientProtocol):
    def onOpen(self) -> None:
        self.factory.opened.callback(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.factory.queue.put(json.loads(payload))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.factory.closed.callback(code)


async def main(reactor: Any, state_dir: str) -> None:
    gateway = WebSocketGateway(
        host="127.0.0.1",
        port=0,
        heartbeat_interval=30.0,
        heartbeat_timeout=60.0,
        max_message_size=10 * 1024 * 1024,
        enable_compression=True,
        state_dir=state_dir,
    )
    await gateway.start()
    token = await gateway.mint("agent_001")
    factory = WebSocketClientFactory(f"ws://127.0.0.1:{gateway.port}")
    factory.protocol = Protocol
    factory.opened, factory.queue, factory.closed = Deferred(), DeferredQueue(), Deferred()
    await TCP4ClientEndpoint(reactor, "127.0.0.1", gateway.port).connect(factory)
    client = await factory.opened

    async def call(method: str, **params: Any) -> Any:
        client.sendMessage(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).encode())
        return (await factory.queue.get())["result"]

    print((await factory.queue.get())["method"])
    print((await call("auth.authenticate", token=token))["entity_id"])
    for channel in ("events", "$agents"):
        await call("channel.subscribe", channel=channel)
    print(gateway.publish("events", {"n": 1}).recipients)
    print(json.dumps((await factory.queue.get())["params"]["message"]))
    gateway.send("agent_001", {"n": 2})
    print(json.dumps((await factory.queue.get())["params"]["message"]))
    gateway.emit("own.event", {"n": 3}, channel="$agents")
    print(json.dumps((await factory.queue.get())["params"]["data"]))
    stopping = gateway.stop()
    print(await factory.closed)
    await stopping


if __name__ == "__main__":
    try:
        react(main, sys.argv[1:])
    except SystemExit as end:
        print("done" if not end.code else end.code)
