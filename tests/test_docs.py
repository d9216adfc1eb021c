"""What README.md and docs/reference say of methods and notifications is what the code does; all examples run."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from cell0gw.auth.tokens import Invite, TokenRecord, digest, invite_id
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.protocol.notifications import NOTIFICATIONS
from cell0gw.rpc.methods import Method
from cell0gw.testing import EPOCH, Client, MemoryGateway
from tests.documents import (
    DOCUMENTS,
    README,
    DocumentTestCase,
    Part,
    blocks,
    code,
    differing,
    document,
    headings,
    missing,
    rows,
    section,
)
from tests.reference.markdown import anchor
from tests.spec_examples import PRINTED_TOKEN, QUICK_START

WHO = {"anyone": "anyone", "reader": "anyone, in part", "session": "session", "permission": "permission"}
METHODS, UNASKED = document("docs/reference/methods.md"), document("docs/reference/notifications.md")
"""Apart, since agent.progress is one of each."""

OBJECTS = document("docs/reference/objects.md")


def structs_of(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs that a type mentions, and those their members mention."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
        for field in msgspec.structs.fields(kind):
            yield from structs_of(field.type)
    for member in typing.get_args(kind):
        yield from structs_of(member)


def members(struct: type[msgspec.Struct]) -> list[str]:
    """The members of a struct as they are called on the wire."""
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def shape(value: Any, exact: bool, path: str = "") -> dict[str, Any]:
    """What an answer is made of, by the paths of its members.

    @param exact: whether their values matter; if not, their types do, and one entry of each array.
    """
    if isinstance(value, dict):
        found: dict[str, Any] = {path: "object"}
        for name, member in value.items():
            found |= shape(member, exact, f"{path}.{name}".lstrip("."))
        return found
    if exact or not isinstance(value, list):
        return {path: value if exact else type(value).__name__}
    return {path: "array", **(shape(value[0], exact, f"{path}[0]") if value else {})}


def first(part: Part) -> list[str]:
    """The first cell of each row, which is code, without its quotation marks."""
    return [" ".join(code(row[0])) for row in rows(part)]


PRINTED_INVITE = "invite_8Yb3kQm2RtVw7XzLc4NfHs9PdJg5TaEu1oGi6BvCqDx"
"""The invite in the examples."""


class DocsTestCase(DocumentTestCase):
    """A gateway in which the documents' token is that of C{agent_001}, their invite one, and where C{agent_002} is."""

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
                renew_until=EPOCH + 30 * 86_400,
            )
        )
        store.invite(
            Invite(
                invite_id=invite_id(digest(PRINTED_INVITE)),
                digest=digest(PRINTED_INVITE),
                entity_id="agent_002",
                entity_type="agent",
                permissions=None,
                created_at=EPOCH,
                expires_at=EPOCH + 600,
                created_by="tok_printed",
            )
        )
        self.gateway = MemoryGateway(store)
        self.addCleanup(self.gateway.close)
        self.client: Client = self.gateway.connect(token=PRINTED_TOKEN)
        self.gateway.connect("agent_002", capabilities=["chat"])

    def methods(self) -> dict[str, Method]:
        return {method.name: method for method in self.gateway.rpc.dispatcher.methods()}

    def sections(self) -> Iterator[tuple[Method, Part]]:
        """The methods that have a section, with it; C{test_sections} misses the others."""
        there = headings(METHODS)
        return ((method, section(METHODS, name)) for name, method in self.methods().items() if name in there)


