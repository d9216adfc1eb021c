"""What is taken is brought whole, in a message that is no longer than was announced, and can be read back."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels.rules import ChannelRule
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.protocol.limits import ENVELOPE, KIB
from cell0gw.testing import Client, MemoryGateway

LIMIT = 64 * KIB
LONGEST = "x" * (LIMIT - ENVELOPE - 2)
"""As JSON, the longest that is relayed."""

TOO_LARGE = -32005
NAME = "n" * 200


class RelayedTests(SynchronousTestCase):
    """Between clients whose names are as long as names may be."""

    def setUp(self) -> None:
        rules = (ChannelRule(pattern="durable.>", durable=True),)
        self.gateway = MemoryGateway(message_store=MemoryMessageStore(), max_message_size=LIMIT, channels=rules)
        self.addCleanup(self.gateway.close)
        self.sender = self.gateway.connect("s" * 200)
        self.sizes: list[int] = []
        self.taker = self.watched(self.gateway.connect(NAME))

    def watched(self, client: Client) -> Client:
        """Note the length of each message that a client gets."""
        heard = client.protocol.onMessage

        def note(payload: bytes, is_binary: bool) -> None:
            self.sizes.append(len(payload))
            heard(payload, is_binary)

        client.protocol.onMessage = note
        return client

    def fits(self) -> None:
        """The longest message that came is long, and no longer than was announced."""
        self.taker.flush()
        self.sender.flush()
        self.assertTrue(LIMIT - ENVELOPE < max(self.sizes) <= LIMIT, max(self.sizes))

    def taken(self, client: Client, method: str, member: str, **params: Any) -> Any:
        """The longest is taken, and one byte more is refused."""
        error = client.refusal(method, **params, **{member: LONGEST + "x"})
        self.assertEqual((error["code"], error["data"]["max_content_size"]), (TOO_LARGE, len(LONGEST) + 2))
        self.assertEqual(
            [m["method"] for m in self.taker.messages if "method" in m and m["method"] != "connection.welcome"], []
        )
        return client.call(method, **params, **{member: LONGEST})

    def test_publish(self) -> None:
        """A publication is delivered, and channel.history shows it and those beside it, page by page."""
        for channel in (f"durable.{'c' * 192}", "c" * 200):
            self.taker.call("channel.subscribe", channel=channel)
            del self.taker.messages[:]
            self.sender.call("channel.publish", channel=channel, message="before")
            del self.taker.messages[:]
            self.taken(self.sender, "channel.publish", "message", channel=channel)
            self.sender.call("channel.publish", channel=channel, message="after")
            self.fits()
            for reverse in (False, True):
                seen, since = [], None
                while len(seen) < 3:
                    page = self.taker.call("channel.history", channel=channel, since=since, limit=100, reverse=reverse)
                    seen += [each["offset"] for each in page["messages"]]
                    since = {"offset": seen[-1], "epoch": page["epoch"]}
                self.assertEqual(seen, [3, 2, 1] if reverse else [1, 2, 3])
            self.fits()

    def test_send(self) -> None:
        """So is a letter, the fast way and from a mailbox."""
        self.taken(self.sender, "agent.send", "message", agent_id=NAME)
        self.fits()
        del self.sizes[:], self.taker.messages[:]
        self.taken(self.sender, "agent.send", "message", agent_id=NAME, receipts=True)
        self.fits()

    def test_call(self) -> None:
        """So are a call, its progress, its result, and what the agent says of an error."""
        call = {"jsonrpc": "2.0", "id": "i" * 126, "method": "agent.call", "params": {"agent_id": NAME, "message": ""}}
        call["params"]["message"] = LONGEST + "x"  # type: ignore[index]
        self.assertEqual(self.sender.send(json.dumps(call))[0]["error"]["code"], TOO_LARGE)
        call["params"]["message"] = LONGEST  # type: ignore[index]
        self.sender.send(json.dumps(call))
        self.fits()
        del self.sizes[:], self.taker.messages[:-1]
        self.watched(self.sender)
        call_id = self.taker.messages.pop()["id"]
        self.assertEqual(self.taken(self.taker, "agent.progress", "data", call_id=call_id), {"success": True})
        self.fits()
        self.taker.send(json.dumps({"jsonrpc": "2.0", "id": call_id, "result": LONGEST}))
        self.fits()
        self.assertEqual(self.sender.messages[-1]["result"], LONGEST)

    def test_error(self) -> None:
        """An error's data that is longer is left out; its code and message reach the caller."""
        for data, expected in ((LONGEST, LONGEST), (LONGEST + "x", None)):
            call = {"agent_id": NAME, "message": 1}
            self.sender.send(json.dumps({"jsonrpc": "2.0", "id": 7, "method": "agent.call", "params": call}))
            self.taker.flush()
            said = {"code": -1, "message": "\x01" * 500, "data": data}
            self.taker.send(json.dumps({"jsonrpc": "2.0", "id": self.taker.messages[-1]["id"], "error": said}))
            self.sender.flush()
            error = self.sender.messages[-1]["error"]
            self.assertEqual((error["code"], error["data"]["agent_error"]), (-32008, {**said, "data": expected}))

    def test_result(self) -> None:
        """A result that is longer than any answer is the caller's error."""
        call = {"agent_id": NAME, "message": 1}
        self.sender.send(json.dumps({"jsonrpc": "2.0", "id": "i" * 126, "method": "agent.call", "params": call}))
        self.taker.flush()
        call_id = self.taker.messages[-1]["id"]
        padded = "x" * (LIMIT - 80)
        self.taker.send(f'{{"id":"{call_id}","result":"{padded}","jsonrpc":"2.0"}}')
        self.sender.flush()
        self.assertEqual(self.sender.messages[-1]["error"]["code"], TOO_LARGE)

    def test_presence(self) -> None:
        """Changes of presence come in as many notifications as it takes."""
        self.taker.call("presence.subscribe", pattern="w.*")
        for number in range(20):
            self.gateway.connect(f"w.{number}", metadata={"text": "m" * 8000})
        self.gateway.advance(1)
        joined = [entry["entity_id"] for diff in self.taker.received("presence.diff") for entry in diff["joins"]]
        self.assertEqual(joined, [f"w.{number}" for number in range(20)])
        self.assertLessEqual(max(self.sizes), LIMIT)
