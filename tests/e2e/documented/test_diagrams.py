"""The documents' diagrams, drawn by Mermaid in Chromium as GitHub draws them: each is one, and can be read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.documents import DOCUMENTS, blocks
from tests.e2e.chromium import Tab
from tests.e2e.conftest import OpenTab
from tests.e2e.node import node_modules

DIAGRAMS = [
    pytest.param(diagram, id=f"{part.where}-{number}")
    for part in DOCUMENTS
    for number, diagram in enumerate(blocks(part, "mermaid"))
]
MERMAID = "@mermaid-js/tiny"
COLUMN = 860
"""The width in pixels of a text on GitHub, into which a wider diagram is shrunk."""
ACROSS = """
[...document.querySelectorAll('.flowchart-link')].flatMap((link) => {
  const points = [];
  for (let at = 0; at < link.getTotalLength(); at += 2)
    points.push(link.getPointAtLength(at).matrixTransform(link.getScreenCTM()));
  return [...document.querySelectorAll('.node .label, .cluster-label')].filter((label) => {
    const box = label.getBoundingClientRect();
    return box.width && points.some(({x, y}) => x > box.left && x < box.right && y > box.top && y < box.bottom);
  }).map((label) => label.textContent.trim());
})
"""
"""The words that a line of a flowchart is drawn across."""


@pytest.fixture
def tab(chromium: OpenTab, tmp_path: Path) -> Tab:
    """A page with Mermaid."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    script = node_modules(MERMAID) / MERMAID / "dist" / "mermaid.tiny.js"
    page = tmp_path / "page.html"
    page.write_text(
        f'<!DOCTYPE html><body style="width: {COLUMN}px"><div></div><script src="{script.as_uri()}"></script>'
    )
    return chromium(page.as_uri())


def draw(tab: Tab, diagram: str) -> None:
    """Draw a diagram.

    @raise AssertionError: Mermaid does not understand it.
    """
    tab.console("mermaid.initialize({startOnLoad: false, securityLevel: 'strict'})")
    tab.console(f"document.querySelector('div').innerHTML = (await mermaid.render('drawn', {json.dumps(diagram)})).svg")


@pytest.mark.parametrize("diagram", DIAGRAMS)
def test_diagram(tab: Tab, diagram: str) -> None:
    """Mermaid draws it, with its letters as large as they are meant, and with no line across words."""
    draw(tab, diagram)
    assert tab.console("document.querySelectorAll('svg text, svg .nodeLabel').length") > 5
    assert tab.console("document.querySelector('svg').viewBox.baseVal.width") <= 1.25 * COLUMN
    assert tab.console(ACROSS) == []


def test_there_are_diagrams() -> None:
    """The README, the architecture and each concept have one."""
    assert len(DIAGRAMS) == 8


def test_mistake(tab: Tab) -> None:
    """What is no diagram, or has a line across words, is found."""
    with pytest.raises(AssertionError, match="Parse error"):
        draw(tab, "flowchart LR\n    a -->")
    draw(tab, 'flowchart TB\n    a --> b\n    subgraph s ["a title in the way"]\n        b\n    end\n')
    assert tab.console(ACROSS) == ["a title in the way"]
