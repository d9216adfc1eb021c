"""Where peers come from: one spelling for each, and what proxies say of those behind them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from cell0gw.sessions.client import ClientAddress

LOCAL: Final = "local"
"""The address of all who connect by a unix socket, and so have none."""

SITE: Final = 64
"""Bits of the IPv6 prefix that one subscriber has, and so may choose addresses from at will."""

Network = IPv4Network | IPv6Network


@lru_cache(maxsize=1024)
def source(host: str | None) -> str:
    """What limits by address count under: an address of IPv4, or a network of IPv6.

    IPv4 that is written as IPv6 is the same peer.

    @param host: an address; None or anything else is L{LOCAL}.
    """
    address = _address(host or "")
    if address is None:
        return LOCAL
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, SITE), strict=False))


def network(text: str) -> Network | str:
    """A network, an address as the network of itself, or L{LOCAL}.

    @raise ValueError: it is none of them.
    """
    return LOCAL if text == LOCAL else ip_network(text)


def behind(host: str | None, forwarded: Iterable[str], trusted: Iterable[Network | str]) -> str | None:
    """The client behind some proxies: the last of the addresses in the chain that is not a trusted proxy's.

    What a trusted proxy did not write itself, anybody could have: hence from the right.

    @param host: the peer's own address.
    @param forwarded: the addresses in X-Forwarded-For, in order.
    @param trusted: the proxies, see L{network}.
    @return: an address; the peer's own, if it is not trusted or says nothing that can be one.
    """
    trusted = list(trusted)
    for said in reversed(list(forwarded)):
        if not is_among(host, trusted):
            break
        address = _address(_without_port(said))
        if address is None:
            break
        host = str(address)
    return host


def _without_port(text: str) -> str:
    """Some proxies write C{192.0.2.1:50000} or C{[2001:db8::1]:50000}."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def client_address(peer: str, forwarded: str | None, relay: str | None = None) -> ClientAddress:
    """Where a client connects from.

    @param peer: the other end of its socket, or who has connected to the proxy by the PROXY protocol: a host and a
        port, a colon between them.
    @param forwarded: for whom a trusted proxy opened the connection; None: there is no proxy, or it did not say.
    @param relay: the proxy that spoke the PROXY protocol, written as C{peer}; None: none did.
    """
    address, peer = _read_peer(peer)
    if forwarded is not None:
        return ClientAddress(forwarded, forwarded, peer)
    return ClientAddress(LOCAL if address is None else str(address), peer, relay and _read_peer(relay)[1])


def _read_peer(peer: str) -> tuple[IPv4Address | IPv6Address | None, str]:
    """Its address, and itself in one spelling."""
    host, _, port = peer.rpartition(":")
    address = _peer_address(host)
    if address is None:
        return None, peer
    return address, f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"


def is_among(host: str | None, networks: Iterable[Network | str]) -> bool:
    """Whether an address is in one of some networks, see L{network}."""
    address = _address(host or "")
    if address is None:
        return LOCAL in set(networks)
    return any(not isinstance(network, str) and address in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])  # IPv6 may name an interface
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


_peer_address = lru_cache(maxsize=1024)(_address)
"""For the addresses of sockets, which are short; a header can say anything."""
