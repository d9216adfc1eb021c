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
from cell0gw.rpc.openrpc import Description
from cell0gw.sessions.session import Caller


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Name, version and capabilities of the gateway.

    - `name`: of the gateway
    - `version`: as in `cell0-1.0.0`
    - `jsonrpc_version`: `"2.0"`
    - `capabilities`: as in `connection.welcome`, see docs/protocol.md#capabilities-of-the-gateway
    - `timestamp`: the gateway's time
    """

    name: str
    version: str
    jsonrpc_version: str
    capabilities: tuple[str, ...]
    timestamp: str


class RPCService(Service):
    """The built-in methods, open to anyone.

    @param methods: gives every method there is.
    @param description: describes them.
    """

    name = "rpc"

    def __init__(
        self, wall: Callable[[], float], methods: Callable[[], Iterable[Method]], description: Description
    ) -> None:
        self._wall = wall
        self._methods = methods
        self._description = description

    @anyone
    def rpc_ping(self, caller: Caller) -> str:
        """Ping the server.

        - `result`: `"pong"`
        """
        return "pong"

    @anyone
    def rpc_echo(self, caller: Caller, *, message: Raw) -> Raw:
        """Echo a message back unchanged.

        - `message`: what to send back
        - `result`: the message, as it was written
        """
        return message

    @anyone
    def rpc_listMethods(self, caller: Caller) -> list[str]:
        """List the names of all methods.

        - `result`: the names, in alphabetical order
        """
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
        """Get this OpenRPC document, which describes every method and notification.

        Notifications are among the methods, with `"x-direction": "server-to-client"`, and so is the request
        `agent.invoke`.

        - `result`: an OpenRPC 1.3.2 document
        """
        return self._description.read()
