"""Service links: variables that Kubernetes and Docker put into the environment of each container, for services that may
be called as the gateway is. Those of a service C{cell0-gateway} begin as the gateway's own do, and one is C{PORT}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_PREFIX: Final = "CELL0_"

_HOST: Final = re.compile(r"(?P<service>.+)_SERVICE_HOST\Z").match
_PORT: Final = re.compile(r"(?P<service>.+)_PORT_[0-9]+_(TCP|UDP|SCTP)\Z").match
_URL: Final = re.compile(r"(tcp|udp|sctp)://").match
_OF_SERVICE: Final = re.compile(
    r"_SERVICE_(HOST|PORT(_\w+)?)\Z|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?\Z"
).match
_OF_CONTAINER: Final = re.compile(r"_ENV_\w+\Z").match
"""What Docker repeats of the environment of a container that is linked to; it has C{_NAME}, too."""


def service_links(environment: Mapping[str, str]) -> list[str]:
    """The names of the variables that are service links, and so no options, in alphabetical order.

    @param environment: as L{os.environ}.
    """
    names = [name for name in sorted(environment) if name.startswith(_PREFIX)]
    services = {match["service"] for name in names if (match := _HOST(name) or _PORT(name)) is not None}
    return [name for name in names if any(_is_link(name, environment[name], service) for service in services)]


def _is_link(name: str, value: str, service: str) -> bool:
    if not name.startswith(service):
        return False
    rest = name.removeprefix(service)
    if rest == "_PORT":
        return _URL(value) is not None
    if rest == "_NAME":
        return value.startswith("/")
    return bool(_OF_SERVICE(rest) or _OF_CONTAINER(rest))


def without_links(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment as it is without them."""
    links = set(service_links(environment))
    return {name: value for name, value in environment.items() if name not in links}


def told(environment: Mapping[str, str]) -> str | None:
    """A line about them; None: there are none."""
    links = service_links(environment)
    if not links:
        return None
    named = ", ".join(links[:3]) + (", ..." if len(links) > 3 else "")
    return f"{len(links)} variables are service links of Kubernetes or Docker, and no options: {named}"
