"""The OpenRPC document of the methods, made from their types. https://spec.open-rpc.org, version 1.3.2"""

from __future__ import annotations

import functools
import itertools
import operator
import types
import typing
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from cell0gw.protocol.errors import ERRORS
from cell0gw.protocol.notifications import NOTIFICATIONS
from cell0gw.protocol.version import NAME
from cell0gw.rpc.docstrings import parts
from cell0gw.rpc.methods import Method

OPENRPC_VERSION: Final = "1.3.2"
_REFERENCE: Final = "#/components/schemas/{name}"
_ACCESS: Final = {
    "anyone": "Open to anyone.",
    "reader": "Open to anyone while anonymous reads are on; shows less before authentication.",
    "session": "Needs a session.",
}


class Description:
    """The document of the methods that there are, written once.

    @param methods: gives every method there is.
    @param version: of the gateway.
    """

    def __init__(self, methods: Callable[[], Iterable[Method]], version: str) -> None:
        self._methods = methods
        self._version = version
        self._described: list[Method] = []
        self._document = msgspec.Raw()

    def read(self) -> msgspec.Raw:
        """The document, see L{document}. Writing it takes as long as ten thousand calls."""
        methods = list(self._methods())
        if methods != self._described:
            self._document = msgspec.Raw(msgspec.json.encode(document(methods, self._version)))
            self._described = methods
        return self._document


class Schemas:
    """JSON Schemas of types, and of the structs that they mention.

    @ivar components: those of the structs, by name.
    """

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of a type; one that has none may be anything."""
        if _waits(kind):
            kind = typing.get_args(kind)[-1]
        if msgspec.UnsetType in typing.get_args(kind):
            kind = functools.reduce(operator.or_, (k for k in typing.get_args(kind) if k is not msgspec.UnsetType))
        members = [member for member in typing.get_args(kind) if member is not type(None)]
        if typing.get_origin(kind) in (typing.Union, types.UnionType) and len(members) > 1:
            # msgspec has no schema for a union of structs, since it could not decode one; a reader can.
            schemas: list[Any] = []
            for schema in map(self.of, members):  # at once or promised, it is the same
                schemas += [] if schema in schemas else [schema]
            return {"anyOf": schemas} if len(schemas) > 1 else dict(schemas[0])
        # Structs of two services may have one name: the later one's gets a number.
        for number in itertools.count(1):
            suffix = "" if number == 1 else f"_{number}"
            try:
                (schema,), named = msgspec.json.schema_components([kind], ref_template=_REFERENCE + suffix)
            except TypeError:
                break
            structs = {struct.__name__: struct for struct in _structs(kind)}
            components = {name + suffix: _described(component, structs.get(name)) for name, component in named.items()}
            if all(self.components.get(name, component) == component for name, component in components.items()):
                self.components.update(components)
                return schema
        return {}


def _structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs that a type mentions, and those that their members mention."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
        for field in msgspec.structs.fields(kind):
            yield from _structs(field.type)
    for member in typing.get_args(kind):
        yield from _structs(member)


def _described(component: dict[str, Any], struct: type[msgspec.Struct] | None) -> dict[str, Any]:
    """A struct's schema, with the descriptions of it and of its members as Markdown, those that it inherits as well."""
    if struct is None or not struct.__doc__:
        return component
    text = ""
    properties, items = dict(component["properties"]), dict[str, str]()
    for base in reversed(struct.__mro__):
        if issubclass(base, msgspec.Struct) and base is not msgspec.Struct and base.__doc__:
            text, own = parts(base.__doc__, properties)
            items |= own
    for name, description in items.items():
        properties[name] = properties[name] | {"description": description}
    return component | {"description": text, "properties": properties}


def _waits(kind: Any) -> bool:
    """Whether this is a promise of a type rather than the type."""
    origin = typing.get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Awaitable)


def document(methods: Iterable[Method], version: str) -> dict[str, Any]:
    """Describe methods, the gateway's notifications and its errors.

    @param version: of the gateway.
    @return: an OpenRPC document. Notifications stand among the methods, marked C{x-direction: server-to-client}, since
        OpenRPC has no section of its own for them.
    """
    schemas = Schemas()
    described = [_method(method, schemas) for method in sorted(methods, key=lambda method: method.name)]
    described += [_notification(name, params, schemas) for name, params in NOTIFICATIONS.items()]
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": NAME,
            "version": version,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "methods": described,
        "components": {"schemas": schemas.components, "errors": {error.code: _error(error) for error in ERRORS}},
    }


def _method(method: Method, schemas: Schemas) -> dict[str, Any]:
    codes = [error.code for error in ERRORS]
    params = [field.encode_name for field in msgspec.structs.fields(method.params)]
    text, items = parts(method.doc, [*params, "result", *codes])
    summary, _, details = text.partition("\n")
    result = {"description": items["result"]} if "result" in items else {}
    return {
        "name": method.name,
        "summary": summary,
        "description": f"{_access(method)}\n\n{details.strip()}".strip(),
        "paramStructure": "either",
        "params": _params(method.params, schemas, items),
        "result": {"name": "result", **result, "schema": schemas.of(method.returns)},
        "errors": [{"$ref": f"#/components/errors/{code}"} for code in codes],
        "x-direction": "client-to-server",
        "x-errors": {code: items[code] for code in codes if code in items},
    }


def _access(method: Method) -> str:
    """Who may call a method, in a sentence or two."""
    access = method.access
    if access.who != "permission":
        return _ACCESS[access.who]
    text = f"Needs the permission `{method.permission}`"
    if access.resource:
        text += ", which a pattern can narrow to some values of " + " or ".join(f"`{name}`" for name in access.resource)
    free = " and ".join(f"`{value}`" for value in sorted(access.open))
    return f"{text}. {free} need none." if free else f"{text}."


def _notification(name: str, params: type[msgspec.Struct], schemas: Schemas) -> dict[str, Any]:
    members = [field.encode_name for field in msgspec.structs.fields(params)]
    text, items = parts(params.__doc__ or "", members)
    summary, _, details = text.partition("\n")
    return {
        "name": name,
        "summary": summary,
        **({"description": details.strip()} if details else {}),
        "paramStructure": "by-name",
        "params": _params(params, schemas, items),
        "x-direction": "server-to-client",
    }


def _params(struct: type[msgspec.Struct], schemas: Schemas, items: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "name": field.encode_name,
            **({"description": items[field.encode_name]} if field.encode_name in items else {}),
            "required": field.required,
            "schema": schemas.of(field.type) | _default(field),
        }
        for field in msgspec.structs.fields(struct)
    ]


def _default(field: Any) -> dict[str, Any]:
    """What a JSON Schema says of a default; nothing if there is none, as for what may be missing in a notification."""
    absent = field.default in (msgspec.NODEFAULT, msgspec.UNSET)
    if isinstance(field.default, msgspec.Raw):
        return {"default": msgspec.json.decode(field.default)}
    return {} if absent else {"default": msgspec.to_builtins(field.default)}


def _error(error: Any) -> dict[str, Any]:
    return {
        "code": error.number,
        "message": error.default,
        "data": {"code": error.code, "retryable": error.retryable},
    }
