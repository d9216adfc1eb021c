"""Methods, taken apart."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Raw, structs
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.errors import InvalidParams
from cell0gw.methods import Method
from cell0gw.permissions import anyone, permission


class Service:
    """Methods good and bad."""

    @anyone
    def good(
        self, caller: Any, *, channel: str, count: Annotated[int, Meta(ge=0)] = 5, message: Raw = Raw(b"{}")
    ) -> str:
        """Say something.

        At length.
        """
        return channel

    @anyone
    def bare(self, caller: Any) -> None:
        pass

    def undeclared(self, caller: Any) -> None:
        pass

    @anyone
    def untyped(self, caller, *, x):  # type: ignore[no-untyped-def]
        pass

    @anyone
    def positional(self, caller: Any, x: int) -> None:
        pass

    @permission(resource="channel")
    def elsewhere(self, caller: Any, *, name: str) -> None:
        pass


class MethodTests(SynchronousTestCase):
    """What the signature says."""

    def setUp(self) -> None:
        self.good = Method("test.good", Service().good)

    def decoded(self, params: bytes) -> dict[str, Any]:
        values = structs.asdict(self.good.decode(params))
        return {**values, "message": bytes(values["message"])}

    def test_by_name_and_position(self) -> None:
        """Params come in the order of the signature or by name, and what is left out has its default."""
        for params in (b'["a"]', b'{"channel":"a"}', b'["a",5]', b'{"count":5,"channel":"a"}'):
            self.assertEqual(self.decoded(params), {"channel": "a", "count": 5, "message": b"{}"})
        self.assertEqual(self.decoded(b'["a", 1, {"x": 1.0}]')["message"], b'{"x": 1.0}')

    def test_refusals_say_where(self) -> None:
        """A wrong param is named, or its place is."""
        for params, where in (
            (b"{}", "channel"), (b'{"channel":1}', "$.channel"), (b'{"channel":"a","more":1}', "more"),
            (b'["a",-1]', "$[1]"), (b'["a",1,2,3]', "length"), (b"[]", "length"), (b'{"channel":"\\ud800"}', "Invalid"),
        ):  # fmt: skip
            error = self.assertRaises(InvalidParams, self.good.decode, params)
            self.assertIn(where, error.message)

    def test_nothing(self) -> None:
        """No params at all are enough for a method that takes none."""
        bare = Method("test.bare", Service().bare)
        for params in (b"", b"{}", b"[]"):
            bare.decode(params)
        self.assertRaises(InvalidParams, bare.decode, b"[1]")

    def test_closed_by_default(self) -> None:
        """A method without a declared permission can't be had."""
        self.assertRaises(TypeError, Method, "test.undeclared", Service().undeclared)

    def test_signature_is_checked(self) -> None:
        """A parameter that could not be decoded, or a resource that is no parameter, shows at once."""
        for name in ("untyped", "positional", "elsewhere"):
            self.assertRaises(TypeError, Method, f"test.{name}", getattr(Service(), name))
