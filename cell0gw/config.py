"""The options: what each is called, what it may be, and where its value comes from.

A flag wins over an environment variable, that over the configuration file, that over the default.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from cell0gw.limits import MIB, Limits, MailLimits
from cell0gw.rules import DEFAULT, DURABLE, ChannelRule
from cell0gw.subjects import is_pattern
from cell0gw.values import boolean, duration, integer, message_size, one_of, path, positive_duration, size, text, token


class ConfigError(Exception):
    """A value that can't be; the message names the option and where the value came from."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Every option with its default. Durations are seconds, sizes bytes.

    C{tls_cert} None: no TLS; C{tls_key} None: the key is in the file of the certificate. C{state_dir} None: nothing is
    kept on disk beyond the process. C{admin_token}: an operator's own.
    """

    host: str = "0.0.0.0"
    port: int = 18801
    tls_cert: Path | None = None
    tls_key: Path | None = None
    state_dir: Path | None = None
    heartbeat_interval: float = 30.0
    heartbeat_timeout: float = 60.0
    auth_timeout: float = 30.0
    max_message_size: int = 10 * MIB
    max_batch: int = 50
    max_subscriptions: int = 1000
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
        return Limits(
            max_message_size=self.max_message_size,
            max_batch=self.max_batch,
            max_subscriptions=self.max_subscriptions,
        )

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
    _option("tls_cert", path, "A PEM file: the certificate to speak TLS with, and its chain."),
    _option("tls_key", path, "A PEM file: the certificate's key; it may be in the same file."),
    _option("state_dir", path, "The folder for tokens and whatever else must survive."),
    _option("heartbeat_interval", positive_duration, "Time between two heartbeats.", "CELL0_HEARTBEAT_INTERVAL"),
    _option(
        "heartbeat_timeout", positive_duration, "A silent connection is closed after this.", "CELL0_HEARTBEAT_TIMEOUT"
    ),
    _option("auth_timeout", duration, "A connection has this long to authenticate; 0: for ever."),
    _option("max_message_size", message_size, "The longest message."),
    _option("max_batch", integer(1, 10_000), "The longest batch."),
    _option("max_subscriptions", integer(1, 1_000_000), "How many channels one session may be subscribed to."),
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
    options, rules = ({}, []) if config_file is None else _read_file(config_file)
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


def read_rules(entries: Any, source: str) -> tuple[ChannelRule, ...]:
    """The rules of channels, from tables as they stand under C{[[channels]]}.

    @raise ConfigError: one of them can't be.
    """
    if not isinstance(entries, list | tuple) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ConfigError(f"channels {source}: expected [[channels]] tables")
    rules = []
    for number, entry in enumerate(entries, 1):
        where = f"channels {source}, rule {number}"
        if not isinstance(entry.get("pattern"), str) or not is_pattern(entry["pattern"]):
            raise ConfigError(f'{where}: expected a pattern of channels, as in pattern = "tasks.>"')
        fields: dict[str, Any] = {"pattern": entry["pattern"]}
        for name, value in entry.items():
            if name == "pattern":
                continue
            if name not in _RULE:
                raise ConfigError(f"{where}: there is no {name}; there are {', '.join(('pattern', *_RULE))}")
            try:
                fields[name] = _RULE[name](value)
            except ValueError as problem:
                raise ConfigError(f"{where}, {name}: {problem}, got {value!r:.100}") from None
        default = DURABLE if fields.get("durable") else DEFAULT
        rules.append(msgspec.structs.replace(default, **fields))
    return tuple(rules)


_RULE: Final[dict[str, Callable[[Any], Any]]] = {
    "history_size": integer(0, 10_000_000),
    "history_ttl": positive_duration,
    "durable": boolean,
    "max_message_size": lambda value: size(value) or None,
    "presence": boolean,
}


def _read_file(path: Path) -> tuple[dict[str, Any], Any]:
    """The options, and the rules of channels."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as failure:
        raise ConfigError(f"{path}: {failure.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise ConfigError(f"{path}: {failure}") from None
    gateway, rules = tables.pop("gateway", {}), tables.pop("channels", [])
    if tables:
        raise ConfigError(
            f"{next(iter(tables))} in {path}: there is no such table; there are [gateway] and [[channels]]"
        )
    if not isinstance(gateway, dict):
        raise ConfigError(f"gateway in {path}: expected a table")
    return gateway, rules


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
