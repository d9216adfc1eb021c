"""The opening handshake, read from bytes: which requests may become connections. RFC 6455, section 4.2

Strict where leniency has cost others: a head that two parsers could read in two ways is refused.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha1
from typing import Final, NamedTuple

from cell0gw.protocol.origins import is_host

SUBPROTOCOL: Final = "cell0.v1"
PATHS: Final = ("/", "/ws")

_USUAL_LINES: Final = {f"GET {path} HTTP/1.1" for path in PATHS}

MAX_HEAD: Final = 8 * 1024
"""Maximum bytes of the head of a request."""

MAX_FIELDS: Final = 64
"""Maximum fields of a request."""

MAX_PROTOCOLS: Final = 32
"""Maximum subprotocols that a request offers."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_REASONS: Final = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    426: "Upgrade Required",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}

_ONCE: Final = ("host", "origin", "upgrade", "content-length", "sec-websocket-key", "sec-websocket-version")
"""The fields that a request must not have twice; the values of others are one list."""

# Some take C0 and C1 controls for the end of a line; a tab is white space, and what is above them is text.
_unusual = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)|(?<!\r)\n").search
_TOKEN: Final = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_is_token = re.compile(rf"{_TOKEN}\Z").match
_is_upgrade = re.compile(rf"{_TOKEN}(/{_TOKEN})?\Z").match
_is_extension = re.compile(rf'{_TOKEN}([ \t]*;[ \t]*{_TOKEN}(=({_TOKEN}|"{_TOKEN}"))?)*\Z').match
_is_key = re.compile(r"[A-Za-z0-9+/]{22}==\Z").match
_is_version = re.compile(r"HTTP/[0-9](\.[0-9])?\Z").match


class Refused(Exception):
    """A request that does not become a connection.

    @param status: of HTTP.
    @param fields: lines of the response, which hold nothing that the peer has sent.
    """

    def __init__(self, status: int, *fields: str) -> None:
        super().__init__(status)
        self.status = status
        self.fields = fields

    def response(self) -> bytes:
        """The whole response."""
        status_line = f"HTTP/1.1 {self.status} {_REASONS[self.status]}"
        return "\r\n".join((status_line, "Connection: close", "Content-Length: 0", *self.fields, "", "")).encode()


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
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
            f"{subprotocol}Sec-WebSocket-Accept: {accept}\r\n{extensions}\r\n"
        ).encode()


def read_request(data: bytes) -> UpgradeRequest | None:
    """Read the request that some bytes begin with.

    @return: None: its head has not all come yet.
    @raise Refused: it can't become a connection, or is none.
    """
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    head = data[: end if end >= 0 else MAX_HEAD]
    if _unusual(head if end >= 0 or not head.endswith(b"\r") else head[:-1]):
        raise Refused(400)
    if end < 0:
        if len(data) >= MAX_HEAD:
            raise Refused(431)
        return None
    line, *fields = head.decode("latin-1").split("\r\n")
    _judge_line(line)
    if len(fields) > MAX_FIELDS:
        raise Refused(431)
    return _judge_fields(end + 4, _read_fields(fields))


def _judge_line(line: str) -> None:
    if line in _USUAL_LINES:
        return
    method, _, rest = line.partition(" ")
    target, _, version = rest.partition(" ")
    if not (_is_token(method) and target and _is_version(version)):
        raise Refused(400)
    if version != "HTTP/1.1":
        raise Refused(505)
    if method != "GET":
        raise Refused(405, "Allow: GET")
    if "?" in target or "#" in target:
        raise Refused(400)  # a token that is put there ends up in everybody's logs
    if target.startswith(("http://", "https://", "ws://", "wss://")):  # RFC 9112, section 3.2.2
        _, slash, path = target.partition("://")[2].partition("/")
        target = "/" + path if slash else "/"
    if target not in PATHS:
        raise Refused(404)


def _read_fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        said, colon, value = line.partition(":")
        name = _read_name(said)
        if not (colon and name):  # nor may a line go on in the next one
            raise Refused(400)
        value = value.strip(" \t")
        if name in fields:
            if name in _ONCE:
                raise Refused(400)
            value = f"{fields[name]}, {value}"
        fields[name] = value
    return fields


def _judge_fields(length: int, fields: dict[str, str]) -> UpgradeRequest:
    host = fields.get("host", "")
    if not is_host(host) or fields.get("content-length", "0") != "0" or "transfer-encoding" in fields:
        raise Refused(400)
    upgrades = _read_list(fields.get("upgrade", "").lower(), _is_upgrade)
    options = _read_list(fields.get("connection", "").lower(), _is_token)
    _read_list(fields.get("sec-websocket-extensions", ""), _is_extension)
    if "websocket" not in upgrades:
        raise Refused(426, "Upgrade: websocket")
    if "upgrade" not in options:
        raise Refused(400)
    if fields.get("sec-websocket-version") != "13":
        raise Refused(400, "Sec-WebSocket-Version: 13")
    key = fields.get("sec-websocket-key", "")
    if not _is_key(key):
        raise Refused(400)
    return UpgradeRequest(
        length,
        key,
        host.lower(),
        fields.get("origin"),
        _protocols(fields.get("sec-websocket-protocol")),
        fields.get("sec-websocket-extensions", ""),
        _listed(fields["x-forwarded-for"]) if "x-forwarded-for" in fields else [],
    )


def _protocols(value: str | None) -> list[str]:
    protocols = [] if value is None else _listed(value)
    if len(protocols) > MAX_PROTOCOLS or len(set(protocols)) < len(protocols) or not all(map(_is_token, protocols)):
        raise Refused(400)
    return protocols


@lru_cache(maxsize=256)
def _read_name(text: str) -> str:
    """The name of a field, in lower case; empty: it is none."""
    return text.lower() if _is_token(text) else ""


@lru_cache(maxsize=64)
def _read_list(value: str, is_element: Callable[[str], object]) -> list[str]:
    """The elements of a list, empty ones left out (RFC 9110, section 5.6.1). Nearly all requests have the same few."""
    elements = [element for element in _listed(value) if element] if value else []
    if not all(map(is_element, elements)):
        raise Refused(400)
    return elements


def _listed(value: str) -> list[str]:
    return [element.strip(" \t") for element in value.split(",")]
