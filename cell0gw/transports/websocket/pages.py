"""What the port answers to requests that ask for no WebSocket: how the gateway is, and a page for people."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html import escape
from importlib.metadata import PackageNotFoundError, metadata
from importlib.resources import files
from string import Template
from typing import Final

from cell0gw import __version__
from cell0gw.monitoring.health import Health, HealthStatus
from cell0gw.transports.websocket.handshake import PageRequest
from cell0gw.transports.websocket.responses import HTML, Response, respond

_STYLE: Final = re.compile("<style>(.*?)</style>", re.DOTALL)

_HEALTH: Final[dict[HealthStatus, Response]] = {
    "ok": respond(200, "ok\n", "Cache-Control: no-store"),
    "degraded": respond(503, "degraded\n", "Cache-Control: no-store"),
    "draining": respond(503, "draining\n", "Cache-Control: no-store"),
}


class Pages:
    """Answers requests by HTTP. Nobody has to authenticate for that, so the answers are constant.

    @param health: knows how the gateway is.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._front = front_page()

    def response(self, request: PageRequest) -> bytes:
        """The whole response to a request."""
        return (_HEALTH[self._health.for_clients] if request.health else self._front).to(request.bodiless)


@cache
def front_page() -> Response:
    """The page for people who open the gateway's address in a browser, read from its file.

    It has no script. Its policy lets a browser load nothing, and connect to the gateway only: what is typed into the
    page's developer console can do that.
    """
    template = files(__package__).joinpath("page.html").read_text("utf-8")
    page = Template(template).substitute(version=escape(__version__), documentation=_link(documentation()))
    styles = [b64encode(sha256(style.encode()).digest()).decode() for style in _STYLE.findall(page)]
    hashes = " ".join(f"'sha256-{style}'" for style in styles)
    return respond(
        200,
        page,
        f"Content-Security-Policy: default-src 'none'; style-src {hashes}; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "Referrer-Policy: no-referrer",
        "Cache-Control: no-store",
        "Vary: Accept, Upgrade",
        kind=HTML,
    )


def documentation() -> str | None:
    """Where the documentation is, by the metadata of the package; None: it has not been installed."""
    try:
        urls = metadata("cell0gw").get_all("Project-URL") or []
    except PackageNotFoundError:
        return None
    return dict(url.split(", ", 1) for url in urls).get("Documentation")


def _link(url: str | None) -> str:
    return "the folder docs of the source" if url is None else f'<a href="{escape(url)}">{escape(url)}</a>'
