"""Names that look like one that nobody has."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.suggestions import LONGEST, MOST, Choices, Suggestions
from tests.steps import growth, steps

few = st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "ab", "abc", "b", "ba", "cab"])), max_size=30)


class SuggestionsTests(SynchronousTestCase):
    """L{Suggestions}"""

    def make(self, *names: str) -> Suggestions:
        suggestions = Suggestions()
        for name in names:
            suggestions.add(name)
        return suggestions

    def test_hidden_ones_take_no_places(self) -> None:
        """Names that may not be shown leave no gap by which they could be told."""
        suggestions = Suggestions()
        suggestions.add("worker.9")
        for number in range(50):
            suggestions.add(f"worker.8{number:02}")
        self.assertEqual(suggestions.near("worker.80", lambda name: name == "worker.9"), ["worker.9"])

    def test_typos(self) -> None:
        """A letter too many, too few, another or at another place, anywhere in the name: it is found, and best."""
        suggestions = self.make("billing.worker-1", "shipping.worker-1", "scheduler", "x", "planner.main")
        for typo in ("biling.worker-1", "billing.worker_1", "billling.worker-1", "Billing.worker-1", "billing.wroker-1",
                     "billing.worker-", "illing.worker-1"):  # fmt: skip
            self.assertEqual(suggestions.near(typo)[0], "billing.worker-1", typo)

    def test_unlike(self) -> None:
        """What is not alike is not suggested."""
        suggestions = self.make("billing", "scheduler")
        self.assertEqual((suggestions.near("zzz"), suggestions.near(""), Suggestions().near("a")), ([], [], []))

    def test_few_of_many(self) -> None:
        """Among very many names those that are like it are found, a handful, and few are looked at."""
        suggestions = self.make(*(f"worker.{number:05}" for number in range(20_000)), "planner")
        asked: list[str] = []
        found = suggestions.near("worker.1234", lambda name: bool(asked.append(name)) or True)
        self.assertEqual(len(found), MOST)
        self.assertTrue(all(re.search("1.?2.?3.?4", name) for name in found), found)
        self.assertLess(len(asked), 100)
        self.assertEqual(suggestions.near("plannr"), ["planner"])

    def test_long_names(self) -> None:
        """Names that are twice as long are at most twice the work, and the longest are none."""

        def asked(size: int) -> Callable[[], object]:
            suggestions = self.make(*(f"{'ab' * (size // 2 - 1)}{number:02}" for number in range(48)))
            return lambda: suggestions.near("ba" * (size // 2))

        self.assertLessEqual(growth(asked, LONGEST // 2), 2.2)
        self.assertLess(steps(asked(200)), steps(asked(LONGEST)))
        self.assertEqual(self.make("a" * 65).near("a" * 66), [])

    def test_allowed(self) -> None:
        """What may not be shown is not, and takes no place from what may."""
        suggestions = self.make(*(f"name{number}" for number in range(8)))
        self.assertEqual(suggestions.near("name", lambda name: name == "name6"), ["name6"])

    def test_beginning(self) -> None:
        """The names that begin alike are found, and no other."""
        suggestions = self.make("a.b", "a.c", "ab", "b.a")
        self.assertEqual(list(suggestions.beginning("a.")), ["a.b", "a.c"])
        suggestions.discard("a.b")
        self.assertEqual(list(suggestions.beginning("a.")), ["a.c"])

    def test_bearers(self) -> None:
        """A name is there until its last bearer is gone."""
        suggestions = self.make("name", "name")
        for left, expected in ((1, ["name"]), (0, [])):
            suggestions.discard("name")
            self.assertEqual((suggestions.near("names"), len(suggestions)), (expected, left))

    def test_many_changes(self) -> None:
        """Whether few or very many have changed since the last question, what is found is what is there."""
        suggestions = self.make("name")
        self.assertEqual(suggestions.near("names"), ["name"])
        for number in range(1000):
            suggestions.add(f"other{number}")
        suggestions.discard("name")
        suggestions.add("nams")
        self.assertEqual(suggestions.near("names"), ["nams"])
        self.assertIn("other999", suggestions.near("others999"))

    @settings(max_examples=60, deadline=None)
    @given(few, st.lists(st.integers(0, 30), max_size=4))
    def test_as_a_list_would(self, changes: list[tuple[bool, str]], questions: list[int]) -> None:
        """Whatever comes and goes, exactly the names that are there are found."""
        suggestions, there = Suggestions(), list[str]()
        for number, (come, name) in enumerate(changes):
            if come:
                there.append(name)
                suggestions.add(name)
            elif name in there:
                there.remove(name)
                suggestions.discard(name)
            if number in questions:
                suggestions.near("a")
        for name in ("a", "ab", "abc", "b", "ba", "cab"):
            self.assertIs(name in suggestions.near(name), name in there)
        self.assertEqual(len(suggestions), len(set(there)))


class ChoicesTests(SynchronousTestCase):
    """L{Choices}"""

    def test_typos(self) -> None:
        """A letter too many, too few, another, two that changed places, another case: the choice is found, and best."""
        choices = Choices(["busy", "online", "offline", "do_not_disturb"])
        for typo, meant in (
            ("bussy", "busy"), ("bsy", "busy"), ("bsuy", "busy"), ("Busy", "busy"), ("onlin", "online"),
            ("do not disturb", "do_not_disturb"), ("offlien", "offline"), ("busy", "busy"),
        ):  # fmt: skip
            self.assertEqual(choices.near(typo)[0], meant, typo)

    def test_unlike(self) -> None:
        """What is not alike is not found, nor what is much less alike than the best one; nothing is like nothing."""
        choices = Choices(["channel.publish", "channel.list", "agent.send"])
        self.assertEqual(choices.near("chanel.publish"), ["channel.publish"])
        for name in ("zzz", "", "x" * 5_000_000):
            self.assertEqual(choices.near(name), [], name[:5])
        self.assertEqual((Choices(()).near("a"), Choices(("",)).near("")), ([], []))

    def test_spellings(self) -> None:
        """A name may be asked for by another spelling; it is found once."""
        choices = Choices(["channel.publish", "agent.send"], [("publish", "channel.publish"), ("send", "agent.send")])
        self.assertEqual((choices.near("send"), choices.near("channel.publis")), (["agent.send"], ["channel.publish"]))

    def test_few(self) -> None:
        """Of many that are alike a handful is found, in an order that does not depend on how they were given."""
        names = [f"name{number}" for number in range(20)]
        self.assertEqual(Choices(names).near("name"), Choices(names[::-1]).near("name"))
        self.assertEqual(len(Choices(names).near("name")), MOST)

    @given(st.lists(st.text(max_size=8), max_size=8), st.text(max_size=20))
    def test_anything(self, names: list[str], name: str) -> None:
        """Whatever is asked for, what is found is among the choices, and one of them is the best of all."""
        choices = Choices(names)
        self.assertLessEqual(set(choices.near(name)), set(names))
        for present in names:
            found = choices.near(present)
            self.assertTrue(
                not present or found[0].lower() == present.lower() or present.lower() in map(str.lower, found)
            )
