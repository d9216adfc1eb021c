"""The OpenRPC document of the methods, made from their types. https://spec.open-rpc.org, version 1.3.2"""

from __future__ import annotations

import inspect
import itertools
import re
import types
import typing
from collections.abc import Awaitable, Iterable
from typing import Any, Final

import msgspec

from cell0gw.protocol.errors import ERRORS
from cell0gw.protocol.notifications import NOTIFICATIONS
from cell0gw.protocol.version import NAME
from cell0gw.rpc.methods import Method

OPENRPC_VERSION: Final = "1.3.2"
_REFERENCE: Final = "#/components/schemas/{name}"
_CODE: Final = re.compile(r"\b[A-Z]\{([^{}]*)\}|``(.+?)``", re.DOTALL)
_FIELD: Final = re.compile(r"^@\w+(?: +(\w+))?:", re.MULTILINE)
_ACCESS: Final = {
    "anyone": "Open to anyone.",
    "reader": "Open to anyone while anonymous reads are on; shows less before authentication.",
    "session": "Needs a session.",
    "permission": "Needs the permission of its name.",
}


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
            components = {name + suffix: _described(component) for name, component in named.items()}
            if all(self.components.get(name, component) == component for name, component in components.items()):
                self.components.update(components)
                return schema
        return {}


def _markdown(docstring: str) -> str:
    """A docstring as Markdown: epytext and RST code as code spans, epytext fields as list items."""
    text = _CODE.sub(lambda match: f"`{match[1] or match[2]}`", inspect.cleandoc(docstring))
    return _FIELD.sub(lambda match: f"- `{match[1]}`:" if match[1] else "-", text)


def _described(component: dict[str, Any]) -> dict[str, Any]:
    """A struct's schema, with its description as Markdown."""
    described = component.get("description")
    return component if described is None else component | {"description": _markdown(described)}


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
    return {
        "name": method.name,
        "summary": _markdown(method.doc.partition("\n")[0]),
        "description": _ACCESS[method.access.who],
        "paramStructure": "either",
        "params": _params(method.params, schemas),
        "result": {"name": "result", "schema": schemas.of(method.returns)},
        "errors": [{"$ref": f"#/components/errors/{error.code}"} for error in ERRORS],
        "x-direction": "client-to-server",
    }


def _notification(name: str, params: type[msgspec.Struct], schemas: Schemas) -> dict[str, Any]:
    summary, _, details = _markdown(params.__doc__ or "").partition("\n")
    return {
        "name": name,
        "summary": summary,
        **({"description": details.strip()} if details else {}),
        "paramStructure": "by-name",
        "params": _params(params, schemas),
        "x-direction": "server-to-client",
    }


def _params(struct: type[msgspec.Struct], schemas: Schemas) -> list[dict[str, Any]]:
    return [
        {"name": field.encode_name, "required": field.required, "schema": schemas.of(field.type)}
        for field in msgspec.structs.fields(struct)
    ]


def _error(error: Any) -> dict[str, Any]:
    return {
        "code": error.number,
        "message": error.default,
        "data": {"code": error.code, "retryable": error.retryable},
    }
