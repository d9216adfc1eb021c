"""Methods, taken apart."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Raw, structs
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.errors import InvalidParams
from cell0gw.rpc.access import anyone, permission
from cell0gw.rpc.methods import Method


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

    @permission(resource=("agent_id", "capability"))
    def either(
        self,
        caller: Any,
        request_id: bytes,
        *,
        message: Raw,
        agent_id: str | None = None,
        capability: str | None = None,
    ) -> None:
        pass

    @anyone
    def own_id(self, caller: Any, *, request_id: int) -> None:
        pass

    @permission(resource=("agent_id", "capability"))
    def half(self, caller: Any, *, agent_id: str | None = None) -> None:
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

    def test_refusals(self) -> None:
        """What does not fit is refused, and the refusal says where."""
        for params, path in (
            (b"{}", "params.channel"), (b'{"channel":1}', "params.channel"),
            (b'{"channel":"a","more":1}', "params.more"), (b'["a",-1]', "params[1]"), (b'["a",1,2,3]', "params"),
            (b"[]", "params[0]"), (b'{"channel":"\\ud800"}', "params"),
        ):  # fmt: skip
            error = self.assertRaises(InvalidParams, self.good.decode, params)
            self.assertEqual(error.data["path"], path, params)
            self.assertTrue(error.message.startswith(f"Invalid params: {path}"), error.message)

    def test_what_params_are_about(self) -> None:
        """The resource is read from params for one who may not call the method; params that don't fit have none."""
        either, bare = Method("test.either", Service().either), Method("test.bare", Service().bare)
        for params, expected in (
            (b'{"message":1,"agent_id":"a"}', "a"), (b'[1,null,"a"]', "capability:a"), (b"[1]", ""), (b"", ""),
            (b'{"agent_id":"a"}', ""), (b'{"message":"\\ud800","agent_id":"a"}', ""),
        ):  # fmt: skip
            self.assertEqual(either.resource_of(params), expected, params)
        self.assertEqual(bare.resource_of(b"{}"), "")

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
        for name in ("untyped", "positional", "elsewhere", "half"):
            self.assertRaises(TypeError, Method, f"test.{name}", getattr(Service(), name))

    def test_one_of_several(self) -> None:
        """Of several params that name what it is about one is to be given; all but the first say which they are."""
        either = Method("test.either", Service().either)
        assert either.resource is not None
        for params, expected in (
            (b'[1,"a"]', "a"), (b'[1,null,"a"]', "capability:a"),
            (b'{"message":1,"capability":"x.y"}', "capability:x.y"),
        ):  # fmt: skip
            self.assertEqual(either.resource(either.decode(params)), expected)
        for params in (b"[1]", b"[1,null,null]", b'[1,"a","b"]'):
            error = self.assertRaises(InvalidParams, either.resource, either.decode(params))
            self.assertIn("agent_id or capability", error.message)

    def test_id_of_the_request(self) -> None:
        """A method may ask for the id of the request, which is none of its params; a param may have that name, too."""
        either, own = Method("test.either", Service().either), Method("test.own_id", Service().own_id)
        self.assertEqual((either.takes_id, own.takes_id, self.good.takes_id), (True, False, False))
        names = [field.name for field in structs.fields(either.params)]
        self.assertEqual(names, ["message", "agent_id", "capability"])
        self.assertEqual(structs.asdict(own.decode(b'{"request_id":5}')), {"request_id": 5})
