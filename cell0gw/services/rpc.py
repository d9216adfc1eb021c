"""``rpc``: the gateway about itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Raw
from twisted.application.service import Service

from cell0gw.protocol.jsonrpc import VERSION
from cell0gw.protocol.timestamps import timestamp
from cell0gw.protocol.version import CAPABILITIES, NAME, SERVER_VERSION
from cell0gw.rpc.access import anyone
from cell0gw.rpc.methods import Method
from cell0gw.rpc.openrpc import document
from cell0gw.sessions.session import Caller


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Name, version and capabilities of the gateway."""

    name: str
    version: str
    jsonrpc_version: str
    capabilities: tuple[str, ...]
    timestamp: str


class RPCService(Service):
    """The built-in methods, open to anyone.

    @param methods: gives every method there is.
    """

    name = "rpc"

    def __init__(self, wall: Callable[[], float], methods: Callable[[], Iterable[Method]]) -> None:
        self._wall = wall
        self._methods = methods
        self._described: list[Method] = []
        self._document = Raw()

    @anyone
    def rpc_ping(self, caller: Caller) -> str:
        """Ping the server."""
        return "pong"

    @anyone
    def rpc_echo(self, caller: Caller, *, message: Raw) -> Raw:
        """Echo a message back unchanged."""
        return message

    @anyone
    def rpc_listMethods(self, caller: Caller) -> list[str]:
        """List the names of all methods."""
        return sorted(method.name for method in self._methods())

    @anyone
    def rpc_getServerInfo(self, caller: Caller) -> ServerInfo:
        """Get name, version and capabilities of the gateway."""
        return ServerInfo(
            name=NAME,
            version=SERVER_VERSION,
            jsonrpc_version=VERSION,
            capabilities=CAPABILITIES,
            timestamp=timestamp(self._wall()),
        )

    @anyone
    def rpc_discover(self, caller: Caller) -> Raw:
        """Get this OpenRPC document, which describes every method and notification."""
        methods = list(self._methods())
        if methods != self._described:  # writing it takes as long as a thousand calls
            self._document = Raw(msgspec.json.encode(document(methods, SERVER_VERSION)))
            self._described = methods
        return self._document
