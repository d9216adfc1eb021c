"""The links of invites: where they lead."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from cell0gw.config.options import Config
from cell0gw.sessions.client import Reached

_PORTS: Final = {True: 443, False: 80}
"""The port of a URL that names none, by whether it is over TLS."""

_EVERY: Final = ("0.0.0.0", "::")
"""Addresses to listen on that nobody connects to."""


def invite_link(config: Config, reached: Reached | None, invite: str) -> str:
    """The link of an invite, C{cell0://host:port/path#invite=...&tls=1&sha256=...}, see docs/protocol.md.

    @param reached: how its creator reached the gateway, which goes for others as well unless the operator has set
        C{public_url}; None: that is not known.
    @param invite: the secret of the invite.
    """
    if config.public_url is not None:
        url = urlsplit(config.public_url)
        host, tls, path = url.netloc, url.scheme == "wss", url.path or "/"
    elif reached is not None:
        host, tls, path = reached.host, reached.tls, config.path or "/"
    else:
        name = "localhost" if config.host in _EVERY else config.host
        name = f"[{name}]" if ":" in name else name
        host, tls, path = f"{name}:{config.port}", config.tls_cert is not None, config.path or "/"
    if host.endswith("]") or ":" not in host:
        host = f"{host}:{_PORTS[tls]}"
    fingerprint = reached.fingerprint if tls and reached is not None else None
    pin = "" if fingerprint is None else f"&sha256={fingerprint}"
    return f"cell0://{host}{path}#invite={invite}&tls={int(tls)}{pin}"
