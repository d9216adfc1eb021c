"""Origins and hosts: the sites that an operator lists, and those that requests name. RFC 6454"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?\Z")
_HOST = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?\Z")
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Origin(NamedTuple):
    """Where a page is from. Two are the same only if all three are (section 5)."""

    scheme: str
    host: str
    port: int


def read_origin(text: str) -> Origin | None:
    """Read C{https://app.example.com:8443}.

    @return: None if it is no origin; neither is C{null}, which sandboxed pages send.
    """
    match = _ORIGIN.match(text.lower())
    if match is None:
        return None
    scheme, host, port = match.groups()
    return Origin(scheme, host, int(port) if port else _PORTS.get(scheme, 0))


def is_own(origin: Origin, host: str) -> bool:
    """Whether an origin is the very host that a request is for: a page of that host, or a client that names the host
    that it connects to.

    @param host: the Host field of the request, in lower case.
    """
    return origin.scheme in ("http", "https") and read_origin(f"{origin.scheme}://{host}") == origin


@lru_cache(maxsize=64)
def is_certain(host: str) -> bool:
    """Whether a Host field can't be a name that somebody has point here: it is an address, or C{localhost}."""
    name = without_port(host)
    return name.startswith("[") or name == "localhost" or re.fullmatch(r"[0-9]+(\.[0-9]+){3}", name) is not None


@lru_cache(maxsize=64)
def without_port(host: str) -> str:
    """The name or the address in a Host field, see L{is_host}."""
    return re.sub(r":[0-9]*\Z", "", host)


@lru_cache(maxsize=64)
def is_host(text: str) -> bool:
    """Whether this may stand in the Host field of a request: a name or an address, with or without a port."""
    return _HOST.match(text.lower()) is not None
