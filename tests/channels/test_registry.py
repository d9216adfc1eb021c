"""Sorted names beside a sorted list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels import registry
from cell0gw.channels.registry import SortedNames
from cell0gw.protocol.subjects import beginning
from tests.protocol.test_patterns import names

prefixes = st.sampled_from(["", "a", "a.", "a.b.", "b.", "c.c.", "z"])


class SortedNamesTests(SynchronousTestCase):
    """L{SortedNames}"""

    @given(st.lists(names, max_size=40), prefixes, names | st.just(""))
    def test_as_a_list_would(self, changes: list[str], prefix: str, after: str) -> None:
        """Whatever comes and goes, those are found, and counted, that are there, in order."""
        self.patch(registry, "BLOCK", 2)
        found, there = SortedNames(), set[str]()
        for name in changes:
            if name in there:
                found.remove(name)
            else:
                found.add(name)
            there ^= {name}
        expected = sorted(name for name in there if name.startswith(prefix))
        self.assertEqual(list(found.beginning(prefix)), expected)
        self.assertEqual(list(found.beginning(prefix, after)), [name for name in expected if name > after])
        self.assertEqual(found.count(prefix), len(expected))

    def test_beginning(self) -> None:
        """What a pattern covers begins with the segments before its first wildcard."""
        expected = {">": "", "*": "", "a.>": "a.", "a.b.*.c": "a.b.", "*.a.>": "", "a.*.>": "a."}
        self.assertEqual({pattern: beginning(pattern) for pattern in expected}, expected)
