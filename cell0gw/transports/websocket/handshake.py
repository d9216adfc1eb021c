"""The opening handshake, read from bytes: which requests may become connections. RFC 6455, section 4.2

Requests that ask for no WebSocket are read, too, as far as they are answered: for how the gateway is, and for a page.
Strict where leniency has cost others: a head that two parsers could read in two ways is refused.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha1
from typing import Final, NamedTuple

from cell0gw.protocol.limits import MAX_HEAD_SIZE
from cell0gw.protocol.origins import is_host
from cell0gw.transports.websocket.refusals import Refused

SUBPROTOCOL: Final = "cell0.v1"
PATHS: Final = ("/", "/ws")

HEALTH: Final = "/health"
"""The path at which the gateway says how it is."""

TLS_HANDSHAKE: Final = b"\x16"
"""The first byte of a client that speaks TLS (RFC 8446, section 5.1)."""

MAX_FIELDS: Final = 64
"""Maximum fields of a request."""

MAX_PROTOCOLS: Final = 32
"""Maximum subprotocols that a request offers, empty elements of the list included."""

USUAL_LENGTH: Final = 256
"""Maximum characters of what is remembered of requests: what is longer would stay in memory for nothing."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_ONCE: Final = ("host", "origin", "upgrade", "content-length", "sec-websocket-key", "sec-websocket-version")
"""The fields that a request must not have twice; the values of others are one list."""

# RFC 9110, section 5.5: a tab is white space, and what is above ASCII may be text in any encoding. Some parsers end a
# line at a control of C1; here only CR LF does, and each value that is used has a grammar of its own.
_unusual = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n").search
_TOKEN: Final = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_is_token = re.compile(rf"{_TOKEN}\Z").match
_is_upgrade = re.compile(rf"{_TOKEN}(/{_TOKEN})?\Z").match
_is_extension = re.compile(rf'{_TOKEN}([ \t]*;[ \t]*{_TOKEN}(=({_TOKEN}|"{_TOKEN}"))?)*\Z').match
_is_key = re.compile(r"[A-Za-z0-9+/]{22}==\Z").match
_is_version = re.compile(r"HTTP/[0-9](\.[0-9])?\Z").match
_is_zero = re.compile(r"[ \t]*q=0(\.0*)?[ \t]*\Z").match


class RequestLine(NamedTuple):
    """What the first line of a request says; C{old}: its version is HTTP/1.0, which knows no upgrade."""

    method: str
    path: str
    old: bool


class PageRequest(NamedTuple):
    """A request that is answered without a WebSocket. C{health}: it asks how the gateway is, else for the page for
    people; C{bodiless}: it is made by HEAD; C{host} is empty in requests of HTTP/1.0 that name none."""

    health: bool
    bodiless: bool
    host: str


class UpgradeRequest(NamedTuple):
    """What counts of a request. C{length} is that of its head, in bytes; C{extensions} and C{origin} are as they were
    sent, C{forwarded} are those for whom proxies passed it on."""

    length: int
    key: str
    host: str
    origin: str | None
    protocols: list[str]
    extensions: str
    forwarded: list[str]

    def response(self, extension: str) -> bytes:
        """The head of the response (section 4.2.2); it selects our subprotocol, if the client offers it.

        @param extension: the one that is accepted; empty: none is.
        """
        accept = b64encode(sha1(self.key.encode() + _GUID, usedforsecurity=False).digest()).decode()
        subprotocol = f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n" if SUBPROTOCOL in self.protocols else ""
        extensions = f"Sec-WebSocket-Extensions: {extension}\r\n" if extension else ""
        return (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"{subprotocol}Sec-WebSocket-Accept: {accept}\r\n{extensions}\r\n"
        ).encode()


class RequestReader:
    """Reads requests, by the options of a gateway.

    @param max_head: maximum bytes of the head of a request.
    @param path: the one path at which WebSockets are; None: each of L{PATHS}.
    """

    def __init__(self, max_head: int = MAX_HEAD_SIZE, path: str | None = None) -> None:
        self._max_head = max_head
        self._paths = PATHS if path is None else (path,)
        self._usual = {f"GET {path} HTTP/1.1": RequestLine("GET", path, False) for path in self._paths}

    def read(self, data: bytes, seen: int = 0) -> UpgradeRequest | PageRequest | None:
        """Read the request that some bytes begin with.

        @param seen: how many of them were read before, without the end of the head among them. They are not looked at
            again: a head that comes byte by byte costs no more than one that comes at once.
        @return: None: its head has not all come yet.
        @raise Refused: it can't become a connection, or is none.
        """
        end = data.find(b"\r\n\r\n", max(0, seen - 3), self._max_head)
        until = end if end >= 0 else min(len(data), self._max_head)
        if end < 0 and data.endswith(b"\r", 0, until):
            until -= 1  # its line feed may be on the way
        if _unusual(data, max(0, seen - 1), until):
            raise Refused("tls" if data.startswith(TLS_HANDSHAKE) else "characters")
        if end < 0:
            if len(data) >= self._max_head:
                raise Refused("head_size")
            return None
        first, *lines = data[:end].decode("latin-1").split("\r\n")
        try:
            return self._judge(end + 4, first, lines)
        except Refused as refusal:
            refusal.forwarded = _forwarded(lines)
            raise

    def _judge(self, length: int, first: str, lines: list[str]) -> UpgradeRequest | PageRequest:
        line = self._usual.get(first) or _read_line(first)
        if line.path not in self._paths and line.path != HEALTH:
            raise Refused("path")
        if len(lines) > MAX_FIELDS:
            raise Refused("head_fields")
        fields = _read_fields(lines)
        _judge_every_request(line, fields)
        if line.path == HEALTH:
            return PageRequest(True, line.method == "HEAD", fields.get("host", "").lower())
        upgrades = _read_list(fields.get("upgrade", "").lower(), _is_upgrade)
        if "websocket" not in upgrades or line.method == "HEAD" or line.old:
            return _judge_page(line, fields)
        return _judge_upgrade(length, fields)


