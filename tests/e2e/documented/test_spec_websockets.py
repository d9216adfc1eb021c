"""The documented examples from Python's `websockets`."""

from __future__ import annotations

from tests import spec_examples
from tests.e2e.clients import Client, mint
from tests.e2e.processes import GatewayProcess


def test_every_example(gateway: GatewayProcess) -> None:
    """The printed examples, letter by letter, get what is documented over a real port."""
    token = mint(gateway, "agent_001")
    with Client(gateway) as client:
        for example in spec_examples.CONVERSATION:
            client.connection.send(spec_examples.with_token(example, token))
        while not spec_examples.complete(client.messages):
            client.messages.append(client.receive())
    spec_examples.check_conversation(client.messages)


def test_every_documented_method_is_listed(gateway: GatewayProcess) -> None:
    """rpc.listMethods of the running process names every method of the documentation's tables."""
    with Client(gateway) as client:
        assert {method.name for method in spec_examples.METHODS} <= set(client.call("rpc.listMethods"))
