"""The pages of methods, notifications and the objects that they share."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from cell0gw.config.help import default_of
from cell0gw.config.options import Config
from cell0gw.config.table import OPTIONS
from cell0gw.protocol.errors import ERRORS
from tests.documents import Part, section
from tests.reference.markdown import (
    Page,
    anchor,
    discovered,
    flowing,
    joined,
    kind,
    linked,
    mark,
    sentence,
    shared_objects,
    table,
)
from tests.reference.markdown import method_names as names

EXAMPLES: Final = Part("tests/reference/examples.md", Path(__file__).with_name("examples.md").read_text())
NUMBERS: Final = {error.code: error.number for error in ERRORS}


def examples(title: str, name: str) -> list[str]:
    """The blocks of code that are examples of a method or a notification, fences included.

    @param title: the section, C{Methods} or C{Notifications}.
    """
    there = section(EXAMPLES, title)
    if f"\n### {name}\n" not in there.text:
        return []
    return re.findall(r"^```jsonc?\n.*?^```$", section(there, name).text, re.DOTALL | re.MULTILINE)


def by_direction(direction: str) -> dict[str, dict[str, Any]]:
    """The methods of the document that go one way, by name."""
    return {method["name"]: method for method in discovered()["methods"] if method["x-direction"] == direction}


def methods() -> Page:
    """C{methods.md}."""
    described = by_direction("client-to-server")
    groups = {
        namespace: [described[name] for name in group]
        for namespace, group in itertools.groupby(names(), lambda name: name.partition(".")[0])
    }
    contents = table(
        ["Namespace", "Methods"],
        [
            [f"[`{namespace}`](#{namespace})", " · ".join(f"[{_verb(m)}](#{anchor(m['name'])})" for m in group)]
            for namespace, group in groups.items()
        ],
    )
    body = joined(
        "What a client can call. Params are given by name, or as an array in the order of the tables; trailing ones "
        "that have a default can be left out. Timestamps are UTC, ISO 8601 with milliseconds: "
        "`2026-02-12T10:30:00.250Z`. [Names](../protocol.md#names) says what a name and a pattern are, "
        "[Permissions](../protocol.md#permissions) what a permission covers.",
        linked(
            "Beside the errors that a method names, each can give those of JSON-RPC, such as -32602 for params that "
            "don't fit, and -32003 for too many calls. One that needs a session gives -32001 without one, one that "
            "needs a permission -32002."
        ),
        contents,
        *(joined(f"## {namespace}", *map(_method, group)) for namespace, group in groups.items()),
    )
    return Page("methods.md", "Methods", "What a client can call: params, results, errors, with examples", body)


def _verb(method: Mapping[str, Any]) -> str:
    return str(method["name"].partition(".")[2])


def _method(method: Mapping[str, Any]) -> str:
    name = method["name"]
    access, _, details = method["description"].partition("\n\n")
    params = table(
        ["Param", "Type", "Default", "Meaning"],
        [
            [f"`{param['name']}`", kind(param["schema"]), _default(param), _meaning(param, name)]
            for param in method["params"]
        ],
    )
    errors = table(["Number", "Code", "When"], _errors(method))
    shown = examples("Methods", name)
    return joined(
        mark(name),
        f"### {name}",
        linked(method["summary"], name),
        f"**Access**: {linked(_lower(access), name)}",
        linked(flowing(details), name),
        "**Params**" if params else "**Params**: none.",
        params,
        *_result(method["result"], name),
        "**Errors**" if errors else "",
        errors,
        "**Example**" if shown else "",
        *shown,
    )


def _meaning(described: Mapping[str, Any], here: str) -> str:
    return linked(sentence(described.get("description", "")), here)


def _default(param: Mapping[str, Any]) -> str:
    return "required" if param["required"] else f"`{json.dumps(param['schema']['default'])}`"


def _result(result: Mapping[str, Any], name: str) -> Iterable[str]:
    if "$ref" in result["schema"]:
        struct = result["schema"]["$ref"].rpartition("/")[2]
        schema = discovered()["components"]["schemas"][struct]
        return [f"**Result**: {linked(_lower(schema['description']), name)}", _members(schema, name)]
    return [f"**Result**, {_article(kind(result['schema']))}: {linked(result['description'], name)}."]


def _article(text: str) -> str:
    if text.startswith(("any ", "[")):
        return text
    return f"an {text}" if text[0] in "aeio" else f"a {text}"


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _members(schema: Mapping[str, Any], here: str) -> str:
    required = schema.get("required", [])
    head = ["Member", "Type", "Meaning"]
    rows = [
        [
            f"`{name}`",
            kind(member) + ("" if name in required or "default" in member else ", optional"),
            _meaning(member, here),
        ]
        for name, member in schema["properties"].items()
    ]
    if not required and here in shared_objects():  # no answer, whose members have no defaults that matter
        head.insert(2, "Default")
        for row, (name, member) in zip(rows, schema["properties"].items(), strict=True):
            row.insert(2, _set_to(name, member))
    return table(head, rows)


def _set_to(name: str, member: Mapping[str, Any]) -> str:
    """The default of a member; if it is an option whose default is no value, in the words of that."""
    option = next((option for option in OPTIONS if option.name == name), None)
    if option is not None and getattr(Config(), name) is None:
        return default_of(option)
    return f"`{json.dumps(member['default'])}`"


def _errors(method: Mapping[str, Any]) -> Iterable[list[str]]:
    for code, when in method["x-errors"].items():
        place = f"errors.md#{anchor(code)}"
        yield [f"[{NUMBERS[code]}]({place})", f"`{code}`", linked(sentence(when), method["name"])]


def notifications() -> Page:
    """C{notifications.md}."""
    described = by_direction("server-to-client")
    body = joined(
        linked(
            "What the gateway sends unasked. A client ignores members and notifications that it doesn't know: later "
            "releases add some. One of them, `agent.invoke`, is a request, and wants an answer."
        ),
        " · ".join(f"[{name}](#{anchor(name)})" for name in described),
        *map(_notification, described.values()),
    )
    return Page(
        "notifications.md", "Notifications", "What the gateway sends unasked: when, and with which members", body
    )


def _notification(notification: Mapping[str, Any]) -> str:
    name = notification["name"]
    summary = notification["summary"].removeprefix(f"`{name}`").lstrip(":, ")
    return joined(
        mark(name) if "." in name else "",  # others have the name that their heading gives them
        f"## {name}",
        linked(sentence(summary), name),
        linked(flowing(notification.get("description", "")), name),
        table(
            ["Member", "Type", "Meaning"],
            [
                [
                    f"`{param['name']}`",
                    kind(param["schema"]) + ("" if param["required"] else ", optional"),
                    _meaning(param, name),
                ]
                for param in notification["params"]
            ],
        ),
        *(["**Example**", *shown] if (shown := examples("Notifications", name)) else []),
    )


def objects() -> Page:
    """C{objects.md}."""
    schemas = discovered()["components"]["schemas"]
    body = joined(
        "What stands within params, results and notifications.",
        " · ".join(f"[{name}](#{anchor(name)})" for name in shared_objects()),
        *(
            joined(
                f"## {name}",
                linked(flowing(schemas[name]["description"]), name),
                _members(schemas[name], name),
            )
            for name in shared_objects()
        ),
    )
    return Page("objects.md", "Objects", "What stands within params, results and notifications", body)
