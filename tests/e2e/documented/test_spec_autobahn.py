"""The documented examples from Autobahn's own client."""

from __future__ import annotations

import json
from typing import Any

import pytest_twisted
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint

from tests import spec_examples
from tests.e2e.clients import mint
from tests.e2e.processes import PATIENCE, GatewayProcess


class _Protocol(WebSocketClientProtocol):
    """Sends the messages of its factory; C{factory.completed} fires with what came once that is all."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []

    def onOpen(self) -> None:
        for message in self.factory.messages:
            self.sendMessage(message.encode())

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.messages.append(json.loads(payload))
        if spec_examples.complete(self.messages):
            self.sendClose(1000)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.factory.completed.callback((code, self.messages))


@pytest_twisted.ensureDeferred
async def test_every_example(gateway: GatewayProcess) -> None:
    """The printed examples, letter by letter, get what is documented, and so does the goodbye."""
    token = mint(gateway, "agent_001")
    factory = WebSocketClientFactory(gateway.url)
    factory.protocol = _Protocol
    factory.messages = [spec_examples.with_token(example, token) for example in spec_examples.CONVERSATION]
    factory.completed = Deferred()
    await TCP4ClientEndpoint(reactor, "127.0.0.1", gateway.port).connect(factory)
    code, messages = await factory.completed.addTimeout(PATIENCE, reactor)
    spec_examples.check_conversation(messages)
    assert code == 1000
