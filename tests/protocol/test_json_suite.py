"""JSON as RFC 8259 has it: Nicolas Seriot's JSONTestSuite, each of its documents as a message and within one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import Client, MemoryGateway

DOCUMENTS = {
    path.stem: path.read_bytes() for path in sorted((Path(__file__).parents[1] / "data/jsontestsuite").glob("*/*.json"))
}
PARSE_ERROR = -32700

NUMBERS = {name for name in DOCUMENTS if name.startswith("i_number_")}
"""The RFC lets a parser limit the range of numbers; what else it leaves open, here is none: lone surrogates, what is
not UTF-8, a byte order mark, 500 levels."""


def is_text(document: bytes) -> bool:
    """Whether a text frame may carry it."""
    try:
        document.decode()
    except UnicodeDecodeError:
        return False
    return True


class SuiteTests(SynchronousTestCase):
    """Every document, over a connection of its own."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)

    def is_json(self, client: Client, message: bytes) -> bool:
        """Whether the gateway takes a message for JSON; the connection must outlive it."""
        (answer,) = client.send(message)
        self.assertEqual(client.call("rpc.ping"), "pong", message[:80])
        error: dict[str, Any] = answer.get("error", {}) if isinstance(answer, dict) else {}
        return error.get("code") != PARSE_ERROR

    def test_all_there(self) -> None:
        """The suite is whole."""
        kinds = [name[:2] for name in DOCUMENTS]
        self.assertEqual([kinds.count(kind) for kind in ("y_", "n_", "i_")], [95, 188, 35])

    def test_as_a_message(self) -> None:
        """What is JSON is never -32700, what is none always, and where the RFC leaves it open one answer is fixed."""
        for name, document in DOCUMENTS.items():
            if is_text(document):
                client = self.gateway.connect("a")
                expected = name.startswith("y_") or name in NUMBERS
                self.assertEqual(self.is_json(client, document), expected, name)
                client.disconnect()

    def test_as_something_relayed(self) -> None:
        """A message that is only passed on is held to the same, and arrives as it was written: numbers of any size."""
        for name, document in DOCUMENTS.items():
            if is_text(document):
                client = self.gateway.connect("a")
                request = b'{"jsonrpc":"2.0","method":"rpc.echo","params":{"message":%b},"id":1}' % document
                expected = name.startswith("y_") or name in NUMBERS
                self.assertEqual(self.is_json(client, request), expected, name)
                if expected:
                    answer = self.gateway.rpc.dispatcher.dispatch(client.server.caller, request)
                    self.assertEqual(answer, b'{"jsonrpc":"2.0","result":%b,"id":1}' % document.strip(), name)
                client.disconnect()

    def test_what_is_not_utf8(self) -> None:
        """It is no JSON for the dispatcher, and no text for the connection: 1007 (RFC 6455, section 8.1)."""
        documents = [document for document in DOCUMENTS.values() if not is_text(document)]
        self.assertEqual(len(documents), 25)
        for document in documents:
            client = self.gateway.connect("a")
            answer: Any = self.gateway.rpc.dispatcher.dispatch(client.server.caller, document)
            self.assertEqual(json.loads(answer)["error"]["code"], PARSE_ERROR)
            self.assertEqual(client.send(document), [])
            self.assertEqual(client.protocol.remoteCloseCode, 1007)
