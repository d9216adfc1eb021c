"""Tokens that expire while their bearers go on: each call is judged by the token of that moment."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.errors import CloseCode
from cell0gw.testing import Client, MemoryGateway


class ExpiryTests(SynchronousTestCase):
    """A gateway that has not swept since a token expired: it is busy with what the bearer sends."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)

    def connect(self, entity_id: str, seconds: float) -> Client:
        return self.gateway.connect(token=self.gateway.token(entity_id, expires_in_hours=seconds / 3600))

    def publications(self) -> int:
        return self.gateway.channels.broker.publications

    def test_each_call(self) -> None:
        """A call after the end is not carried out, and ends all sessions of the token with 4507; others go on."""
        client, other = self.connect("a", 5), self.connect("b", 60)
        client.call("channel.publish", channel="events", message=1)
        self.gateway.ahead = 5
        entry = {"jsonrpc": "2.0", "method": "channel.publish", "params": {"channel": "events", "message": 2}, "id": 1}
        client.send(json.dumps(entry))
        self.assertEqual((self.publications(), client.close_code), (1, CloseCode.TOKEN_ENDED))
        other.call("channel.publish", channel="events", message=3)

    def test_until_the_end(self) -> None:
        """A call at the last moment is carried out."""
        client = self.connect("a", 5)
        self.gateway.ahead = 4.999
        client.call("channel.publish", channel="events", message=1)
        self.assertEqual(self.publications(), 1)

    def test_notifications_and_batches(self) -> None:
        """So it is with notifications, and of a batch nothing is carried out."""
        entry = {"jsonrpc": "2.0", "method": "channel.publish", "params": {"channel": "events", "message": 2}}
        for number, message in enumerate((entry, [entry, {**entry, "id": 7}])):
            client = self.connect(f"a{number}", 5)
            self.gateway.ahead += 5
            client.send(json.dumps(message))
            self.assertEqual((self.publications(), client.close_code), (0, CloseCode.TOKEN_ENDED))

    def test_answers(self) -> None:
        """The answer to a call comes too late as well: the call fails as it does when the agent is gone."""
        worker, caller = self.connect("w", 5), self.connect("c", 60)
        call = {"jsonrpc": "2.0", "method": "agent.call", "params": {"agent_id": "w", "message": 1}, "id": 1}
        caller.send(json.dumps(call))
        worker.flush()
        (invoke,) = [message for message in worker.messages if message.get("method") == "agent.invoke"]
        self.gateway.ahead = 5
        worker.send(json.dumps({"jsonrpc": "2.0", "id": invoke["id"], "result": "done"}))
        caller.flush()
        self.assertEqual(worker.close_code, CloseCode.TOKEN_ENDED)
        self.assertNotIn("done", [message.get("result") for message in caller.messages])

    def test_refreshed(self) -> None:
        """With another token a session goes on until the end of that one."""
        client = self.connect("a", 5)
        client.call("auth.refresh", token=self.gateway.token("a", expires_in_hours=60 / 3600))
        self.gateway.ahead = 6
        client.call("channel.publish", channel="events", message=1)
        self.gateway.ahead = 60
        client.send(json.dumps({"jsonrpc": "2.0", "method": "session.getInfo", "id": 1}))
        self.assertEqual((self.publications(), client.close_code), (1, CloseCode.TOKEN_ENDED))
