"""What of the options can change while a gateway runs: one table, and whoever reads them again looks here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from cell0gw.app.gateway import Gateway
from cell0gw.config.options import Config
from cell0gw.protocol.limits import Limits


class Reconfigured(NamedTuple):
    """What came of other options, by name: C{changed} hold now, C{waiting} once the gateway is started again."""

    changed: list[str]
    waiting: list[str]


def reconfigure(gateway: Gateway, config: Config) -> Reconfigured:
    """Let a gateway that is composed take over other options, as far as it can.

    Whoever calls this has seen to the certificates already, and to the log's level.
    """
    before = gateway.config
    differing = [name for name in Config.__struct_fields__ if getattr(before, name) != getattr(config, name)]
    fixed = {"tls_cert", "tls_key"} if None in (before.tls_cert, config.tls_cert) else set()
    changed = [name for name in differing if name in LIVE and name not in fixed]
    gateway.config = msgspec.structs.replace(before, **{name: getattr(config, name) for name in changed})
    for apply in dict.fromkeys(LIVE[name] for name in changed):
        apply(gateway)
    return Reconfigured(changed, [name for name in differing if name not in changed])


def _limits(gateway: Gateway) -> None:
    gateway.guard.limits.change(gateway.config.limits)


def _who_may_come(gateway: Gateway) -> None:
    config = gateway.config
    gateway.factory.admission.allow(config.allowed_origins, config.allowed_hosts, config.trusted_proxies)


def _anonymous_reads(gateway: Gateway) -> None:
    gateway.rpc.dispatcher.anonymous_reads = gateway.config.anonymous_reads


def _rules(gateway: Gateway) -> None:
    gateway.channels.follow(gateway.config.channels)


def _nothing(gateway: Gateway) -> None:
    """It is looked up when it is needed, or by others."""


LIVE: Final[dict[str, Callable[[Gateway], None]]] = {
    **{name: _limits for name in Limits.__struct_fields__ if name in Config.__struct_fields__},
    **dict.fromkeys(("allowed_origins", "allowed_hosts", "trusted_proxies"), _who_may_come),
    "anonymous_reads": _anonymous_reads,
    "channels": _rules,
    **dict.fromkeys(("drain_timeout", "log_level", "tls_cert", "tls_key"), _nothing),
}
"""The options that can change, each with what makes it so."""
