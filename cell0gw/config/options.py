"""The options: what each is called, what it may be, and where its value comes from.

A flag wins over an environment variable, that over the configuration file, that over the default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from cell0gw.channels.rules import ChannelOptions, ChannelRule
from cell0gw.config.file import ConfigError, read_file, read_rules
from cell0gw.config.table import OPTIONS, Option
from cell0gw.process.descriptors import open_file_limit
from cell0gw.protocol.limits import MIB, Limits, MailLimits

LIMITS: Final = Limits()
"""The defaults of what limits peers: they are written in L{Limits}, whose schema shows them to clients."""

SPARE_DESCRIPTORS: Final = 128
"""File descriptors reserved for everything but connections."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Every option with its default. Durations are seconds, sizes bytes.

    C{listen}: server endpoints, as Twisted describes them; None: C{host} and C{port}. C{tls_cert} None: no TLS;
    C{tls_key} None: the key is in the file of the certificate. C{state_dir} None: nothing is kept on disk beyond the
    process. C{admin_token}: an operator's own.
    """

    host: str = "0.0.0.0"
    port: int = 18801
    state_dir: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    listen: tuple[str, ...] | None = None
    trusted_proxies: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    heartbeat_interval: float = 30.0
    heartbeat_timeout: float = 60.0
    auth_timeout: float = LIMITS.auth_timeout
    drain_timeout: float = 10.0
    max_connections: int | None = None
    max_connections_per_address: int = LIMITS.max_connections_per_address
    max_unauthenticated: int = LIMITS.max_unauthenticated
    max_unauthenticated_per_address: int = LIMITS.max_unauthenticated_per_address
    max_message_size: int = LIMITS.max_message_size
    max_batch: int = LIMITS.max_batch
    max_subscriptions: int = LIMITS.max_subscriptions
    max_in_flight: int = LIMITS.max_in_flight
    calls_per_second: int = LIMITS.calls_per_second
    calls_burst: int = LIMITS.calls_burst
    entity_calls_per_second: int = LIMITS.entity_calls_per_second
    entity_calls_burst: int = LIMITS.entity_calls_burst
    max_errors: int = LIMITS.max_errors
    outbound_limit: int = LIMITS.outbound_limit
    total_outbound_limit: int = LIMITS.total_outbound_limit
    resume_window: float = 120.0
    idempotency_window: float = 300.0
    history_bytes: int = 4 * MIB
    total_history_bytes: int = 256 * MIB
    max_database_size: int = 4096 * MIB
    mail_ttl: float = 7 * 86_400.0
    mailbox_messages: int = 1000
    mailbox_bytes: int = 8 * MIB
    sender_messages: int = 10_000
    total_mailbox_bytes: int = 1024 * MIB
    max_hops: int = 100
    conversation_rate: int = 600
    channels: tuple[ChannelRule, ...] = ()
    enable_compression: bool = True
    anonymous_reads: bool = True
    admin_token: str | None = None
    log_format: str = "text"
    log_level: str = "info"

    @property
    def limits(self) -> Limits:
        """The part that limits what peers may do."""
        chosen = {name: getattr(self, name) for name in Limits.__struct_fields__ if hasattr(self, name)}
        return Limits(**(chosen | {"max_connections": self.max_connections or (open_file_limit() - SPARE_DESCRIPTORS)}))

    @property
    def channel_options(self) -> ChannelOptions:
        """The part that is about channels."""
        return ChannelOptions(**{name: getattr(self, name) for name in ChannelOptions.__struct_fields__})

    @property
    def mail_limits(self) -> MailLimits:
        """The part that limits mail, and conversations."""
        return MailLimits(**{name: getattr(self, name) for name in MailLimits.__struct_fields__})


_BY_NAME: Final = {option.name: option for option in OPTIONS}


def load(
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    config_file: Path | None = None,
    spelling: Callable[[Option], str] = lambda option: f"--{option.flag}",
) -> tuple[Config, list[str]]:
    """Put the options together.

    @param given: values by option name, as given on the command line or as keywords; None: not given.
    @param environment: as L{os.environ}.
    @param config_file: a TOML file whose C{[gateway]} table holds options by name.
    @param spelling: how an option was given, for messages.
    @return: the options, and warnings for the log.
    @raise ConfigError: a value can't be, or a key is unknown.
    """
    values: dict[str, Any] = {}
    options, rules = ({}, []) if config_file is None else read_file(config_file)
    for name, value in options.items():
        if name not in _BY_NAME:
            raise ConfigError(f"{name} in {config_file}: there is no such option")
        values[name] = _parse(_BY_NAME[name], value, f"in {config_file}")
    for option in OPTIONS:
        if environment.get(option.variable):  # one set to nothing is as good as none
            values[option.name] = _parse(option, environment[option.variable], f"from {option.variable}")
    values["channels"] = read_rules(rules, f"in {config_file}")
    for name, value in given.items():
        if name == "channels":
            if value is not None:
                values[name] = read_rules(value, "from the keyword channels")
            continue
        if name not in _BY_NAME:
            raise ConfigError(f"{name}: there is no such option")
        if value is not None:
            values[name] = _parse(_BY_NAME[name], value, f"from {spelling(_BY_NAME[name])}")
    if "state_dir" not in values:
        values["state_dir"] = default_state_dir(environment)
    config = Config(**values)
    if config.heartbeat_timeout <= config.heartbeat_interval:
        raise ConfigError(
            f"heartbeat_timeout ({config.heartbeat_timeout:g} s) must be longer than heartbeat_interval "
            f"({config.heartbeat_interval:g} s): a client that answers each heartbeat would be closed"
        )
    if config.tls_key is not None and config.tls_cert is None:
        raise ConfigError("tls_key needs the certificate it belongs to: set tls_cert, too")
    return config, _warnings(environment)


def default_state_dir(environment: Mapping[str, str]) -> Path:
    """Where state is kept unless told otherwise: systemd's folder, or the user's own.

    @raise ConfigError: the user has no home.
    """
    if environment.get("STATE_DIRECTORY"):
        return Path(environment["STATE_DIRECTORY"].split(":")[0])
    # By the specification of XDG's folders a relative one is to be ignored.
    if os.path.isabs(environment.get("XDG_STATE_HOME", "")):
        return Path(environment["XDG_STATE_HOME"]) / "cell0gw"
    home = environment.get("HOME") or os.path.expanduser("~")
    if not os.path.isabs(home):
        raise ConfigError("state_dir: there is no home to keep it in; choose a folder with --state-dir")
    return Path(home, ".local", "state", "cell0gw")


def _parse(option: Option, value: Any, source: str) -> Any:
    try:
        return option.parse(value)
    except ValueError as problem:
        got = "" if option.secret else f", got {value!r:.100}"
        raise ConfigError(f"{option.name} {source}: {problem}{got}") from None


def _warnings(environment: Mapping[str, str]) -> list[str]:
    known = {option.variable for option in OPTIONS} | {"CELL0_GATEWAY_CONFIG"}
    return [
        f"the environment variable {name} means nothing to this gateway"
        for name in sorted(environment)
        if name.startswith("CELL0_GATEWAY_") and name not in known
    ]
