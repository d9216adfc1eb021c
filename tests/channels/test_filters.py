"""Which messages a filter lets pass, and what it says when it is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels import filters
from cell0gw.channels.filters import (
    MAX_FIELD,
    MAX_JUDGED,
    MAX_NODES,
    MAX_SIZE,
    MAX_VALUES,
    Filter,
    FilterError,
    decoded,
)
from cell0gw.testing import Client, MemoryGateway
from tests.steps import growth

MESSAGE: Any = {
    "type": "done",
    "count": 1,
    "ratio": 1.5,
    "yes": True,
    "no": False,
    "null": None,
    "empty": "",
    "list": [1, {"a": 1}],
    "payload": {"type": "task", "id": {"n": -3}, "null": None},
}

OK = {"field": "a", "op": "exists"}


def leaf(field: str, op: str, *value: Any) -> dict[str, Any]:
    """A comparison, without a value if none is given."""
    return {"field": field, "op": op, **({"value": value[0]} if value else {})}


def passes(tree: Any, message: Any = MESSAGE) -> bool:
    return Filter(tree).wants(decoded(json.dumps(message).encode()))


class Case(SynchronousTestCase):
    """With tables of what passes and what does not."""

    def check(self, op: str, passing: list[tuple[Any, ...]], failing: list[tuple[Any, ...]]) -> None:
        for expected, rows in ((True, passing), (False, failing)):
            for field, *value in rows:
                self.assertIs(passes(leaf(field, op, *value)), expected, (field, op, value))


class OperatorTests(Case):
    """Every operator, on every kind of value."""

    def test_eq(self) -> None:
        """Equal is what JSON calls so: 1 is 1.0, true is not 1, what is missing is not null, arrays equal nothing."""
        self.check(
            "eq",
            [("type", "done"), ("count", 1), ("count", 1.0), ("ratio", 1.5), ("yes", True), ("no", False),
             ("null", None), ("empty", "")],
            [("type", "Done"), ("type", "don"), ("count", "1"), ("count", True), ("yes", 1), ("yes", 1.0), ("no", 0),
             ("no", None), ("no", ""), ("null", False), ("null", 0), ("empty", None), ("missing", None),
             ("missing", ""), ("list", 1), ("payload", "task")],
        )  # fmt: skip

    def test_ne(self) -> None:
        """Unequal is whatever is not equal, and so what is missing, too."""
        self.check(
            "ne",
            [("type", "x"), ("count", True), ("yes", 1), ("missing", None), ("missing", "x"), ("list", 1)],
            [("type", "done"), ("count", 1), ("count", 1.0), ("yes", True), ("null", None)],
        )

    def test_in(self) -> None:
        """One of some values, by the same equality."""
        self.check(
            "in",
            [("type", ["x", "done"]), ("count", [1.0]), ("yes", [1, True]), ("null", [None]), ("count", [None, 1])],
            [("type", ["x"]), ("count", [True, "1"]), ("yes", [1]), ("missing", [None, False, 0, ""]), ("list", [1])],
        )

    def test_exists(self) -> None:
        """What is null is there; without a value it is asked for what is there."""
        self.check(
            "exists",
            [("type",), ("null", True), ("no", True), ("payload.null",), ("missing", False), ("payload.id.x", False)],
            [("missing",), ("missing", True), ("null", False), ("type", False), ("payload.id.n", False)],
        )

    def test_prefix(self) -> None:
        """Only texts begin with something."""
        self.check(
            "prefix",
            [("type", "do"), ("type", "done"), ("type", ""), ("empty", "")],
            [("type", "one"), ("type", "donee"), ("count", "1"), ("null", ""), ("missing", ""), ("list", "")],
        )

    def test_comparisons(self) -> None:
        """Only numbers are more or less than others: true and texts are none, and neither is what is missing."""
        self.check("gt", [("count", 0), ("count", 0.5), ("ratio", 1)], [("count", 1), ("count", 1.0), ("count", 2)])
        self.check("gte", [("count", 1), ("count", 1.0), ("ratio", 1)], [("count", 2), ("count", 1.5)])
        self.check("lt", [("count", 2), ("payload.id.n", -2.5)], [("count", 1), ("count", 1.0), ("count", 0)])
        self.check("lte", [("count", 1), ("count", 1.0), ("payload.id.n", -3)], [("count", 0), ("count", 0.5)])
        for op in ("gt", "gte", "lt", "lte"):
            for bound in (-100, 100):
                nothing = [(field, bound) for field in ("type", "yes", "null", "missing", "list", "payload", "empty")]
                self.check(op, [], nothing)

    def test_large_numbers(self) -> None:
        """Numbers are compared exactly, beyond what a float holds, too."""
        large = 2**53 + 1
        for value, expected in ((large, True), (large - 1, False), (2**64, False), (-(2**70), False), (1e300, False)):
            self.assertIs(passes(leaf("n", "eq", value), {"n": large}), expected, value)
        self.assertTrue(passes(leaf("n", "gt", large - 1), {"n": large}))
        self.assertTrue(passes(leaf("n", "eq", 2**70), {"n": 2**70}))


class PathTests(Case):
    """Where a field is looked for."""

    def test_nested(self) -> None:
        """A dotted path leads into objects, however deep, and into nothing else."""
        self.check(
            "exists",
            [("payload.type",), ("payload.id.n",), ("payload.id",)],
            [("payload.missing",), ("payload.id.n.x",), ("type.x",), ("null.x",), ("list.0",), ("list.a",), ("a.b",)],
        )

    def test_names_with_dots(self) -> None:
        """A name that holds a dot itself is out of reach: the path is one of segments."""
        self.assertFalse(passes(leaf("a.b", "exists"), {"a.b": 1}))

    def test_messages_that_are_no_objects(self) -> None:
        """A message may be any JSON; one that is no object has no fields."""
        for message in (None, 1, "type", True, [{"type": 1}], []):
            self.assertFalse(passes(leaf("type", "exists"), message), message)
            self.assertTrue(passes({"not": leaf("type", "exists")}, message), message)


class CombinationTests(Case):
    """All, any, not."""

    def test_truth_tables(self) -> None:
        """All, any and not are what logic says, nested as one likes."""
        yes, no = leaf("type", "eq", "done"), leaf("type", "eq", "x")
        for one in (yes, no):
            for other in (yes, no):
                both, either = one is yes and other is yes, one is yes or other is yes
                self.assertIs(passes({"all": [one, other]}), both)
                self.assertIs(passes({"any": [one, other]}), either)
                self.assertIs(passes({"not": {"all": [one, other]}}), not both)
                self.assertIs(passes({"all": [{"any": [one, other]}, {"not": no}]}), either)

    def test_one_alone(self) -> None:
        """A combination of one is that one."""
        for name in ("all", "any"):
            self.assertTrue(passes({name: [leaf("type", "eq", "done")]}))
            self.assertFalse(passes({name: [leaf("type", "eq", "x")]}))


class FilterTests(Case):
    """Filters as values, and what can't be judged."""

    def test_equality(self) -> None:
        """Filters that say the same are equal, in whatever order their members stand; others are not."""
        one = Filter({"all": [leaf("a", "eq", 1), leaf("b", "in", ["x", None])]})
        same = Filter({"all": [dict(reversed(leaf("a", "eq", 1).items())), leaf("b", "in", ["x", None])]})
        self.assertEqual(one, same)
        self.assertEqual(hash(one), hash(same))
        self.assertEqual(len({one, same}), 1)
        for other in (leaf("a", "eq", 1), {"any": [leaf("a", "eq", 1), leaf("b", "in", ["x", None])]}):
            self.assertNotEqual(one, Filter(other))
        self.assertNotEqual(Filter(leaf("a", "eq", 1)), Filter(leaf("a", "eq", True)))
        self.assertNotEqual(Filter(leaf("a", "exists")), leaf("a", "exists"))

    def test_what_cannot_be_judged(self) -> None:
        """What no decoder takes is wanted: a filter saves work, it never loses a message."""
        for message in (b"1e999", b'{"type": 1e999}', b'"\xff"', b"{"):
            for tree in (leaf("type", "eq", "x"), {"not": leaf("type", "ne", "x")}):
                self.assertTrue(Filter(tree).wants(decoded(message)), message[:20])

    def test_long_messages(self) -> None:
        """A message of up to 64 KiB is judged, a longer one is delivered: it is not even taken apart."""
        for size, expected in ((MAX_JUDGED, False), (MAX_JUDGED + 1, True)):
            message = b"[" + b" " * (size - 2) + b"]"
            self.assertIs(Filter(leaf("a", "exists")).wants(decoded(message)), expected)
            self.assertIs(Filter(leaf("a", "exists")).wants(decoded(Raw(message))), expected)

    def test_many_values(self) -> None:
        """A message is not compared with one value after the other."""

        def judged(size: int) -> Callable[[], object]:
            choosy, message = Filter(leaf("n", "in", *[list(range(size))])), decoded(b'{"n": -1}')
            return lambda: choosy.wants(message)

        self.assertLessEqual(growth(judged, MAX_VALUES // 2), 1.1)

    def test_taken_apart_once(self) -> None:
        """A filter is what it was when it was made, whatever becomes of the tree it was made of."""
        values = ["done"]
        tree = {"all": [leaf("type", "in", values)]}
        made, before = Filter(tree), Filter({"all": [leaf("type", "in", ["done"])]})
        values.append("x")
        tree["all"].append(leaf("type", "eq", "x"))
        self.assertEqual(made, before)
        self.assertTrue(made.wants({"type": "done"}))
        self.assertFalse(made.wants({"type": "x"}))


FAULTS: list[tuple[Any, str]] = [
    *[(tree, "filter: expected an object") for tree in ("text", 1, None, [], [OK], True)],
    ({}, "filter.field: "),
    (OK | {"more": 1}, "filter: unknown member more"),
    ({"field": "a", "op": "eq", "values": [1]}, "filter: unknown member values"),
    *[({"field": field, "op": "exists"}, "filter.field: ")
      for field in ("", ".", "a.", ".a", "a..b", 1, None, ["a"], "x" * (MAX_FIELD + 1))],
    ({"op": "exists"}, "filter.field: "),
    *[({"field": "a", "op": op, "value": 1}, "filter.op: expected one of eq ne in ")
      for op in ("like", "", "EQ", 1, None, ["eq"], {})],
    ({"field": "a", "value": 1}, "filter.op: "),
    *[(leaf("a", op, *value), "filter.value: expected a string, a number")
      for op in ("eq", "ne") for value in ([], [[1]], [{}])],
    *[(leaf("a", "in", *value), "filter.value: expected an array of 1 to 100")
      for value in ([], ["x"], [{}], [[]], [list(range(MAX_VALUES + 1))])],
    (leaf("a", "in", [1, [2]]), "filter.value[1]: expected a string, a number"),
    (leaf("a", "in", [{}]), "filter.value[0]: "),
    *[(leaf("a", "exists", value), "filter.value: expected true or false") for value in (1, 0, "true", None, [])],
    *[(leaf("a", "prefix", *value), "filter.value: expected a string") for value in ([], [1], [None], [["x"]])],
    *[(leaf("a", op, *value), "filter.value: expected a number")
      for op in ("gt", "gte", "lt", "lte") for value in ([], ["1"], [True], [None], [[1]])],
    *[({name: value}, f"filter.{name}: expected an array with a filter")
      for name in ("all", "any") for value in ([], {}, OK, "x", None)],
    ({"not": [OK]}, "filter.not: expected an object"),
    ({"not": None}, "filter.not: expected an object"),
    ({"all": [OK], "any": [OK]}, "filter: all stands alone"),
    ({"any": [OK], "field": "a", "op": "exists"}, "filter: any stands alone"),
    ({"not": OK, "more": 1}, "filter: not stands alone"),
    ({"all": [OK, 1]}, "filter.all[1]: expected an object"),
    ({"all": [OK, {"not": {"any": [OK, leaf("a", "?")]}}]}, "filter.all[1].not.any[1].op: "),
    ({"any": [{"all": [leaf("a", "in", [1, []])]}]}, "filter.any[0].all[0].value[1]: "),
]  # fmt: skip


class FaultTests(Case):
    """What is no filter."""

    def test_every_fault_has_its_place(self) -> None:
        """Whatever is wrong, the message is one line that begins with the place where it is wrong."""
        for tree, expected in FAULTS:
            message = str(self.assertRaises(FilterError, Filter, tree))
            self.assertTrue(message.startswith(expected), f"{tree}: {message}")
            self.assertNotIn("\n", message)

    def test_size(self) -> None:
        """However few nodes a filter has, it is not longer than may be kept."""
        room = MAX_SIZE - len('{"field":"a","op":"eq","value":""}')
        Filter({"field": "a", "op": "eq", "value": "x" * room})
        self.assertRaises(FilterError, Filter, {"field": "a", "op": "eq", "value": "x" * (room + 1)})

    def test_limits(self) -> None:
        """As many nodes, values and letters as allowed are allowed; one more is not, wherever it stands."""
        Filter({"all": [OK] * (MAX_NODES - 1)})
        Filter(leaf("x" * MAX_FIELD, "in", list(range(MAX_VALUES))))
        fault = str(self.assertRaises(FilterError, Filter, {"all": [OK] * MAX_NODES}))
        self.assertEqual(fault, f"filter.all[{MAX_NODES - 1}]: a filter has at most {MAX_NODES} nodes")
        deep: Any = OK
        for _ in range(MAX_NODES - 1):
            deep = {"not": deep}
        Filter(deep)
        self.assertRaises(FilterError, Filter, {"any": [deep]})


scalars = st.sampled_from([None, True, False, 0, 1, 1.0, 2, -1.5, "", "a", "ab", "b"])
names = st.sampled_from(["a", "b", "c"])
messages = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
paths = st.lists(names, min_size=1, max_size=3).map(".".join)
numbers = st.sampled_from([0, 1, 1.0, 1.5, -2])
leaves = st.one_of(
    st.builds(leaf, paths, st.sampled_from(["eq", "ne"]), scalars),
    st.builds(leaf, paths, st.just("in"), st.lists(scalars, min_size=1, max_size=3)),
    st.builds(leaf, paths, st.just("exists")),
    st.builds(leaf, paths, st.just("exists"), st.booleans()),
    st.builds(leaf, paths, st.just("prefix"), st.sampled_from(["", "a", "ab"])),
    st.builds(leaf, paths, st.sampled_from(["gt", "gte", "lt", "lte"]), numbers),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda children: {"all": children}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda children: {"any": children}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda child: {"not": child}, inner),
    ),
    max_leaves=6,
)


