"""Where a client connects from, and how it reached the gateway."""

from __future__ import annotations

from typing import NamedTuple


class ClientAddress(NamedTuple):
    """Where a client connects from, as the log and the audit log show it.

    @ivar address: its IP address, or C{local} for a Unix socket.
    @ivar peer: the same with the port, C{203.0.113.5:50000}, or C{unix:} and the id of its process; if a proxy reported
        the address, that alone.
    @ivar proxy: the proxy that did, spelled as C{peer} is; None: there is none.
    """

    address: str
    peer: str
    proxy: str | None = None


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
