"""Capabilities that are described."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.presence import descriptions
from cell0gw.presence.descriptions import OVERHEAD, DescriptionShares
from cell0gw.protocol.errors import RateLimited, TooLarge
from cell0gw.testing import Client, MemoryGateway

TRANSLATE = {
    "name": "translate",
    "description": "Translates a text",
    "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "output_schema": {"type": "string"},
    "tags": ["text"],
    "examples": [{"text": "hello"}],
}


class Case(SynchronousTestCase):
    """With a gateway."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.reader = self.gateway.connect("reader")

    def described(self, agent_id: str = "a") -> list[Any]:
        return list(self.reader.call("agent.describe", agent_id=agent_id)["capabilities"])

    def refused(self, *capabilities: Any) -> dict[str, Any]:
        token = self.gateway.token("a")
        return self.gateway.connect().refusal("auth.authenticate", token=token, capabilities=list(capabilities))


class DescribeTests(Case):
    """C{agent.describe}"""

    def test_shown(self) -> None:
        """Names and descriptions stand beside each other; entries and routes have the names."""
        self.gateway.connect("a", capabilities=["chat", TRANSLATE], metadata={"model": "x"})
        shown = self.reader.call("agent.describe", agent_id="a")
        self.assertEqual(
            shown,
            {
                "entity_id": "a", "entity_type": "agent", "status": "online", "metadata": {"model": "x"},
                "capabilities": [{"name": "chat"}, TRANSLATE],
            },
        )  # fmt: skip
        self.assertEqual(
            self.reader.call("agent.list", capability="translate")[0]["capabilities"], ["chat", "translate"]
        )
        self.assertEqual(self.reader.refusal("agent.describe", agent_id="b")["code"], -32006)

    def test_latest_word(self) -> None:
        """Of several sessions that describe a capability the latest counts, and when it ends the one before."""
        self.gateway.connect("a", capabilities=[{"name": "chat", "description": "old"}])
        newer = self.gateway.connect("a", capabilities=[{"name": "chat", "description": "new"}, "sing"])
        self.assertEqual(self.described(), [{"name": "chat", "description": "new"}, {"name": "sing"}])
        newer.disconnect()
        self.assertEqual(self.described(), [{"name": "chat", "description": "old"}])

    def test_resumed(self) -> None:
        """Who resumes goes on with the descriptions, unless it declares anew."""

        def come_back(client: Client, secret: str, **declared: Any) -> tuple[Client, str]:
            client.vanish()
            again = self.gateway.connect()
            answer = again.call("auth.authenticate", token=self.gateway.token("a"), **declared)
            again.call("session.resume", resume_token=secret)
            return again, answer["resume_token"]

        first = self.gateway.connect()
        answer = first.call("auth.authenticate", token=self.gateway.token("a"), capabilities=[TRANSLATE])
        second, secret = come_back(first, answer["resume_token"])
        self.assertEqual(self.described(), [TRANSLATE])
        third, _ = come_back(second, secret, capabilities=["chat"])
        self.assertEqual(self.described(), [{"name": "chat"}])
        third.disconnect()
        self.assertEqual(self.gateway.presence.directory._descriptions.size, 0)

    def test_presence_keeps_them(self) -> None:
        """What a session says of its presence leaves the descriptions as they are."""
        agent = self.gateway.connect("a", capabilities=[TRANSLATE])
        size = self.gateway.presence.directory._descriptions.size
        agent.call("presence.update", status="busy")
        self.assertEqual(self.described(), [TRANSLATE])
        self.assertEqual(self.gateway.presence.directory._descriptions.size, size)


class RefusalTests(Case):
    """What is not taken; then there is no session."""

    def test_malformed(self) -> None:
        """A description has a name, no unknown members, and is there once."""
        for capabilities, path in (
            ([{"description": "x"}], "params.capabilities[0].name"),
            ([{"name": "a b"}], "params.capabilities[0].name"),
            ([{"name": "a", "colour": "red"}], "params.capabilities[0].colour"),
            ([{"name": "a"}, "b", {"name": "a"}], "params.capabilities[2].name"),
            ([{"name": "a", "output_schema": {"type": "x"}}], "params.capabilities[0].output_schema.type"),
        ):
            refusal = self.refused(*capabilities)
            self.assertEqual((refusal["code"], refusal["data"]["path"]), (-32602, path), refusal)
        self.assertEqual(self.reader.refusal("presence.get", entity_id="a")["code"], -32006)

    def test_schemas(self) -> None:
        """What is no schema, or asks for too much, is told with its place."""
        refusal = self.refused("b", {"name": "a", "input_schema": {"items": {"$ref": "https://example.com"}}})
        self.assertEqual(
            (refusal["code"], refusal["data"]["path"]), (-32602, "params.capabilities[1].input_schema.items.$ref")
        )

    def test_long(self) -> None:
        """A description has 16 KiB at most, all members counted."""
        size = len('{"name":"a","description":""}')
        self.assertEqual(self.refused({"name": "a", "description": "x" * (16 * 1024 - size + 1)})["code"], -32005)
        self.gateway.connect("a", capabilities=[{"name": "a", "description": "x" * (16 * 1024 - size)}])

    def test_of_an_entity(self) -> None:
        """All sessions of an entity describe so much together; what several say counts once."""
        self.patch(descriptions, "MAX_OF_ENTITY", 3000)
        for _ in range(3):
            self.gateway.connect("a", capabilities=[{"name": "a", "description": "x" * 2000}])
        self.assertEqual(self.refused({"name": "b", "description": "x" * 1000})["code"], -32005)
        self.gateway.connect("b", capabilities=[{"name": "b", "description": "x" * 2000}])

    def test_counted_in_the_place(self) -> None:
        """A session's place is as large as what it describes."""
        sizes = []
        for length in (0, 5000):
            client = self.gateway.connect("a", capabilities=[{"name": "a", "description": "x" * length}])
            sizes.append(client.server.session.statement_size)
        self.assertEqual(sizes[1] - sizes[0], 5000)


class SharesTests(SynchronousTestCase):
    """The room of all entities."""

    def test_share(self) -> None:
        """Nobody describes more than is left to others."""
        self.patch(descriptions, "MAX_SIZE", 4 * (OVERHEAD + 100))
        shares = DescriptionShares()
        for number in range(2):
            said = {"a": b"%0100d" % number}
            shares.check("a", said)
            shares.keep("a", said)
        self.assertRaises(RateLimited, shares.check, "a", {"a": b"%0100d" % 3})
        shares.check("b", {"a": b"%0100d" % 3})
        self.patch(descriptions, "MAX_OF_ENTITY", 10)
        self.assertRaises(TooLarge, shares.check, "b", {"a": b"%0100d" % 3})

    def test_given_back(self) -> None:
        """What is no longer said is no longer counted, and one text is kept once."""
        shares = DescriptionShares()
        texts = [bytes(bytearray(b"x" * 100)) for _ in range(2)]
        kept = [shares.keep("a", {"a": text})["a"] for text in texts]
        self.assertIs(kept[0], kept[1])
        self.assertEqual(shares.size, OVERHEAD + 100)
        for _ in range(2):
            shares.release("a", {"a": texts[0]})
        self.assertEqual((shares.size, shares._texts, dict(shares._sizes)), (0, {}, {}))
