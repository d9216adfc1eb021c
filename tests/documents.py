"""The project's documents, what tests read out of them, and how they say what a document lacks.

A test that compares a document with the code gathers its findings as lines, one a fact: where, what is wrong there, and
what to do about it. L{DocumentTestCase.assertNothing} fails with all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[1]


class Part(NamedTuple):
    """A document, or a section of one.

    @ivar where: what messages call it: C{docs/protocol.md, section Events}.
    """

    where: str
    text: str


def document(path: str) -> Part:
    """A document, by its path from the root."""
    return Part(path, (ROOT / path).read_text())


README = document("README.md")
PROTOCOL = document("docs/protocol.md")
OPERATIONS = document("docs/operations.md")
ARCHITECTURE = document("docs/architecture.md")
CONTRIBUTING = document("CONTRIBUTING.md")
DOCUMENTS = [
    README,
    *(document(str(path.relative_to(ROOT))) for path in sorted((ROOT / "docs").rglob("*.md"))),
]
"""Those whose examples are run."""


class DocumentTestCase(SynchronousTestCase):
    """A test that compares documents with code."""

    def assertNothing(self, findings: Iterable[str]) -> None:
        """Fail with what was found, a line each, unless nothing was."""
        __tracebackhide__ = True
        if lines := dict.fromkeys(findings):
            self.fail("\n".join(lines))


def missing(
    where: str, expected: Iterable[str], there: Iterable[str], add: str, remove: str, ordered: bool = False
) -> list[str]:
    """How a list in a document differs from what the code has.

    @param expected: the names that the code has, in its order.
    @param there: the names that the document has, in its order.
    @param add: what to do about a name that the document lacks; C{{}} stands for the name.
    @param remove: what to do about a name that only the document has.
    @param ordered: whether the order is to be the code's, too.
    @return: a line for each difference; none if there is no difference.
    """
    expected, there = list(expected), list(there)
    lines = [f"{where}: {add.format(name)}" for name in expected if name not in there]
    lines += [f"{where}: {remove.format(name)}" for name in dict.fromkeys(there) if name not in expected]
    lines += [f"{where}: {name} is there twice: remove one" for name in dict.fromkeys(there) if there.count(name) > 1]
    if ordered and not lines and there != expected:
        lines.append(f"{where}: the order is {', '.join(there)}; the code has {', '.join(expected)}: sort it like that")
    return lines


def differing(where: str, expected: Mapping[str, object], there: Mapping[str, object], what: str) -> list[str]:
    """Where the document says something else of a name than the code does; see L{missing} for names it lacks.

    @param what: what is said of the name, which C{{}} stands for.
    """
    return [
        f"{where}: {what.format(name)} is {there[name]!r}, the code says {value!r}: correct it"
        for name, value in expected.items()
        if name in there and there[name] != value
    ]


def blocks(part: Part, language: str) -> list[str]:
    """The code of a document in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", part.text, re.DOTALL | re.MULTILINE)


def section(part: Part, heading: str) -> Part:
    """What stands below a heading, up to the next of its level or above.

    @raise AssertionError: there is no such heading.
    """
    found = re.search(rf"^(##+) {re.escape(heading)}\n(.*)", part.text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise AssertionError(f"{part.where}: no heading `{heading}`; a test compares its section with the code")
    where = f"{part.where}, {'' if ', section ' in part.where else 'section '}{heading}"
    return Part(where, re.split(rf"^#{{2,{len(found[1])}}} ", found[2], flags=re.MULTILINE)[0])


def headings(part: Part, level: int = 3) -> list[str]:
    """The headings of a level."""
    return re.findall(rf"^{'#' * level} (.*)$", part.text, re.MULTILINE)


def rows(part: Part) -> list[list[str]]:
    """The rows of all tables in a part, without their heads."""
    lines = [line for line in part.text.splitlines() if line.startswith("|")]
    heads = {index - 1 for index, line in enumerate(lines) if line.startswith("|---")}
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for index, line in enumerate(lines)
        if index not in heads and not line.startswith("|---")
    ]


def code(text: str) -> list[str]:
    """What is set in code in a line of text, without its quotation marks."""
    return re.findall(r"`([^`]*)`", text)


def anchors(text: str) -> dict[str, str]:
    """What links into a document lead to, each with its heading: headings as GitHub names them, the second one of a
    name with a number, and places that are named in HTML.
    """
    found = dict.fromkeys(re.findall(r'<a id="([^"]+)"></a>', text), "")
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        anchor = re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
        earlier = sum(re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", known) is not None for known in found)
        found[f"{anchor}-{earlier}" if earlier else anchor] = heading
    return found