def kind(value: Any) -> str:
    """What JSON calls it."""
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
    return kinds.get(type(value), "composite")


def equal(one: Any, other: Any) -> bool:
    return kind(one) == kind(other) != "composite" and one == other


def naive(tree: Any, message: Any) -> bool:
    """Judge a message by walking the tree."""
    if "all" in tree:
        return False not in [naive(child, message) for child in tree["all"]]
    if "any" in tree:
        return True in [naive(child, message) for child in tree["any"]]
    if "not" in tree:
        return not naive(tree["not"], message)
    found = [message]
    for segment in tree["field"].split("."):
        found = [value[segment] for value in found if isinstance(value, dict) and segment in value]
    return holds(found, tree["op"], tree.get("value", True))


def holds(found: list[Any], op: str, value: Any) -> bool:
    """A comparison of the value of a field, which is a list of one, or of none."""
    wanted = value if op == "in" else [value]
    among = any(equal(each, one) for each in found for one in wanted)
    if op in ("eq", "in", "ne"):
        return among is (op != "ne")
    if op == "exists":
        return bool(found) is value
    if op == "prefix":
        return any(kind(each) == "string" and each[: len(value)] == value for each in found)
    order = {"gt": [1], "gte": [0, 1], "lt": [-1], "lte": [-1, 0]}[op]
    return any(kind(each) == "number" and (each > value) - (each < value) in order for each in found)


