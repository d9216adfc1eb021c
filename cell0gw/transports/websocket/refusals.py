"""Why a request becomes no connection: each cause by its name, and what the client is told."""

from __future__ import annotations

from typing import Final, NamedTuple

from cell0gw.transports.websocket.responses import Response, respond


class Refusal(NamedTuple):
    """What a client is told: the status of HTTP, a sentence for people, and fields that say what would be right.
    C{limit}: an operator hears of it as of a limit that was hit.
    """

    status: int
    reason: str
    fields: tuple[str, ...] = ()
    limit: bool = False


REFUSALS: Final = {
    "tls": Refusal(
        400, "This port speaks no TLS: connect to ws:// or http://, or give the gateway a certificate (tls_cert)."
    ),
    "characters": Refusal(
        400, "The head of the request has a control character in it, or a line that does not end with CR LF."
    ),
    "request_line": Refusal(400, "The first line is not a request line of HTTP, such as: GET / HTTP/1.1"),
    "query": Refusal(
        400,
        "A token doesn't belong in the URL, where logs show it: connect without a query string or a fragment, "
        "and send auth.authenticate.",
    ),
    "field_line": Refusal(400, "A line of the head is not a field of the form Name: value."),
    "field_twice": Refusal(
        400, "A field stands there twice that may be there once, such as Host, Origin or Sec-WebSocket-Key."
    ),
    "field_list": Refusal(400, "Connection, Upgrade or Sec-WebSocket-Extensions is not a list as HTTP defines it."),
    "host": Refusal(400, "Host is missing, or is not a name or an address with or without a port."),
    "body": Refusal(400, "The request has a body, by Content-Length or Transfer-Encoding: send none."),
    "connection": Refusal(400, "Connection does not say Upgrade. Behind nginx: proxy_set_header Connection upgrade"),
    "version": Refusal(400, "Sec-WebSocket-Version must be 13.", ("Sec-WebSocket-Version: 13",)),
    "key": Refusal(400, "Sec-WebSocket-Key must be 16 bytes in base64."),
    "subprotocols": Refusal(400, "Sec-WebSocket-Protocol must list different names, 32 at most."),
    "extensions": Refusal(400, "Sec-WebSocket-Extensions offers compression with parameters that it can't have."),
    "allowed_hosts": Refusal(
        403, "The gateway is not called by the name in Host. Its operator lists its names in allowed_hosts.", limit=True
    ),
    "allowed_origins": Refusal(
        403,
        "Pages of this origin may not connect. The gateway's operator lists those that may in allowed_origins.",
        limit=True,
    ),
    "path": Refusal(
        404, "There is no gateway at this path: connect to / or /ws, or to the path that its operator has set."
    ),
    "method": Refusal(405, "The method must be GET.", ("Allow: GET, HEAD",)),
    "no_upgrade": Refusal(
        426,
        "This is a WebSocket gateway, and the request has no Upgrade: websocket. Use a WebSocket client. Behind nginx: "
        "proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade, proxy_set_header Connection upgrade",
        ("Upgrade: websocket",),
    ),
    "head_size": Refusal(
        431,
        "The head of the request is too long: send less, such as fewer cookies. Its operator may raise max_head_size.",
    ),
    "head_fields": Refusal(431, "The request has more than 64 fields: send fewer."),
    "max_connections": Refusal(
        503, "The gateway has as many connections as it may: come back in a second.", ("Retry-After: 1",), limit=True
    ),
    "unauthenticated": Refusal(
        503, "Too many connections have not authenticated yet: come back in a second.", ("Retry-After: 1",), limit=True
    ),
    "http_version": Refusal(505, "The version must be HTTP/1.1. Behind nginx: proxy_http_version 1.1"),
}
"""All causes, by name, in the order of their statuses."""

_RESPONSES: Final[dict[str, Response]] = {
    cause: respond(refusal.status, refusal.reason + "\n", *refusal.fields) for cause, refusal in REFUSALS.items()
}


class Refused(Exception):
    """A request becomes no connection.

    @param cause: one of L{REFUSALS}.
    @ivar forwarded: for whom proxies passed the request on, as far as it was read.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.forwarded: list[str] = []

    @property
    def response(self) -> Response:
        """What the client is told; it holds nothing that the client has sent."""
        return _RESPONSES[self.cause]
