"""A subscriber that goes on where it was, whatever breaks: its network, the gateway's machine, the gateway.

    CELL0_TOKEN=cell0_... python resuming_client.py ws://localhost:18801 orders

It prints each message behind its offset, and what happens to it behind a #. It renews its token before that expires.
It needs the package websockets only.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import sys
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

FIRST_DELAY, LONGEST_DELAY = 0.25, 30.0  # seconds between two tries to connect
PATIENCE = 20.0  # seconds; a gateway that takes longer to answer is as good as gone


class Refused(Exception):
    """The gateway answered a call with an error."""


class ResumingClient:
    """Subscribed to some channels for as long as it runs."""

    def __init__(self, url: str, token: str, channels: list[str]) -> None:
        self.url = url
        self.token = token
        self.ids = itertools.count(1)
        # Where we are in each channel: the offset of the last message we dealt with, and the epoch, which names the
        # numbering that the offset belongs to. A program that must go on after its own end, too, keeps this on disk.
        self.positions: dict[str, dict[str, Any] | None] = dict.fromkeys(channels)
        self.resume_token: str | None = None
        self.session_id: str | None = None
        self.expiring = False

    async def run(self) -> None:
        """Connect, and connect again."""
        failures = 0
        while True:
            try:
                # websockets pings by itself, so a connection that is dead without a word is noticed, too.
                async with connect(self.url, max_size=16 * 1024 * 1024) as socket:
                    await asyncio.wait_for(self.take_up(socket), PATIENCE)
                    while True:
                        if self.expiring:
                            await asyncio.wait_for(self.renew(socket), PATIENCE)
                        failures = 0  # only now: a gateway that accepts us and then fails must not be tried at once
                        self.hear(json.loads(await socket.recv()))
            except (OSError, ConnectionClosed, InvalidHandshake) as problem:  # a timeout is an OSError
                # Codes from 4500 on say: not again, until something has changed. A revoked token is one of them.
                if isinstance(problem, ConnectionClosed) and problem.rcvd and problem.rcvd.code >= 4500:
                    raise SystemExit(f"# the gateway sent us away: {problem.rcvd.code} {problem.rcvd.reason}") from None
                print(f"# the connection is gone: {problem}")
            # The delay grows, so that a gateway in trouble gets time, and it is random, so that a thousand clients
            # that lost their gateway in one moment do not come back in one moment.
            delay = random.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 2**failures))
            failures = min(failures + 1, 20)
            await asyncio.sleep(delay)

    async def take_up(self, socket: ClientConnection) -> None:
        """Say who we are, and go on in every channel."""
        self.session_id, self.expiring = None, False
        session = await self.call(socket, "auth.authenticate", token=self.token)
        self.session_id = session["session_id"]
        missing = set(self.positions)
        if self.resume_token is not None:
            # While the gateway lives it keeps the place of a session that broke, with all its subscriptions, and
            # knows what each of them has missed. Our positions say what did arrive: the gateway can't know that.
            seen = {channel: position for channel, position in self.positions.items() if position is not None}
            place = await self.call(socket, "session.resume", resume_token=self.resume_token, positions=seen)
            for channel, outcome in place["channels"].items():
                if channel in missing:
                    missing.discard(channel)
                    self.settle(channel, outcome)
        # The place is gone if the gateway was started anew, or we were away for too long. And it may lack channels,
        # if the last connection broke before it was subscribed to all. Positions are as good: what matters is kept
        # by the channel, not by the session.
        for channel in missing:
            position = self.positions[channel]
            since = {} if position is None else {"since": position}
            self.settle(channel, await self.call(socket, "channel.subscribe", channel=channel, **since))
        # The new session has a secret of its own. We keep the old one until we are subscribed to everything: were
        # this connection cut before, the place worth having would still be the old one.
        self.resume_token = session["resume_token"]

    async def renew(self, socket: ClientConnection) -> None:
        """Our token expires within a minute: get another one, and go on with that on the same connection."""
        self.expiring = False
        try:
            # A program that must go on after its own end, too, keeps the new token on disk before it uses it.
            self.token = (await self.call(socket, "auth.renew"))["token"]
            session = await self.call(socket, "auth.refresh", token=self.token)
        except Refused as refusal:
            print(f"# this token is the last one: {refusal}")
        else:
            self.resume_token = session["resume_token"]
            print(f"# the token is renewed, until {session['expires_at']}")

    def settle(self, channel: str, outcome: dict[str, Any]) -> None:
        """We are subscribed to a channel: from where on?"""
        before = self.positions[channel]
        if before is not None and outcome["recovered"]:
            print(f"# {channel} goes on after {before['offset']}")
            return  # what we missed follows now, message by message, and moves the position itself
        if before is None:
            print(f"# {channel} begins after {outcome['offset']}")
        elif before["epoch"] == outcome["epoch"]:
            print(f"# LOST {channel}: not all is held that came after {before['offset']}, up to {outcome['offset']}")
        else:
            print(f"# LOST {channel}: its numbering began anew, nobody knows what came after {before['offset']}")
        self.positions[channel] = {"offset": outcome["offset"], "epoch": outcome["epoch"]}

    def hear(self, message: dict[str, Any]) -> None:
        """Deal with a notification; those that we don't know are none of our business."""
        params = message.get("params")
        if message.get("method") == "event" and params["type"] == "token.expiring":
            # A subscriber of $system hears of the tokens of others, too. The first event may come before the answer
            # that says which session is ours.
            self.expiring |= self.session_id in (None, params["data"]["session_id"])
        if message.get("method") != "channel.message":
            return
        print(params["offset"], json.dumps(params["message"]))
        # Last: should dealing with it fail, it comes again, which is better than never.
        self.positions[params["channel"]] = {"offset": params["offset"], "epoch": params["epoch"]}

    async def call(self, socket: ClientConnection, method: str, **params: Any) -> dict[str, Any]:
        """Make a call; what arrives before its answer is dealt with, in order."""
        number = next(self.ids)
        await socket.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": number}))
        while True:
            message = json.loads(await socket.recv())
            if message.get("id") != number:
                self.hear(message)
            elif "result" in message:
                return message["result"]
            elif message["error"]["data"]["retryable"]:
                raise OSError(message["error"]["message"])  # as if it could not be reached: try again later
            else:
                raise Refused(f"{method}: {message['error']['message']}")


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if len(sys.argv) < 3 or "CELL0_TOKEN" not in os.environ:
        sys.exit(f"usage: CELL0_TOKEN=cell0_... python {sys.argv[0]} ws://localhost:18801 CHANNEL...")
    try:
        asyncio.run(ResumingClient(sys.argv[1], os.environ["CELL0_TOKEN"], sys.argv[2:]).run())
    except KeyboardInterrupt:
        pass
    except Refused as refusal:
        sys.exit(f"# {refusal}")
