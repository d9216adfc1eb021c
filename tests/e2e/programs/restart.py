"""An asyncio program that starts and stops a gateway, then the same again, then another on the same folder."""

import asyncio
import json
import sys
from typing import Any

from websockets.asyncio.client import connect

from cell0.service.gateway_ws import WebSocketGateway


async def authenticate(gateway: WebSocketGateway, token: str) -> Any:
    async with connect(f"ws://127.0.0.1:{gateway.port}", proxy=None) as client:
        await client.recv()
        await client.send(
            json.dumps({"jsonrpc": "2.0", "method": "auth.authenticate", "params": {"token": token}, "id": 1})
        )
        return json.loads(await client.recv())["result"]


async def main(state_dir: str) -> None:
    first = WebSocketGateway(host="127.0.0.1", port=0, state_dir=state_dir)
    await first.start()
    token = await first.mint("agent_001")
    print((await authenticate(first, token))["entity_id"])
    await first.stop()
    await first.start()
    print((await authenticate(first, token))["entity_id"])
    await first.stop()
    second = WebSocketGateway(host="127.0.0.1", port=0, state_dir=state_dir)
    await second.start()
    print((await authenticate(second, token))["entity_id"])
    rival = WebSocketGateway(host="127.0.0.1", port=0, state_dir=state_dir)
    try:
        await rival.start()
    except Exception as refusal:
        print(type(refusal).__name__, refusal)
    await second.stop()
    await second.stop()


asyncio.run(main(sys.argv[1]))
print("done")
