"""The pages of docs/concepts and docs/how-to, the glossary and the tutorial name what the protocol has."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cell0gw.protocol.errors import ERRORS
from cell0gw.protocol.notifications import NOTIFICATIONS
from tests.documents import DOCUMENTS, Part, blocks, code, document, rows, section
from tests.test_docs import METHODS, OBJECTS, DocsTestCase

CONCEPTS = [part for part in DOCUMENTS if part.where.startswith("docs/concepts/")]
GLOSSARY = document("docs/glossary.md")
PAGES = [
    part
    for part in DOCUMENTS
    if part.where.startswith(("docs/concepts/", "docs/how-to/", "docs/tutorial.md", "docs/glossary.md"))
]
NAMESPACES = r"(?:rpc|auth|session|presence|channel|agent|task|gateway|connection)"
PERMISSIONS = {"agent.serve", "task.read", "task.manage"}
"""What looks like a method and is none."""


def spoken(part: Part) -> Iterator[str]:
    """What a part calls by a dotted name: in code, and in the arrows of diagrams."""
    for text in code(re.sub(r"```.*?```", "", part.text, flags=re.DOTALL)):
        yield from re.findall(rf"^({NAMESPACES}\.[a-zA-Z]+)(?![\w.])", text)
    for diagram in blocks(part, "mermaid"):
        yield from re.findall(rf"(?<![\w.])({NAMESPACES}\.[a-zA-Z]+)", diagram)


class ConceptDocsTests(DocsTestCase):
    """What the pages for deciders and operators say."""

    def test_names(self) -> None:
        """The methods and notifications that they name are there."""
        known = {*self.methods(), *NOTIFICATIONS, *PERMISSIONS, "gateway.db"}
        self.assertNothing(
            f"{part.where}: `{name}` is no method and no notification; correct it"
            for part in PAGES
            for name in spoken(part)
            if name not in known
        )

    def test_errors(self) -> None:
        """The numbers of errors that they name are there."""
        known = {str(error.number) for error in ERRORS}
        self.assertNothing(
            f"{part.where}: {number} is no error; correct it"
            for part in PAGES
            for number in re.findall(r"-32\d{3}", part.text)
            if number not in known
        )

    def test_diagrams(self) -> None:
        """Every concept has one sequence diagram, and each arrow goes between participants that it declares."""
        findings = []
        for part in CONCEPTS:
            diagrams = blocks(part, "mermaid")
            if len(diagrams) != 1 or not diagrams[0].startswith("sequenceDiagram\n"):
                findings.append(f"{part.where}: it has to have one block `mermaid` that begins with sequenceDiagram")
                continue
            declared = re.findall(r"^ +participant (\w+) as ", diagrams[0], re.MULTILINE)
            for line in diagrams[0].splitlines()[1 + len(declared) :]:
                arrow = re.fullmatch(r" +(?:(\w+)--?>>(\w+)|Note over (\w+)(?:,(\w+))?): .+", line)
                if arrow is None:
                    findings.append(f"{part.where}: the diagram's line {line!r} is neither an arrow nor a note")
                elif not {name for name in arrow.groups() if name} <= set(declared):
                    findings.append(f"{part.where}: the diagram's line {line!r} names no declared participant")
        self.assertEqual(len(CONCEPTS), 6)
        self.assertNothing(findings)

    def test_glossary(self) -> None:
        """The glossary's tables are in alphabetical order, and an id of each kind that the protocol has is there."""
        ids, terms = section(GLOSSARY, "Ids"), section(GLOSSARY, "Terms")
        names = [code(row[0])[0] for row in rows(ids)]
        words = [row[0] for row in rows(terms)]
        self.assertEqual(names, sorted(names))
        self.assertEqual(words, sorted(words))
        fields = (
            set(code(METHODS.text))
            | set(code(OBJECTS.text))
            | {name for kind in NOTIFICATIONS.values() for name in getattr(kind, "__struct_fields__", ())}
        )
        expected = sorted(name for name in fields if re.fullmatch(r"[a-z]+_id", name) and name != "agent_id")
        self.assertNothing(
            f"{ids.where}: no row for the id `{name}`; add one" for name in expected if name not in names
        )

    def test_pages(self) -> None:
        """Each concept is a page: at most 120 lines."""
        self.assertNothing(
            f"{part.where}: it has {len(part.text.splitlines())} lines; say less"
            for part in CONCEPTS
            if len(part.text.splitlines()) > 120
        )
