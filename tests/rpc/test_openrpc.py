"""The OpenRPC document: valid for those who read it with tools of their own, and true."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.errors import ERRORS
from cell0gw.protocol.notifications import NOTIFICATIONS
from cell0gw.rpc.access import anyone
from cell0gw.sessions.session import Caller
from cell0gw.testing import MemoryGateway

DATA = Path(__file__).parents[1] / "data" / "openrpc"


MARKUP = re.compile(r"[CL]\{|@\w+ |``")


def specification() -> Draft7Validator:
    """What OpenRPC says of documents; nothing is fetched."""
    json_schema = Resource(json.loads((DATA / "json-schema.json").read_text()), DRAFT7)
    names = ("https://meta.json-schema.tools", "https://meta.json-schema.tools/")
    registry = Registry().with_resources([(name, json_schema) for name in names])
    return Draft7Validator(json.loads((DATA / "meta-schema.json").read_text()), registry=registry)


def members(value: Any, name: str) -> Iterator[Any]:
    """Every member of that name, at any depth."""
    if isinstance(value, dict):
        yield from (own for key, own in value.items() if key == name)
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from members(part, name)


class Case(SynchronousTestCase):
    """With a gateway's document."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.client = self.gateway.connect()

    def document(self) -> dict[str, Any]:
        return dict(self.client.call("rpc.discover"))

    def methods(self, direction: str = "client-to-server") -> dict[str, dict[str, Any]]:
        found = [method for method in self.document()["methods"] if method["x-direction"] == direction]
        by_name = {method["name"]: method for method in found}
        self.assertEqual(len(by_name), len(found))
        return by_name

    def texts(self) -> list[str]:
        """What people read in it."""
        document = self.document()
        found = [text for name in ("summary", "description", "title") for text in members(document, name)]
        return [text for text in found if isinstance(text, str)]

    def resolve(self, document: dict[str, Any], reference: str) -> Any:
        self.assertTrue(reference.startswith("#/"), reference)
        for part in reference[2:].split("/"):
            document = document[part]
        return document


class ValidityTests(Case):
    """What tools ask of it."""

    def test_valid(self) -> None:
        """The document is valid by the specification's own schema, in the version it says it is of."""
        document = self.document()
        self.assertEqual(document["openrpc"], "1.3.2")
        self.assertEqual([f"{list(e.path)}: {e.message}" for e in specification().iter_errors(document)], [])

    def test_the_specification_refuses(self) -> None:
        """The check above can fail: the schema refuses a document of another shape."""
        for change in ({"openrpc": "9.9.9"}, {"methods": [{"name": "a"}]}, {"info": {}}, {"more": 1}):
            self.assertFalse(specification().is_valid(self.document() | change), change)

    def test_schemas_are_schemas(self) -> None:
        """Every schema in it is one by JSON Schema draft 7, its patterns included."""
        schemas = list(members(self.document(), "schema"))
        self.assertGreater(len(schemas), 30)
        for schema in schemas + list(self.document()["components"]["schemas"].values()):
            Draft7Validator.check_schema(schema)

    def test_references_resolve(self) -> None:
        """Every reference leads somewhere in the document itself."""
        document = self.document()
        references = set(members(document, "$ref"))
        self.assertGreater(len(references), 20)
        for reference in references:
            self.assertIsInstance(self.resolve(document, reference), dict)

    def test_no_schema_unused(self) -> None:
        """No component stands there without use."""
        document = self.document()
        used = set(members(document, "$ref"))
        for name in document["components"]["schemas"]:
            self.assertIn(f"#/components/schemas/{name}", used)


