"""What is said of params that don't fit."""

from __future__ import annotations

import enum
import time
from typing import Annotated, Any, Literal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Raw
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.permissions import Permission
from cell0gw.protocol.errors import InvalidParams
from cell0gw.protocol.subjects import ChannelPattern, Name, Pattern
from cell0gw.rpc.access import anyone
from cell0gw.rpc.faults import MAX_ECHO, MAX_FAULT
from cell0gw.rpc.methods import Method
from cell0gw.testing import MemoryGateway

RULE = "a name is segments of A-Z a-z 0-9 _ - : joined by '.'"
STATES = ["busy", "idle", "off"]


class Place(msgspec.Struct):
    """Something in something."""

    offset: Annotated[int, Meta(ge=0, le=9)]
    epoch: Annotated[str, Meta(max_length=3)]


class Colour(enum.Enum):
    """As programs may have it."""

    RED = "red"
    GREEN = "green"


class Lab:
    """A method with params of every kind."""

    @anyone
    def everything(
        self,
        caller: Any,
        *,
        channel: Name,
        state: Literal["idle", "busy", "off"] = "idle",
        since: Place | None = None,
        names: Annotated[tuple[Name, ...], Meta(max_length=2)] = (),
        pattern: Pattern = ">",
        listened: ChannelPattern = ">",
        permissions: list[Permission] = [],  # noqa: B006
        positions: dict[Name, Place] = {},  # noqa: B006
        hours: Annotated[float, Meta(gt=0)] = 1,
        colour: Colour = Colour.RED,
        code: Annotated[str, Meta(pattern="^[A-Z]{3}$")] | None = None,
        pair: tuple[int, str] = (1, "a"),
        flag: bool = False,
        body: Raw = Raw(b"1"),
    ) -> None:
        pass

    @anyone
    def nothing(self, caller: Any) -> None:
        pass

    @anyone
    def two(self, caller: Any, *, first: int, second: int) -> None:
        pass


class FaultCase(SynchronousTestCase):
    """With the methods of the lab."""

    def setUp(self) -> None:
        self.everything = Method("lab.everything", Lab().everything)

    def refusal(self, params: Any, method: Method | None = None) -> InvalidParams:
        raw = params if isinstance(params, bytes) else msgspec.json.encode(params)
        return self.assertRaises(InvalidParams, (method or self.everything).decode, raw)

    def said(self, params: Any, method: Method | None = None) -> str:
        """What is said of params, but for how all of it begins."""
        message = self.refusal(params, method).message
        self.assertTrue(message.startswith("Invalid params: params"), message)
        return message.removeprefix("Invalid params: ")

    def of(self, **params: Any) -> str:
        return self.said({"channel": "a", **params})


