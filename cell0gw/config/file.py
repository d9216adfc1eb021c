"""The tables of a configuration file: the options, and the rules of channels."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from cell0gw.channels.rules import DEFAULT, DURABLE, ChannelRule
from cell0gw.config.parsers import integer, positive_duration, size, truth
from cell0gw.protocol.subjects import is_pattern


class ConfigError(Exception):
    """A value that can't be; the message names the option and where the value came from."""


def _limit(value: Any) -> int | None:
    """A size; 0: none."""
    return size(value) or None


RULE: Final[dict[str, Callable[[Any], Any]]] = {
    "history_size": integer(0, 10_000_000),
    "history_ttl": positive_duration,
    "durable": truth,
    "max_message_size": _limit,
    "presence": truth,
}
"""The keys of a rule of channels beside C{pattern}, and how the value of each is read."""


def read_file(path: Path) -> tuple[dict[str, Any], Any]:
    """
    @return: the options, and the rules of channels, both as they stand there.
    @raise ConfigError: it can't be read, or has another table.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as failure:
        raise ConfigError(f"{path}: {failure.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise ConfigError(f"{path}: {failure}") from None
    gateway, rules = tables.pop("gateway", {}), tables.pop("channels", [])
    if tables:
        raise ConfigError(
            f"{next(iter(tables))} in {path}: there is no such table; there are [gateway] and [[channels]]"
        )
    if not isinstance(gateway, dict):
        raise ConfigError(f"gateway in {path}: expected a table")
    return gateway, rules


def read_rules(entries: Any, source: str) -> tuple[ChannelRule, ...]:
    """The rules of channels, from tables as they stand under C{[[channels]]}.

    @raise ConfigError: one of them can't be.
    """
    if not isinstance(entries, list | tuple) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ConfigError(f"channels {source}: expected [[channels]] tables")
    rules = []
    for number, entry in enumerate(entries, 1):
        where = f"channels {source}, rule {number}"
        if not isinstance(entry.get("pattern"), str) or not is_pattern(entry["pattern"]):
            raise ConfigError(f'{where}: expected a pattern of channels, as in pattern = "tasks.>"')
        fields: dict[str, Any] = {"pattern": entry["pattern"]}
        for name, value in entry.items():
            if name == "pattern":
                continue
            if name not in RULE:
                raise ConfigError(f"{where}: there is no {name}; there are {', '.join(('pattern', *RULE))}")
            try:
                fields[name] = RULE[name](value)
            except ValueError as problem:
                raise ConfigError(f"{where}, {name}: {problem}, got {value!r:.100}") from None
        default = DURABLE if fields.get("durable") else DEFAULT
        rules.append(msgspec.structs.replace(default, **fields))
    return tuple(rules)
