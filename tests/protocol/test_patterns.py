"""A tree of patterns beside a list of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.errors import InvalidParams
from cell0gw.protocol.patterns import MAX_SEGMENTS, MAX_STARS, PatternTree, check_width
from cell0gw.protocol.subjects import OWN_CHANNELS, covers
from tests.steps import growth

segments = st.sampled_from(["a", "b", "c"])
names = st.lists(segments, min_size=1, max_size=4).map(".".join)
patterns = st.builds(
    lambda before, rest: ".".join([*before, ">"] if rest or not before else before),
    st.lists(segments | st.just("*"), max_size=4),
    st.booleans(),
)


def tree_of(*patterns: str) -> PatternTree[str]:
    """A tree whose values are the patterns themselves."""
    tree: PatternTree[str] = PatternTree()
    for pattern in patterns:
        tree.add(pattern, pattern)
    return tree


def nodes(tree: PatternTree[Any]) -> int:
    """How many nodes there are beside the root."""
    todo, count = [tree._root], 0
    while todo:
        children = list(todo.pop().children.values())
        count += len(children)
        todo += children
    return count


class MatchTests(SynchronousTestCase):
    """Which patterns cover a name."""

    def matches(self, tree: PatternTree[str], name: str) -> list[str]:
        return sorted(tree.match(name))

    def test_segments(self) -> None:
        """A star stands for one segment, the rest for one or more, and never for none."""
        tree = tree_of("a", "a.b", "*", "a.*", "*.b", "*.*", ">", "a.>", "a.b.>", "*.>", "a.*.c")
        for name, expected in (
            ("a", ["*", ">", "a"]),
            ("b", ["*", ">"]),
            ("a.b", ["*.*", "*.>", "*.b", ">", "a.*", "a.>", "a.b"]),
            ("a.b.c", ["*.>", ">", "a.*.c", "a.>", "a.b.>"]),
            ("x.y.z", ["*.>", ">"]),
        ):
            self.assertEqual(self.matches(tree, name), expected, name)

    def test_empty(self) -> None:
        """Nothing covers anything in an empty tree."""
        self.assertEqual(self.matches(tree_of(), "a.b"), [])

    def test_own_channels(self) -> None:
        """No wildcard reaches the gateway's own channels."""
        tree = tree_of(">", "*", "*.>", "a")
        for name in OWN_CHANNELS:
            self.assertEqual(self.matches(tree, name), [], name)

    @given(st.sets(patterns, max_size=8), names)
    def test_as_covers_says(self, kept: set[str], name: str) -> None:
        """Those are found, once each, that cover the name by the rule for two."""
        self.assertEqual(self.matches(tree_of(*kept), name), sorted(p for p in kept if covers(p, name)))


class WidthTests(SynchronousTestCase):
    """How wide patterns are that are listened to."""

    def test_bounds(self) -> None:
        """A pattern has so many segments and stars at most; a name is no pattern."""
        deep = ".".join("a" * 15)
        for pattern in (f"{deep}.>", f"{deep}.*", "*.*.*.*", "*.*.*.*.>", ".".join("a" * 100), "$agents"):
            check_width(pattern, "channel")
        for pattern in (f"{deep}.a.>", f"{deep}.*.a", "*.*.*.*.*", "a.*.*.*.b.*.*.>"):
            refusal = self.assertRaises(InvalidParams, check_width, pattern, "channel")
            self.assertEqual(refusal.data["path"], "params.channel")

    def test_visited(self) -> None:
        """With all patterns that a name fits at once, some thousand beginnings are looked at, and no more."""
        stars = [set(places) for count in range(MAX_STARS + 1) for places in itertools.combinations(range(16), count)]
        tree = tree_of(*(".".join("*" if n in places else "a" for n in range(MAX_SEGMENTS)) for places in stars))
        self.assertEqual(len(list(tree.match(".".join("a" * 16)))), len(tree))
        self.assertLess(tree.visited, 10_000)
        tree.visited = 0
        self.assertEqual(list(tree.match(".".join("a" * 100))), [])
        self.assertLess(tree.visited, 10_000)


