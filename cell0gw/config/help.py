"""The help of the command line: the options in groups, with their defaults as the documentation writes them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from cell0gw.config.options import SPARE_DESCRIPTORS, Config
from cell0gw.config.parsers import head_size, message_size, size, written_duration, written_size
from cell0gw.config.table import GROUPS, Option

COLUMN: Final = 32
"""Where the second column begins."""

_TOGETHER: Final = "\N{NO-BREAK SPACE}"

_SAID: Final = {
    "state_dir": "~/.local/state/cell0gw",
    "tls_key": "the file of tls_cert",
    "max_connections": f"open files less {SPARE_DESCRIPTORS}",
    "max_connections_per_entity": "half of max_connections",
}
"""Defaults that are no values."""


def default_of(option: Option) -> str:
    """The default of an option, for people: C{7d}, C{4GiB}, C{none}."""
    value = getattr(Config(), option.name)
    if option.name in _SAID:
        return _SAID[option.name]
    if value in (None, ()):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return written_duration(value)
    return written_size(value) if option.parse in (size, message_size, head_size) else str(value)


def usage(width: int) -> str:
    """The options, as C{--help} shows them.

    @param width: of the terminal, in characters.
    """
    lines = []
    for title, options in GROUPS.items():
        lines += ["", f"{title}:"]
        for option in options:
            if option.switch:
                lines += _entry(f"--{option.flag}", option.help, width)
            elif not option.secret:
                default = f"[default: {default_of(option)}]".replace(" ", _TOGETHER)
                lines += _entry(f"--{option.flag}=", f"{option.help} {default}", width)
    lines += ["", "Other:"]
    lines += _entry("-c, --config=", "A TOML file with options.", width)
    lines += _entry("--version", "Show the version and exit.", width)
    lines += _entry("--help", "Show this help and exit.", width)
    return "\n".join(lines).replace(_TOGETHER, " ") + "\n"


def _entry(flag: str, text: str, width: int) -> Iterator[str]:
    """A flag, and what it is for beside it, or below it if it is long."""
    first, *rest = textwrap.wrap(text, max(20, width - COLUMN), break_long_words=False, break_on_hyphens=False)
    if len(flag) + 4 > COLUMN:
        yield f"  {flag}"
        flag = ""
    yield f"  {flag:<{COLUMN - 2}}{first}"
    for line in rest:
        yield " " * COLUMN + line
