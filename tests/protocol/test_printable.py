"""Text of untrusted peers in the log."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.printable import LIMIT, printable

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)  # surrogates, too


class PrintableTests(SynchronousTestCase):
    """L{printable}."""

    def test_plain_text_stays(self) -> None:
        """Letters of any script, marks and emoji are left as they are."""
        for text in ("", "agent_001", "a b", "Zoë 東京 👋", r"C:\temp"):
            self.assertEqual(printable(text), text)

    def test_escapes(self) -> None:
        """Whatever moves the cursor, begins a line or turns the writing direction is escaped."""
        for text, expected in (
            ("a\nb", r"a\nb"),
            ("a\r\nb", r"a\r\nb"),
            ("\x1b[2J", r"\x1b[2J"),
            ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
            ("\u2028\u2029\x85", r"\u2028\u2029\x85"),
            ("\u202egnp", r"\u202egnp"),
            ("\ufeff", r"\ufeff"),
            ("\ud800", r"\ud800"),
            ("\U000e0001", r"\U000e0001"),
        ):
            self.assertEqual(printable(text), expected)

    def test_limit(self) -> None:
        """No more than the limit is kept, and the reader learns how long it was."""
        self.assertEqual(printable("x" * LIMIT), "x" * LIMIT)
        self.assertEqual(printable("x" * (LIMIT + 1)), "x" * LIMIT + "…(129 characters)")
        self.assertEqual(printable("abcdef", 3), "abc…(6 characters)")

    def test_limit_counts_before_escaping(self) -> None:
        """The limit counts the characters that were sent, so that no escape is cut in two."""
        self.assertEqual(printable("\n\n\n", 2), r"\n\n…(3 characters)")

    @given(ANY_TEXT, st.integers(0, 200))
    def test_always_one_printable_line(self, text: str, limit: int) -> None:
        """Whatever came, the outcome is one line of printable characters that can be written as UTF-8."""
        outcome = printable(text, limit)
        self.assertTrue(outcome.isprintable())
        self.assertLessEqual(len(outcome.splitlines()), 1)
        outcome.encode("utf-8")

    @given(ANY_TEXT)
    def test_never_long(self, text: str) -> None:
        """However long the text, the log line has a bound."""
        self.assertLessEqual(len(printable(text * 100, 50)), 50 * len(r"\U0010ffff") + 30)