class TruthTests(Case):
    """What readers ask of it."""

    def test_every_method(self) -> None:
        """Every method that can be called is in it, and no other."""
        self.assertEqual(list(self.methods()), self.client.call("rpc.listMethods"))

    def test_params(self) -> None:
        """The params are those of the signature, in its order, since they can be given by position."""
        for name, method in self.methods().items():
            namespace, verb = name.split(".")
            signature = inspect.signature(getattr(self.gateway.getServiceNamed(namespace), f"rpc_{verb}"))
            params = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
            expected = [(p.name, p.default is p.empty) for p in params]
            self.assertEqual([(p["name"], p["required"]) for p in method["params"]], expected, name)

    def test_required_come_first(self) -> None:
        """No required param follows an optional one: by position it could not be reached."""
        for name, method in self.methods().items():
            required = [param["required"] for param in method["params"]]
            self.assertEqual(required, sorted(required, reverse=True), name)

    def test_a_method(self) -> None:
        """One of them in full: params by name and position, who may call it, what it answers."""
        method = self.methods()["channel.publish"]
        self.assertEqual(
            [param["name"] for param in method["params"]], ["channel", "message", "exclude_self", "idempotency_key"]
        )
        message, exclude_self = method["params"][1:3]
        self.assertEqual(message, {"name": "message", "description": "what to publish", "required": True, "schema": {}})
        self.assertEqual(exclude_self["schema"], {"type": "boolean", "default": False})
        self.assertEqual(method["x-errors"]["conflict"], "the key stands for other params")
        self.assertEqual(method["summary"], "Publish a message to a channel.")
        self.assertEqual(method["paramStructure"], "either")
        result = self.resolve(self.document(), method["result"]["schema"]["$ref"])
        self.assertEqual(set(result["properties"]), {"success", "recipients", "offset", "epoch", "replayed"})

    def test_access(self) -> None:
        """Each method says who may call it."""
        methods = self.methods()
        for name, word in (
            ("rpc.ping", "anyone"),
            ("presence.get", "anonymous reads"),
            ("session.getInfo", "session"),
            ("channel.publish", "permission"),
        ):
            self.assertIn(word, methods[name]["description"])
        narrowed = "Needs the permission `agent.call`, which a pattern can narrow to some values of `agent_id` or "
        self.assertTrue(methods["agent.call"]["description"].startswith(f"{narrowed}`capability`."))
        self.assertIn("`$agents` and `$presence` need none.", methods["channel.subscribe"]["description"])

    def test_described(self) -> None:
        """Each method and each notification has a summary, a sentence of one line."""
        for direction in ("client-to-server", "server-to-client"):
            for name, method in self.methods(direction).items():
                self.assertTrue(method["summary"], name)
                self.assertNotIn("\n", method["summary"])

    def test_markdown(self) -> None:
        """No text that people read holds the markup of docstrings: it is Markdown."""
        texts = self.texts()
        self.assertGreater(len(texts), 100)
        for text in texts:
            self.assertNotRegex(text, MARKUP)

    def test_details_of_notifications(self) -> None:
        """A notification whose docstring goes on after its first line has the rest as its description, but for the
        items about its members, which describe those.
        """
        notifications = self.methods("server-to-client")
        self.assertTrue(notifications["agent.cancelled"]["description"].startswith("The agent stops if it can"))
        self.assertNotIn("- `", notifications["agent.cancelled"]["description"])
        self.assertNotIn("description", notifications["heartbeat"])
        (timestamp,) = notifications["heartbeat"]["params"]
        self.assertEqual(timestamp["description"], "the gateway's time")

    def test_what_may_be_absent(self) -> None:
        """A member that may be absent has the type that it has when it is there, and no default."""
        (detail,) = (p for p in self.methods("server-to-client")["agent.receipt"]["params"] if p["name"] == "detail")
        self.assertEqual((detail["required"], detail["schema"]), (False, {"type": "string"}))

    def test_inherited_members(self) -> None:
        """A struct describes its members, those that it inherits included."""
        entry = self.document()["components"]["schemas"]["AgentEntry"]["properties"]
        for member in ("entity_id", "last_seen", "inflight"):
            self.assertTrue(entry[member]["description"], member)

    def test_notifications(self) -> None:
        """What the gateway sends unasked is in it, marked as such, by name, and with no result."""
        notifications = self.methods("server-to-client")
        self.assertEqual(set(notifications), set(NOTIFICATIONS))
        for notification in notifications.values():
            self.assertNotIn("result", notification)
            self.assertEqual(notification["paramStructure"], "by-name")
        names = [param["name"] for param in notifications["channel.message"]["params"]]
        self.assertEqual(set(names), {"channel", "message", "timestamp", "offset", "epoch", "from", "omitted"})

    def test_errors(self) -> None:
        """Each code of an error is explained, and each method refers to them."""
        document = self.document()
        errors = document["components"]["errors"]
        self.assertEqual({e["code"] for e in errors.values()}, {error.number for error in ERRORS})
        self.assertEqual(errors["unavailable"]["data"], {"code": "unavailable", "retryable": True})
        for method in self.methods().values():
            self.assertEqual(len(method["errors"]), len(ERRORS))

    def test_answers_are_as_described(self) -> None:
        """What methods really answer is valid by their own schemas."""
        agent = self.gateway.connect("agent_001", capabilities=["chat"], metadata={"a": [1]})
        agent.call("channel.subscribe", channel="events")
        document = self.document()
        for name, params in (
            ("rpc.ping", {}),
            ("rpc.getServerInfo", {}),
            ("rpc.listMethods", {}),
            ("auth.authenticate", {"token": self.gateway.token("agent_001")}),
            ("session.getInfo", {}),
            ("presence.update", {"status": "busy"}),
            ("presence.get", {}),
            ("presence.get", {"entity_id": "agent_001"}),
            ("channel.publish", {"channel": "events", "message": None}),
            ("channel.unsubscribe", {"channel": "events"}),
            ("agent.list", {}),
            ("agent.send", {"agent_id": "agent_001", "message": "hello"}),
        ):
            schema = self.methods()[name]["result"]["schema"] | {"components": document["components"]}
            Draft7Validator(schema).validate(agent.call(name, **params))


