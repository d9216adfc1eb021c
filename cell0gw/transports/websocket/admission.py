"""Admission of connections: by the origins of pages, the names of the gateway, and the limits by address."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cell0gw.guard.addresses import behind, is_among, network, source
from cell0gw.guard.connections import Connections
from cell0gw.protocol.origins import Origin, read_origin, without_port
from cell0gw.transports.websocket.handshake import Refused, UpgradeRequest


class Admission:
    """Judges requests that are well-formed.

    @param limit_exceeded: called with the name of a limit that was exceeded, and by whom.
    """

    def __init__(self, connections: Connections, limit_exceeded: Callable[[str, str], None]) -> None:
        self._connections = connections
        self._limit_exceeded = limit_exceeded
        self.allow((), (), ())

    def allow(self, origins: Iterable[str], hosts: Iterable[str], proxies: Iterable[str]) -> None:
        """Set the rules of admission from now on.

        @param origins: those of the pages that may connect; none: any may.
        @param hosts: what this gateway is called, by one port or, where none is named, by any; none: anything.
        @param proxies: the proxies whose X-Forwarded-For is trusted.
        """
        self._origins: set[Origin | None] = {read_origin(origin) for origin in origins}
        self._hosts = set(hosts)
        self._proxies = [network(proxy) for proxy in proxies]

    def source(self, address: Any) -> str | None:
        """Where a socket comes from, for the limits by address; None: a proxy will say.

        @param address: of the peer, as Twisted has it.
        """
        host = getattr(address, "host", None)
        return None if self._proxies and is_among(host, self._proxies) else source(host)

    def admit(self, connection: Any, request: UpgradeRequest) -> bool:
        """Let a request become a connection.

        @return: whether it is a page's whose site is not listed.
        @raise Refused: it may not.
        """
        connections = self._connections
        if not connection.address:
            peer = getattr(connection.transport.getPeer(), "host", None)
            client = behind(peer, request.forwarded, self._proxies)
            address = source(client)
            connection.forwarded = None if client == peer else client
            if not connections.free_capacity(address):
                raise Refused(503, "Retry-After: 1")
            connections.comes_from(connection, address)
        if connections.is_full:
            self._limit_exceeded("max_connections", connection.address)
            raise Refused(503, "Retry-After: 1")
        if self._hosts and request.host not in self._hosts and without_port(request.host) not in self._hosts:
            self._limit_exceeded("allowed_hosts", f"{connection.address}, which asked for {request.host}")
            raise Refused(403)
        listed = request.origin is not None and read_origin(request.origin) in self._origins
        if self._origins and request.origin is not None and not listed:
            self._limit_exceeded("allowed_origins", f"{connection.address}, a page of {request.origin}")
            raise Refused(403)
        return request.origin is not None and not listed
