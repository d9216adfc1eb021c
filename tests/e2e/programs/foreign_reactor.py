"""An asyncio program that has imported Twisted's default reactor before it starts the gateway."""

import asyncio
import sys

from twisted.internet import reactor

from cell0.service.gateway_ws import WebSocketGateway


async def main(state_dir: str) -> None:
    gateway = WebSocketGateway(host="127.0.0.1", port=0, state_dir=state_dir)
    try:
        await gateway.start()
    except RuntimeError as refusal:
        print(refusal)
        print(type(reactor).__name__)


asyncio.run(main(sys.argv[1]))
print("done")
