"""The documented examples and tables of methods, in memory."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import Client, MemoryGateway
from tests import spec_examples
from tests.spec_examples import METHODS

NOT_AUTHENTICATED = -32001


class GatewayCase(SynchronousTestCase):
    """A gateway in memory."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway(heartbeat_interval=1)
        self.addCleanup(self.gateway.close)

    def admin(self) -> Client:
        """Someone who may do everything."""
        return self.gateway.connect(token=self.gateway.token("admin", "system", ["*"]))


class PrintedExamples(GatewayCase):
    """The messages of the documentation, as they are printed there."""

    def test_every_example_is_answered_as_documented(self) -> None:
        """A client that sends the printed examples, letter by letter, gets what is documented and nothing else."""
        client = self.gateway.connect()
        token = self.gateway.token("agent_001")
        for example in spec_examples.CONVERSATION:
            client.send(spec_examples.with_token(example, token))
        self.gateway.advance(1)
        self.assertTrue(spec_examples.complete(client.messages))
        spec_examples.check_conversation(client.messages)

    def test_the_printed_token_is_no_token(self) -> None:
        """The token in the documentation opens nothing."""
        (answer,) = self.gateway.connect().send(spec_examples.AUTHENTICATE)
        self.assertEqual((answer["id"], answer["error"]["code"]), ("1", NOT_AUTHENTICATED))

    def test_the_examples_as_one_batch(self) -> None:
        """The same examples as one batch get the same answers, as one batch in the same order."""
        token = self.gateway.token("agent_001")
        examples = [spec_examples.with_token(example, token) for example in spec_examples.CONVERSATION]
        client = self.gateway.connect()
        *notifications, answers = client.send(f"[{','.join(examples)}]")
        self.assertEqual([answer["id"] for answer in answers], ["1", "2", "3", "4"])
        for message in [*notifications, *answers]:
            spec_examples.check_message(message)

    def test_presence_shows_what_the_example_says(self) -> None:
        """After the printed presence.update others see the status, the activity and the declared capabilities."""
        client = self.gateway.connect()
        token = self.gateway.token("agent_001")
        for example in (spec_examples.AUTHENTICATE, spec_examples.UPDATE_PRESENCE):
            client.send(spec_examples.with_token(example, token))
        entry = self.admin().call("presence.get", entity_id="agent_001")
        self.assertEqual((entry["status"], entry["current_activity"]), ("busy", "processing_task"))
        self.assertEqual(entry["capabilities"], ["chat", "task_execution"])


class Methods(GatewayCase):
    """The tables of methods."""

    def test_every_documented_method_is_listed(self) -> None:
        """rpc.listMethods names every method of the documentation's tables."""
        listed = self.gateway.connect().call("rpc.listMethods")
        self.assertEqual({method.name for method in METHODS} - set(listed), set())

    def test_without_authentication(self) -> None:
        """A stranger may call exactly the methods whose tables say that no authentication is required."""
        token = self.gateway.token("agent_001")
        for method in METHODS:
            params = json.loads(spec_examples.with_token(json.dumps(method.params), token))
            answer = self.gateway.connect().request(method.name, params)
            if method.auth_required:
                self.assertEqual(answer["error"]["code"], NOT_AUTHENTICATED, method.name)
            else:
                self.assertIn("result", answer, method.name)

    def test_with_authentication(self) -> None:
        """An admin may call every method of the tables."""
        admin = self.admin()
        for method in METHODS:
            if method.name != "auth.authenticate":
                self.assertIn("result", admin.request(method.name, method.params), method.name)
