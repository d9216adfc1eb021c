"""The options: what each is called, what it may be, and where its value comes from.

A flag wins over an environment variable, that over the configuration file, that over the default.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from cell0gw.limits import KIB, MIB, Limits
from cell0gw.tokens import is_operator_token


class ConfigError(Exception):
    """A value that can't be; the message names the option and where the value came from."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Every option with its default. Durations are seconds, sizes bytes.

    C{state_dir} None: nothing is kept on disk beyond the process. C{admin_token}: an operator's own.
    """

    host: str = "0.0.0.0"
    port: int = 18801
    state_dir: Path | None = None
    heartbeat_interval: float = 30.0
    heartbeat_timeout: float = 60.0
    auth_timeout: float = 30.0
    max_message_size: int = 10 * MIB
    max_batch: int = 50
    max_subscriptions: int = 1000
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


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\Z", re.ASCII)
_SECONDS: Final = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST: Final = 366 * 86400.0
_SIZE = re.compile(r"(\d{1,15})\s*(B|KiB|MiB|GiB)?\Z", re.ASCII)
_BYTES: Final = {None: 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_BOOLEANS: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def duration(value: Any) -> float:
    """Seconds, from a number or from C{"250ms"}, C{"30s"}, C{"10m"}, C{"24h"}."""
    match = _DURATION.match(str(value)) if not isinstance(value, bool) else None
    if match is None:
        raise ValueError('expected seconds, or a text like "250ms", "30s", "10m"')
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST:
        raise ValueError("expected at most 366d")
    return seconds


def _positive_duration(value: Any) -> float:
    seconds = duration(value)
    if seconds <= 0:
        raise ValueError("expected more than 0 seconds")
    return seconds


def size(value: Any) -> int:
    """Bytes, from a number or from C{"64KiB"}, C{"10MiB"}."""
    match = _SIZE.match(str(value)) if not isinstance(value, bool) else None
    if match is None:
        raise ValueError('expected bytes, or a text like "64KiB", "10MiB"')
    return int(match[1]) * _BYTES[match[2]]


def _message_size(value: Any) -> int:
    length = size(value)
    if length < KIB:
        raise ValueError("expected at least 1KiB")
    return length


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,15}", str(value)) or not low <= int(value) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(value)

    return parse


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return _BOOLEANS[str(value).lower()]
    except KeyError:
        raise ValueError("expected true or false") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text")
    return value


def _path(value: Any) -> Path:
    if isinstance(value, Path):
        return value
    if "\0" in _text(value):
        raise ValueError("expected a path")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("there is no such user's home") from None


def _one_of(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"expected one of: {', '.join(choices)}")
        return str(value)

    return parse


def _token(value: Any) -> str:
    if not is_operator_token(_text(value)):
        raise ValueError("expected cell0_<32 or more letters and digits>_<unix seconds>")
    return str(value)


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
        return "~/.local/state/cell0gw" if self.name == "state_dir" else str(getattr(Config(), self.name))

    @property
    def switch(self) -> bool:
        """Whether it is on or off; its flag turns it off."""
        return self.parse is _boolean

    @property
    def flag(self) -> str:
        """As on the command line, without the two dashes."""
        name = self.name.replace("_", "-")
        return f"no-{name.removeprefix('enable-')}" if self.switch else name


def _option(name: str, parse: Callable[[Any], Any], help: str, variable: str | None = None, **more: Any) -> Option:
    return Option(name, parse, help, variable or f"CELL0_GATEWAY_{name.upper()}", **more)


OPTIONS: Final = (
    _option("host", _text, "The address to listen on."),
    _option("port", _integer(0, 65535), "The port to listen on; 0 lets the system choose."),
    _option("state_dir", _path, "The folder for tokens and whatever else must survive."),
    _option("heartbeat_interval", _positive_duration, "Time between two heartbeats.", "CELL0_HEARTBEAT_INTERVAL"),
    _option(
        "heartbeat_timeout", _positive_duration, "A silent connection is closed after this.", "CELL0_HEARTBEAT_TIMEOUT"
    ),
    _option("auth_timeout", duration, "A connection has this long to authenticate; 0: for ever."),
    _option("max_message_size", _message_size, "The longest message."),
    _option("max_batch", _integer(1, 10_000), "The longest batch."),
    _option("max_subscriptions", _integer(1, 1_000_000), "How many channels one session may be subscribed to."),
    _option("enable_compression", _boolean, "Don't offer permessage-deflate."),
    _option("anonymous_reads", _boolean, "Let only the authenticated see presence and agents."),
    _option("admin_token", _token, "An admin token of your own.", secret=True),
    _option("log_format", _one_of("text", "json"), "text, or json: one object a line."),
    _option("log_level", _one_of("debug", "info", "warn", "error", "critical"), "The least important lines to log."),
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
    for name, value in ({} if config_file is None else _read_file(config_file)).items():
        if name not in _BY_NAME:
            raise ConfigError(f"{name} in {config_file}: there is no such option")
        values[name] = _parse(_BY_NAME[name], value, f"in {config_file}")
    for option in OPTIONS:
        if environment.get(option.variable):  # one set to nothing is as good as none
            values[option.name] = _parse(option, environment[option.variable], f"from {option.variable}")
    for name, value in given.items():
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


def _read_file(path: Path) -> dict[str, Any]:
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as failure:
        raise ConfigError(f"{path}: {failure.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise ConfigError(f"{path}: {failure}") from None
    gateway = tables.pop("gateway", {})
    if tables:
        raise ConfigError(f"{next(iter(tables))} in {path}: there is no such table; options stand under [gateway]")
    if not isinstance(gateway, dict):
        raise ConfigError(f"gateway in {path}: expected a table")
    return gateway


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
