"""What twistd asks of a plugin: the options of the command line, and the service they make."""

from __future__ import annotations

import os
import select
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

from twisted.application.service import IService
from twisted.logger import ILogObserver
from twisted.python import usage
from twisted.python.logfile import LogFile

from cell0gw.app.application import WebSocketGateway
from cell0gw.app.entrance import StartError
from cell0gw.app.reload import Reload
from cell0gw.config.file import ConfigError
from cell0gw.config.options import OPTIONS, Config, load
from cell0gw.process.descriptors import raise_file_limit
from cell0gw.process.lifecycle import ProcessService
from cell0gw.process.logs import Threshold, observer
from cell0gw.process.systemd import Notifier
from cell0gw.protocol.version import SERVER_VERSION

CLOSING: Final = 10.0
"""How many seconds the disk may need when everyone has gone."""


class Options(usage.Options):
    """C{twistd cell0gw --help}. Every option has an environment variable and a place in the file, too."""

    synopsis = "[options]"
    longdesc = (
        "The real-time gateway where AI agents, people and services meet. Each option can be given by an environment "
        "variable (CELL0_GATEWAY_PORT) or under [gateway] in the file of --config (port = 18801), too."
    )
    optParameters = [["config", "c", None, "A TOML file with options."]] + [
        [option.flag, None, None, f"{option.help} [default: {option.default}]"]
        for option in OPTIONS
        if not (option.switch or option.secret)
    ]
    optFlags = [[option.flag, None, option.help] for option in OPTIONS if option.switch]

    def parseOptions(self, options: list[str] | None = None) -> None:
        """One line instead of the whole help when a flag is wrong."""
        try:
            super().parseOptions(options)
        except usage.UsageError as problem:
            raise SystemExit(f"cell0gw: {problem}; --help lists the options") from None

    def parseArgs(self, *arguments: str) -> None:
        """
        @raise UsageError: there is an argument that belongs to no flag.
        """
        if arguments:
            raise usage.UsageError(f"unexpected argument {arguments[0]!r}: there are only flags")

    def opt_version(self) -> None:
        """Display the gateway's version and exit."""
        print(SERVER_VERSION)
        raise SystemExit(0)

    def given(self) -> dict[str, Any]:
        """What was given, by option name."""
        values = {o.name: self[o.flag] for o in OPTIONS if not (o.switch or o.secret)}
        return values | {o.name: False if self[o.flag] else None for o in OPTIONS if o.switch}


def makeService(options: Options) -> IService:
    """Make the service; the port and the state folder are taken already, since twistd may fork after this.

    @raise SystemExit: it can't be; with one line that says what to do.
    """
    _choose_reactor()
    from twisted.internet import reactor

    path = options["config"] or os.environ.get("CELL0_GATEWAY_CONFIG")
    # A daemon may be somewhere else when it reads the file again.
    read = partial(load, options.given(), os.environ, Path(path).absolute() if path else None)
    try:
        config, warnings = read()
        raise_file_limit()
        gateway = WebSocketGateway(config, reactor=reactor)
        gateway.prepare()
    except (ConfigError, StartError) as problem:
        raise SystemExit(f"cell0gw: {problem}") from None
    threshold = Threshold(config.log_level)
    process = ProcessService(
        reactor,
        _observer(config, threshold, options.parent),
        Notifier(os.environ),
        reload=Reload(gateway, read, threshold),
        status=lambda: "; ".join(gateway.summary),
        patience=lambda: gateway.config.drain_timeout + CLOSING,
    )
    for warning in warnings:
        process.log.warn("{problem}", problem=warning)
    gateway.changed.append(process.tell_status)
    gateway.setServiceParent(process)
    return process


def _choose_reactor() -> None:
    """The quickest one there is, unless C{twistd --reactor} has chosen already."""
    if "twisted.internet.reactor" not in sys.modules and hasattr(select, "epoll"):
        from cell0gw.transports.sockets.reactor import install  # which needs epoll to be imported

        install()


def _observer(config: Config, threshold: Threshold, twistd: Any) -> ILogObserver | None:
    """The log observer, unless twistd was told to log in a way of its own."""
    twistd = twistd or {}
    if twistd.get("logger") or twistd.get("syslog"):
        return None
    return observer(config.log_format, threshold, _stream(twistd))


def _stream(twistd: Any) -> TextIO:
    """Where twistd would write its log: C{--logfile}, or standard output, or a file once it is a daemon."""
    path = twistd.get("logfile")
    if path == "-" or (not path and twistd.get("nodaemon", True)):
        return sys.stdout
    return LogFile.fromFullPath(os.path.abspath(path or "twistd.log"))
