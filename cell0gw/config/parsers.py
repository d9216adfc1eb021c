"""What the value of an option may be, in the spellings of flags, variables and files; each raises C{ValueError}."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cell0gw.auth.tokens import is_operator_token
from cell0gw.guard.addresses import network
from cell0gw.protocol.limits import KIB
from cell0gw.protocol.origins import is_host, read_origin

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\Z", re.ASCII)
_SECONDS: Final = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST: Final = 366 * 86400.0
"""Maximum seconds of a duration."""

_SIZE = re.compile(r"(\d{1,15})\s*(B|KiB|MiB|GiB)?\Z", re.ASCII)
_BYTES: Final = {None: 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_BOOLEANS: Final = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)


def duration(value: Any) -> float:
    """Seconds, from a number or from C{"250ms"}, C{"30s"}, C{"10m"}, C{"24h"}."""
    match = _DURATION.match(str(value)) if not isinstance(value, bool) else None
    if match is None:
        raise ValueError('expected seconds, or a text like "250ms", "30s", "10m"')
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST:
        raise ValueError("expected at most 366d")
    return seconds


def positive_duration(value: Any) -> float:
    """Seconds, more than none."""
    seconds = duration(value)
    if seconds <= 0:
        raise ValueError("expected more than 0 seconds")
    return seconds


def size(value: Any) -> int:
    """Bytes, from a number or from C{"64KiB"}, C{"10MiB"}."""
    match = _SIZE.match(str(value)) if not isinstance(value, bool) else None
    if match is None:
        raise ValueError('expected bytes, or a text like "64KiB", "10MiB"')
    return int(match[1]) * _BYTES[match[2]]


def message_size(value: Any) -> int:
    """Bytes, enough for a message."""
    length = size(value)
    if length < KIB:
        raise ValueError("expected at least 1KiB")
    return length


def integer(low: int, high: int) -> Callable[[Any], int]:
    """A whole number between two, both included."""

    def parse(value: Any) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,15}", str(value)) or not low <= int(value) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(value)

    return parse


def boolean(value: Any) -> bool:
    """On or off, in the words of environment files."""
    if isinstance(value, bool):
        return value
    try:
        return _BOOLEANS[str(value).lower()]
    except KeyError:
        raise ValueError("expected true or false") from None


def truth(value: Any) -> bool:
    """On or off, in a file, which has values for that."""
    if not isinstance(value, bool):
        raise ValueError("expected true or false, without quotes")
    return value


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text")
    return value


def path(value: Any) -> Path:
    """A path; C{~} is the user's home."""
    if isinstance(value, Path):
        return value
    if "\0" in text(value):
        raise ValueError("expected a path")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("there is no such user's home") from None


def one_of(*choices: str) -> Callable[[Any], str]:
    """One of some words."""

    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"expected one of: {', '.join(choices)}")
        return str(value)

    return parse


def list_of(parse: Callable[[Any], str]) -> Callable[[Any], tuple[str, ...]]:
    """Several values: a list, or one text with commas between them."""

    def parse_all(value: Any) -> tuple[str, ...]:
        if not isinstance(value, str | list | tuple):
            raise ValueError("expected a list, or a text with commas")
        entries = value.split(",") if isinstance(value, str) else value
        return tuple(parse(entry.strip() if isinstance(entry, str) else entry) for entry in entries)

    return parse_all


def proxy(value: Any) -> str:
    """An address, a network, or C{local}: all who connect by a unix socket."""
    try:
        return str(network(text(value)))
    except ValueError:
        raise ValueError('expected an address, a network as "10.0.0.0/8", or "local"') from None


def origin(value: Any) -> str:
    """Where a page is from: scheme, host, and port if it is not the scheme's own."""
    if read_origin(text(value)) is None:
        raise ValueError('expected origins like "https://app.example.com"')
    return str(value)


def host(value: Any) -> str:
    """As in the Host field of a request."""
    if not is_host(text(value)):
        raise ValueError('expected hosts like "gateway.example.com" or "gateway.example.com:18801"')
    return str(value).lower()


def token(value: Any) -> str:
    """A token of an operator's own."""
    if not is_operator_token(text(value)):
        raise ValueError("expected cell0_<32 or more letters and digits>_<unix seconds>")
    return str(value)


def texts(value: Any) -> tuple[str, ...]:
    """Some texts: a list, or one text in which spaces separate them."""
    found = value.split() if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found:
        raise ValueError("expected a text, or a list of texts")
    return tuple(text(each) for each in found)
