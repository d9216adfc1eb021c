"""What of the options can change while a gateway runs."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from cell0gw.config.options import Config
from cell0gw.protocol.limits import Limits

LIVE: Final = frozenset(name for name in Limits.__struct_fields__ if name in Config.__struct_fields__) | {
    "allowed_hosts", "allowed_origins", "anonymous_reads", "channels", "drain_accept", "drain_timeout", "log_level",
    "max_head_size", "path", "public_url", "tls_cert", "tls_key", "tls_key_passphrase_file", "trusted_proxies",
}  # fmt: skip
"""The options that can change. What takes them over is an L{cell0gw.process.interfaces.IReconfigurable}, or looks them
up when they are needed.
"""


class Reconfigured(NamedTuple):
    """What came of other options, by name: C{changed} hold now, C{waiting} once the gateway is started again."""

    changed: list[str]
    waiting: list[str]


def merge(before: Config, wanted: Config) -> tuple[Config, Reconfigured]:
    """The options of a gateway that runs, with those in the place of others that can be.

    @param before: those that hold.
    @return: those that hold from now on, and which of the wanted ones are among them.
    """
    differing = [name for name in Config.__struct_fields__ if getattr(before, name) != getattr(wanted, name)]
    fixed = {"tls_cert", "tls_key", "tls_key_passphrase_file"} if None in (before.tls_cert, wanted.tls_cert) else set()
    changed = [name for name in differing if name in LIVE and name not in fixed]
    after = msgspec.structs.replace(before, **{name: getattr(wanted, name) for name in changed})
    return after, Reconfigured(changed, [name for name in differing if name not in changed])
