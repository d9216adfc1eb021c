"""The options: what each is called, what it may be, and where its value comes from.

A flag wins over an environment variable, that over the configuration file, that over the default.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from cell0gw.channels.rules import ChannelOptions, ChannelRule
from cell0gw.config.file import ConfigError, read_file, read_rules
from cell0gw.config.parsers import (
    boolean,
    duration,
    host,
    integer,
    list_of,
    message_size,
    one_of,
    origin,
    path,
    positive_duration,
    proxy,
    size,
    text,
    texts,
    token,
    truth,
)
from cell0gw.process.descriptors import open_file_limit
from cell0gw.protocol.limits import MIB, Limits, MailLimits

LIMITS: Final = Limits()
"""The defaults of what limits peers: they are written in L{Limits}, whose schema shows them to clients."""

SPARE_DESCRIPTORS: Final = 128
"""File descriptors reserved for everything but connections."""


MAX_TYPOS: Final = 3
"""Maximum letters in which a variable differs from one that it may be meant to be."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Every option with its default. Durations are seconds, sizes bytes.

    C{listen}: server endpoints, as Twisted describes them; None: C{host} and C{port}. C{tls_cert} None: no TLS;
    C{tls_key} None: the key is in the file of the certificate. C{state_dir} None: nothing is kept on disk beyond the
    process. C{admin_token}: an operator's own.
    """

    host: str = "0.0.0.0"
    port: int = 18801
    listen: tuple[str, ...] | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    state_dir: Path | None = None
    heartbeat_interval: float = 30.0
    heartbeat_timeout: float = 60.0
    auth_timeout: float = LIMITS.auth_timeout
    drain_timeout: float = 10.0
    max_connections: int | None = None
    max_connections_per_address: int = LIMITS.max_connections_per_address
    max_unauthenticated: int = LIMITS.max_unauthenticated
    max_unauthenticated_per_address: int = LIMITS.max_unauthenticated_per_address
    trusted_proxies: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
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


class Option(NamedTuple):
    """One option: how its value is read, what it is for, and its environment variable."""

    name: str
    parse: Callable[[Any], Any]
    help: str
    variable: str
    secret: bool = False

    @property
    def default(self) -> str:
        """The default, for people."""
        value = getattr(Config(), self.name)
        if self.name == "state_dir":
            return "~/.local/state/cell0gw"
        return "none" if value is None else str(value)

    @property
    def switch(self) -> bool:
        """Whether it is on or off; its flag turns it off."""
        return self.parse is boolean

    @property
    def flag(self) -> str:
        """As on the command line, without the two dashes."""
        name = self.name.replace("_", "-")
        return f"no-{name.removeprefix('enable-')}" if self.switch else name


def _option(name: str, parse: Callable[[Any], Any], help: str, variable: str | None = None, **more: Any) -> Option:
    return Option(name, parse, help, variable or f"CELL0_GATEWAY_{name.upper()}", **more)


OPTIONS: Final = (
    _option("host", text, "The address to listen on."),
    _option("port", integer(0, 65535), "The port to listen on; 0 lets the system choose."),
    _option("listen", texts, "Endpoints to listen on instead, as in unix:/run/x.sock; spaces separate them."),
    _option("tls_cert", path, "A PEM file: the certificate to speak TLS with, and its chain."),
    _option("tls_key", path, "A PEM file: the certificate's key; it may be in the same file."),
    _option("state_dir", path, "The folder for tokens and whatever else must survive."),
    _option("heartbeat_interval", positive_duration, "Time between two heartbeats.", "CELL0_HEARTBEAT_INTERVAL"),
    _option(
        "heartbeat_timeout", positive_duration, "A silent connection is closed after this.", "CELL0_HEARTBEAT_TIMEOUT"
    ),
    _option("auth_timeout", duration, "A connection has this long to authenticate; 0: for ever."),
    _option("drain_timeout", positive_duration, "After SIGTERM connections have this long to go."),
    _option("max_connections", integer(1, 10_000_000), "How many connections there may be."),
    _option("max_connections_per_address", integer(0, 10_000_000), "How many from one address; 0: any number."),
    _option("max_unauthenticated", integer(0, 10_000_000), "How many of them strangers may have; 0: any number."),
    _option(
        "max_unauthenticated_per_address", integer(0, 10_000_000), "How many strangers of one address; 0: any number."
    ),
    _option("trusted_proxies", list_of(proxy), "Proxies whose X-Forwarded-For is believed: addresses, networks."),
    _option("allowed_origins", list_of(origin), "The sites whose pages may connect; not given: any."),
    _option("allowed_hosts", list_of(host), "The names this gateway is called by; not given: any."),
    _option("max_message_size", message_size, "The longest message."),
    _option("max_batch", integer(1, 10_000), "The longest batch."),
    _option("max_subscriptions", integer(1, 1_000_000), "How many channels one session may be subscribed to."),
    _option("max_in_flight", integer(1, 1_000_000), "So many requests of a connection wait for the disk at most."),
    _option("calls_per_second", integer(0, 10_000_000), "How many calls one connection may make; 0: any number."),
    _option("calls_burst", integer(1, 10_000_000), "How many calls one connection may make at once."),
    _option("entity_calls_per_second", integer(0, 10_000_000), "How many calls one entity may make; 0: any number."),
    _option("entity_calls_burst", integer(1, 10_000_000), "How many calls one entity may make at once."),
    _option("max_errors", integer(0, 1_000_000), "So many wrong requests of a connection in 10 s; 0: any number."),
    _option("outbound_limit", message_size, "So many bytes may wait for one connection to read them."),
    _option("total_outbound_limit", size, "So many bytes may wait for all connections together; 0: any number."),
    _option("resume_window", duration, "The place of a session whose connection broke is kept this long; 0: not."),
    _option("idempotency_window", positive_duration, "An idempotency key stands for its call this long."),
    _option("history_bytes", size, "How much of its history a channel holds in memory."),
    _option("total_history_bytes", size, "How much history all channels hold in memory together."),
    _option("max_database_size", size, "Beyond it the longest durable channels lose their oldest messages."),
    _option("mail_ttl", positive_duration, "A message waits this long for its recipient, unless its sender says else."),
    _option("mailbox_messages", integer(1, 1_000_000), "How many messages may wait for one recipient."),
    _option("mailbox_bytes", size, "How many bytes of messages may wait for one recipient."),
    _option("sender_messages", integer(1, 10_000_000), "How many messages of one sender may wait."),
    _option("total_mailbox_bytes", size, "How many bytes of messages may wait in all."),
    _option("max_hops", integer(0, 1_000_000), "So many replies may follow each other; 0: any number."),
    _option("conversation_rate", integer(0, 1_000_000), "So many replies a minute in one conversation; 0: any number."),
    _option("enable_compression", boolean, "Don't offer permessage-deflate."),
    _option("anonymous_reads", boolean, "Let only the authenticated see presence and agents."),
    _option("admin_token", token, "An admin token of your own.", secret=True),
    _option("log_format", one_of("text", "json"), "text, or json: one object a line."),
    _option("log_level", one_of("debug", "info", "warn", "error", "critical"), "The least important lines to log."),
)
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
        option = _BY_NAME[name]
        values[name] = _parse(option._replace(parse=truth) if option.switch else option, value, f"in {config_file}")
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
