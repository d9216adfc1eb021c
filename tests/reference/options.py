"""The page of options, and of the rules of channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cell0gw.app.reconfiguration import LIVE
from cell0gw.channels.rules import DEFAULT, DURABLE, ChannelRule
from cell0gw.config.file import RULE
from cell0gw.config.help import default_of
from cell0gw.config.parsers import positive_duration, written_duration
from cell0gw.config.table import GROUPS, Option
from cell0gw.rpc.docstrings import parts
from tests.reference.errors import YES
from tests.reference.markdown import Page, anchor, joined, linked, mark, sentence, table


def options() -> Page:
    """C{options.md}."""
    body = joined(
        "Each option has a name, which is its key in the configuration file, a flag and an environment variable. A "
        "flag wins over the variable, that over the file, that over the default. "
        "[Operations](../operations.md#options) has an example of a file.",
        "- A **duration** is seconds, or a text like `250ms`, `30s`, `10m`, `24h`, `7d`.\n"
        "- A **size** is bytes, or a text like `64KiB`, `10MiB`, `1GiB`.\n"
        "- A **switch** is `true` or `false`; in a variable `yes`, `on`, `1`, `no`, `off` and `0` will do, too. Its "
        "flag takes no value and turns it off.\n"
        "- **SIGHUP** says whether the option changes while the gateway runs, see "
        "[Reloading](../operations.md#reloading).",
        table(
            ["Group", "Options"],
            [
                [
                    f"[{title}](#{_slug(title)})",
                    " · ".join(f"[`{option.name}`](#{anchor(option.name)})" for option in group),
                ]
                for title, group in GROUPS.items()
            ]
            + [[f"[{RULES}](#{_slug(RULES)})", " · ".join(f"`{name}`" for name in ("pattern", *RULE))]],
        ),
        *(
            joined(
                f"## {title}",
                table(["Option, flag, variable", "Default", "Value", "What it is for", "SIGHUP"], map(_option, group)),
            )
            for title, group in GROUPS.items()
        ),
        _rules(),
    )
    return Page("options.md", "Options", "Flags, environment variables, keys of the configuration file", body)


RULES = "Rules of channels"


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-").replace(",", "")


def _option(option: Option) -> list[str]:
    names = [f"{mark(option.name)}`{option.name}`", *([] if option.secret else [f"`--{option.flag}`"])]
    what = option.details if option.switch else f"{option.help} {option.details}".strip()
    return [
        "<br>".join([*names, f"`{option.variable}`"]),
        default_of(option) if option.name == "tls_key" else _value(default_of(option)),
        (option.parse.__doc__ or "").rstrip("."),
        linked(what),
        YES[option.name in LIVE],
    ]


def _value(default: str) -> str:
    return default if " " in default or default == "none" else f"`{default}`"


def _rules() -> str:
    _, items = parts(ChannelRule.__doc__ or "", ChannelRule.__struct_fields__)
    return joined(
        f"## {RULES}",
        "One table `[[channels]]` each in the configuration file. Of the rules whose pattern covers a channel the "
        "first one holds, and no other; a channel that none covers has the defaults. SIGHUP changes them. "
        "[Channels](../operations.md#channels) says what a channel holds, and where.",
        table(
            ["Key", "Default", "Default if durable", "Value", "What it is for"],
            [
                ["`pattern`", "required", "required", "A name or a pattern", linked(sentence(items["pattern"]))],
                *(
                    [f"`{name}`", _of(DEFAULT, name), _of(DURABLE, name), _may_be(parse), linked(sentence(items[name]))]
                    for name, parse in RULE.items()
                ),
            ],
        ),
    )


def _may_be(parse: Callable[[Any], Any]) -> str:
    return (parse.__doc__ or "").rstrip(".")


def _of(rule: ChannelRule, name: str) -> str:
    value = getattr(rule, name)
    if value is None:
        return "none"
    if RULE[name] is positive_duration:
        return f"`{written_duration(value)}`"
    return f"`{msgspec.json.encode(value).decode()}`"
