"""The documentation says what the code does: its tables, its sections and its examples."""

from __future__ import annotations

import ast
import json
import re
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

import cell0gw
from cell0gw.auth.tokens import TokenRecord, digest
from cell0gw.config import options as config
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.presence.directory import PresenceEntry
from cell0gw.protocol.errors import ERRORS, CloseCode
from cell0gw.protocol.notifications import NOTIFICATIONS
from cell0gw.protocol.subjects import OWN_CHANNELS
from cell0gw.rpc.methods import Method
from cell0gw.testing import EPOCH, Client, MemoryGateway
from tests.documents import (
    ARCHITECTURE,
    DOCUMENTS,
    OPERATIONS,
    PROTOCOL,
    README,
    ROOT,
    blocks,
    code,
    headings,
    rows,
    section,
)
from tests.spec_examples import PRINTED_TOKEN, QUICK_START
from tests.test_floors import packages

WHO = {"anyone": "anyone", "reader": "anyone, in part", "session": "session", "permission": "permission"}
YES = {True: "yes", False: "no"}
METHODS, UNASKED = section(PROTOCOL, "Methods"), section(PROTOCOL, "Notifications")
"""Apart, since agent.progress is one of each."""


def structs_of(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs that a type mentions, and those their members mention."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
        for field in msgspec.structs.fields(kind):
            yield from structs_of(field.type)
    for member in typing.get_args(kind):
        yield from structs_of(member)


def shape(value: Any) -> Any:
    """What an answer looks like, whatever the ids and numbers in it."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    return [shape(member) for member in value[:1]] if isinstance(value, list) else type(value).__name__


def mentioned(attribute_of: str | None = None) -> set[str]:
    """The names that the package uses, C{errors.py} apart, or those of the attributes of one of its names."""
    found = set()
    for path in Path(cell0gw.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())) if path.name != "errors.py" else ():
            if attribute_of is None and isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == attribute_of:
                found.add(node.attr)
    return found


class DocsTestCase(SynchronousTestCase):
    """A gateway in which the documents' token is that of C{agent_001}, and where C{agent_002} is."""

    def setUp(self) -> None:
        store = MemoryTokenStore()
        store.add(
            TokenRecord(
                token_id="tok_printed",
                digest=digest(PRINTED_TOKEN),
                entity_id="agent_001",
                entity_type="agent",
                permissions=("*",),
                issued_at=EPOCH,
                expires_at=EPOCH + 86_400,
            )
        )
        self.gateway = MemoryGateway(store)
        self.addCleanup(self.gateway.close)
        self.client: Client = self.gateway.connect(token=PRINTED_TOKEN)
        self.gateway.connect("agent_002", capabilities=["chat"])

    def methods(self) -> dict[str, Method]:
        return {method.name: method for method in self.gateway.rpc.dispatcher.methods()}


class MethodDocsTests(DocsTestCase):
    """What the documents say of methods and notifications."""

    def test_readme_table(self) -> None:
        """The README's table has every method of rpc.listMethods, in the same words for who may call it."""
        table = {code(row[0])[0]: row[1] for row in rows(section(README, "Call"))}
        self.assertEqual(table, {name: WHO[method.access.who] for name, method in self.methods().items()})
        self.assertEqual(sorted(table), self.client.call("rpc.listMethods"))

    def test_sections(self) -> None:
        """protocol.md has a section for every method and every notification, and for no other."""
        self.assertEqual(sorted(headings(METHODS)), sorted(self.methods()))
        self.assertEqual(headings(UNASKED), list(NOTIFICATIONS))

    def test_params(self) -> None:
        """A method's section lists its params in the order of an array, with their defaults."""
        for name, method in self.methods().items():
            fields = msgspec.structs.fields(method.params)
            table = [row for row in rows(section(METHODS, name)) if len(row) == 4]
            self.assertEqual([code(row[0]) for row in table], [[field.encode_name] for field in fields], name)
            for row, field in zip(table, fields, strict=True):
                default = None if field.required else msgspec.json.decode(msgspec.json.encode(field.default))
                self.assertEqual("required" if field.required else [default], _default(row[2]), f"{name}: {row[0]}")

    def test_access(self) -> None:
        """A method's section begins with who may call it."""
        begins = {"anyone": "Open to anyone.", "reader": "Open to anyone, ", "session": "Needs a session."}
        for name, method in self.methods().items():
            resource = " or ".join(f"`{parameter}`" for parameter in method.access.resource)
            permission = f"Needs its permission, on {resource}" if resource else "Needs its permission."
            text = section(METHODS, name).strip()
            self.assertTrue(text.startswith(begins.get(method.access.who, permission)), name)

    def test_results(self) -> None:
        """A method's section names every member of its result."""
        for name, method in self.methods().items():
            text = section(METHODS, name)
            if name == "agent.list":  # its entries are those of the other, and two members more
                text += section(METHODS, "presence.get")
            for struct in structs_of(method.returns):
                members = {field.encode_name for field in msgspec.structs.fields(struct)}
                self.assertEqual(members - set(code(text)), set(), name)

    def test_notifications(self) -> None:
        """A notification's section lists its members in order."""
        for name, struct in NOTIFICATIONS.items():
            members = [[field.encode_name] for field in msgspec.structs.fields(struct)]
            self.assertEqual([code(row[0]) for row in rows(section(UNASKED, name))], members, name)

    def test_events(self) -> None:
        """The table of events has what agents that come and go and a full disk bring about, with what data holds."""
        for channel in OWN_CHANNELS:
            self.client.call("channel.subscribe", channel=channel)
        agent = self.gateway.connect("agent_003")
        agent.call("channel.subscribe", channel="news")
        agent.call("presence.update", status="busy")
        agent.disconnect()
        for cause in ("full", None):
            self.gateway.health.storage(cause)
        self.gateway.drain()
        happened = {(event["channel"], event["type"]): set(event["data"]) for event in self.client.received("event")}
        entry = {field.encode_name for field in msgspec.structs.fields(PresenceEntry)}
        table = {
            (code(row[0])[0], code(row[1])[0]): entry if row[3].startswith("Its entry") else set(code(row[3])) - {"{}"}
            for row in rows(section(PROTOCOL, "Events"))
            if len(row) == 4
        }
        self.assertEqual(table, happened)

    def test_limits(self) -> None:
        """The limits that the welcome announces are in the table, with their defaults."""
        limits = self.gateway.connect().received("connection.welcome")[0]["limits"]
        listed = [row for row in rows(section(PROTOCOL, "Connection")) if row[0].startswith("`")]
        table = {code(row[0])[0]: int(row[1]) if row[1].isdigit() else None for row in listed}
        limits["max_connections"] = None  # depends on the machine
        self.assertEqual(table, limits)

    def test_figures(self) -> None:
        """The table of figures has those of gateway.getStats; the italic ones have rates."""
        statistics = self.client.call("gateway.getStats")
        table = {code(row[0])[0]: row[1] for row in rows(section(PROTOCOL, "gateway.getStats"))}
        self.assertEqual({name: code(cell) for name, cell in table.items()},
                         {name: list(figures) for name, figures in statistics["services"].items()})  # fmt: skip
        grow = {f"{name}.{figure}" for name, cell in table.items() for figure in re.findall(r"\*`(\w+)`\*", cell)}
        self.assertEqual(grow, set(statistics["rates"]))


class ErrorDocsTests(SynchronousTestCase):
    """What the documents say of errors and close codes."""

    def test_errors(self) -> None:
        """The tables of errors have every one; the first those that this release gives."""
        written = [(row[0], code(row[1])[0], row[2]) for row in rows(section(PROTOCOL, "Errors"))]
        table = {(str(error.number), error.code, YES[error.retryable]): error for error in ERRORS}
        self.assertEqual(sorted(written), sorted(table))
        given = rows(section(PROTOCOL, "Errors").partition("The gateway's table has more")[0])
        used = {error.code for error in ERRORS if error.__name__ in mentioned()}
        self.assertEqual({code(row[1])[0] for row in given}, used)

    def test_close_codes(self) -> None:
        """The table of close codes has those that this release sends; the others are named as such."""
        text = section(PROTOCOL, "Close codes")
        codes = [CloseCode[name] for name in mentioned("CloseCode")]
        sent = {str(sent.value): YES[sent == CloseCode.INTERNAL_ERROR or 4000 <= sent < 4500] for sent in codes}
        self.assertEqual({row[0]: row[1] for row in rows(text)}, sent)
        more = set(re.findall(r"\d{4}", text.partition("The gateway's table has more")[2]))
        self.assertEqual(more, {str(known.value) for known in CloseCode} - set(sent))


class OperationsDocsTests(SynchronousTestCase):
    """What operations.md and architecture.md say."""

    def test_options(self) -> None:
        """Every option has a row with its flag, its variable and its default."""
        table = {code(row[0])[0]: row[1:4] for row in rows(section(OPERATIONS, "Options"))}
        self.assertEqual(list(table), [option.name for option in config.OPTIONS])
        for option in config.OPTIONS:
            flag, variable, default = table[option.name]
            self.assertEqual(flag, "none" if option.secret else f"`--{option.flag}`")
            self.assertEqual(variable, f"`{option.variable}`")
            known = getattr(config.Config(), option.name)
            if default.startswith("`"):
                self.assertEqual(option.parse(code(default)[0]), known, option.name)
            else:
                self.assertIn(known, (None, ()), option.name)

    def test_readme_variables(self) -> None:
        """The README's variables are options, with these defaults."""
        options = {option.variable: option for option in config.OPTIONS}
        for variable, default, _ in rows(section(README, "Configuration")):
            option = options[code(variable)[0]]
            self.assertEqual(option.parse(code(default)[0]), getattr(config.Config(), option.name))

    def test_configuration_file(self) -> None:
        """The example of a configuration file is one."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        (example,) = blocks(OPERATIONS, "toml")
        (path := Path(folder.name, "cell0gw.toml")).write_text(example)
        loaded, warnings = config.load({}, {}, path)
        self.assertEqual((loaded.heartbeat_timeout, loaded.anonymous_reads, warnings), (45.0, False, []))
        self.assertLessEqual(set(tomllib.loads(example)["gateway"]), {option.name for option in config.OPTIONS})

    def test_floors(self) -> None:
        """architecture.md has every package, below all that import it."""
        table = [name for row in rows(section(ARCHITECTURE, "The floors")) for name in code(row[0])]
        self.assertEqual(sorted(table), sorted(packages()))
        for name, imported in packages().items():
            self.assertGreater(min([len(table), *map(table.index, imported)]), table.index(name), name)

    def test_names(self) -> None:
        """The files and the classes that architecture.md names are there."""
        modules = [path for folder in ("cell0gw", "tests") for path in (ROOT / folder).rglob("*.py")]
        for name in re.findall(r"`([\w/]+\.py)`", ARCHITECTURE):
            self.assertTrue(any(path.match(name) for path in modules), name)
        words = {word for path in modules for word in re.findall(r"\w+", path.read_text())}
        self.assertEqual(set(re.findall(r"`(I?[A-Z][a-z]\w+)", ARCHITECTURE)) - words, set())

    def test_links(self) -> None:
        """What the documents link to is there, the heading included."""
        for name, text in DOCUMENTS.items():
            here = ROOT if name == "README.md" else ROOT / "docs"
            for path, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^)]+)\)", text)):
                target = (here / path).read_text() if path else text
                self.assertTrue(not anchor or anchor in anchors(target), f"{name}: {path}#{anchor}")


class ExampleTests(DocsTestCase):
    """The examples, run."""

    def test_requests(self) -> None:
        """Every request is answered as the block after it shows: same shape, and errors to the letter."""
        for name in ("README.md", "protocol.md"):
            pending: dict[str, Any] = {}
            for block in blocks(DOCUMENTS[name], "json"):
                shown = json.loads(block)
                if "method" in shown:
                    self.assertNotIn("error", pending, f"{name}: it fails, and the document shows no error")
                    pending = next(m for m in self.client.send(block) if m.get("id") == shown["id"])
                elif "error" in shown:
                    self.assertEqual(shown, pending)
                    pending = {}
                else:
                    self.assertEqual(shape(shown), shape(pending), f"{name}: {block}")
            self.assertNotIn("error", pending, name)

    def test_quick_start(self) -> None:
        """The README's JavaScript is the documented one, letter by letter."""
        self.assertEqual(blocks(README, "javascript"), [QUICK_START])

    def test_python(self) -> None:
        """The Python examples on a gateway in memory run."""
        programs = [p for text in DOCUMENTS.values() for p in blocks(text, "python") if "MemoryGateway" in p]
        self.assertEqual(len(programs), 1)
        for program in programs:
            exec(compile(program, "example", "exec"), {"__name__": "example"})


def anchors(document: str) -> list[str]:
    """What links lead to: the headings as GitHub names them, the second one of a name with a number."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", document, re.MULTILINE):
        anchor = re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
        earlier = sum(re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", known) is not None for known in found)
        found.append(f"{anchor}-{earlier}" if earlier else anchor)
    return found


def _default(cell: str) -> Any:
    """C{required}, or what the JSON of a default says, in a list."""
    return cell if cell == "required" else [json.loads(code(cell)[0])]
