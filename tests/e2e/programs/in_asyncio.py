"""An asyncio program that serves, mints, publishes, sends and emits, with a client in the same loop."""

import asyncio
import json
import sys
from typing import Any

from websockets.asyncio.client import connect

from cell0.service.gateway_ws import WebSocketGateway


async def main(state_dir: str) -> None:
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
    async with connect(f"ws://127.0.0.1:{gateway.port}", proxy=None) as client:

        async def receive() -> Any:
            return json.loads(await client.recv())

        async def call(method: str, **params: Any) -> Any:
            await client.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}))
            return (await receive())["result"]

        print((await receive())["method"])
        print((await call("auth.authenticate", token=token))["entity_id"])
        for channel in ("events", "$agents"):
            await call("channel.subscribe", channel=channel)
        print(gateway.publish("events", {"n": 1}).recipients)
        print(json.dumps((await receive())["params"]["message"]))
        gateway.send("agent_001", {"n": 2})
        print(json.dumps((await receive())["params"]["message"]))
        gateway.emit("own.event", {"n": 3}, channel="$agents")
        print(json.dumps((await receive())["params"]["data"]))
        stopping = gateway.stop()
        await client.wait_closed()
        print(client.close_code)
        await stopping


asyncio.run(main(sys.argv[1]))
print("done")
