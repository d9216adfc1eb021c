"""What the value of an option may be, in the spellings of flags, variables and files; each raises C{ValueError}.

The docstring of a parser is public text in Markdown: what the value may be.
"""

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
_URL_PATH: Final = re.compile(r"/[!$%&'()*+,./:;=@\w~-]*\Z", re.ASCII)
"""RFC 3986, section 3.3"""
_LONGEST: Final = 366 * 86400.0
"""Maximum seconds of a duration."""

_SIZE = re.compile(r"(\d{1,15})\s*(B|KiB|MiB|GiB)?\Z", re.ASCII)
_BYTES: Final = {None: 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_BOOLEANS: Final = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)


def duration(value: Any) -> float:
    """A duration."""
    match = _DURATION.match(str(value)) if not isinstance(value, bool) else None
    if match is None:
        raise ValueError('expected seconds, or a text like "250ms", "30s", "10m"')
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST:
        raise ValueError("expected at most 366d")
    return seconds


def positive_duration(value: Any) -> float:
    """A duration above 0."""
    seconds = duration(value)
    if seconds <= 0:
        raise ValueError("expected more than 0 seconds")
    return seconds


def size(value: Any) -> int:
    """A size."""
    match = _SIZE.match(str(value)) if not isinstance(value, bool) else None
    if match is None:
        raise ValueError('expected bytes, or a text like "64KiB", "10MiB"')
    return int(match[1]) * _BYTES[match[2]]


def message_size(value: Any) -> int:
    """A size of at least 1KiB."""
    length = size(value)
    if length < KIB:
        raise ValueError("expected at least 1KiB")
    return length


def head_size(value: Any) -> int:
    """A size, 1KiB to 64KiB."""
    length = size(value)
    if not KIB <= length <= 64 * KIB:
        raise ValueError("expected 1KiB to 64KiB")
    return length


def integer(low: int, high: int) -> Callable[[Any], int]:
    """A whole number between two, both included."""

    def parse(value: Any) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,15}", str(value)) or not low <= int(value) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(value)

    parse.__doc__ = f"{low} to {high}."
    return parse


def boolean(value: Any) -> bool:
    """A switch: `true` or `false`."""
    if isinstance(value, bool):
        return value
    try:
        return _BOOLEANS[str(value).lower()]
    except KeyError:
        raise ValueError("expected true or false") from None


def truth(value: Any) -> bool:
    """A switch: `true` or `false`."""
    # For a file, which has values for that: no text will do.
    if not isinstance(value, bool):
        raise ValueError("expected true or false, without quotes")
    return value


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text")
    return value


def path(value: Any) -> Path:
    """A path; `~` is the user's home."""
    if isinstance(value, Path):
        return value
    if "\0" in text(value):
        raise ValueError("expected a path")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("there is no such user's home") from None


def url_path(value: Any) -> str:
    """A path of URLs as `/gateway`, other than `/health`."""
    if not _URL_PATH.match(text(value)) or value == "/health":
        raise ValueError('expected a path like "/gateway", without "?" and "#", other than "/health"')
    return str(value)


def public_url(value: Any) -> str:
    """A URL as `wss://gateway.example.com` or `ws://10.0.0.5:18801/gateway`."""
    scheme, _, rest = text(value).partition("://")
    host, slash, path = rest.partition("/")
    if scheme not in ("ws", "wss") or not is_host(host) or (slash and not _URL_PATH.match(f"/{path}")):
        raise ValueError('expected a URL like "wss://gateway.example.com" or "ws://10.0.0.5:18801/gateway"')
    return f"{scheme}://{host.lower()}{slash}{path}"


def one_of(*choices: str) -> Callable[[Any], str]:
    """One of some words."""

    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"expected one of: {', '.join(choices)}")
        return str(value)

    parse.__doc__ = f"One of {', '.join(f'`{choice}`' for choice in choices)}."
    return parse


def list_of(parse: Callable[[Any], str]) -> Callable[[Any], tuple[str, ...]]:
    """Several values: a list, or one text with commas between them."""

    def parse_all(value: Any) -> tuple[str, ...]:
        if not isinstance(value, str | list | tuple):
            raise ValueError("expected a list, or a text with commas")
        entries = value.split(",") if isinstance(value, str) else value
        return tuple(parse(entry.strip() if isinstance(entry, str) else entry) for entry in entries)

    parse_all.__doc__ = f"A list, or a text with commas. {parse.__doc__}"
    return parse_all


def proxy(value: Any) -> str:
    """Each is an address, a network as `10.0.0.0/8`, or `local`: all who connect by a Unix socket."""
    try:
        return str(network(text(value)))
    except ValueError:
        raise ValueError('expected an address, a network as "10.0.0.0/8", or "local"') from None


def origin(value: Any) -> str:
    """Each is an origin as `https://app.example.com`: scheme, host, and port if it is not the scheme's own."""
    if read_origin(text(value)) is not None:
        return str(value)
    bare = value.rstrip("/")
    if bare != value and read_origin(bare) is not None:
        raise ValueError(f'expected an origin without the slash at its end, "{bare}"')
    if value.lower() == "null" or value.lower().startswith("file:"):
        raise ValueError("pages without an origin can't be told apart, so they can't be listed: serve them by http")
    if "*" in value:
        raise ValueError("wildcards can't be listed: list each origin")
    raise ValueError('expected origins like "https://app.example.com"')


def host(value: Any) -> str:
    """Each is a host as in the field `Host`: `gateway.example.com` or `gateway.example.com:18801`."""
    if not is_host(text(value)):
        raise ValueError('expected hosts like "gateway.example.com" or "gateway.example.com:18801"')
    return str(value).lower()


def token(value: Any) -> str:
    """`cell0_<secret>_<unix seconds>`, the secret of 32 or more letters and digits."""
    if not is_operator_token(text(value)):
        raise ValueError("expected cell0_<32 or more letters and digits>_<unix seconds>")
    return str(value)


def texts(value: Any) -> tuple[str, ...]:
    """A list, or a text with spaces."""
    found = value.split() if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found:
        raise ValueError("expected a text, or a list of texts")
    return tuple(text(each) for each in found)


def written_duration(seconds: float) -> str:
    """Seconds as L{duration} reads them: in days, or in seconds."""
    return f"{seconds / _SECONDS['d']:g}d" if seconds and seconds % _SECONDS["d"] == 0 else f"{seconds:g}s"


def written_size(length: int) -> str:
    """Bytes as L{size} reads them: in the largest unit of which they are a multiple."""
    unit = next((unit for unit in ("GiB", "MiB", "KiB") if length and length % _BYTES[unit] == 0), None)
    return str(length) if unit is None else f"{length // _BYTES[unit]}{unit}"
