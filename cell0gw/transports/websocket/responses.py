"""Responses of HTTP, for requests that become no connection. Each is the last thing that its socket is sent."""

from __future__ import annotations

from typing import Final, NamedTuple

_PHRASES: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    426: "Upgrade Required",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}

TEXT: Final = "text/plain; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"


class Response(NamedTuple):
    """A response in two parts: a request by HEAD gets the first one only (RFC 9110, section 9.3.2)."""

    head: bytes
    body: bytes

    def to(self, bodiless: bool) -> bytes:
        """All that is sent.

        @param bodiless: whether the request was made by HEAD.
        """
        return self.head if bodiless else self.head + self.body


def respond(status: int, body: str, *fields: str, kind: str = TEXT) -> Response:
    """Put a response together.

    @param fields: lines of its head beside those that all have; none holds anything that the peer has sent.
    @param kind: the media type of the body.
    """
    content = body.encode()
    # RFC 9110, section 7.8: Upgrade is a field of this connection only.
    connection = "close, Upgrade" if any(field.startswith("Upgrade:") for field in fields) else "close"
    lines = (
        f"HTTP/1.1 {status} {_PHRASES[status]}",
        f"Connection: {connection}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(content)}",
        "X-Content-Type-Options: nosniff",
        *fields,
    )
    return Response("\r\n".join((*lines, "", "")).encode(), content)
