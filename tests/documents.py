"""The project's documents, and what tests read out of them: headings, sections, tables and code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
DOCUMENTS = {path.name: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}


def blocks(document: str, language: str) -> list[str]:
    """The code of a document in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document, re.DOTALL | re.MULTILINE)


def section(document: str, heading: str) -> str:
    """What stands below a heading, up to the next of its level or above."""
    level, text = re.findall(rf"^(##+) {re.escape(heading)}\n(.*)", document, re.DOTALL | re.MULTILINE)[0]
    return re.split(rf"^#{{2,{len(level)}}} ", text, flags=re.MULTILINE)[0]


def headings(document: str) -> list[str]:
    """The headings of the third level."""
    return re.findall(r"^### (.*)$", document, re.MULTILINE)


def rows(text: str) -> list[list[str]]:
    """The rows of all tables in a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {index - 1 for index, line in enumerate(lines) if line.startswith("|---")}
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for index, line in enumerate(lines)
        if index not in heads and not line.startswith("|---")
    ]


def code(text: str) -> list[str]:
    """What is set in code in a line of text, without its quotation marks."""
    return re.findall(r"`([^`]*)`", text)