def _read_line(text: str) -> RequestLine:
    method, _, rest = text.partition(" ")
    target, _, version = rest.partition(" ")
    if not (_is_token(method) and target and target.isascii() and _is_version(version)):
        raise Refused("request_line")
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise Refused("http_version")
    if method not in ("GET", "HEAD"):
        raise Refused("method")
    if "?" in target or "#" in target:
        raise Refused("query")
    if target.startswith(("http://", "https://", "ws://", "wss://")):  # RFC 9112, section 3.2.2
        _, slash, path = target.partition("://")[2].partition("/")
        target = "/" + path if slash else "/"
    return RequestLine(method, target, version == "HTTP/1.0")


def _read_fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        said, colon, value = line.partition(":")
        name = _read_name(said)
        if not (colon and name):  # nor may a line go on in the next one
            raise Refused("field_line")
        value = value.strip(" \t")
        if name in fields:
            if name in _ONCE:
                raise Refused("field_twice")
            value = f"{fields[name]}, {value}"
        fields[name] = value
    return fields


def _judge_every_request(line: RequestLine, fields: dict[str, str]) -> None:
    host = fields.get("host", "")
    if not ((len(host) <= USUAL_LENGTH and is_host(host)) or (line.old and "host" not in fields)):
        raise Refused("host")
    if fields.get("content-length", "0") != "0" or "transfer-encoding" in fields:
        raise Refused("body")


def _judge_page(line: RequestLine, fields: dict[str, str]) -> PageRequest:
    if _wants_html(fields.get("accept", "")):
        return PageRequest(False, line.method == "HEAD", fields.get("host", "").lower())
    raise Refused("http_version" if line.old else "no_upgrade")


def _judge_upgrade(length: int, fields: dict[str, str]) -> UpgradeRequest:
    options = _read_list(fields.get("connection", "").lower(), _is_token)
    _read_list(fields.get("sec-websocket-extensions", ""), _is_extension)
    if "upgrade" not in options:
        raise Refused("connection")
    if fields.get("sec-websocket-version") != "13":
        raise Refused("version")
    key = fields.get("sec-websocket-key", "")
    if not _is_key(key):
        raise Refused("key")
    return UpgradeRequest(
        length,
        key,
        fields["host"].lower(),
        fields.get("origin"),
        _protocols(fields.get("sec-websocket-protocol")),
        fields.get("sec-websocket-extensions", ""),
        _listed(fields["x-forwarded-for"]) if "x-forwarded-for" in fields else [],
    )


def _wants_html(accept: str) -> bool:
    """Whether a field Accept names HTML, as browsers do that open a URL. C{*/*} says nothing: all tools send it."""
    for media_range in accept.lower().split(","):
        kind, *parameters = media_range.split(";")
        if kind.strip(" \t") == "text/html":
            return not any(map(_is_zero, parameters))
    return False


def _protocols(value: str | None) -> list[str]:
    elements = [] if value is None else _listed(value)
    protocols = [element for element in elements if element]  # RFC 9110, section 5.6.1: some write empty ones
    if len(elements) > MAX_PROTOCOLS or len(set(protocols)) < len(protocols) or not all(map(_is_token, protocols)):
        raise Refused("subprotocols")
    return protocols


def _read_name(text: str) -> str:
    """The name of a field, in lower case; empty: it is none."""
    return (_read_usual_name if len(text) <= USUAL_LENGTH else _read_any_name)(text)


def _read_any_name(text: str) -> str:
    return text.lower() if _is_token(text) else ""


_read_usual_name = lru_cache(maxsize=256)(_read_any_name)


def _read_list(value: str, is_element: Callable[[str], object]) -> list[str]:
    """The elements of a list, empty ones left out (RFC 9110, section 5.6.1)."""
    return (_read_usual_list if len(value) <= USUAL_LENGTH else _read_any_list)(value, is_element)


def _read_any_list(value: str, is_element: Callable[[str], object]) -> list[str]:
    elements = [element for element in _listed(value) if element] if value else []
    if not all(map(is_element, elements)):
        raise Refused("field_list")
    return elements


_read_usual_list = lru_cache(maxsize=64)(_read_any_list)
"""Nearly all requests have the same few."""


def _forwarded(lines: list[str]) -> list[str]:
    """Those for whom proxies passed on a request that is refused, and so may have its fields in any form."""
    fields = (line.partition(":") for line in lines)
    return [client for name, _, value in fields if name.lower() == "x-forwarded-for" for client in _listed(value)]


def _listed(value: str) -> list[str]:
    return [element.strip(" \t") for element in value.split(",")]