class NameTests(FaultCase):
    """Names, patterns, permissions."""

    def test_rule(self) -> None:
        """A bad name is answered with the rule for names, and with what came."""
        for name in ("my channel", "a/b", "a#b", "a..b", ".a", ""):
            self.assertEqual(self.said({"channel": name}), f"params.channel: {RULE}, got '{name}'")
        self.assertEqual(self.of(names=["a", "b c"]), f"params.names[1]: {RULE}, got 'b c'")
        self.assertEqual(self.said(["a b"]), f"params[0] (channel): {RULE}, got 'a b'")
        self.assertEqual(self.of(positions={"a b": {}}), f"params.positions, one of its names: {RULE}")

    def test_of_the_gateway(self) -> None:
        """Names that begin with $ are said to be the gateway's; where its channels may be named, they are listed."""
        for params, path in (({"channel": "$agents"}, "channel"), ({"channel": "a", "pattern": "$x"}, "pattern")):
            self.assertIn(f"params.{path}: names that begin with $ belong to the gateway, got '$", self.said(params))
        refusal = self.refusal({"channel": "a", "listened": "$agent"})
        self.assertEqual(refusal.data["near"], ["$agents"])
        self.assertEqual(refusal.data["allowed"], ["$agents", "$channels", "$presence", "$system"])

    def test_patterns(self) -> None:
        """A pattern where a name is needed is said to be one; a pattern that is none is answered with the rule."""
        self.assertEqual(self.said({"channel": "a.*"}), "params.channel: one name is needed, not a pattern, got 'a.*'")
        rule = f"{RULE}; in a pattern each may be *, and the last one >"
        for name in ("pattern", "listened"):
            self.assertEqual(self.of(**{name: "a.>.b"}), f"params.{name}: {rule}, got 'a.>.b'")

    def test_to_a_pattern(self) -> None:
        """One can't publish, send or call to a pattern, and is told so."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        client = gateway.connect("a")
        for method, params, why in (
            ("channel.publish", {"channel": "a.*"}, "params.channel: can't publish to a pattern, got 'a.*'"),
            ("agent.send", {"agent_id": "a.>"}, "params.agent_id: can't send to a pattern, got 'a.>'"),
            ("agent.call", {"capability": ">"}, "params.capability: can't call a pattern, got '>'"),
        ):
            refusal = client.refusal(method, message=1, **params)
            self.assertEqual((refusal["code"], refusal["message"]), (-32602, f"Invalid params: {why}"))

    def test_permissions(self) -> None:
        """What is no permission is answered with what permissions look like."""
        self.assertEqual(
            self.of(permissions=["a.b", "channel"]),
            "params.permissions[1]: a permission is *, <namespace>.*, <method> or <method>:<pattern>, got 'channel'",
        )

    def test_patterns_of_programs(self) -> None:
        """A regular expression of a program's own is shown as it is."""
        self.assertEqual(self.of(code="abc"), "params.code: expected a string that matches ^[A-Z]{3}$, got 'abc'")


class ValueTests(FaultCase):
    """Values."""

    def test_enums(self) -> None:
        """The values that there are stand in the message and, with those most like what came, in the data."""
        refusal = self.refusal({"channel": "a", "state": "bussy"})
        self.assertEqual(refusal.message, "Invalid params: params.state: expected one of busy, idle, off, got 'bussy'")
        self.assertEqual(refusal.data, {"path": "params.state", "near": ["busy"], "allowed": STATES})
        for value, got in ((None, ", got null"), (5, ", got 5"), (True, ", got true"), ([], "")):
            self.assertEqual(self.of(state=value), f"params.state: expected one of busy, idle, off{got}")
        self.assertEqual(self.of(colour="rde"), "params.colour: expected one of red, green, got 'rde'")

    def test_types(self) -> None:
        """Types have the names that JSON gives them."""
        for params, expected in (
            ({"channel": 1}, "params.channel: expected string, got integer"),
            ({"since": 1}, "params.since: expected object or null, got integer"),
            ({"since": {"offset": "1", "epoch": "x"}}, "params.since.offset: expected integer, got string"),
            ({"flag": "yes"}, "params.flag: expected boolean, got string"),
            ({"hours": None}, "params.hours: expected number, got null"),
            ({"names": {}}, "params.names: expected array, got object"),
            ({"pair": [1, 2]}, "params.pair[1]: expected string, got integer"),
            ({"positions": {"a": 1.5}}, "params.positions[...]: expected object, got number"),
        ):
            self.assertEqual(self.of(**params), expected)

    def test_bounds(self) -> None:
        """A number or a length beyond its bounds is answered with the bound."""
        for params, expected in (
            ({"since": {"offset": -1, "epoch": ""}}, "params.since.offset: expected an integer of at least 0, got -1"),
            ({"since": {"offset": 10, "epoch": ""}}, "params.since.offset: expected an integer of at most 9, got 10"),
            ({"hours": 0}, "params.hours: expected a number greater than 0, got 0"),
            ({"since": {"offset": 1, "epoch": "long"}}, "params.since.epoch: expected at most 3 characters"),
            ({"names": ["a", "b", "c"]}, "params.names: expected at most 2 entries"),
            ({"channel": "x" * 201}, "params.channel: expected at most 200 characters"),
        ):
            self.assertEqual(self.of(**params), expected)


