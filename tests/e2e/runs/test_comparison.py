"""The short stories of docs/comparison.md, told to the gateway; C{make comparison} tells all, to NATS as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.comparison import page, stories
from tests.comparison.catalogue import STORIES, Story
from tests.comparison.facts import Told
from tests.comparison.gateway.side import GatewaySide
from tests.documents import document, rows, section

pytestmark = pytest.mark.long

SHORT = {
    stories.away, stories.killed, stories.mistyped, stories.conversation, stories.deadlock, stories.revoked,
}  # fmt: skip


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewaySide]:
    """One gateway for all of them."""
    side = GatewaySide(tmp_path_factory.mktemp("comparison"))
    yield side
    side.close()


@pytest.mark.parametrize("story", [story for story in STORIES if story.tell in SHORT], ids=lambda story: story.title)
def test_short_story(side: GatewaySide, story: Story) -> None:
    """What comes of it is what the page says."""
    story.tell(side, told := Told())
    written = {row: ours for row, ours, _ in rows(section(document("docs/comparison.md"), story.title))}
    for row, tests in story.rows.items():
        assert page.linked(told.cell(row), tests) == written[row], row