class ModelTests(SynchronousTestCase):
    """Filters beside a simple judge."""

    @given(trees, messages)
    def test_as_a_simple_judge(self, tree: Any, message: Any) -> None:
        """Any filter judges any message as a walk through it does."""
        self.assertIs(passes(tree, message), naive(tree, message))

    @given(trees, messages)
    def test_as_it_was_read(self, tree: Any, message: Any) -> None:
        """A filter that was written and read again is the same one."""
        again = json.loads(json.dumps(tree, sort_keys=True))
        self.assertEqual(Filter(tree), Filter(again))
        self.assertIs(passes(again, message), passes(tree, message))


class ShareTests(SynchronousTestCase):
    """What the filters of all sessions take."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.tokens = {name: self.gateway.token(name) for name in "abc"}

    def subscribe(self, client: Client, name: str) -> int | None:
        """Subscribe with a filter of 500 bytes.

        @return: the code of its refusal.
        """
        wanted = {"field": "x", "op": "eq", "value": "y" * 460}
        answer = client.request("channel.subscribe", {"channel": name, "filter": wanted})
        code: int | None = answer["error"]["code"] if "error" in answer else None
        self.assertEqual(name in client.call("session.getInfo")["subscriptions"], code is None)
        return code

    def memory(self) -> int:
        return Filter({"field": "x", "op": "eq", "value": "y" * 460}).memory

    def test_of_an_entity(self) -> None:
        """All sessions of an entity share what one entity may have, and get back what they give up."""
        self.patch(filters, "MAX_OF_ENTITY", 4 * self.memory())
        one, two = (self.gateway.connect(token=self.tokens["a"]) for _ in range(2))
        self.assertEqual([self.subscribe(client, name) for name in "wx" for client in (one, two)], [None] * 4)
        self.assertEqual(self.subscribe(one, "y"), -32005)
        self.assertEqual(self.subscribe(one, "w"), None)
        self.assertEqual(self.subscribe(self.gateway.connect(token=self.tokens["b"]), "y"), None)
        two.call("channel.subscribe", channel="w")
        self.assertEqual([self.subscribe(one, "y"), self.subscribe(one, "z")], [None, -32005])
        two.call("channel.unsubscribe", channel="x")
        self.assertEqual([self.subscribe(one, "z"), self.subscribe(one, "v")], [None, -32005])
        one.disconnect()
        self.assertEqual([self.subscribe(two, name) for name in "abcde"], [None] * 4 + [-32005])

    def test_resumed(self) -> None:
        """Filters that go over to another session count once, and those that it has already not twice."""
        self.patch(filters, "MAX_OF_ENTITY", 4 * self.memory())
        old = self.gateway.connect()
        secret = old.call("auth.authenticate", token=self.tokens["a"])["resume_token"]
        self.assertEqual([self.subscribe(old, name) for name in "xy"], [None] * 2)
        old.vanish()
        new = self.gateway.connect(token=self.tokens["a"])
        self.assertEqual(self.subscribe(new, "x"), None)
        self.assertTrue(new.call("session.resume", resume_token=secret)["resumed"])
        self.assertEqual([self.subscribe(new, name) for name in "vwz"], [None, None, -32005])

    def test_of_all(self) -> None:
        """Nobody has more of what all may have than they leave to others."""
        self.patch(filters, "MAX_OF_ALL", 8 * self.memory())
        a, b, c = (self.gateway.connect(token=token) for token in self.tokens.values())
        self.assertEqual([self.subscribe(a, name) for name in "vwxyz"], [None] * 4 + [-32003])
        self.assertEqual([self.subscribe(b, name) for name in "vwx"], [None] * 2 + [-32003])
        self.assertEqual([self.subscribe(c, name) for name in "vw"], [None] * 1 + [-32003])
