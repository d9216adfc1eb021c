"""How clients reach the gateway."""

from __future__ import annotations

from typing import NamedTuple


class Reached(NamedTuple):
    """How a client reached the gateway.

    @ivar host: as what it called the gateway, in the field C{Host} of its request: in lower case, with a port or
        without.
    @ivar tls: whether the connection is over TLS, as the gateway sees it.
    @ivar fingerprint: the SHA-256 of the certificate that was shown to it, in hexadecimal, if that is self-signed; else
        None.
    """

    host: str
    tls: bool
    fingerprint: str | None
