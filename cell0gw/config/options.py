"""The options: what each is called, what it may be, and where its value comes from.

A flag wins over an environment variable, that over the configuration file, that over the default.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from cell0gw.channels.rules import ChannelOptions, ChannelRule
from cell0gw.config.file import ConfigError, read_file, read_rules
from cell0gw.config.links import without_links
from cell0gw.config.parsers import truth
from cell0gw.config.table import OPTIONS, Option
from cell0gw.process.descriptors import open_file_limit
from cell0gw.protocol.limits import MAX_HEAD_SIZE, MIB, Limits, MailLimits

LIMITS: Final = Limits()
"""The defaults of what limits peers: they are written in L{Limits}, whose schema shows them to clients."""

SPARE_DESCRIPTORS: Final = 128
"""File descriptors reserved for everything but connections."""

MAX_TYPOS: Final = 3
"""Maximum letters in which a variable differs from one that it may be meant to be."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Every option with its default. Durations are seconds, sizes bytes.

    C{listen}: server endpoints, as Twisted describes them; None: C{host} and C{port}. C{tls_cert} None: no TLS;
    C{tls_key} None: the key is in the file of the certificate; C{tls_key_passphrase_file}: a file with the key's pass
    phrase, if it has one. C{state_dir} None: nothing is kept on disk beyond the process. C{path} None: C{/} and
    C{/ws}. C{public_url} None: what clients call the gateway. C{admin_token}: an operator's own.
    """

    host: str = "0.0.0.0"
    port: int = 18801
    state_dir: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_key_passphrase_file: Path | None = None
    listen: tuple[str, ...] | None = None
    trusted_proxies: tuple[str, ...] = ()
    proxy_protocol: bool = False
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    path: str | None = None
    public_url: str | None = None
    max_head_size: int = MAX_HEAD_SIZE
    heartbeat_interval: float = 30.0
    heartbeat_timeout: float = 60.0
    auth_timeout: float = LIMITS.auth_timeout
    drain_timeout: float = 10.0
    drain_accept: float = 0.0
    max_connections: int | None = None
    max_connections_per_entity: int | None = None
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
    total_inbound_limit: int = LIMITS.total_inbound_limit
    resume_window: float = 120.0
    idempotency_window: float = 300.0
    history_bytes: int = 4 * MIB
    total_history_bytes: int = 64 * MIB
    max_database_size: int = 4096 * MIB
    mail_ttl: float = 7 * 86_400.0
    mailbox_messages: int = 1000
    mailbox_bytes: int = 8 * MIB
    sender_messages: int = 10_000
    total_mailbox_bytes: int = 1024 * MIB
    dead_letter_bytes: int = 256 * MIB
    max_attempts: int = 5
    max_hops: int = 100
    conversation_rate: int = 600
    channels: tuple[ChannelRule, ...] = ()
    enable_compression: bool = True
    anonymous_reads: bool = True
    check_inputs: bool = False
    admin_token: str | None = None
    log_format: str = "text"
    log_level: str = "info"

    @property
    def limits(self) -> Limits:
        """The part that limits what peers may do."""
        chosen = {name: getattr(self, name) for name in Limits.__struct_fields__ if hasattr(self, name)}
        most = chosen["max_connections"] = self.max_connections or (open_file_limit() - SPARE_DESCRIPTORS)
        if self.max_connections_per_entity is None:
            chosen["max_connections_per_entity"] = (most + 1) // 2
        return Limits(**chosen)

    @property
    def channel_options(self) -> ChannelOptions:
        """The part that is about channels."""
        return ChannelOptions(**{name: getattr(self, name) for name in ChannelOptions.__struct_fields__})

    @property
    def mail_limits(self) -> MailLimits:
        """The part that limits mail, and conversations. Half of the database is not for mail."""
        chosen = {name: getattr(self, name) for name in MailLimits.__struct_fields__}
        chosen["total_mailbox_bytes"] = min(self.total_mailbox_bytes, self.max_database_size // 2)
        return MailLimits(**chosen)

    @property
    def database_bounds(self) -> tuple[int, int]:
        """To how many bytes durable messages may fill the database, and how many of it dead letters may have."""
        return self.max_database_size, self.dead_letter_bytes


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
    environment = without_links(environment)
    # Only the value that wins is judged: one that a flag replaces may be anything.
    chosen: dict[str, tuple[Option, Any, str]] = {}
    options, rules = ({}, []) if config_file is None else read_file(config_file)
    for name, value in options.items():
        if name not in _BY_NAME:
            raise ConfigError(f"{name} in {config_file}: there is no such option")
        option = _BY_NAME[name]
        chosen[name] = (option._replace(parse=truth) if option.switch else option, value, f"in {config_file}")
    for option in OPTIONS:
        if environment.get(option.variable):  # one set to nothing is as good as none
            chosen[option.name] = (option, environment[option.variable], f"from {option.variable}")
    values: dict[str, Any] = {"channels": read_rules(rules, f"in {config_file}")}
    for name, value in given.items():
        if name == "channels":
            if value is not None:
                values[name] = read_rules(value, "from the keyword channels")
            continue
        if name not in _BY_NAME:
            raise ConfigError(f"{name}: there is no such option")
        if value is not None:
            chosen[name] = (_BY_NAME[name], value, f"from {spelling(_BY_NAME[name])}")
    values |= {name: _parse(*choice) for name, choice in chosen.items()}
    if "state_dir" not in values:
        values["state_dir"] = default_state_dir(environment)
    config = Config(**values)
    _judge_together(config)
    return config, _warnings(environment)


def _judge_together(config: Config) -> None:
    """
    @raise ConfigError: options don't go together.
    """
    if config.heartbeat_timeout <= config.heartbeat_interval:
        raise ConfigError(
            f"heartbeat_timeout ({config.heartbeat_timeout:g} s) must be longer than heartbeat_interval "
            f"({config.heartbeat_interval:g} s): a client that answers each heartbeat would be closed"
        )
    if config.drain_accept >= config.drain_timeout:
        raise ConfigError(
            f"drain_accept ({config.drain_accept:g} s) must be shorter than drain_timeout "
            f"({config.drain_timeout:g} s), when every connection is cut off"
        )
    if config.proxy_protocol and not config.trusted_proxies:
        raise ConfigError("proxy_protocol needs to know whose headers are believed: set trusted_proxies, too")
    if config.check_inputs and importlib.util.find_spec("jsonschema_rs") is None:
        raise ConfigError("check_inputs needs the package jsonschema-rs: pip install 'cell0gw[schemas]'")
    for name in ("tls_key", "tls_key_passphrase_file"):
        if getattr(config, name) is not None and config.tls_cert is None:
            raise ConfigError(f"{name} needs the certificate it belongs to: set tls_cert, too")


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
    """What is said of variables that look like options and are none. Other parts of Cell 0 OS have theirs, too."""
    known = [*(option.variable for option in OPTIONS), "CELL0_GATEWAY_CONFIG"]
    warnings = []
    for name in sorted(name for name in environment if name.startswith("CELL0_") and name not in known):
        option = _BY_NAME.get(name.removeprefix("CELL0_GATEWAY_").lower())
        meant = next((other for other in known if _is_like(name, other)), None) if option is None else option.variable
        if meant is not None or name.startswith("CELL0_GATEWAY_"):
            hint = "" if meant is None else f"; did you mean {meant}?"
            warnings.append(f"the environment variable {name} means nothing to this gateway{hint}")
    return warnings


def _is_like(name: str, other: str) -> bool:
    """Whether there are few letters that only one of them has."""
    if abs(len(name) - len(other)) > MAX_TYPOS:
        return False
    blocks = difflib.SequenceMatcher(None, name, other, autojunk=False).get_matching_blocks()
    return len(name) + len(other) - 2 * sum(block.size for block in blocks) <= MAX_TYPOS
