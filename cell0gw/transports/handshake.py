"""The opening handshake: which requests become connections."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from autobahn.websocket.types import ConnectionDeny, ConnectionRequest

SUBPROTOCOL: Final = "cell0.v1"
PATHS: Final = ("/", "/ws")


class UpgradeRequest(NamedTuple):
    """What counts of a request of the common kind; C{length} is that of its head, in bytes."""

    length: int
    key: str
    protocols: list[str]
    extensions: str


_UNUSUAL = re.compile(rb"[^\x20-\x7e\r\n]|\r(?!\n)|(?<!\r)\n")
_REQUEST_LINES: Final = {f"GET {path} HTTP/1.1" for path in PATHS}
_is_host = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?\Z").match
_is_key = re.compile(r"[A-Za-z0-9+/]{22}==\Z").match


def read_request(data: bytes) -> UpgradeRequest | None:
    """Read a request of the common kind: whole, for a path that is served, no header twice, no page's.

    @return: None for any other, right or wrong.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0 or _UNUSUAL.search(data, 0, end):
        return None
    line, *fields = data[:end].decode("ascii").split("\r\n")
    headers: dict[str, str] = {}
    for field in fields:
        name, colon, value = field.partition(":")
        if not colon or name != name.strip():
            return None
        headers[name.lower()] = value.strip()
    if line not in _REQUEST_LINES or len(headers) < len(fields) or "origin" in headers:
        return None
    key = headers.get("sec-websocket-key", "")
    common = (
        headers.get("upgrade", "").lower() == "websocket"
        and headers.get("connection", "").lower() in ("upgrade", "keep-alive, upgrade")
        and headers.get("sec-websocket-version") == "13"
        and _is_key(key)
        and _is_host(headers.get("host", ""))
    )
    if not common:
        return None
    asked = headers.get("sec-websocket-protocol")
    protocols = [] if asked is None else [protocol.strip() for protocol in asked.split(",")]
    if len(set(protocols)) < len(protocols):
        return None
    return UpgradeRequest(end + 4, key, protocols, headers.get("sec-websocket-extensions", ""))


def judge(request: ConnectionRequest) -> str | None:
    """Whether a request may become a connection.

    @return: the subprotocol to speak; None when the client asked for none that is known, which is fine.
    @raise ConnectionDeny: it may not; with the HTTP status.
    """
    if request.path not in PATHS:
        raise ConnectionDeny(404, "Not Found")
    return SUBPROTOCOL if SUBPROTOCOL in request.protocols else None
