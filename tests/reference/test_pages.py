"""The pages of docs/reference are what the code says, and their examples are what it takes and gives."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from jsonschema import Draft7Validator

from cell0gw.protocol.notifications import NOTIFICATIONS
from cell0gw.rpc.methods import Method
from tests.documents import ROOT, DocumentTestCase, headings, section
from tests.reference import FOLDER, pages
from tests.reference.markdown import linked
from tests.reference.methods import EXAMPLES, by_direction, examples
from tests.test_docs import DocsTestCase


class PagesTests(DocumentTestCase):
    """The files."""

    def test_current(self) -> None:
        """Each page is what the code makes it, and there is no other."""
        made = pages()
        there = {path.name: path.read_text() for path in FOLDER.iterdir()}
        findings = [f"docs/reference/{name}: no page is called that; remove it" for name in there.keys() - made.keys()]
        for name in made:
            if there.get(name) != made[name]:
                findings.append(f"docs/reference/{name} is not what the code says: run make reference")
        self.assertNothing(findings)

    def test_links(self) -> None:
        """What a text names is a link, but for what it is about, and for what is no name of the gateway's."""
        for text, expected in (
            ("by `agent.ack`.", "by [`agent.ack`](methods.md#agent-ack)."),
            ("see docs/protocol.md#names.", "see [Names](../protocol.md#names)."),
            ("it is -32005, or 4008", "it is [-32005](errors.md#too-large), or [4008](close-codes.md#4008)"),
            ("`event` and `agent.nothing`, 4096", "`event` and `agent.nothing`, 4096"),
        ):
            self.assertEqual(linked(text), expected)
        self.assertEqual(linked("`agent.ack`", "agent.ack"), "`agent.ack`")

    def test_made_by_make(self) -> None:
        """What the failures say to run is in the Makefile."""
        there = "reference: $(VENV)/.installed-test\n\t$(BIN)/python -m tests.reference\n"
        self.assertTrue(there in (ROOT / "Makefile").read_text(), "Makefile: no target reference that runs it")


class ExamplesTests(DocsTestCase):
    """The examples, those that can't be run included."""

    def shown(self, title: str, name: str) -> list[dict[str, Any]]:
        return [json.loads(block.partition("\n")[2].removesuffix("```")) for block in examples(title, name)]

    def invalid(self, schema: dict[str, Any], value: Any) -> list[str]:
        components = self.client.call("rpc.discover")["components"]
        return [fault.message for fault in Draft7Validator(schema | {"components": components}).iter_errors(value)]

    def test_names(self) -> None:
        """They are of methods and notifications that there are."""
        self.assertLessEqual(set(headings(section(EXAMPLES, "Methods"))), set(self.methods()))
        self.assertLessEqual(set(headings(section(EXAMPLES, "Notifications"))), set(NOTIFICATIONS))

    def test_methods(self) -> None:
        """A request's params are those of its method, and an answer is one by the schema of its result."""
        described, findings, number = by_direction("client-to-server"), [], 0
        for name, method in self.methods().items():
            for message in self.shown("Methods", name):
                number += 1
                if "method" in message:
                    self.assertEqual(message["method"], name)
                    self.decode(method, message)
                else:
                    faults = self.invalid(described[name]["result"]["schema"], message["result"])
                    findings += [f"{EXAMPLES.where}, {name}: the answer is none: {fault}" for fault in faults]
        self.assertNothing(findings)
        self.assertGreater(number, 30)

    def decode(self, method: Method, message: dict[str, Any]) -> None:
        """Fails if the params are not those of the method."""
        method.decode(msgspec.json.encode(message.get("params", {})))

    def test_notifications(self) -> None:
        """A notification has the members that there are, each by its schema."""
        findings = []
        for name, notification in by_direction("server-to-client").items():
            for message in self.shown("Notifications", name):
                if "method" not in message:  # the answer to agent.invoke, any JSON
                    continue
                params = {param["name"]: param for param in notification["params"]}
                self.assertEqual([*message["params"]], [name for name in params if name in message["params"]])
                self.assertLessEqual({name for name in params if params[name]["required"]}, {*message["params"]})
                for member, value in message["params"].items():
                    findings += [
                        f"{name}, {member}: {fault}" for fault in self.invalid(params[member]["schema"], value)
                    ]
        self.assertNothing(findings)