class Greeting(Service):
    """A namespace of a program's own."""

    name = "greeting"

    @anyone
    def rpc_hello(self, caller: Caller, *, name: str, loud: bool = False, times: dict[str, int] | None = None) -> str:
        """Say hello.

        In more than one line.
        """
        return f"Hello, {name}"


class OwnNamespaceTests(Case):
    """A program's own methods."""

    def test_registered(self) -> None:
        """They stand among the gateway's, and the document stays valid."""
        self.gateway.register(Greeting())
        method = self.methods()["greeting.hello"]
        self.assertEqual(method["summary"], "Say hello.")
        self.assertEqual([param["name"] for param in method["params"]], ["name", "loud", "times"])
        self.assertEqual(method["result"]["schema"], {"type": "string"})
        self.assertTrue(specification().is_valid(self.document()))


class Marked(msgspec.Struct):
    """See L{Sent}, or ``Sent``.

    @ivar copies: how many C{copies} there are.
    """

    copies: int


class MarkedUp(Service):
    """A method with docstrings as Twisted writes them."""

    name = "marked"

    @anyone
    def rpc_up(self, caller: Caller) -> Marked:
        """Get C{Marked}, or ``None``."""
        return Marked(1)


class MarkedUpTests(Case):
    """A program's docstrings in epytext or RST."""

    def test_becomes_markdown(self) -> None:
        """Their markup becomes that of Markdown, in summaries and in the descriptions of structs."""
        self.gateway.register(MarkedUp())
        self.assertEqual(self.methods()["marked.up"]["summary"], "Get `Marked`, or `None`.")
        described = self.document()["components"]["schemas"]["Marked"]
        self.assertEqual(described["description"], "See `Sent`, or `Sent`.")
        self.assertEqual(described["properties"]["copies"]["description"], "how many `copies` there are.")
        for text in self.texts():
            self.assertNotRegex(text, MARKUP)


class Sent(msgspec.Struct):
    """A struct with the name of one of the gateway's."""

    copies: int


class ForeignTypes(Service):
    """Methods whose results are promised, of no type, or of a name that is taken."""

    name = "foreign"

    @anyone
    def rpc_later(self, caller: Caller) -> Deferred[int]:
        return succeed(1)

    @anyone
    def rpc_anything(self, caller: Caller) -> object:
        return {}

    @anyone
    def rpc_send(self, caller: Caller) -> Sent:
        return Sent(1)


class ForeignTypesTests(Case):
    """What the gateway's users may write."""

    def test_described(self) -> None:
        """Promised results are described by what they promise, types without a schema by none, and names don't mix."""
        before = self.methods()["agent.send"]["result"]
        self.gateway.register(ForeignTypes())
        document, methods = self.document(), self.methods()
        self.assertEqual(methods["foreign.later"]["result"]["schema"], {"type": "integer"})
        self.assertEqual(methods["foreign.anything"]["result"]["schema"], {})
        self.assertEqual(methods["agent.send"]["result"], before)
        ours = self.resolve(document, methods["foreign.send"]["result"]["schema"]["$ref"])
        theirs = self.resolve(document, before["schema"]["$ref"])
        self.assertEqual(set(ours["properties"]), {"copies"})
        self.assertIn("message_id", theirs["properties"])
