"""Names and patterns."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.subjects import (
    ChannelPattern,
    Name,
    Pattern,
    covering,
    covers,
    has_wildcard,
    is_name,
    is_pattern,
    matcher,
    why_no_name,
    why_no_pattern,
)

segments = st.sampled_from(["a", "b", "task-1", "x:y"])
names = st.lists(segments, min_size=1, max_size=4).map(".".join)
patterns = st.tuples(
    st.lists(segments | st.just("*"), min_size=1, max_size=4), st.sampled_from([[], [">"]])
).map(lambda parts: ".".join(parts[0] + parts[1])) | st.just(">")  # fmt: skip


def fits(text: str, kind: object) -> bool:
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        return False
    return True


class MatcherTests(SynchronousTestCase):
    """L{matcher}"""

    @given(patterns, names)
    def test_as_covers_says(self, pattern: str, name: str) -> None:
        """It says what the rule for two says."""
        self.assertIs(matcher(pattern)(name) is not None, covers(pattern, name))


class NameTests(SynchronousTestCase):
    """What is a name."""

    def test_table(self) -> None:
        """Names are spelled in one canonical way, and wildcards, spaces, controls and look-alikes are refused."""
        for text in ("a", "events", "a.b.c", "A-Z_0:9", "x" * 200, "1", "capability", "a.capability:x", "Capability:x"):
            self.assertTrue(is_name(text), text)
        for text in ("", "x" * 201, "*", ">", "a.*", "a.>", "$system", "a..b", ".a", "a.", ".", "a b", "../x", "a\n",
                     "a\x00", "ü", "a\u200b", "e\u0301", "a/b", "a,b", "$SYS.>", "\u0430",
                     "capability:x", "capability:", "capability:a.b"):  # fmt: skip
            self.assertFalse(is_name(text), repr(text))
            self.assertFalse(fits(text, Name), repr(text))

    def test_patterns(self) -> None:
        """Wildcards are whole segments, the one for the rest comes last."""
        for text in ("*", ">", "a.*", "*.a", "a.>", "*.>", "a.*.b.>", "a.b"):
            self.assertTrue(is_pattern(text), text)
        for text in (
            "",
            "a*",
            "*a",
            "a.>.b",
            ">.a",
            ">>",
            "**",
            "a.*b",
            "$",
            "$system",
            "$system.*",
            "*\n",
            "a..>",
            "capability:x",
            "capability:x.>",
        ):
            self.assertFalse(is_pattern(text), repr(text))
            self.assertFalse(fits(text, Pattern), repr(text))

    def test_own_channels(self) -> None:
        """Clients may read the gateway's own four channels, and no other name with a dollar."""
        for text in ("$agents", "$presence", "$system", "$channels"):
            self.assertTrue(fits(text, ChannelPattern))
            self.assertFalse(fits(text, Name))
        for text in ("$", "$other", "$system.x", "$SYSTEM", "x.$system"):
            self.assertFalse(fits(text, ChannelPattern), text)

    def test_why(self) -> None:
        """Why a text is no name or no pattern depends on what it looks like."""
        rule = "a name is segments of A-Z a-z 0-9 _ - : joined by '.'"
        own = "names that begin with $ belong to the gateway"
        capability = "no name begins with capability:, which stands before capabilities in permissions"
        for text, name, pattern in (
            ("a b", rule, f"{rule}; in a pattern each may be *, and the last one >"),
            ("$agents", own, own), ("capability:x", capability, capability),
            ("a.*", "one name is needed, not a pattern", None),
        ):  # fmt: skip
            self.assertEqual(why_no_name(text), name)
            self.assertTrue(pattern is None or why_no_pattern(text) == pattern)

    @given(st.text(alphabet="ab.*>$:-_ \n\u00e9", max_size=8))
    def test_types_agree(self, text: str) -> None:
        """The types that decode requests and the functions that ask say the same."""
        self.assertEqual(fits(text, Name), is_name(text))
        self.assertEqual(fits(text, Pattern), is_pattern(text))


class CoversTests(SynchronousTestCase):
    """What stands for what."""

    def test_table(self) -> None:
        """One wildcard is one segment, the other one or more; neither reaches the gateway's own."""
        for pattern, other, expected in (
            ("a.b", "a.b", True), ("a.b", "a.c", False), ("a.*", "a.b", True), ("a.*", "a", False),
            ("a.*", "a.b.c", False), ("a.>", "a.b", True), ("a.>", "a.b.c", True), ("a.>", "a", False),
            (">", "a", True), (">", "a.b", True), ("*", "a", True), ("*", "a.b", False), ("a.*", "a.*", True),
            ("a.*", "a.>", False), ("a.>", "a.*", True), (">", ">", True), ("*", ">", False), (">", "*", True),
            ("a", "*", False), (">", "$system", False), ("*", "$system", False), ("$system", "$system", True),
            ("$system", "$agents", False), ("*.b", "a.b", True), ("*.b", "a.c", False),
        ):  # fmt: skip
            self.assertIs(covers(pattern, other), expected, f"{pattern} covers {other}")

    @given(patterns, patterns, names)
    def test_covers_is_a_subset(self, wide: str, narrow: str, name: str) -> None:
        """Whatever a covered pattern stands for, the covering one stands for too."""
        if covers(wide, narrow) and covers(narrow, name):
            self.assertTrue(covers(wide, name))

    @given(patterns)
    def test_itself(self, pattern: str) -> None:
        """A pattern covers itself, and everything is covered by the rest of everything."""
        self.assertTrue(covers(pattern, pattern))
        self.assertTrue(covers(">", pattern))

    @given(names, patterns)
    def test_covering(self, name: str, pattern: str) -> None:
        """A name is covered by all that are listed, and by no other pattern that has one wildcard, at its end."""
        found = covering(name)
        self.assertTrue(all(covers(each, name) for each in found))
        if covers(pattern, name) and not has_wildcard(pattern.rpartition(".")[0]):
            self.assertIn(pattern, found)
        self.assertEqual(sorted(covering("a.b")), [">", "a.*", "a.>", "a.b"])