class TreeTests(SynchronousTestCase):
    """What comes and goes."""

    def test_deep(self) -> None:
        """The value of a pattern is found at once, however many segments it has."""

        def got(size: int) -> Callable[[], object]:
            pattern = ".".join("a" * size)
            tree = tree_of(pattern)
            return lambda: tree.get(pattern)

        self.assertLessEqual(growth(got, 50), 1.1)

    def test_get(self) -> None:
        """A pattern has the value that it was given last; what merely leads to one, or is covered, has none."""
        tree = tree_of("a.b.c", "x.>")
        tree.add("x.>", "again")
        self.assertEqual((tree.get("a.b.c"), tree.get("x.>")), ("a.b.c", "again"))
        for other in ("a", "a.b", "a.b.>", "a.b.c.>", "x", "x.y", "x.*", ">", "*", "x.y.>"):
            self.assertIsNone(tree.get(other), other)

    def test_side_by_side(self) -> None:
        """A pattern and the one of all that lies below it have a value each, and go apart."""
        tree = tree_of("a", "a.>", ">")
        self.assertEqual([tree.get(p) for p in ("a", "a.>", ">")], ["a", "a.>", ">"])
        tree.remove("a.>")
        self.assertEqual([tree.get(p) for p in ("a", "a.>", ">")], ["a", None, ">"])
        tree.remove("a")
        self.assertEqual([tree.get(p) for p in ("a", "a.>", ">")], [None, None, ">"])

    def test_count(self) -> None:
        """A pattern counts once, however often its value is replaced."""
        tree = tree_of("a", "a.*", ">")
        tree.add("a", "again")
        self.assertEqual(len(tree), 3)
        tree.remove("a")
        self.assertEqual(len(tree), 2)

    def test_version(self) -> None:
        """The version changes with every pattern that comes, goes, or changes in itself, and with nothing else."""
        tree, seen = tree_of(), set()
        for change in (
            lambda: tree.add("a.b", "1"), lambda: tree.add("a.b", "2"), lambda: tree.add(">", "3"), tree.touch,
            lambda: tree.remove("a.b"), lambda: tree.remove(">"), lambda: tree.add("a.b", "1"),
        ):  # fmt: skip
            seen.add(tree.version)
            change()
            self.assertNotIn(tree.version, seen)
            version = tree.version
            self.assertIsNone(tree.get("x.y"))
            self.assertNotIn("x", list(tree.match("x.y")))
            self.assertEqual(tree.version, version)

    def test_pruning(self) -> None:
        """What led to a pattern only goes with it; what leads to others stays."""
        tree = tree_of("a.b.c.d", "a.b", "x.*.>")
        self.assertEqual(nodes(tree), 6)
        tree.remove("a.b.c.d")
        self.assertEqual(nodes(tree), 4)
        tree.remove("x.*.>")
        self.assertEqual(nodes(tree), 2)
        self.assertEqual(list(tree.match("a.b")), ["a.b"])
        tree.remove("a.b")
        self.assertEqual((nodes(tree), len(tree)), (0, 0))


class TreeMachine(RuleBasedStateMachine):
    """A tree beside a dictionary of its patterns."""

    def __init__(self) -> None:
        super().__init__()
        self.tree: PatternTree[int] = PatternTree()
        self.model: dict[str, int] = {}
        self.count = 0

    @rule(pattern=patterns)
    def add(self, pattern: str) -> None:
        self.count += 1
        version = self.tree.version
        self.tree.add(pattern, self.count)
        self.model[pattern] = self.count
        assert self.tree.version != version

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        pattern = data.draw(st.sampled_from(sorted(self.model)))
        version = self.tree.version
        self.tree.remove(pattern)
        del self.model[pattern]
        assert self.tree.version != version

    @rule(name=names)
    def match(self, name: str) -> None:
        found = sorted(self.tree.match(name))
        assert found == sorted(value for pattern, value in self.model.items() if covers(pattern, name))

    @rule(pattern=patterns)
    def get(self, pattern: str) -> None:
        assert self.tree.get(pattern) == self.model.get(pattern)

    @invariant()
    def is_no_larger_than_needed(self) -> None:
        assert len(self.tree) == len(self.model)
        paths = set()
        for pattern in self.model:
            segments = pattern.removesuffix(">").rstrip(".").split(".") if pattern != ">" else []
            paths |= {tuple(segments[:length]) for length in range(1, len(segments) + 1)}
        assert nodes(self.tree) == len(paths)


class TreeModelTests(SynchronousTestCase):
    """See L{TreeMachine}."""

    def test_model(self) -> None:
        """Whatever comes and goes, the tree finds what a list would, and keeps no branch without a pattern."""
        run_state_machine_as_test(TreeMachine)