class MethodDocsTests(DocsTestCase):
    """What the documents say of methods and notifications."""

    def test_readme_table(self) -> None:
        """The README's table has every method of rpc.listMethods, in the same words for who may call it."""
        part = section(README, "Call")
        who = {name: WHO[method.access.who] for name, method in self.methods().items()}
        self.assertNothing(
            missing(
                part.where,
                [f"`{name}`" for name in who],
                [f"`{name}`" for name in first(part)],
                "no row for {}; add one: the method, who may call it, what it does",
                "the row of {}: no service has such an `rpc_` method; remove the row",
            )
            + differing(part.where, who, {code(row[0])[0]: row[1] for row in rows(part)}, "who may call `{}`")
        )
        self.assertEqual(
            sorted(first(part)), self.client.call("rpc.listMethods"), "rpc.listMethods lists other methods"
        )

    def test_sections(self) -> None:
        """The reference has a section for every method and every notification, and for no other."""
        self.assertNothing(
            missing(
                METHODS.where,
                self.methods(),
                headings(METHODS),
                "no heading `### {}`; run make reference",
                "the heading `### {}`: no service has such an `rpc_` method; run make reference",
            )
            + missing(
                UNASKED.where,
                NOTIFICATIONS,
                headings(UNASKED, 2),
                "no heading `## {}`; run make reference",
                "the heading `## {}`: cell0gw/protocol/notifications.py has no such notification; run make reference",
                ordered=True,
            )
        )

    def test_params(self) -> None:
        """A method's section lists its params in the order of an array, with their defaults."""
        findings = []
        for method, part in self.sections():
            table = [(" ".join(code(row[0])), _default(row[2])) for row in rows(part) if len(row) == 4]
            defaults = {
                field.encode_name: "required" if field.required else msgspec.json.encode(field.default).decode()
                for field in msgspec.structs.fields(method.params)
            }
            findings += missing(
                part.where,
                defaults,
                [name for name, _ in table],
                "no row for the param `{}`; run make reference",
                "the row of the param `{}`: the signature has no such parameter; run make reference",
                ordered=True,
            )
            findings += differing(part.where, defaults, dict(table), "the default of the param `{}`")
        self.assertNothing(findings)

    def test_access(self) -> None:
        """A method's section says who may call it, after its first line."""
        begins = {"anyone": "open to anyone.", "reader": "open to anyone while ", "session": "needs a session."}
        findings = []
        for method, part in self.sections():
            resource = " or ".join(f"`{parameter}`" for parameter in method.access.resource)
            narrowed = f", which a pattern can narrow to some values of {resource}." if resource else "."
            like = method.access.like
            needed = f"[`{like}`](#{anchor(like)})" if like else f"`{method.name}`"
            text = begins.get(method.access.who, f"needs the permission {needed}{narrowed}")
            if not part.text.strip().split("\n\n")[1].startswith(f"**Access**: {text}"):
                findings.append(f"{part.where}: the decorator says {method.access.who}, not there as {text!r}")
        self.assertNothing(findings)

    def test_results(self) -> None:
        """A method's section lists every member of its result in order, and links to the objects within it."""
        findings = []
        for method, part in self.sections():
            for struct in structs_of(method.returns):
                if struct.__name__ in headings(OBJECTS, 2):
                    there = section(OBJECTS, struct.__name__)
                    if f"](objects.md#{struct.__name__.lower()})" not in part.text + OBJECTS.text.replace(
                        "](#", "](objects.md#"
                    ):
                        findings.append(f"{part.where}: no link to {struct.__name__}; run make reference")
                else:
                    result = part.text.partition("**Result**")[2].partition("**Errors**")[0]
                    there = Part(f"{part.where}, result", result)
                findings += missing(
                    there.where,
                    members(struct),
                    first(there),
                    f"no row for `{{}}`, a member of {struct.__name__}; run make reference",
                    f"the row of `{{}}`: {struct.__name__} has no such member; run make reference",
                    ordered=True,
                )
        self.assertNothing(findings)

    def test_notifications(self) -> None:
        """A notification's section lists its members in order."""
        findings = []
        for name in set(NOTIFICATIONS).intersection(headings(UNASKED, 2)):  # test_sections misses the others
            part, struct = section(UNASKED, name), NOTIFICATIONS[name]
            findings += missing(
                part.where,
                members(struct),
                first(part),
                f"no row for `{{}}`, a member of {struct.__name__}; run make reference",
                f"the row of `{{}}`: {struct.__name__} has no such member; run make reference",
                ordered=True,
            )
        self.assertNothing(findings)

    def test_described(self) -> None:
        """Every param, every result, every member and every notification says what it is."""
        found = self.client.call("rpc.discover")
        item = "add an item to the docstring: - `{}`: and what it is"
        findings = []
        for method in found["methods"]:
            findings += [
                f"{method['name']}: no description of `{param['name']}`; {item.format(param['name'])}"
                for param in method["params"]
                if not param.get("description")
            ]
            if not method["summary"]:
                findings.append(f"{method['name']}: no docstring; say in its first line what it does")
            result = method.get("result")
            if result and "$ref" not in result["schema"] and not result.get("description"):
                findings.append(f"{method['name']}: no description of its result; {item.format('result')}")
        for name, schema in found["components"]["schemas"].items():
            findings += [
                f"{name}: no description of `{member}`; {item.format(member)}"
                for member, described in schema["properties"].items()
                if not described.get("description")
            ]
        self.assertNothing(findings)


class ExampleTests(DocsTestCase):
    """The examples, run."""

    def test_requests(self) -> None:
        """Every request is answered as the block after it shows: same shape, and errors to the letter."""
        findings = []
        for part in DOCUMENTS:
            answer: dict[str, Any] = {}
            at = part.where
            for block in blocks(part, "json"):
                shown = json.loads(block)
                if "method" in shown:
                    if "error" in answer:
                        findings.append(f"{at}: the gateway refuses it ({answer['error']['message']}): show that")
                    at = f"{part.where}, the request {shown['method']} with the id {shown['id']!r}"
                    answer = next(m for m in self.client.send(block) if m.get("id") == shown["id"])
                    continue
                exact = "error" in shown
                there, given = shape(shown, exact), shape(answer, exact)
                findings += missing(
                    at,
                    given,
                    there,
                    "`{}` is in the answer, but not in the block that shows one; add it",
                    "`{}` is in the block that shows an answer, but not in the answer; remove it",
                )
                findings += differing(at, given, there, "`{}` in the block that shows an answer")
                answer = {} if exact else answer
            if "error" in answer:
                findings.append(f"{at}: the gateway refuses it ({answer['error']['message']}): show that")
        self.assertNothing(findings)

    def test_quick_start(self) -> None:
        """The README's JavaScript is the documented one, letter by letter."""
        self.assertEqual(blocks(README, "javascript"), [QUICK_START])

    def test_python(self) -> None:
        """The Python examples on a gateway in memory run."""
        programs = [p for part in DOCUMENTS for p in blocks(part, "python") if "MemoryGateway" in p]
        self.assertEqual(len(programs), 1, "one Python example on a MemoryGateway is expected in all documents")
        for program in programs:
            exec(compile(program, "example", "exec"), {"__name__": "example"})


def _default(cell: str) -> str:
    """C{required}, or the JSON of a default."""
    return cell if cell == "required" else msgspec.json.encode(json.loads(code(cell)[0])).decode()
