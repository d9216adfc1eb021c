"""A subscriber of the gateway that stops reading."""

from __future__ import annotations

import time

from tests.comparison.facts import AFTERWARDS, CAME, TOLD, Told, within
from tests.comparison.gateway.talker import Talker
from tests.e2e.clients import Client, RawClient
from tests.e2e.processes import ADMIN_TOKEN, PATIENCE, Address


def stall(address: Address, told: Told, count: int, size: int) -> None:
    """Publish to one that reads and to one that does not."""
    with Client(address, ADMIN_TOKEN) as admin, Talker(address, ADMIN_TOKEN) as quick:
        start = quick.call("channel.subscribe", channel="news.live")
        with RawClient(address, receive_buffer=4096) as stalled:
            stalled.call("auth.authenticate", token=ADMIN_TOKEN)
            stalled.call("channel.subscribe", channel="news.live")
            longest = 0.0
            for number in range(count):
                began = time.monotonic()
                admin.call("channel.publish", channel="news.live", message=[number, "x" * size])
                longest = max(longest, time.monotonic() - began)
            numbers = [quick.notification("channel.message")["message"][0] for _ in range(count)]
            code = stalled.close_code()
        told.note(
            CAME,
            f"the one that reads: {len(set(numbers))} of {count}",
            f"the publisher is answered {within(longest)} each time",
        )
        told.note(TOLD, f"close code {code}" if code else "cut off without a word")
        with Talker(address, ADMIN_TOKEN) as again:
            since = {"offset": start["offset"], "epoch": start["epoch"]}
            answer = again.call("channel.subscribe", channel="news.live", since=since)
            found = []
            while len(found) < count and (message := again.polled("channel.message", PATIENCE)) is not None:
                found.append(message["message"][0])
        whole = "in order" if found == list(range(count)) else "with holes"
        told.note(
            AFTERWARDS,
            f"connected again with its position: `recovered` `{str(answer['recovered']).lower()}`, "
            f"{len(found)} of {count}, {whole}",
        )
