"""An ``rpc_`` method, taken apart once: its name, who may call it, the types of its params and of its result.

The signature is the contract. ``rpc_publish(self, caller, *, channel: Name, message: Raw) -> Publication`` takes
params by name and, in the order of the signature, by position.
"""

from __future__ import annotations

import inspect
import operator
import typing
from collections.abc import Callable
from typing import Any, Final

import msgspec

from cell0gw.protocol.errors import InvalidParams
from cell0gw.rpc.access import Access, access_of
from cell0gw.rpc.faults import Faults

PREFIX = "rpc_"

_BRACKET: Final = ord("[")

HEARTBEAT: Final = "heartbeat"
"""A client's own sign of life, a notification without params."""

ALLOWED_CROSS_ORIGIN: Final = (
    "rpc.ping",
    "rpc.echo",
    "rpc.getServerInfo",
    "rpc.listMethods",
    "auth.authenticate",
    "auth.redeem",
)
"""Methods that a page of an unlisted origin may call before authentication: its user may have been lured there."""

ALLOWED_WHILE_DRAINING: Final = ("rpc.", "gateway.", "agent.ack", "agent.progress", "task.complete", "heartbeat")
"""Methods, or namespaces, that are allowed while the gateway goes down."""


class Method:
    """One method of a service.

    @ivar params: its params by name, a L{msgspec.Struct}.
    @ivar permission: the permission that it needs, if it needs one.
    @ivar takes_id: whether it wants the id of the request, too, as it is written: its second parameter.
    @ivar resource: extracts the resource name from decoded params, None if they have none; it is None itself where a
        permission can't be narrowed.
    @ivar returns: the type of its result.
    """

    __slots__ = (
        "_by_name",
        "_by_position",
        "_faults",
        "access",
        "call",
        "doc",
        "name",
        "params",
        "permission",
        "resource",
        "returns",
        "takes_id",
    )

    def __init__(self, name: str, bound: Callable[..., Any]) -> None:
        """
        @param name: as on the wire, C{channel.publish}.
        @param bound: the method of the service; its keyword-only parameters are the params.
        @raise TypeError: nobody is declared to be allowed to call it, or a parameter can't be decoded.
        """
        access = access_of(bound)
        if access is None:
            raise TypeError(
                f"{name}: no decorator says who may call it; add anyone, anonymous_read, session or permission() of "
                "cell0gw.rpc.access (programs import them from cell0gw.api)"
            )
        fields = _fields(name, bound)
        for parameter in access.resource:
            if parameter not in (field[0] for field in fields):
                raise TypeError(f"{name} has no parameter {parameter}")
        self.name = name
        self.call = bound
        self.access: Access = access
        self.permission = access.like or name
        self.takes_id = any(map(_is_id, inspect.signature(bound).parameters.values()))
        self.resource = _resource(access.resource) if access.resource else None
        self.doc = inspect.getdoc(bound) or ""
        self.returns = typing.get_type_hints(bound, include_extras=True).get("return", Any)
        self.params = msgspec.defstruct(f"{name}.params", fields, forbid_unknown_fields=True)
        self._faults = Faults(name, self.params)
        listed = msgspec.defstruct(f"{name}.positional", fields, forbid_unknown_fields=True, array_like=True)
        self._by_name = msgspec.json.Decoder(self.params).decode
        self._by_position = msgspec.json.Decoder(listed).decode

    def decode(self, params: bytes | memoryview) -> msgspec.Struct:
        """
        @param params: JSON of an object or an array, or nothing.
        @raise InvalidParams: they are not those of the method; the message says where.
        """
        try:
            if params and params[0] == _BRACKET:
                return self._by_position(params)
            return self._by_name(params or b"{}")
        except _UNREADABLE as failure:
            raise self._faults.explain(params, failure) from None

    def resource_of(self, params: bytes | memoryview) -> str:
        """What params are about, as far as they can be read; empty: nothing."""
        if self.resource is None:
            return ""
        try:
            return self.resource(self.decode(params)) or ""
        except InvalidParams:
            return ""


_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def _resource(names: tuple[str, ...]) -> Callable[[Any], str | None]:
    """What gives the name of what params are about."""
    if len(names) == 1:
        return operator.attrgetter(names[0])

    def one_of(params: Any) -> str:
        given = [(name, getattr(params, name)) for name in names if getattr(params, name) is not None]
        if len(given) != 1:
            raise InvalidParams(f"Invalid params: either {' or '.join(names)}")
        ((name, value),) = given
        return str(value) if name == names[0] else f"{name}:{value}"

    return one_of


def _is_id(parameter: inspect.Parameter) -> bool:
    """Whether a parameter is the id of the request; a keyword of that name is one of the params."""
    return parameter.name == "request_id" and parameter.kind is not parameter.KEYWORD_ONLY


def _fields(name: str, bound: Callable[..., Any]) -> list[Any]:
    """The params as L{msgspec.defstruct} wants them, in the order of the signature."""
    hints = typing.get_type_hints(bound, include_extras=True)
    fields: list[Any] = []
    for parameter in list(inspect.signature(bound).parameters.values())[1:]:
        if _is_id(parameter):
            continue
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name not in hints:
            raise TypeError(f"{name}: the parameter {parameter.name} must be keyword-only and have a type")
        field = (parameter.name, hints[parameter.name])
        fields.append(field if parameter.default is parameter.empty else (*field, parameter.default))
    return fields