class PresenceTests(FaultCase):
    """What is too many, and what is missing."""

    def test_unknown(self) -> None:
        """A name that the method has not is answered with those it has, and those most like it."""
        two = Method("lab.two", Lab().two)
        refusal = self.refusal({"fist": 1}, two)
        self.assertEqual(refusal.message, "Invalid params: params.fist is unknown; lab.two takes first, second")
        self.assertEqual(refusal.data, {"path": "params.fist", "near": ["first"], "allowed": ["first", "second"]})
        nothing = Method("lab.nothing", Lab().nothing)
        self.assertEqual(self.said({"x": 1}, nothing), "params.x is unknown; lab.nothing takes no params")

    def test_missing(self) -> None:
        """What is missing is named, in an array with its position."""
        two = Method("lab.two", Lab().two)
        for params, expected in (
            ({}, "params.first is missing"), ([], "params[0] (first) is missing"),
            ([1], "params[1] (second) is missing"),
        ):  # fmt: skip
            self.assertEqual(self.said(params, two), expected)
        self.assertEqual(self.of(since={"offset": 1}), "params.since.epoch is missing")

    def test_too_many(self) -> None:
        """An array that is too long is answered with what the method takes."""
        two, nothing = Method("lab.two", Lab().two), Method("lab.nothing", Lab().nothing)
        self.assertEqual(self.said([1, 2, 3], two), "params are too many; lab.two takes first, second")
        self.assertEqual(self.said([1], nothing), "params are too many; lab.nothing takes no params")

    def test_no_json(self) -> None:
        """Params that the decoder only now finds to be none are said to be no JSON."""
        for params in (b'{"channel":"\\ud800"}', b'{"channel":"a","body":"\\ud800"}'):
            self.assertTrue(self.said(params).startswith("params are no JSON: "), params)


class CostTests(FaultCase):
    """What a peer can make of it."""

    def test_short(self) -> None:
        """However long what came is, little of it comes back, and none of it that no log may have."""
        for params in (
            {"x" * 1_000_000: 1}, {"channel": "x y" * 1_000_000}, {"channel": " " * 190},
            {"channel": "a", "state": "x" * 1_000_000}, {"channel": "a", "state": "x" * 4000},
            {"channel": "a", "state": ["x" * 4000]}, {"channel": "\n\x1b[31m\u2028"}, ["a b" * 1000],
        ):  # fmt: skip
            refusal = self.refusal(params)
            answer = msgspec.json.encode(refusal.as_json())
            self.assertLess(len(refusal.message), MAX_FAULT + 50)
            self.assertTrue(refusal.message.isprintable())
            self.assertLess(len(refusal.data["path"]), 2 * MAX_ECHO)
            self.assertLess(len(answer), 1000)

    def test_quick(self) -> None:
        """Of params that are very long, to say what is wrong takes hardly longer than to find out that something is."""
        long = b"x" * 5_000_000
        for params in (
            b'{"%b":1}' % long,
            b'{"channel":"%b"}' % long,
            b'{"channel":"a","state":"%b"}' % long,
            b'{"channel":"a b","body":[%b1]}' % (b"1," * 2_000_000),
            b'{"channel":"a","names":[%b1]}' % (b'"a",' * 1_000_000),
            b'{"channel":"a","positions":{%b"a b":1}}' % (b'"a":{"offset":1,"epoch":"x"},' * 100_000),
        ):
            began = time.process_time()
            self.assertRaises(msgspec.MsgspecError, self.everything._by_name, params)
            plain = time.process_time() - began
            began = time.process_time()
            self.refusal(params)
            self.assertLess(time.process_time() - began, 3 * plain + 0.1, params[:30])

    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
        | st.sampled_from(["` - at `$.since", "` - at `$[7]", "a - at `key` in `$.positions`", "$agents", "a.*"]),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    )  # fmt: skip
    names = st.sampled_from(["channel", "state", "since", "names", "positions", "pair", "hours", "` - at `$[9]", "x"])

    @settings(max_examples=150, deadline=None)
    @given(st.dictionaries(names, values, max_size=4) | st.lists(values, max_size=16))
    def test_anything(self, params: Any) -> None:
        """Whatever params are, they fit, or one refusal says where they don't."""
        try:
            self.everything.decode(msgspec.json.encode(params))
        except InvalidParams as refusal:
            self.assertTrue(refusal.data["path"].startswith("params"))
            self.assertTrue(refusal.message.startswith("Invalid params: params"))
