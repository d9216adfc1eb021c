"""The table of docs/comparison.md, written from what was observed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.comparison.catalogue import STORIES
from tests.comparison.facts import BUILT, Told
from tests.e2e.processes import CHECKOUT

PAGE: Final = CHECKOUT / "docs" / "comparison.md"
BEGIN: Final = "<!-- what `make comparison` observed: begin -->"
END: Final = "<!-- what `make comparison` observed: end -->"


def written(outcomes: dict[str, list[Told]], versions: list[str]) -> str:
    """All that was observed.

    @param outcomes: by the title of the story, what came of it on both sides.
    @param versions: what was run.
    """
    lines = [f"Run with {versions[0]}, and with {versions[1]}.", ""]
    for story in STORIES:
        if story.title not in outcomes:
            continue
        ours, theirs = outcomes[story.title]
        lines += [f"### {story.title}", "", story.text, "", "| | cell0gw | NATS JetStream |", "|---|---|---|"]
        for row, tests in story.rows.items():
            lines.append(f"| {row} | {linked(ours.cell(row), tests)} | {theirs.cell(row)} |")
        if BUILT in ours.rows or BUILT in theirs.rows:
            lines.append(f"| {BUILT} | {ours.cell(BUILT)} | {theirs.cell(BUILT)} |")
        lines.append("")
    return "\n".join(lines)


def linked(cell: str, tests: list[str]) -> str:
    """A cell of the gateway's, with the tests that protect what it says."""
    return f"{cell} ({', '.join(link(test) for test in tests)})"


def link(test: str) -> str:
    """A link from the page to a test.

    @param test: C{path::name}.
    """
    path, _, name = test.partition("::")
    return f"[{name}](../{path})"


def put(text: str, page: Path = PAGE) -> bool:
    """Write it between the markers.

    @return: whether something else stood there.
    """
    before = page.read_text()
    head, begin, rest = before.partition(BEGIN)
    _, end, foot = rest.partition(END)
    assert begin and end, f"{page} has no markers"
    after = f"{head}{BEGIN}\n\n{text}\n{END}{foot}"
    page.write_text(after)
    return after != before
