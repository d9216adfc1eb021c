"""docs/comparison.md: what it says of the gateway is what tests protect, and its table is made by the script alone."""

from __future__ import annotations

import re
from pathlib import Path

from tests.comparison import page
from tests.comparison.catalogue import STORIES
from tests.comparison.facts import ANSWERED, BUILT, Learned, Letter, Told, came, learned, within
from tests.documents import ROOT, DocumentTestCase, Part, document, headings, rows, section

PAGE = document("docs/comparison.md")
TABLE = Part(f"{PAGE.where}, table", PAGE.text.partition(page.BEGIN)[2].partition(page.END)[0])


class PageTests(DocumentTestCase):
    """What stands there."""

    def test_stories(self) -> None:
        """Every story is there, with what happens in it and with each of its rows; and no other."""
        self.assertEqual(headings(TABLE), [story.title for story in STORIES])
        for story in STORIES:
            part = section(TABLE, story.title)
            self.assertIn(f"\n{story.text}\n", part.text)
            self.assertEqual([row[0] for row in rows(part)], [*story.rows, BUILT], part.where)

    def test_links(self) -> None:
        """Each cell of ours links to the tests that protect what it says, and these tests are there."""
        for story in STORIES:
            part = section(TABLE, story.title)
            for row, ours, _ in rows(part):
                tests = story.rows.get(row, [])
                self.assertEqual(re.findall(r"\[test_\w+\]\([^)]*\)", ours), [page.link(test) for test in tests])
                self.assertTrue(tests or row == BUILT, f"{part.where}: no test for {row!r}")
        for test in {test for story in STORIES for tests in story.rows.values() for test in tests}:
            path, _, name = test.partition("::")
            self.assertIn(f"def {name}(", (ROOT / path).read_text(), f"{path} has no {name}")


class WriterTests(DocumentTestCase):
    """How it is written."""

    def test_put(self) -> None:
        """What is observed is written between the markers, and whether that changed anything is said."""
        (path := Path(self.mktemp())).write_text(f"by hand\n{page.BEGIN}\nold\n{page.END}\nby hand, too\n")
        self.assertTrue(page.put("new\n", path))
        self.assertEqual(path.read_text(), f"by hand\n{page.BEGIN}\n\nnew\n\n{page.END}\nby hand, too\n")
        self.assertFalse(page.put("new\n", path))

    def test_written(self) -> None:
        """A cell has what was observed, or says that it was nothing."""
        ours, theirs = Told(), Told()
        ours.note(ANSWERED, "one", "two")
        theirs.note(BUILT, "a thing")
        text = page.written({STORIES[0].title: [ours, theirs]}, ["this", "that"])
        first, *_, last = rows(Part("", text))
        self.assertEqual(first[1].partition(" (")[0], "One; two")
        self.assertEqual((first[2], last[1:]), ("Nothing", ["Nothing", "A thing"]))

    def test_words(self) -> None:
        """What was observed is counted, in words that are the same on a busy machine."""
        self.assertEqual(came([]), "nothing")
        self.assertEqual(came([Letter("a", 1, None), Letter("a", 2, None)]), "the message twice, as attempts 1, 2")
        self.assertEqual(
            came([Letter("a", 1, None), Letter("b", 1, None), Letter("b", 2, None)]),
            "1 message once, 1 message twice",
        )
        self.assertEqual(learned([]), "nothing")
        told = [Learned("a", "`sent`", False), Learned("a", "`done`", True)]
        self.assertEqual(learned(told * 2), "`sent`, then `done`")
        self.assertEqual(learned([*told, Learned("b", "`done`", True)]), "`sent` for 1 message, `done` for 2 messages")
        self.assertEqual(
            [within(seconds) for seconds in (0.2, 1.1, 999)], ["within 1 s", "within 3 s", "after more than 120 s"]
        )
