"""Admission of connections: by the origins of pages, the names of the gateway, and the limits by address."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cell0gw.guard.addresses import behind, is_among, network, source
from cell0gw.guard.connections import Connections
from cell0gw.protocol.origins import Origin, is_certain, is_own, read_origin, without_port
from cell0gw.transports.websocket.handshake import UpgradeRequest
from cell0gw.transports.websocket.refusals import Refused


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
        @param proxies: the proxies that are believed for whom they connect.
        """
        self._origins: set[Origin | None] = {read_origin(origin) for origin in origins}
        self._hosts = set(hosts)
        self._proxies = [network(proxy) for proxy in proxies]

    def source(self, address: Any) -> str | None:
        """Where a socket comes from, for the limits by address; None: a proxy will say.

        @param address: of the peer, as Twisted has it.
        """
        return None if self.is_proxy(address) else source(getattr(address, "host", None))

    def is_proxy(self, address: Any) -> bool:
        """Whether an address, as Twisted has it, is a trusted proxy's."""
        return bool(self._proxies) and is_among(getattr(address, "host", None), self._proxies)

    def admit(self, connection: Any, request: UpgradeRequest) -> bool:
        """Let a request become a connection.

        @return: whether it is a page's whose site is not listed.
        @raise Refused: it may not.
        """
        connections = self._connections
        if not connection.address:
            connection.forwarded = self.forwarded(connection, request.forwarded)
            address = source(connection.forwarded or _host(connection))
            if not connections.free_capacity(address):
                raise Refused("unauthenticated")
            connections.comes_from(connection, address)
        if connections.is_full:
            self._limit_exceeded("max_connections", connection.address)
            raise Refused("max_connections")
        self.judge_host(connection, request.host)
        if request.origin is None:
            return False
        origin = read_origin(request.origin)
        if origin is not None and origin in self._origins:
            return False
        if self._origins and not (origin is not None and self._is_own(origin, request.host)):
            self._limit_exceeded("allowed_origins", f"{connection.address}, a page of {request.origin}")
            raise Refused("allowed_origins")
        return True

    def _is_own(self, origin: Origin, host: str) -> bool:
        """Whether an origin is this gateway's, as that of a client is that names the host that it connects to.

        The page of a name that its owner has point here says the same, so the name must be one of the gateway's.
        """
        return is_own(origin, host) and (bool(self._hosts) or is_certain(host))

    def forwarded(self, connection: Any, clients: Iterable[str]) -> str | None:
        """For whom a trusted proxy opened a connection; None: there is no such proxy, or it did not say.

        @param clients: the addresses in X-Forwarded-For, in order.
        """
        peer = _host(connection)
        client = behind(peer, clients, self._proxies)
        return None if client == peer else client

    def judge_host(self, connection: Any, host: str) -> None:
        """Judge what a request calls the gateway.

        @param host: its Host field, in lower case.
        @raise Refused: the gateway is not called so.
        """
        if self._hosts and host not in self._hosts and without_port(host) not in self._hosts:
            self._limit_exceeded("allowed_hosts", f"{connection.address or 'a proxy'}, which asked for {host}")
            raise Refused("allowed_hosts")


def _host(connection: Any) -> str | None:
    return getattr(connection.transport.getPeer(), "host", None)
